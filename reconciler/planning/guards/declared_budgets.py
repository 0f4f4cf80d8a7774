"""The budgets of declared guards: which machines are in which group, and how many of these are available. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from reconciler.kinds import BUDGETED, FLEET, KINDS
from reconciler.kinds.common.field_types.duration import parse_duration_text
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.guard.matching import group_words
from reconciler.kinds.guard.spec import Level
from reconciler.kinds.kind_words import nouns
from reconciler.model.facts import NO_FACTS, ResourceFacts
from reconciler.model.resource import Resource, ResourceKey
from reconciler.planning.guards.budgets import Budget, Group
from reconciler.planning.guards.declared_guards import also_words, judges, or_override
from reconciler.planning.guards.guard import GuardWorld
from reconciler.planning.guards.guard_marks import is_guarded, is_new, mark_of
from reconciler.planning.guards.guards_in_force import GuardInForce, guards_in_force
from reconciler.planning.guards.possible_renames import guarded_before


def declared_budgets(world: GuardWorld) -> tuple[Budget, ...]:
    """The budgets of all guards, in the order of their names."""
    return tuple(budget_of(one) for one in guards_in_force(world) if one.spec.budget is not None)


def budget_of(guard: GuardInForce) -> Budget:
    """The guard's budget in the form that all budgets are judged in. The guard must have a budget."""
    found: Budget | None = guard.known.get("budget")
    if found is None:
        found = guard.known["budget"] = _budget(guard)
    return found


def _budget(guard: GuardInForce) -> Budget:
    block = guard.spec.budget
    assert block is not None  # noqa: S101
    least = FleetShare.parse(str(block.min_available)) if block.min_available is not None else None
    counts_all = block.count_unavailable or least is not None

    def group(name: str, world: GuardWorld) -> Group:
        members = members_of(guard, name, world)
        new = new_members(guard, name, world)
        gone = _still_gone(members, world) if counts_all else frozenset()
        kinds = {key.kind for key in members}
        words = group_words(name, f"guarded {nouns(kinds)}")
        return Group(words, kinds, len(members), gone - new if least is not None else gone, len(new))

    return Budget(
        guard.name,
        FleetShare.parse(str(block.max_disrupted or 0)),
        parse_duration_text(block.within),
        groups_of=lambda key, world: groups_of(guard, key, world),
        group=group,
        hint=lambda change, *_: or_override(guard, change, ""),
        judges=lambda change: judges(guard.spec, change),
        also=also_words(guard),
        advisory=guard.spec.level is Level.ADVISORY,
        min_available=least,
        pacing=parse_duration_text(block.pacing) if block.pacing else timedelta(),
    )


def counted_kinds(guard: GuardInForce) -> tuple[str, ...]:
    """The kinds that the budget counts: those of the fleet, and other kinds with endpoints that the guard names."""
    return tuple(name for name in BUDGETED if name in FLEET or name in guard.spec.match.kinds)


def group_members(guard: GuardInForce, world: GuardWorld) -> Mapping[str, tuple[ResourceKey, ...]]:
    """The declared resources that the budget counts, by group."""

    def build() -> dict[str, tuple[ResourceKey, ...]]:
        found: dict[str, list[ResourceKey]] = {}
        for kind in counted_kinds(guard):
            for resource in world.desired.of_kind(kind):
                facts = world.facts.resources.get(resource.key, NO_FACTS)
                if (mark := mark_of(guard, resource, facts)) is not None:
                    found.setdefault(mark.group, []).append(resource.key)
        return {name: tuple(keys) for name, keys in found.items()}

    if guard.dynamic:
        return world.survey.once(f"members of {guard.name} {guard.until}", build)
    if "members" not in guard.known:
        guard.known["members"] = build()
    kept: dict[str, tuple[ResourceKey, ...]] = guard.known["members"]
    return kept


def members_of(guard: GuardInForce, group: str, world: GuardWorld) -> frozenset[ResourceKey]:
    """The declared resources that the budget counts in the group: those in it, and those that left it within the
    hour."""
    left = (key for key, one in _changed_lately(world).items() if group in _left(guard, one, world))
    return frozenset((*group_members(guard, world).get(group, ()), *left))


def new_members(guard: GuardInForce, group: str, world: GuardWorld) -> frozenset[ResourceKey]:
    """Those of the group that came into it within the hour. A commit must not use the room that it makes itself."""
    here = group_members(guard, world).get(group, ()) if _changed_lately(world) else ()
    return frozenset(key for key in here if (one := _changed_lately(world).get(key)) and _came(guard, one, world))


def new_of_kind(kind: str, world: GuardWorld) -> int:
    """How many resources of a kind came into the fleet within the hour."""
    return sum(key.kind == kind and is_new(facts.added_at, world.now) for key, facts in _changed_lately(world).items())


def _came(guard: GuardInForce, facts: ResourceFacts, world: GuardWorld) -> bool:
    mark = facts.guarded.get(guard.name)
    return is_new(facts.added_at, world.now) or (mark is not None and is_new(mark.joined_at, world.now))


def _left(guard: GuardInForce, facts: ResourceFacts, world: GuardWorld) -> list[str]:
    mark = facts.guarded.get(guard.name)
    return [one.group for one in mark.left if world.now < one.until] if mark is not None else []


def _changed_lately(world: GuardWorld) -> Mapping[ResourceKey, ResourceFacts]:
    """The declared resources that are new, or that may have gone from one group to another."""

    def build() -> dict[ResourceKey, ResourceFacts]:
        return {
            key: one
            for key, one in world.facts.resources.items()
            if key.kind in BUDGETED and key in world.desired.resources and _has_changed(one, world)
        }

    return world.survey.once("changed lately", build)


def _has_changed(facts: ResourceFacts, world: GuardWorld) -> bool:
    return is_new(facts.added_at, world.now) or any(
        mark.left or mark.joined_at is not None for mark in facts.guarded.values()
    )


def groups_of(guard: GuardInForce, key: ResourceKey, world: GuardWorld) -> tuple[str, ...]:
    """The groups of a resource, by its document and by what it was when it last matched."""
    if key.kind not in counted_kinds(guard):
        return ()
    facts, resource = world.facts.resources.get(key, NO_FACTS), world.desired.resources.get(key)
    now_so = mark_of(guard, resource, facts) if resource is not None else None
    before = facts.guarded.get(guard.name)
    if before is None or not is_guarded(guard, key, world):
        former = guarded_before(guard.name, key, world)
        own = now_so or (former[1] if former is not None else None)
        return () if own is None else (own.group,)
    here = before.group if now_so is None else now_so.group
    return tuple(dict.fromkeys([here, *_left(guard, facts, world)]))


def _still_gone(members: frozenset[ResourceKey], world: GuardWorld) -> frozenset[ResourceKey]:
    """Those that are unavailable now. The survey may be a second old. What is unavailable already may be taken down
    whatever the budget, and a machine that was unreadable for a moment must not be among them."""
    return frozenset(key for key in _unavailable(world) & members if _is_gone(world.desired.resources[key], world))


def _unavailable(world: GuardWorld) -> frozenset[ResourceKey]:
    """The resources that are off, unreachable, not observed yet, paused or failed, whatever the reason."""

    def build() -> frozenset[ResourceKey]:
        return frozenset(
            resource.key for kind in BUDGETED for resource in world.desired.of_kind(kind) if _is_gone(resource, world)
        )

    return world.survey.once("unavailable", build)


def _is_gone(resource: Resource[Any], world: GuardWorld) -> bool:
    kind, seen = KINDS[resource.key.kind], world.observed.get(resource.key)
    if kind.paused(resource.spec) or seen is None:  # What was never seen may hang: it is not taken for available.
        return True
    facts = world.facts.resources.get(resource.key, NO_FACTS)
    return seen.error is not None or kind.unavailable(seen.value, facts)

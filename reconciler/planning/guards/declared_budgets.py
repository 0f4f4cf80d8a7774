"""The budgets of declared guards: which machines are in which group, and how many of these are available. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from reconciler.kinds import FLEET, KINDS
from reconciler.kinds.common.field_types.duration import parse_duration_text
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.guard.matching import group_words
from reconciler.kinds.guard.spec import Level
from reconciler.model.facts import NO_FACTS, ResourceFacts
from reconciler.model.resource import Resource, ResourceKey
from reconciler.planning.guards.budgets import Budget, Group, budget_holds
from reconciler.planning.guards.declared_guards import also_words, judges, or_override
from reconciler.planning.guards.guard import Guard, GuardWorld
from reconciler.planning.guards.guard_marks import is_guarded, mark_of
from reconciler.planning.guards.guards_in_force import GuardInForce, guards_in_force


def declared_budgets(world: GuardWorld) -> tuple[Guard, ...]:
    """The budgets of all guards, in the order of their names."""
    return tuple(partial(budget_holds, budget_of(one)) for one in guards_in_force(world) if one.spec.budget is not None)


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
        members = {*group_members(guard, world).get(name, ()), *_left_members(guard, world).get(name, ())}
        gone = _unavailable(world).intersection(members) if counts_all else frozenset()
        return Group(group_words(block, name), len(members), gone)

    return Budget(
        guard.name,
        FleetShare.parse(str(block.max_disrupted or 0)),
        parse_duration_text(block.within),
        groups_of=lambda key, world: _groups_of(guard, key, world),
        group=group,
        hint=lambda change, _: or_override(guard, change, ""),
        judges=lambda change: judges(guard.spec, change),
        also=also_words(guard),
        advisory=guard.spec.level is Level.ADVISORY,
        min_available=least,
        pacing=parse_duration_text(block.pacing) if block.pacing else timedelta(),
    )


def group_members(guard: GuardInForce, world: GuardWorld) -> Mapping[str, tuple[ResourceKey, ...]]:
    """The declared machines that the guard guards, by group."""

    def build() -> dict[str, tuple[ResourceKey, ...]]:
        found: dict[str, list[ResourceKey]] = {}
        for kind in FLEET:
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


def _left_members(guard: GuardInForce, world: GuardWorld) -> Mapping[str, list[ResourceKey]]:
    """The declared machines that left a group of the guard within the hour, by that group."""

    def build() -> dict[ResourceKey, ResourceFacts]:
        known = world.facts.resources.items()
        return {key: one for key, one in known if any(mark.left for mark in one.guarded.values())}

    found: dict[str, list[ResourceKey]] = {}
    for key, facts in world.survey.once("moved between groups", build).items():
        mark = facts.guarded.get(guard.name)
        for one in mark.left if mark is not None and key in world.desired.resources else ():
            if world.now < one.until:
                found.setdefault(one.group, []).append(key)
    return found


def _groups_of(guard: GuardInForce, key: ResourceKey, world: GuardWorld) -> tuple[str, ...]:
    """The groups of a machine, by its document and by what it was when it last matched."""
    if key.kind not in FLEET:
        return ()
    facts, resource = world.facts.resources.get(key, NO_FACTS), world.desired.resources.get(key)
    now_so = mark_of(guard, resource, facts) if resource is not None else None
    before = facts.guarded.get(guard.name)
    if before is None or not is_guarded(guard, key, world):
        return () if now_so is None else (now_so.group,)
    left = [one.group for one in before.left if world.now < one.until]
    return tuple(dict.fromkeys([before.group if now_so is None else now_so.group, *left]))


def _unavailable(world: GuardWorld) -> frozenset[ResourceKey]:
    """The machines of the fleet that are off, unreachable, paused or failed, whatever the reason."""

    def build() -> frozenset[ResourceKey]:
        return frozenset(
            resource.key for kind in FLEET for resource in world.desired.of_kind(kind) if _is_gone(resource, world)
        )

    return world.survey.once("unavailable", build)


def _is_gone(resource: Resource[Any], world: GuardWorld) -> bool:
    kind, seen = KINDS[resource.key.kind], world.observed.get(resource.key)
    if kind.paused(resource.spec):
        return True
    if seen is None:
        return False
    facts = world.facts.resources.get(resource.key, NO_FACTS)
    return seen.error is not None or kind.unavailable(seen.value, facts)

"""Guards that documents declare: what matches a change, and whether its windows and its protection let it pass. Pure.

What is worked out of a document is kept with the desired state, so that a step asks the guards of its own resource.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from reconciler.kinds import FLEET, INVENTORIED, KINDS, find_kind
from reconciler.kinds.common.field_types.duration import parse_duration_text
from reconciler.kinds.common.field_types.label_selector import Requirement, parse_selector
from reconciler.kinds.guard.fleet_share import FleetShare
from reconciler.kinds.guard.matching import group_of_resource, group_words, guards_resource
from reconciler.kinds.guard.memory import LOOSENS_AFTER, GuardFacts, guard_s, remembered_spec
from reconciler.kinds.guard.spec import DisruptionBudget, GuardCause, GuardSpec, Level, Protection
from reconciler.kinds.guard.windows import EARLIEST, WindowState, window_state
from reconciler.kinds.machine.labels import is_derived
from reconciler.model.action import Disruption
from reconciler.model.facts import NO_FACTS, Facts, Guarded, LeftGroup, ResourceFacts
from reconciler.model.plans.plan import CauseKind, Change, Hold, HoldKind, override_hint
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.planning.guards.budgets import Budget, Group, budget_holds
from reconciler.planning.guards.fleet_survey import FleetSurvey
from reconciler.planning.guards.guard import Guard, GuardWorld

GUARD = "Guard"
DECLARED = f"{GUARD.lower()}/"
"""Of the name by which holds and overrides speak of a declared guard: `guard/db-racks`."""
UNDER_WAY = timedelta(hours=1)
"""For so long after a machine was taken down, what is done to it ends what was begun."""
_CAUSES = {
    CauseKind.COMMIT: {GuardCause.COMMIT},
    CauseKind.DRIFT: {GuardCause.DRIFT},
    CauseKind.BOTH: {GuardCause.COMMIT, GuardCause.DRIFT},
    CauseKind.LEAK: {GuardCause.RELEASE},
}


class GuardInForce(msgspec.Struct, frozen=True, dict=True):
    """One spec that judges. `until`: it is the former one of a guard that was loosened or removed, and judges until
    then. `selector`: the parsed one. `dynamic`: what it matches follows from facts too."""

    name: str
    spec: GuardSpec
    until: datetime | None
    selector: tuple[Requirement, ...]
    dynamic: bool
    known: dict[Any, Any] = {}
    """What was worked out of the documents already."""

    @classmethod
    def of(cls, name: str, spec: GuardSpec, until: datetime | None = None) -> GuardInForce:
        """The guard of this name, ready to judge. A selector that cannot be read matches everything."""
        try:
            selector = parse_selector(spec.match.selector)
        except ValueError:
            selector = ()
        dynamic = bool(spec.match.projects) or any(is_derived(one.key) for one in selector)
        return cls(f"{DECLARED}{name}", spec, until, selector, dynamic or _groups_by_derived(spec.budget))


def guards_in_force(world: GuardWorld) -> tuple[GuardInForce, ...]:
    """All that judge now: those that are declared, and the former specs that are in force for an hour."""
    former = world.survey.once("former guards", lambda: _former(world.survey))
    return (*declared_guards(world.desired), *(one for one in former if one.until is None or world.now < one.until))


def guards_of(key: ResourceKey, world: GuardWorld) -> list[GuardInForce]:
    """Those that guard the resource. No guard guards a guard."""
    return [one for one in guards_in_force(world) if key.kind != GUARD and is_guarded(one, key, world)]


def is_guarded(guard: GuardInForce, key: ResourceKey, world: GuardWorld) -> bool:
    """Whether the guard is about the resource: by its document, or by what it was when it last matched. What a commit
    takes out of the match is guarded for another hour; what is not declared any more, until it is forgotten."""
    facts = world.facts.resources.get(key, NO_FACTS)
    resource, mark = world.desired.resources.get(key), facts.guarded.get(guard.name)
    if resource is None:
        return mark is not None
    if mark_of(guard, resource, facts) is not None:
        return True
    if mark is None or (mark.until is not None and world.now >= mark.until):
        return False
    # A former spec guards what the new one guards: the same commit may have changed the document along with the match.
    return mark.until is not None or guard.until is not None


def mark_of(guard: GuardInForce, resource: Resource[Any], facts: ResourceFacts) -> Guarded | None:
    """That the guard's match holds for the resource by its document and its facts, with its group; None: it does not.
    What follows from the document alone is worked out once."""
    if guard.dynamic:
        return _mark(guard, resource, labels_of(resource, facts), _project(facts))
    if resource.key not in guard.known:
        guard.known[resource.key] = _mark(guard, resource, resource.labels, None)
    found: Guarded | None = guard.known[resource.key]
    return found


def _mark(
    guard: GuardInForce, resource: Resource[Any], labels: Mapping[str, str], project: str | None
) -> Guarded | None:
    if not guards_resource(guard.spec.match, guard.selector, resource, labels, project):
        return None
    return Guarded(group_of_resource(guard.spec.budget, resource, labels)) if guard.spec.budget else Guarded()


def _project(facts: ResourceFacts) -> str | None:
    """Whose it is by what is remembered: a machine of a claim is the claim's project's."""
    return getattr(facts, "project", None)


def labels_of(resource: Resource[Any], facts: ResourceFacts) -> Mapping[str, str]:
    """The labels of the document and those that follow from the inventory, which cannot be declared."""
    if resource.key.kind not in INVENTORIED:
        return resource.labels
    return {**{name: text for name, text in resource.labels.items() if not is_derived(name)}, **facts.labels}


def marked(desired: DesiredState, resource: Resource[Any], facts: ResourceFacts, now: datetime) -> ResourceFacts:
    """The facts with the guards that guard the resource when this state takes force. Those that match, and for an hour
    those that its document took leave of. The very same object where nothing is new."""
    guards = declared_guards(desired) if resource.key.kind != GUARD else ()
    found = {
        one.name: after_move(mark, facts.guarded.get(one.name), now)
        for one in guards
        if (mark := mark_of(one, resource, facts)) is not None
    }
    if found == facts.guarded:
        return facts
    left = {
        name: mark if mark.until is not None else Guarded(mark.group, now + LOOSENS_AFTER, mark.left)
        for name, mark in facts.guarded.items()
        if name not in found and (mark.until is None or now < mark.until)
    }
    after = found | left
    return facts if after == facts.guarded else msgspec.structs.replace(facts, guarded=after)


def after_move(mark: Guarded, before: Guarded | None, now: datetime) -> Guarded:
    """The mark, with the groups that the document took leave of: for an hour the budget counts it in them too."""
    if before is None or (before.group == mark.group and not before.left):
        return mark
    left = {one.group: one for one in before.left if now < one.until}
    if before.until is None or now < before.until:
        left.setdefault(before.group, LeftGroup(before.group, now + LOOSENS_AFTER))
    left.pop(mark.group, None)
    return Guarded(mark.group, left=tuple(left.values()))


# -- windows and protection --------------------------------------------------------------------------------------------


def hold_declared(changes: Iterable[Change], world: GuardWorld) -> Mapping[ResourceKey, tuple[Hold, ...]]:
    """What the windows and protections hold."""
    guards = [one for one in guards_in_force(world) if one.spec.windows is not None or one.spec.protection is not None]
    if not guards:
        return {}
    found = {
        change.key: tuple(_holds(guards, change, world))
        for change in changes
        if change.key.kind != GUARD and change.actions
    }
    return {key: holds for key, holds in found.items() if holds}


def guards_of_change(change: Change, world: GuardWorld) -> list[GuardInForce]:
    """Those that guard the resource of the change, or one that the change gives up."""
    return [one for one in guards_in_force(world) if any(is_guarded(one, key, world) for key in _concerned(change))]


def holds_on(guard: GuardInForce, change: Change, world: GuardWorld) -> Iterator[Hold]:
    """The holds of the guard's windows and of its protection on a change of what it guards, or by which that is given
    up. A claim that is removed takes its machines down."""
    return _holds((guard,), change, world)


def _holds(guards: Iterable[GuardInForce], change: Change, world: GuardWorld) -> Iterator[Hold]:
    keys = _concerned(change)
    for guard in guards:
        if guarded := [key for key in keys if is_guarded(guard, key, world)]:
            yield from _holds_on(guard, change, guarded, world)


def _holds_on(
    guard: GuardInForce, change: Change, guarded: Collection[ResourceKey], world: GuardWorld
) -> Iterator[Hold]:
    others = _others_words(key for key in guarded if key != change.key)
    if guard.spec.windows is not None and judges(guard.spec, change) and begins(change, world):
        state = window_of(guard, world.now)
        if not state.open:
            yield _hold(guard, window_words(guard, state) + others, _wait_hint(guard, change, state))
    taken = protected(guard.spec.protection, change, is_own=change.key in guarded)
    if taken is not None:
        hint = "remove the protection from the guard in a commit; the removal takes effect an hour after the commit"
        yield _hold(
            guard, f"{taken}; the guard forbids that (spec.protection){others}", _or_override(guard, change, hint)
        )


def _concerned(change: Change) -> tuple[ResourceKey, ...]:
    kind = KINDS.get(change.key.kind)
    others = (key for action in change.actions for key in kind.gives_up(action)) if kind is not None else ()
    return (change.key, *dict.fromkeys(others))


def _others_words(keys: Iterable[ResourceKey]) -> str:
    names = [str(key) for key in keys]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"; the change releases {', '.join(names[:5])}{more}" if names else ""


def judges(spec: GuardSpec, change: Change) -> bool:
    """Whether the change has an action and a cause that the guard is about."""
    if spec.causes and not _causes(change) & set(spec.causes):
        return False
    return any(
        action.disruption.value in spec.actions or action.name in spec.actions
        for action in change.actions
        if not action.brings_up
    )


def begins(change: Change, world: GuardWorld) -> bool:
    """Whether something begins with the change. What ends what was begun is never held, and neither is powering on."""
    if change.disruption is Disruption.NONE and any(action.brings_up for action in change.actions):
        return False
    if change.key in world.facts.in_flight:
        return False
    facts = world.facts.resources.get(change.key, NO_FACTS)
    if facts.disrupted_at is not None and world.now - facts.disrupted_at < UNDER_WAY:
        return False
    return not KINDS[change.key.kind].under_way(facts)


def protected(protection: Protection | None, change: Change, *, is_own: bool) -> str | None:
    """What the change would do that the protection forbids, in words. `is_own`: the guard guards the resource of the
    change, and not only what the change gives up."""
    if protection in (Protection.DELETE, Protection.ALL) and change.source is None and is_own:
        return "the resource is no longer declared, and would be removed"
    if protection in (Protection.RELEASE, Protection.ALL) and change.disruption is Disruption.DESTRUCTIVE:
        names = dict.fromkeys(one.name for one in change.actions if one.disruption is Disruption.DESTRUCTIVE)
        return f"the change would release what cannot be had back ({', '.join(names)})"
    return None


def window_of(guard: GuardInForce, now: datetime) -> WindowState:
    """Whether the guard's windows are open then. The guard must have windows."""
    assert guard.spec.windows is not None  # noqa: S101
    kept = guard.known.get("window")
    if kept is None or not kept[0] <= now or (kept[1].until is not None and kept[1].until <= now):
        kept = guard.known["window"] = (now, window_state(guard.spec.windows, now))
    found: WindowState = kept[1]
    return found


def window_words(guard: GuardInForce, state: WindowState) -> str:
    """Why the windows are closed, and until when."""
    assert guard.spec.windows is not None  # noqa: S101
    zone = guard.spec.windows.time_zone
    opens = f"until {local_words(state.until, zone)}" if state.until is not None else "for more than a year"
    return f"no work begins {opens}" + (f": {state.reason}" if state.reason else "")


def local_words(at: datetime, zone: str) -> str:
    """`Mon 2026-11-30 22:00 Europe/Berlin`."""
    return f"{at.astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M} {zone}"


def _causes(change: Change) -> set[GuardCause]:
    return {GuardCause.RELEASE} if change.source is None else _CAUSES[change.cause.kind]


def _hold(guard: GuardInForce, reason: str, hint: str) -> Hold:
    kind = HoldKind.ADVISORY if guard.spec.level is Level.ADVISORY else HoldKind.GUARD
    return Hold(kind, guard.name, f"{reason}{_also(guard)}", hint)


def _also(guard: GuardInForce) -> str:
    said = f" ({guard.spec.description})" if guard.spec.description else ""
    if guard.until is None:
        return said
    return f"{said}; the guard was loosened or removed, and its former spec is in force until {guard.until:%H:%M:%S}Z"


def _wait_hint(guard: GuardInForce, change: Change, state: WindowState) -> str:
    opens = f"wait until {state.until:%Y-%m-%d %H:%M}Z, when the window opens" if state.until is not None else ""
    return _or_override(guard, change, opens)


def _or_override(guard: GuardInForce, change: Change, first: str) -> str:
    if guard.spec.level is Level.ABSOLUTE:
        return f"{first or 'change the guard'}; the guard is Absolute, so no override lets the change pass"
    hint = override_hint(guard.name, change.key)
    return f"{first}; or {hint}" if first else hint


# -- budgets -----------------------------------------------------------------------------------------------------------


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
        hint=lambda change, _: _or_override(guard, change, ""),
        judges=lambda change: judges(guard.spec, change),
        also=_also(guard),
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


def _groups_by_derived(budget: DisruptionBudget | None) -> bool:
    return budget is not None and budget.per is not None and is_derived(budget.per.removeprefix("label:"))


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


# -- which guards there are --------------------------------------------------------------------------------------------


def declared_guards(desired: DesiredState) -> tuple[GuardInForce, ...]:
    """Those that documents declare."""
    return desired.derived("guards in force", _build_declared)


def _build_declared(desired: DesiredState) -> tuple[GuardInForce, ...]:
    return tuple(GuardInForce.of(one.key.name, one.spec) for one in desired.of_kind(GUARD))


def _former(survey: FleetSurvey) -> tuple[GuardInForce, ...]:
    return tuple(GuardInForce.of(key.name, spec, until) for key, spec, until in survey.former)


def declared_guard_key(guard: str) -> ResourceKey | None:
    """The document of a guard that an override names: `guard/db-racks`; None for a built-in guard."""
    word, slash, name = guard.partition("/")
    kind = find_kind(word)
    return ResourceKey(kind.name, name) if slash and name and kind is not None and kind.name == GUARD else None


def is_absolute_guard(guard: str, desired: DesiredState, facts: Facts) -> bool:
    """Whether no override lifts what the guard holds: it is Absolute, or was so within the hour."""
    key = declared_guard_key(guard)
    if key is None:
        return False
    declared, remembered = desired.resources.get(key), guard_s(facts.resources.get(key, NO_FACTS))
    former = (remembered_spec(one.spec) for one in remembered.former)
    specs = (declared.spec if declared is not None else None, *former)
    return any(spec is not None and spec.level is Level.ABSOLUTE for spec in specs)


def loosening_words(
    carried: Mapping[ResourceKey, ResourceFacts | None], remembered: Mapping[ResourceKey, ResourceFacts]
) -> dict[ResourceKey, str]:
    """Of each guard that a state loosens or removes when it takes force, until when the former spec judges too."""
    found = {}
    for key, after in carried.items():
        before = guard_s(remembered.get(key, NO_FACTS))
        if not isinstance(after, GuardFacts) or after.former in ((), before.former):
            continue
        what = "a commit removed the guard" if after.declared_spec is None else "a commit made the guard less strict"
        ends = max(one.until for one in after.former)
        if ends > max((one.until for one in before.former), default=EARLIEST):
            found[key] = f"{what}; the former spec stays in force until {ends:%Y-%m-%d %H:%M:%S}Z"
    return found

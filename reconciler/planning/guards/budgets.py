"""Budgets: how many machines of a group may be down at once because of groundstate. Pure.

Within a group, machines are taken down in the order of their names, in every plan. So a plan shows which ones the
daemon takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta

import msgspec

from reconciler.kinds import KINDS
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.kind_words import noun, nouns
from reconciler.model.actions.action_base import Disruption
from reconciler.model.plans.plan import Change, Hold, HoldKind
from reconciler.model.resource import ResourceKey
from reconciler.planning.guards.fleet_survey import Disrupted
from reconciler.planning.guards.guard import GuardWorld, Holds


class Group(msgspec.Struct, frozen=True):
    """Those that a budget counts together. What they are called in a sentence, their kinds, how many there are, and
    which of them are unavailable for another reason than groundstate's. `new`: how many of them came within the hour,
    and make no room yet."""

    words: str
    kinds: Collection[str]
    size: int
    unavailable: Collection[ResourceKey] = ()
    new: int = 0


class Budget(msgspec.Struct, frozen=True):
    """How much of each group may be down. `groups_of`: the groups of a machine, each by a name of its own; none where
    the budget does not judge it. `hint`: how to proceed, given the change, how many of its group would be down, and how
    many machines would go in all groups. `pacing`: the least time between two that are taken down in a group. `also`:
    what is added to each reason."""

    guard: str
    limit: FleetShare
    within: timedelta
    groups_of: Callable[[ResourceKey, GuardWorld], tuple[str, ...]]
    group: Callable[[str, GuardWorld], Group]
    hint: Callable[[Change, int, int], str]
    judges: Callable[[Change], bool] = lambda _: True
    min_available: FleetShare | None = None
    pacing: timedelta = timedelta()
    also: str = ""
    advisory: bool = False


class GroupState(msgspec.Struct, frozen=True):
    """How much of a group is down at one time. `down`: with the time until which each counts; `unavailable`: the others
    that count; `last`: when one was taken down last."""

    group: Group
    allowed: int
    down: Mapping[ResourceKey, datetime]
    unavailable: frozenset[ResourceKey]
    last: datetime | None

    @property
    def counted(self) -> int:
        """How many count against the limit."""
        return len(self.down) + len(self.unavailable)

    @property
    def room(self) -> int:
        """How many more may be taken down, but for the pacing."""
        return max(0, self.allowed - self.counted)


def takes_down(change: Change) -> bool:
    """Whether a machine stops doing its work: by a power-off, or by an installation over what it has."""
    return change.disruption is Disruption.DISRUPTIVE or any(action.replaces for action in change.actions)


def taken_down_by(change: Change) -> tuple[ResourceKey, ...]:
    """The resource of the change, and the others that its next disruptive action takes down, as a port its machine."""
    action = next((one for one in change.actions if one.disruption is Disruption.DISRUPTIVE), None)
    kind = KINDS.get(change.key.kind)
    return (change.key, *(kind.gives_up(action) if kind is not None and action is not None else ()))


def _groups_of(budget: Budget, change: Change, world: GuardWorld) -> set[str]:
    return {name for key in taken_down_by(change) for name in budget.groups_of(key, world)}


def allowed_down(budget: Budget, size: int) -> int:
    """How many of a group of so many: a share is rounded down, to one at least; what must stay is rounded up."""
    if budget.min_available is not None:
        return max(0, size - math.ceil(budget.min_available.of(size)))
    return max(1, int(budget.limit.of(size))) if budget.limit.of(1) else 0


def group_state(budget: Budget, name: str, world: GuardWorld) -> GroupState:
    """How much of the group is down now."""
    return _group_state(budget, name, _disrupted_by_group(budget, world).get(name, {}), world)


def _group_state(budget: Budget, name: str, members: Mapping[ResourceKey, Disrupted], world: GuardWorld) -> GroupState:
    group = budget.group(name, world)
    down = {key: one.since + budget.within for key, one in members.items() if _counts(one, budget.within, world.now)}
    return GroupState(
        group,
        allowed_down(budget, group.size - group.new),
        down,
        frozenset(group.unavailable) - down.keys(),
        max((one.since for one in members.values()), default=None),
    )


def down_groups(budget: Budget, world: GuardWorld) -> list[str]:
    """The groups of which a machine is down, in order."""
    down = (key for key, one in world.survey.disrupted.items() if _counts(one, budget.within, world.now))
    return sorted({name for key in down for name in budget.groups_of(key, world)})


def used_up_holds(budget: Budget, changes: Iterable[Change], world: GuardWorld) -> Holds:
    """The holds of the groups whose budget is used up: then that decides, and not a budget of some of the resources."""
    taking = [change for change in changes if change.goes and takes_down(change)]
    groups = {name for change in taking for name in _groups_of(budget, change, world)}
    full = {name for name in groups if not group_state(budget, name, world).room}
    return budget_holds(budget, [one for one in taking if full & _groups_of(budget, one, world)], world)


def budget_holds(budget: Budget, changes: Iterable[Change], world: GuardWorld) -> Holds:
    """The holds on those that are too many."""
    wanting: dict[str, list[tuple[ResourceKey, Change]]] = {}
    starting: set[ResourceKey] = set()
    for change in changes:
        if change.goes and takes_down(change) and budget.judges(change):
            starting.add(change.key)
            for key in taken_down_by(change):
                for name in budget.groups_of(key, world):
                    wanting.setdefault(name, []).append((key, change))
    holds: dict[ResourceKey, tuple[Hold, ...]] = {}
    by_group = _disrupted_by_group(budget, world) if wanting else {}
    for name, some in wanting.items():
        state = _group_state(budget, name, by_group.get(name, {}), world)
        for key, more in _group_holds(budget, some, state, len(starting), world.now).items():
            holds[key] = (*holds.get(key, ()), *more)
    return holds


def _group_holds(
    budget: Budget, wanting: list[tuple[ResourceKey, Change]], state: GroupState, starting: int, now: datetime
) -> Holds:
    already = state.down.keys() | state.unavailable
    fresh = [
        change
        for _, change in sorted(
            ((key, change) for key, change in wanting if key not in already), key=lambda one: (one[0], one[1].key)
        )
    ]
    room, paced = _room(budget, state, now)
    all_down = state.counted + len(fresh)
    reason = _reason(budget, state, all_down)
    over = [now + budget.within for _ in fresh[:room]]
    when = _next_at(sorted([*state.down.values(), *over]), state)
    if paced is not None and state.room > room:  # The budget has room for one more, so the pacing alone decides.
        reason, when = f"{reason}; {_paced_words(budget, state)}", paced
    elif paced is not None and when is not None:
        when = max(when, paced)
    wait = "" if when is None else _wait(when, state.group)
    kind = HoldKind.ADVISORY if budget.advisory else HoldKind.GUARD
    return {
        change.key: (Hold(kind, budget.guard, reason + budget.also, wait + budget.hint(change, all_down, starting)),)
        for change in fresh[room:]
    }


def _room(budget: Budget, state: GroupState, now: datetime) -> tuple[int, datetime | None]:
    """How many may go now; and, where there is room, when the pacing lets the next one go."""
    if not budget.pacing or not state.room:
        return state.room, None
    due = state.last + budget.pacing if state.last is not None else now
    # After a clock was put back, nothing waits for longer than it could have been reported to.
    if now < due <= now + budget.pacing:
        return 0, due
    return 1, now + budget.pacing


def _disrupted_by_group(budget: Budget, world: GuardWorld) -> dict[str, dict[ResourceKey, Disrupted]]:
    found: dict[str, dict[ResourceKey, Disrupted]] = {}
    for key, one in world.survey.disrupted.items():
        for name in budget.groups_of(key, world):
            found.setdefault(name, {})[key] = one
    return found


def _counts(one: Disrupted, within: timedelta, now: datetime) -> bool:
    return one.in_flight or (not one.ended and now - one.since < within)


def _reason(budget: Budget, state: GroupState, all_down: int) -> str:
    also = f", {len(state.unavailable)} of them unavailable already" if state.unavailable else ""
    if budget.min_available is not None:
        stay = max(state.group.size - state.group.new - state.allowed, 0)
        limit = f"{stay} must stay available ({budget.min_available})"
    else:
        limit = f"the limit is {state.allowed} ({budget.limit})"
    if state.group.new and _follows_size(budget):
        limit += f"; {state.group.new} {nouns(state.group.kinds)} that were added in the last hour do not count yet"
    return (
        f"would take down {all_down} of {state.group.size} {state.group.words} within {span_words(budget.within)}"
        f"{also}; {limit}"
    )


def _follows_size(budget: Budget) -> bool:
    """Whether more may be down where the group is larger."""
    return budget.min_available is not None or budget.limit.percent is not None


def _paced_words(budget: Budget, state: GroupState) -> str:
    at = f", the last one at {state.last:%H:%M:%S}Z" if state.last is not None else ""
    return f"at most one {noun(state.group.kinds)} is taken down in {span_words(budget.pacing)}{at}"


def _wait(due: datetime, group: Group) -> str:
    return f"wait until {due:%Y-%m-%d %H:%M:%S}Z, when the next {noun(group.kinds)} may be taken down; or "


def _next_at(ends: list[datetime], state: GroupState) -> datetime | None:
    """When the budget has room for one more, at the latest. `ends` are the times at which those that are down count no
    more, in order. None where those that are unavailable leave no room at all."""
    allowed = state.allowed - len(state.unavailable)
    if allowed <= 0 or len(ends) < allowed:
        return None
    return ends[len(ends) - allowed]


def span_words(span: timedelta) -> str:
    """`an hour`, `30 minutes`, `2 hours`, `10 s`."""
    seconds = int(span.total_seconds())
    if seconds == 3600:
        return "an hour"
    for unit, name in ((3600, "hours"), (60, "minutes")):
        if seconds >= unit and not seconds % unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"

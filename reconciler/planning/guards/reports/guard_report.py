"""What each guard says of one resource at one time, whether or not something is to be done with it now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Protocol

import msgspec

from reconciler.kinds import FLEET
from reconciler.kinds.guard.matching import group_value
from reconciler.kinds.guard.windows import WindowState
from reconciler.kinds.kind_words import noun
from reconciler.model.plans.fleet_count import BudgetLevel
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import Change, Hold
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.guards.budgets import Budget, GroupState, down_groups, group_state
from reconciler.planning.guards.builtin_guards import built_in_budgets, whole_groups
from reconciler.planning.guards.declared_budgets import budget_of, group_members
from reconciler.planning.guards.declared_guards import guards_of_change, holds_on, window_of
from reconciler.planning.guards.guard import GuardWorld
from reconciler.planning.guards.guard_marks import guards_of
from reconciler.planning.guards.guards_in_force import DECLARED, GuardInForce, declared_guards


class BudgetReport(msgspec.Struct, frozen=True):
    """How much of the resource's group is down."""

    group: str
    """What is counted, in words: `guarded machines of rack r1`."""
    size: int
    allowed: int
    down: int
    unavailable: int
    noun: str
    """What one of them is called: `machine`."""
    used: int
    """How many of `allowed` are used: those that are down or unavailable."""
    scope: str
    """Which group: `rack=fra1/r12`, `label:role=db`, a kind, or `all`."""
    next_at: datetime | None = None
    """When one of those that are down counts no more, where there is no room now."""


class HasBudgets(Protocol):
    """What a guard says of its budgets."""

    @property
    def guard(self) -> str:
        """The name of the guard."""

    @property
    def budgets(self) -> tuple[BudgetReport, ...]:
        """The groups."""


class BudgetUse(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much of one budget is used in one group, for programs."""

    guard: str
    scope: str
    used: int
    allowed: int
    next_at: datetime | None = None


def budget_uses(found: Iterable[HasBudgets]) -> tuple[BudgetUse, ...]:
    """The budgets of all guards in one list."""
    return tuple(
        BudgetUse(one.guard, budget.scope, budget.used, budget.allowed, budget.next_at)
        for one in found
        for budget in one.budgets
    )


class GuardVerdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one guard says of a resource."""

    guard: str
    level: str
    holds: bool
    """Whether it holds the resource's change now."""
    reasons: tuple[str, ...] = ()
    description: str | None = None
    in_force_until: datetime | None = None
    """Of the former spec of a guard that was loosened or removed."""
    time_zone: str | None = None
    window: WindowState | None = None
    budgets: tuple[BudgetReport, ...] = ()
    """Of each group that counts it."""
    protection: str | None = None


def guard_verdicts(key: ResourceKey, change: Change | None, world: GuardWorld) -> tuple[GuardVerdict, ...]:
    """Every declared guard that guards the resource, the budget of the whole fleet, and whatever else holds the change
    as a guard."""
    mine_too = guards_of_change(change, world) if change is not None else guards_of(key, world)
    declared = [_verdict(one, key, change, world) for one in mine_too]
    holds = [*change.held_by, *change.advice] if change is not None else []
    if key.kind in FLEET:
        mine = _reasons(holds, HoldName.DISRUPTION_BUDGET)
        built_in = built_in_budgets(world)
        reports = tuple(report for one in built_in for report in budget_reports(one, key, world))
        declared.append(GuardVerdict(HoldName.DISRUPTION_BUDGET, "Mandatory", bool(mine), mine, budgets=reports))
    named = {one.guard for one in declared}
    others = dict.fromkeys(hold.by for hold in holds if hold.kind == "guard" and hold.by not in named)
    return (*declared, *(GuardVerdict(name, "Mandatory", True, _reasons(holds, name)) for name in others))


def budget_reports(budget: Budget, key: ResourceKey, world: GuardWorld) -> tuple[BudgetReport, ...]:
    """How much of the resource's group is down; none for what the budget does not count. A machine that moved lately
    is in several groups."""
    return tuple(group_report(name, group_state(budget, name, world)) for name in budget.groups_of(key, world))


def group_report(scope: str, state: GroupState) -> BudgetReport:
    """How much of one group is down."""
    soonest = min(state.down.values(), default=None) if not state.room else None
    return BudgetReport(
        state.group.words,
        state.group.size,
        state.allowed,
        len(state.down),
        len(state.unavailable),
        noun(state.group.kinds),
        state.counted,
        scope or "all",
        soonest,
    )


def budget_levels(world: GuardWorld) -> Iterator[BudgetLevel]:
    """The levels of each kind of the fleet, and of each rack with a machine that is down. Also those of every group of
    each declared guard with a budget."""
    racks, whole = built_in_budgets(world)
    for group in whole_groups(world):
        state = group_state(whole, group, world)
        yield BudgetLevel(whole.guard, group, state.counted, state.allowed, is_whole=True)
    for group in down_groups(racks, world):
        yield _level(racks, group, world)
    for guard in declared_guards(world.desired):
        if guard.spec.budget is not None:
            for group in sorted(group_members(guard, world)):
                yield _level(budget_of(guard), group, world)


def _level(budget: Budget, group: str, world: GuardWorld) -> BudgetLevel:
    state = group_state(budget, group, world)
    return BudgetLevel(budget.guard, group_value(group), state.counted, state.allowed)


def open_windows(desired: DesiredState, world_now: datetime) -> dict[str, bool]:
    """Whether work may begin now, by each declared guard that has windows."""
    guards = [one for one in declared_guards(desired) if one.spec.windows is not None]
    return {one.name.removeprefix(DECLARED): window_of(one, world_now).open for one in guards}


def _verdict(guard: GuardInForce, key: ResourceKey, change: Change | None, world: GuardWorld) -> GuardVerdict:
    spec = guard.spec
    held = _own_reasons(change.held_by, guard, change, world) if change is not None else ()
    advised = _own_reasons(change.advice, guard, change, world) if change is not None else ()
    return GuardVerdict(
        guard.name,
        str(spec.level),
        bool(held),
        held or advised,
        spec.description,
        guard.until,
        spec.windows.time_zone if spec.windows is not None else None,
        window_of(guard, world.now) if spec.windows is not None else None,
        budget_reports(budget_of(guard), key, world) if spec.budget is not None else (),
        str(spec.protection) if spec.protection is not None else None,
    )


def _own_reasons(holds: Iterable[Hold], guard: GuardInForce, change: Change, world: GuardWorld) -> tuple[str, ...]:
    """Of what holds by the guard's name, what this spec says: a former spec has the same name as the one after it."""
    said = {
        one.until: {hold.reason for hold in holds_on(one, change, world)}
        for one in guards_of_change(change, world)
        if one.name == guard.name
    }
    others = set().union(*said.values())
    return tuple(
        reason
        for reason in _reasons(holds, guard.name)
        if reason in said.get(guard.until, ()) or (guard.spec.budget is not None and reason not in others)
    )


def _reasons(holds: Iterable[Hold], guard: str) -> tuple[str, ...]:
    return tuple(hold.reason for hold in holds if hold.by == guard)

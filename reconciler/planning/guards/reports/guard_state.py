"""What one guard is, how much of its budgets is used, and whom it holds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import msgspec

from reconciler.kinds.guard.built_in import BUILT_IN_GUARDS
from reconciler.kinds.guard.windows import WindowState
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import Change
from reconciler.planning.guards.budgets import Budget, down_groups, group_state
from reconciler.planning.guards.builtin_guards import built_in_budgets, limit_words, whole_groups
from reconciler.planning.guards.declared_budgets import budget_of, group_members
from reconciler.planning.guards.declared_guards import window_of
from reconciler.planning.guards.guard import GuardWorld
from reconciler.planning.guards.guard_marks import guards_of
from reconciler.planning.guards.guards_in_force import DECLARED, GuardInForce, guards_in_force
from reconciler.planning.guards.reports.guard_report import BudgetReport, group_report


class GuardState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A guard at a time."""

    guard: str
    level: str
    description: str | None = None
    built_in: bool = False
    limit: str | None = None
    """Of a built-in guard, in words."""
    instead: str | None = None
    """How to proceed where no override lifts a built-in guard."""
    in_force_until: datetime | None = None
    """Of the former spec of a guard that was loosened or removed."""
    matched: int | None = None
    """How many resources a declared guard guards."""
    time_zone: str | None = None
    window: WindowState | None = None
    budgets: tuple[BudgetReport, ...] = ()
    """Of each group."""
    protection: str | None = None
    holds: Mapping[str, tuple[str, ...]] = {}
    """The reasons, by the resource whose change the guard holds."""


def guard_states(name: str, changes: Iterable[Change], world: GuardWorld) -> tuple[GuardState, ...]:
    """The guard with this name in a document, or the built-in one: the spec that is declared, and former ones that are
    in force."""
    built_in = BUILT_IN_GUARDS.get(name)
    if built_in is None:
        found = (one for one in guards_in_force(world) if one.name == f"{DECLARED}{name}")
        return tuple(_declared(one, changes, world) for one in found)
    return (
        GuardState(
            name,
            str(built_in.level),
            built_in.holds,
            built_in=True,
            limit=limit_words(name, world.standing.limits) or None,
            instead=built_in.instead or None,
            budgets=tuple(_built_in_budgets(world)) if name == HoldName.DISRUPTION_BUDGET else (),
            holds=_holds(name, changes),
        ),
    )


def _built_in_budgets(world: GuardWorld) -> Iterator[BudgetReport]:
    """The levels of each kind of the fleet, and of each rack with a machine that is down."""
    racks, whole = built_in_budgets(world)
    yield from (_budget(whole, group, world) for group in whole_groups(world))
    yield from (_budget(racks, group, world) for group in down_groups(racks, world))


def _declared(guard: GuardInForce, changes: Iterable[Change], world: GuardWorld) -> GuardState:
    spec = guard.spec
    groups = sorted(group_members(guard, world)) if spec.budget is not None else ()
    return GuardState(
        guard.name,
        str(spec.level),
        spec.description,
        in_force_until=guard.until,
        matched=sum(guard in guards_of(key, world) for key in world.desired.resources),
        time_zone=spec.windows.time_zone if spec.windows is not None else None,
        window=window_of(guard, world.now) if spec.windows is not None else None,
        budgets=tuple(_budget(budget_of(guard), group, world) for group in groups),
        protection=str(spec.protection) if spec.protection is not None else None,
        holds=_holds(guard.name, changes),
    )


def _budget(budget: Budget, group: str, world: GuardWorld) -> BudgetReport:
    return group_report(group, group_state(budget, group, world))


def _holds(guard: str, changes: Iterable[Change]) -> dict[str, tuple[str, ...]]:
    found = {str(one.key): tuple(hold.reason for hold in one.held_by if hold.by == guard) for one in changes}
    return {key: reasons for key, reasons in found.items() if reasons}

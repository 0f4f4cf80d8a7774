"""Guards: what a plan may do at once. Each sees all changes and holds some, saying why and how to let them pass.

A guard is a pure function. Those that documents declare and those that are always there are judged alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime

import msgspec

from drivers.base import OUTSIDE_ERRORS
from reconciler.kinds.common.defect import defect, to_blame
from reconciler.model.facts import Facts
from reconciler.model.observation import ObservedState
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.override import Override
from reconciler.model.plans.plan import Change, Hold, HoldKind
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.guards.fleet_survey import FleetSurvey
from reconciler.planning.guards.standing import Standing


class GuardWorld(msgspec.Struct, frozen=True):
    """All that guards judge by: one value, which is the same for `plan`, `get`, `apply` and the daemon."""

    desired: DesiredState
    observed: ObservedState
    facts: Facts
    survey: FleetSurvey
    standing: Standing
    now: datetime


Holds = Mapping[ResourceKey, tuple[Hold, ...]]
"""What a guard holds, by the resource of the change."""

Guard = Callable[[Iterable[Change], GuardWorld], Holds]
"""The holds on some of the changes. A pure function."""

Lifted = Callable[[str, ResourceKey], Override | None]
"""The newest override that lifts the holds of this guard from this resource; None: none does."""


def nothing_lifted(_guard: str, _key: ResourceKey) -> Override | None:
    """No override is in force."""
    return None


def passing(change: Change, guard: str, override: str) -> Change:
    """The change, which would be held by this guard but for this override."""
    if (guard, override) in zip(change.passes, change.lifted_by, strict=True):
        return change  # By another limit of the same guard.
    names = {"passes": (*change.passes, guard), "lifted_by": (*change.lifted_by, override)}
    return msgspec.structs.replace(change, **names)


def hold_back(
    changes: tuple[Change, ...],
    guards: Iterable[Guard],
    world: GuardWorld,
    lifted: Lifted = nothing_lifted,
) -> tuple[Change, ...]:
    """The changes, with what the guards hold added. A later guard sees what the earlier ones held; what an override
    lifts is not held, and the change names the guard that it passes."""
    for guard in guards:
        odd, holds = _holds_of(guard, changes, world)
        if odd or holds:
            changes = tuple(
                unjudged(change, odd[change.key])
                if change.key in odd
                else _judged(change, holds[change.key], lifted)
                if change.key in holds
                else change
                for change in changes
            )
    return changes


def _holds_of(
    guard: Guard, changes: tuple[Change, ...], world: GuardWorld
) -> tuple[dict[ResourceKey, BaseException], Holds]:
    """The changes that the guard cannot judge, each with why, and its holds on the others."""
    try:
        return {}, guard(changes, world)
    except OUTSIDE_ERRORS as error:  # held, in words, and the others go on
        failed = error

    def holds_without(keys: Collection[ResourceKey]) -> Holds | None:
        left_out = set(keys)
        try:
            return guard([change for change in changes if change.key not in left_out], world)
        except OUTSIDE_ERRORS:  # as above
            return None

    every = [change.key for change in changes]
    odd = to_blame(every, lambda keys: holds_without(keys) is not None)
    odd = every if odd is None else odd
    return dict.fromkeys(odd, failed), holds_without(odd) or {}


def unjudged(change: Change, error: BaseException) -> Change:
    """The change, held since what it would do cannot be held against a limit of the fleet."""
    reason = f"the guards cannot judge this change because of {defect(error)}"
    hold = Hold(
        HoldKind.GUARD,
        HoldName.UNJUDGED,
        reason,
        "report the bug, with the output of `groundstate describe`. Other resources are not affected",
    )
    return msgspec.structs.replace(change, held_by=(*change.held_by, hold))


def _judged(change: Change, holds: tuple[Hold, ...], lifted: Lifted) -> Change:
    for hold in holds:
        change = _with_hold(change, hold, lifted)
    return change


def _with_hold(change: Change, hold: Hold, lifted: Lifted) -> Change:
    if hold.kind is HoldKind.ADVISORY:
        return msgspec.structs.replace(change, advice=(*change.advice, hold))
    if (override := lifted(hold.by, change.key)) is not None:
        return passing(change, hold.by, override.id)
    return msgspec.structs.replace(change, held_by=(*change.held_by, hold))

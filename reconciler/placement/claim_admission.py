"""What is new for a project: machines for its claims; all within its quotas, and not kept back for another. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from reconciler.kinds.machine.binding import waits_for_project
from reconciler.model.actions.ipam_actions import Acquire, PutNetwork
from reconciler.model.actions.record_actions import Bind, Claim, PinImage, Rename
from reconciler.model.facts import Facts
from reconciler.model.observation import ObservedState
from reconciler.model.plans.plan import Change, Hold, HoldKind
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.placement.place import place_all
from reconciler.placement.placement_result import Placement, Placements
from reconciler.placement.quotas import over_quota
from reconciler.placement.reservations import kept_back


def place_claims(
    changes: tuple[Change, ...],
    desired: DesiredState,
    observed: ObservedState,
    facts: Facts,
    now: datetime,
    placements: Callable[[], Placements] | None = None,
) -> tuple[Change, ...]:
    """The changes; those of claims that lack machines with the machines that they get, or with what stops them.

    `placements`: all of them by the same states, where the caller has them at hand.
    """
    if not any(map(lacks_machines, changes)):
        return changes
    lacking = {change.key.name for change in changes if lacks_machines(change)}
    found = placements() if placements else place_all(desired, observed, facts, now, only=lacking)
    return tuple(
        _placed(change, found[change.key.name], desired) if lacks_machines(change) else change for change in changes
    )


def lacks_machines(change: Change) -> bool:
    """Whether it is a declared claim that neither releases nor is held for what it says; what is left is to place."""
    return (
        change.key.kind == "MachineClaim"
        and change.source is not None
        and all(isinstance(action, Rename) for action in change.actions)
        and all(hold.kind is HoldKind.IN_FLIGHT for hold in change.held_by)
    )


def _placed(change: Change, found: Placement, desired: DesiredState) -> Change:
    if not found.chosen:
        # A new name waits for no machines.
        path = Claim.path if change.actions else None
        holds = tuple(msgspec.structs.replace(hold, path=hold.path or path) for hold in found.holds)
        return msgspec.structs.replace(change, held_by=(*change.held_by, *holds))
    spec = desired.resources[change.key].spec
    machines = tuple((one.slot, one.machine) for one in found.chosen)
    reason = "; ".join(f"{one.machine}: {one.rule}" for one in found.chosen)
    claim = Claim(key=change.key, project=spec.project, machines=machines, reason=reason)
    return msgspec.structs.replace(change, actions=(*change.actions, claim))


def hold_claims(
    changes: tuple[Change, ...], desired: DesiredState, observed: ObservedState, facts: Facts
) -> tuple[Change, ...]:
    """The changes, those held that would take what is not there for their project."""
    claiming = {change.key for change in changes if claims_something(change)}
    if not claiming:
        return changes
    over = over_quota(desired, observed, facts)
    machines = {key for key in claiming if key.kind == "Machine" and key not in over}
    holds = {**over, **kept_back(desired, observed, facts, machines, over.keys())}
    return tuple(_held(change, holds) if change.key in claiming else change for change in changes) if holds else changes


def claims_something(change: Change) -> bool:
    """Whether it would take something that quotas count or reservations keep back."""
    return any(
        isinstance(action, Acquire | PutNetwork) or (isinstance(action, Bind) and action.project is not None)
        for action in change.actions
    )


def _held(change: Change, holds: Mapping[ResourceKey, Hold]) -> Change:
    hold = holds.get(change.key)
    if hold is None:
        return change
    added = [hold]
    if hold.path is not None and any(isinstance(action, PinImage) for action in change.actions):
        added.append(waits_for_project())
    paths = {one.path for one in added if one.path is not None}
    left = tuple(action for action in change.actions if action.path not in paths)
    return msgspec.structs.replace(change, actions=left, held_by=(*change.held_by, *added))

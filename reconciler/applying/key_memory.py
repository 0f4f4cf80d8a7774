"""What is known of a resource only while the process runs. This is how long it waits, which holds and errors were
reported, and what the plan of an `apply` observed a moment ago. Nothing here is needed after a restart."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from reconciler.kinds import KINDS
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Disruption
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.observation import Observation
from reconciler.model.outcome import OutcomeReason
from reconciler.model.plans.plan import Change, HoldKind
from reconciler.model.resource import Resource, ResourceKey
from reconciler.model.retry import HELD_AGAIN

HeldBy = frozenset[tuple[str, str | None]]
"""The actions that are held, with their fields, and the guards, with the path that each holds."""


class FailedInARow(msgspec.Struct, frozen=True):
    """How often in a row something failed, this time included; and whether the cause is another one than before."""

    in_a_row: int
    is_new: bool


class KeyMemory:
    """What one process remembers between the reconciles of a key. A key is reconciled by one thread at a time; `behind`
    is read under the lock of the state."""

    def __init__(self) -> None:
        # By action: how many observations showed nothing of it.
        self._observations: dict[str, int] = {}
        self.down_before: dict[ResourceKey, tuple[datetime | None, datetime | None]] = {}
        """When the machine was taken down before the action in flight, which counts again when the action is refused.
        """
        self._waits_since: dict[ResourceKey, datetime] = {}
        self._held: dict[ResourceKey, tuple[HeldBy, datetime]] = {}
        self._unreadable: dict[ResourceKey, tuple[str, int]] = {}
        self._defects: dict[ResourceKey, tuple[str, int]] = {}
        self._behind: dict[ResourceKey, set[ResourceKey]] = {}

    def count_observation(self, action_id: str, *, is_readable: bool) -> int:
        """How many readable observations there are since the action was sent, with this one."""
        count = self._observations.get(action_id, 0) + is_readable
        self._observations[action_id] = count
        return count

    def forget_action(self, flight: InFlight) -> None:
        """The action has ended."""
        self._observations.pop(flight.id, None)
        self.down_before.pop(flight.key, None)

    def read_failed(self, key: ResourceKey, reason: str) -> FailedInARow:
        """An observation failed."""
        return _count_failure(self._unreadable, key, reason)

    def read_again(self, key: ResourceKey) -> str | None:
        """An observation succeeded. Why the one before had failed; None: it had not."""
        failed = self._unreadable.pop(key, None)
        return None if failed is None else failed[0]

    def reconcile_failed(self, key: ResourceKey, why: str) -> FailedInARow:
        """A defect ended a reconcile."""
        return _count_failure(self._defects, key, why)

    def reconciled(self, key: ResourceKey) -> None:
        """No defect ended the reconcile."""
        self._defects.pop(key, None)

    def waited(self, key: ResourceKey, now: datetime) -> float:
        """For how many seconds the resource has been held."""
        return (now - self._waits_since.setdefault(key, now)).total_seconds()

    def is_new_hold(self, change: Change, now: datetime) -> bool:
        """Whether the hold is reported. Its text does not matter, because the numbers in it change."""
        what = frozenset((action.name, action.served_path) for action in change.actions)
        by = what | {(hold.by, hold.path) for hold in change.held_by}
        before, at = self._held.get(change.key, (None, now))
        if by == before and (now - at).total_seconds() < HELD_AGAIN:
            return False
        self._held[change.key] = (by, now)
        return True

    def note_progress(self, key: ResourceKey) -> None:
        """Something happens with the resource. When it waits or is held again, that is new."""
        self._waits_since.pop(key, None)
        self._held.pop(key, None)

    def wait_behind(self, first: ResourceKey, key: ResourceKey) -> None:
        """`key` waits until `first` has acquired its value."""
        self._behind.setdefault(first, set()).add(key)

    def is_awaited(self, key: ResourceKey) -> bool:
        """Whether another resource waits for this one."""
        return key in self._behind

    def waiting_behind(self, key: ResourceKey) -> set[ResourceKey]:
        """The resources that wait for this one. They are forgotten here, as they are queued now."""
        return self._behind.pop(key, set())


def _count_failure(failed: dict[ResourceKey, tuple[str, int]], key: ResourceKey, why: str) -> FailedInARow:
    before, count = failed.get(key, ("", 0))
    failed[key] = (why, count + 1)
    return FailedInARow(count + 1, before != why)


def held_words(change: Change) -> str:
    """Who holds the change, and why."""
    return (
        "; ".join(f"{hold.by}: {hold.reason}" for hold in change.held_by)
        or "the resource differs from its document, and groundstate has no action that changes this; change the "
        "document, or the resource itself"
    )


def hold_reason(change: Change) -> OutcomeReason:
    """The most serious reason for which a change is held."""
    for kind, reason in (
        (HoldKind.FAILED, OutcomeReason.STALLED),
        (HoldKind.GUARD, OutcomeReason.HELD),
        (HoldKind.DECLARED, OutcomeReason.PAUSED),
        (HoldKind.BLOCKED, OutcomeReason.BLOCKED),
    ):
        if change.held(kind):
            return reason
    return OutcomeReason.CHANGING


MAX_AGE_SECONDS = 10.0
"""How old such an observation may be. If a person reads the plan for longer, the resources are observed again."""


class EarlierObservations:
    """Each look serves once, and nothing was sent to its endpoint since. May be shared by threads."""

    def __init__(self) -> None:
        self._by_lock: dict[str, dict[ResourceKey, Observation]] = {}

    def keep(self, seen: Observation, resource: Resource[Any] | None) -> None:
        """This look was taken for the plan, and nothing of the resource is in flight."""
        lock = KINDS[seen.key.kind].lock_of(resource) if seen.key.kind in KINDS else ""
        if lock and seen.error is None:
            self._by_lock.setdefault(lock, {})[seen.key] = seen

    def take(self, key: ResourceKey, resource: Resource[Any] | None, now: datetime) -> Observation | None:
        """The look at the resource, while it is young. The first action for an endpoint uses up the observations of all
        its systems, because an action for one may change another."""
        found = self._by_lock.pop(KINDS[key.kind].lock_of(resource), {}).get(key) if self._by_lock else None
        if found is None or not 0 <= (now - found.taken_at).total_seconds() < MAX_AGE_SECONDS:
            return None
        return found

    def forget(self) -> None:
        """Drop all of them."""
        self._by_lock.clear()


def serves_for(action: Action, seen: Observation) -> bool:
    """Whether an action may use an observation of some seconds ago. Such an action takes nothing down, and a second one
    does no harm. An action that cuts the power, or that undoes itself when repeated, needs an observation just before.
    """
    rules = KINDS[action.key.kind].fact_rules
    return action.disruption is Disruption.NONE and rules.repeatable(action, seen.value)

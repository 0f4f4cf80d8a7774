"""How long until one that waits is looked at again, and what was said of it before, so that it is said once."""

from __future__ import annotations

from datetime import datetime

from reconciler.applying.context import Context
from reconciler.applying.events import EventRecorder
from reconciler.model.event import EventType
from reconciler.model.observation import ReadError
from reconciler.model.outcome import Failed, Outcome, Waiting
from reconciler.model.plan import Change, HoldKind
from reconciler.model.resource import ResourceKey
from reconciler.model.retry import retry_policy

HELD_SECONDS = 30.0
IN_TURN, TURN_SECONDS = "InTurn", 10.0


class Requeues:
    """Remembers, for as long as the process lives, who waits since when and which failures were told."""

    def __init__(self, teller: EventRecorder, context: Context) -> None:
        self._teller, self._context = teller, context
        self._since: dict[ResourceKey, datetime] = {}
        self._said: dict[ResourceKey, str] = {}
        self._failures_in_a_row: dict[ResourceKey, int] = {}
        self._unreadable_because: dict[ResourceKey, str] = {}

    def unreadable(self, key: ResourceKey, error: ReadError) -> Outcome:
        """It could not be looked at, once more."""
        attempts = self._failures_in_a_row.get(key, 0) + 1
        self._failures_in_a_row[key] = attempts
        if self._unreadable_because.get(key) != error.reason:
            self._unreadable_because[key] = error.reason
            self._teller.record(key, error.reason, error.message, EventType.WARNING)
        return _read_outcome(error, attempts, self._context.random())

    def readable(self, key: ResourceKey) -> None:
        """It could be looked at."""
        self._failures_in_a_row.pop(key, None)
        if self._unreadable_because.pop(key, None):
            self._teller.record(key, "ReadableAgain", "it answers again")

    def held(self, change: Change) -> Outcome:
        """It does not go: because of what, and when to look again."""
        holds = "; ".join(f"{hold.by}: {hold.reason}" for hold in change.held_by) or "no action would help"
        if change.held(HoldKind.GUARD) and self._said.get(change.key) != holds:
            self._said[change.key] = holds
            ways_out = "; ".join(hold.hint for hold in change.held_by if hold.kind is HoldKind.GUARD)
            self._teller.record(change.key, "Held", f"{holds}; to proceed: {ways_out}", EventType.WARNING)
        if change.held(HoldKind.FAILED):
            return Failed("Stalled", holds, terminal=True, retry_after=HELD_SECONDS)
        soon = self._patience(change.key)
        for kind, reason, delay in (
            (HoldKind.GUARD, "Held", HELD_SECONDS),
            (HoldKind.DECLARED, "Paused", HELD_SECONDS),
            (HoldKind.BLOCKED, "Blocked", soon),
        ):
            if change.held(kind):
                return Waiting(reason, holds, delay)
        return Waiting("Changing", holds, soon)

    def in_turn(self, message: str) -> Outcome:
        """Another comes first, which wakes this one when it is through; so it seldom has to ask by itself."""
        return Waiting(IN_TURN, message, TURN_SECONDS)

    def moves(self, key: ResourceKey) -> None:
        """Something happens with it: when it waits again, that is a new wait."""
        self._since.pop(key, None)

    def done(self, key: ResourceKey) -> None:
        """There is nothing to do for it."""
        self._said.pop(key, None)
        self._since.pop(key, None)

    def _patience(self, key: ResourceKey) -> float:
        """Seconds until the next look at what only waits: half a second at first, a quarter of its wait, at most 30."""
        now = self._context.now()
        waited = (now - self._since.setdefault(key, now)).total_seconds()
        return min(HELD_SECONDS, max(0.5, waited / 4))


def _read_outcome(error: ReadError, attempts: int, jitter: float) -> Outcome:
    """What follows when a resource could not be read for the `attempts`th time in a row."""
    policy = retry_policy(error.reason)
    delay = policy.wait.delay(attempts, jitter)
    if policy.passing:
        return Waiting(error.reason, error.message, delay)
    return Failed(error.reason, error.message, policy.terminal, delay)

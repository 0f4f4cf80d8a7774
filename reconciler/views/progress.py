"""What has become of each resource of an apply: events and outcomes in, rows and a summary out."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from drivers.base import ErrorReason
from reconciler.model.event import Event, EventReason
from reconciler.model.outcome import Done, Failed, Outcome, OutcomeReason, Waiting
from reconciler.model.resource import ResourceKey


class ProgressStage(StrEnum):
    """Where a resource stands in this run."""

    QUEUED = "queued"
    WORKING = "working"
    DONE = "done"
    PAUSED = "paused"
    HELD = "held"
    FAILED = "failed"


_OPEN = (ProgressStage.QUEUED, ProgressStage.WORKING)


class ProgressRow(msgspec.Struct, frozen=True):
    """One resource: its stage, and what was last said of it."""

    key: ResourceKey
    stage: ProgressStage
    text: str


class Progress:
    """Collects rows for a terminal or a log. Not for use by several threads without a lock around it."""

    def __init__(self, keys: list[ResourceKey], attempts: int = 3) -> None:
        self.rows = {key: ProgressRow(key, ProgressStage.QUEUED, "") for key in keys}
        self._open_keys = set(self.rows)
        self._attempts = attempts
        self._unreadable: dict[ResourceKey, int] = {}
        self._without_effect: dict[ResourceKey, list[str]] = {}
        self._blocked: dict[ResourceKey, int] = {}

    def on_event(self, event: Event) -> ProgressRow | None:
        """An event of the run; the row that it changes. A finished row stays finished, also if a claim's step reports
        its machines later: they are not observed again."""
        row = self.rows.get(event.key) if event.key is not None else None
        if row is None or row.stage not in _OPEN:
            return None
        if event.reason == EventReason.ACTION_NOT_CONFIRMED:
            self._without_effect.setdefault(row.key, []).append(event.message)
        return self._set(ProgressRow(row.key, ProgressStage.WORKING, event.message))

    def allows(self, key: ResourceKey) -> bool:
        """Whether more may be sent: not after it was without effect twice, where a daemon would go on trying. Once is
        no news, as an earlier run may have sent it, or died before it did."""
        return len(self._without_effect.get(key, ())) < 2

    def outcome(self, key: ResourceKey, outcome: Outcome) -> bool:
        """An outcome; True when the run is through with this resource."""
        if isinstance(outcome, Waiting) and outcome.reason is OutcomeReason.BLOCKED:
            return self._waits_in_vain(key, outcome.message)
        self._blocked.clear()
        match outcome:
            case Done():
                self._set(ProgressRow(key, ProgressStage.DONE, "as declared"))
            case Waiting(reason=OutcomeReason.HELD, message=message):
                self._set(ProgressRow(key, ProgressStage.HELD, message))
            case Waiting(reason=OutcomeReason.PAUSED, message=message):
                self._set(ProgressRow(key, ProgressStage.PAUSED, message))
            case Waiting(reason=ErrorReason(), message=message) if self._tried(key) >= self._attempts:
                self._set(ProgressRow(key, ProgressStage.FAILED, message))
            case Failed(message=message):
                self._set(
                    ProgressRow(
                        key, ProgressStage.FAILED, message if self.allows(key) else self._without_effect[key][-1]
                    )
                )
            case Waiting():
                return False
        return True

    @property
    def open(self) -> list[ProgressRow]:
        """What the run is not through with."""
        return [row for row in self.rows.values() if row.stage in _OPEN]

    @property
    def is_over(self) -> bool:
        """Whether the run is through with all. Asked after each outcome, so it does not go through the rows."""
        return not self._open_keys

    def is_open(self, key: ResourceKey) -> bool:
        """Whether the run has something to do with it still."""
        row = self.rows.get(key)
        return row is not None and row.stage in _OPEN

    def count(self, stage: ProgressStage) -> int:
        """How many stand there."""
        return sum(1 for row in self.rows.values() if row.stage is stage)

    def _waits_in_vain(self, key: ResourceKey, message: str) -> bool:
        """Whether all that is left waits for what this run has given up. Each was asked twice since something last
        moved, as the first look may have begun before that."""
        self._blocked[key] = self._blocked.get(key, 0) + 1
        if any(self._blocked.get(row.key, 0) < 2 for row in self.open):
            return False
        # What a guard holds is not a failure of what comes after it either.
        stage = ProgressStage.HELD if self.count(ProgressStage.HELD) else ProgressStage.FAILED
        self._set(ProgressRow(key, stage, f"waits for {message}"))
        return True

    def _tried(self, key: ResourceKey) -> int:
        self._unreadable[key] = self._unreadable.get(key, 0) + 1
        return self._unreadable[key]

    def _set(self, row: ProgressRow) -> ProgressRow:
        self.rows[row.key] = row
        (self._open_keys.add if row.stage in _OPEN else self._open_keys.discard)(row.key)
        return row

"""The way in for what machines say of themselves: heard, written down, told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from drivers.base import SystemState
from reconciler.applying.events import EventRecorder
from reconciler.applying.lifecycle_reports import apply_report, is_over
from reconciler.applying.requeue import Requeues
from reconciler.applying.state import EngineState
from reconciler.kinds.common.kind import BEGINNING
from reconciler.kinds.machine.lifecycle import system_of
from reconciler.model.event import EventType
from reconciler.model.lifecycle_facts import FactType
from reconciler.model.resource import ResourceKey
from reconciler.services.boot.rate_limit import EventGate

UNEXPECTED = "UnexpectedFact"

_SIGNS_OF_LIFE_SAVED = timedelta(seconds=30)


class Reports:
    """Takes up facts; knows when each machine's signs of life were last written down."""

    def __init__(
        self, memory: EngineState, teller: EventRecorder, waits: Requeues, now: Callable[[], datetime]
    ) -> None:
        self._memory, self._teller, self._waits, self._now = memory, teller, waits, now
        self._kept: dict[ResourceKey, datetime] = {}
        self._heard = EventGate()

    def receive(self, key: ResourceKey, order: str | None, fact: FactType, detail: str) -> bool:
        """See `Engine.report`."""
        now = self._now()
        with self._memory.gate:
            before = self._memory.facts.get(key)
            if before is None or is_over(before, fact, order):
                if self._news(key, fact, now):
                    message = f"{fact}, for order {order}, which is over"
                    self._teller.record(key, UNEXPECTED, message, EventType.WARNING)
                return False
            heard = apply_report(before, fact, detail, self._system(key), now)
            if heard.facts is not before:
                # Signs of life come every few seconds; after a crash one of half a minute ago will do.
                if fact is FactType.ALIVE and now - self._kept.get(key, BEGINNING) < _SIGNS_OF_LIFE_SAVED:
                    self._memory.assume(key, heard.facts)
                else:
                    self._memory.save({key: heard.facts})
                    self._kept[key] = now
                # What follows may follow soon, however long it took to come to this.
                self._waits.moves(key)
            if heard.reason and (heard.reason != UNEXPECTED or self._news(key, fact, now)):
                self._teller.record(key, heard.reason, heard.message, heard.severity)
            return True

    def _news(self, key: ResourceKey, fact: FactType, now: datetime) -> bool:
        """Whether it is the first of its kind for a while: who repeats itself fills no ledger."""
        return self._heard.passes(str(key), str(fact), now) is not None

    def _system(self, key: ResourceKey) -> str | None:
        seen = self._memory.observed.get(key)
        return system_of(seen.value) if seen is not None and isinstance(seen.value, SystemState) else None

"""The way in for what services report of resources."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from reconciler.applying.event_recorder import EventRecorder
from reconciler.applying.state import EngineState
from reconciler.kinds import KINDS
from reconciler.kinds.common.kind import BEGINNING
from reconciler.kinds.common.machine_facts import FactType
from reconciler.model.event import EventReason, EventType
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import ResourceKey
from reconciler.services.boot.rate_limit import EventLimit

UNEXPECTED = EventReason.UNEXPECTED_FACT

_SAVED_EVERY = timedelta(seconds=30)
"""How often what may be lost is written down."""


def facts_for_listening(key: ResourceKey, facts: ResourceFacts, now: datetime) -> ResourceFacts:
    """What is remembered of a resource when this process begins to listen."""
    return KINDS[key.kind].fact_rules.at_start(facts, now) if key.kind in KINDS else facts


class LifecycleReports:
    """The way in for what others say of a resource: judged by its kind, written down, reported. `moves` hears of each
    resource of which something is new; `now` gives the time."""

    def __init__(
        self,
        state: EngineState,
        events: EventRecorder,
        moves: Callable[[ResourceKey], None],
        now: Callable[[], datetime],
    ) -> None:
        self._state, self._events, self._moves, self._now = state, events, moves, now
        self._kept: dict[ResourceKey, datetime] = {}
        self._heard = EventLimit()

    def receive(self, key: ResourceKey, request_id: str | None, fact: FactType, detail: str) -> bool:
        """See `Engine.report`."""
        now = self._now()
        with self._state.changing():
            before, seen = self._state.facts.get(key), self._state.observed.get(key)
            value, rules = seen.value if seen is not None else None, KINDS[key.kind].fact_rules
            heard = rules.report(before, request_id, fact, detail, value, now) if before is not None else None
            if heard is None:
                if self._news(key, fact, now):
                    message = (
                        f"the agent reported `{fact}` for boot request {request_id}, but that boot request has ended; "
                        "groundstate ignores the report"
                    )
                    self._events.record(key, UNEXPECTED, message, EventType.WARNING, about=(fact,))
                return False
            if heard.facts is not before:
                if heard.may_be_lost and now - self._kept.get(key, BEGINNING) < _SAVED_EVERY:
                    self._state.set_volatile_facts(key, heard.facts)
                else:
                    self._state.save({key: heard.facts})
                    self._kept[key] = now
                # What follows may follow soon, however long it took to come to this.
                self._moves(key)
            if heard.reason and (heard.reason != UNEXPECTED or self._news(key, fact, now)):
                self._events.record(key, heard.reason, heard.message, heard.severity, about=(fact,))
            return True

    def refused(self, key: ResourceKey, fact: FactType, why: str) -> None:
        """A report was not taken in because of a defect: an event, unless there was such an event lately. Raises
        StoreError."""
        if self._news(key, fact, self._now()):
            with self._state.changing():
                self._events.record(key, EventReason.INTERNAL, why, EventType.WARNING, about=("report", fact))

    def _news(self, key: ResourceKey, fact: FactType, now: datetime) -> bool:
        """Whether it is the first of its kind for a while: who repeats itself fills no ledger."""
        return self._heard.passes(str(key), str(fact), now) is not None

"""What follows from what the boot service, the agent or an installed system says of a machine: pure decisions, and the
way in for such reports."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from drivers.base import SystemState
from reconciler.applying.events import EventRecorder
from reconciler.applying.state import EngineState
from reconciler.kinds.common.kind import BEGINNING
from reconciler.kinds.common.machine_facts import FactType, LifecycleFacts, MachineFacts
from reconciler.kinds.machine.lifecycle import SERVED_WITHIN, BootStage, stage, system_of, unattended
from reconciler.kinds.machine.lifecycle_events import apply_fact
from reconciler.model.event import EventReason, EventType
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import ResourceKey
from reconciler.services.boot.rate_limit import EventGate

UNEXPECTED = EventReason.UNEXPECTED_FACT

_SIGNS_OF_LIFE_SAVED = timedelta(seconds=30)


class ReportOutcome(msgspec.Struct, frozen=True):
    """What is remembered then (the very same object when nothing is new), and what is told; no reason, nothing."""

    facts: MachineFacts
    reason: str
    message: str
    severity: EventType


def is_over(facts: MachineFacts, fact: FactType, order: str | None) -> bool:
    """Whether it is said for an order that is not the machine's any more. None: for none in particular."""
    return order is not None and order != _order_of(facts.lifecycle, fact)


def apply_report(before: MachineFacts, fact: FactType, detail: str, system: str | None, now: datetime) -> ReportOutcome:
    """Take up what is said. `system`: what tells the system at the BMC from others, where that is known."""
    taken = apply_fact(before.lifecycle, fact, detail, before.image, now)
    severity = EventType.NORMAL if taken.expected and taken.lifecycle.failure is None else EventType.WARNING
    if taken.lifecycle == before.lifecycle:
        return ReportOutcome(before, taken.reason, taken.message, severity)
    after = msgspec.structs.replace(before, lifecycle=taken.lifecycle)
    if fact is FactType.PHONED_HOME and taken.expected:
        after = msgspec.structs.replace(after, disrupted_at=None)
    if fact is FactType.REGISTERED and system is not None:
        after = msgspec.structs.replace(after, lifecycle=msgspec.structs.replace(after.lifecycle, system=system))
    return ReportOutcome(after, taken.reason, taken.message, severity)


def facts_at_start(facts: ResourceFacts, now: datetime) -> ResourceFacts:
    """While nobody listened no agent could be heard: its silence begins now. Where that was for long, or the store is a
    backup's, whoever runs there by now may have been started by others."""
    if not isinstance(facts, MachineFacts):
        return facts
    life = facts.lifecycle
    request, failure = life.boot_request, life.failure
    signs = [
        life.stopped_at,
        *((request.requested_at, request.last_heard_at) if request is not None else ()),
        failure.at if failure is not None else None,
    ]
    last = max((at for at in signs if at is not None), default=now)
    long = now - last > SERVED_WITHIN
    if stage(life) is BootStage.WORKING:
        # It may be at work all the same, and is heard then.
        life = msgspec.structs.replace(life.progressed(last_heard_at=now), stopped_at=None if long else life.stopped_at)
    elif long:
        life = unattended(life)
    return facts if life == facts.lifecycle else msgspec.structs.replace(facts, lifecycle=life)


def _order_of(life: LifecycleFacts, fact: FactType) -> str | None:
    """The order for which this may be said: a system calls for the one that installed it."""
    if fact is FactType.PHONED_HOME:
        return life.written.boot_request if life.written is not None else None
    return life.boot_request.id if life.boot_request is not None else None


class Reports:
    """The way in for what machines say of themselves: judged, written down, reported. `moves` hears of each machine of
    which something is new; `now` gives the time."""

    def __init__(
        self,
        state: EngineState,
        events: EventRecorder,
        moves: Callable[[ResourceKey], None],
        now: Callable[[], datetime],
    ) -> None:
        self._state, self._events, self._moves, self._now = state, events, moves, now
        self._kept: dict[ResourceKey, datetime] = {}
        self._heard = EventGate()

    def receive(self, key: ResourceKey, order: str | None, fact: FactType, detail: str) -> bool:
        """See `Engine.report`."""
        now = self._now()
        with self._state.changing():
            before = self._state.facts.get(key)
            if not isinstance(before, MachineFacts) or is_over(before, fact, order):
                if self._news(key, fact, now):
                    message = f"{fact}, for order {order}, which is over"
                    self._events.record(key, UNEXPECTED, message, EventType.WARNING)
                return False
            heard = apply_report(before, fact, detail, self._system(key), now)
            if heard.facts is not before:
                # Signs of life come every few seconds; after a crash one of half a minute ago will do.
                if fact is FactType.ALIVE and now - self._kept.get(key, BEGINNING) < _SIGNS_OF_LIFE_SAVED:
                    self._state.assume(key, heard.facts)
                else:
                    self._state.save({key: heard.facts})
                    self._kept[key] = now
                # What follows may follow soon, however long it took to come to this.
                self._moves(key)
            if heard.reason and (heard.reason != UNEXPECTED or self._news(key, fact, now)):
                self._events.record(key, heard.reason, heard.message, heard.severity)
            return True

    def _news(self, key: ResourceKey, fact: FactType, now: datetime) -> bool:
        """Whether it is the first of its kind for a while: who repeats itself fills no ledger."""
        return self._heard.passes(str(key), str(fact), now) is not None

    def _system(self, key: ResourceKey) -> str | None:
        seen = self._state.observed.get(key)
        return system_of(seen.value) if seen is not None and isinstance(seen.value, SystemState) else None

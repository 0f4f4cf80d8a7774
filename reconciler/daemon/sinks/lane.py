"""The way of the ledger to one sink: what is due is decided in `kinds/sink/delivery.py`, and done here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from drivers.base import OUTSIDE_ERRORS, DriverError, EventSink, SinkDelivery
from reconciler import runtime
from reconciler.kinds.common.defect import defect
from reconciler.kinds.common.field_types.label_selector import parse_selector
from reconciler.kinds.sink.delivery import cursor_after, settle_delivery, wait_before
from reconciler.kinds.sink.event_selection import wants
from reconciler.kinds.sink.spec import EventSinkSpec
from reconciler.model.event import Event
from reconciler.model.retry import SINK_PAUSED, SINK_POLL
from reconciler.model.sink_state import SinkState
from reconciler.store import LedgerEntry, Store
from reconciler.views.cloud_event import sink_message

PAGE_OF_EVENTS = 1000
"""Events that are read at once, so that a long absence needs no more memory than a short one."""


class LaneSettings(msgspec.Struct, frozen=True):
    """What all lanes have in common. `described` adds to an event whose it is. `report` logs and counts an event that
    is in the ledger already. `sent` counts deliveries: sink, result, events."""

    store: Store
    open_sink: Callable[[str, EventSinkSpec], EventSink]
    described: Callable[[Event], Event]
    report: Callable[[Event], None]
    sent: Callable[[str, str, int], None]
    now: Callable[[], datetime]
    random: Callable[[], float]


class Lane:
    """Sends what comes after the cursor of one sink, in order and one batch at a time."""

    def __init__(self, name: str, spec: EventSinkSpec, settings: LaneSettings) -> None:
        self.spec = spec
        self._name, self._all = name, settings
        self._selector = parse_selector(spec.send.selector)
        self._fleet = settings.store.sinks.fleet()
        self._sink: EventSink | None = None
        self._stop = runtime.flag()

    def stop(self) -> None:
        """Send no more. What is under way still ends."""
        self._stop.set()

    def run(self) -> None:
        """Work until `stop`. Raises StoreError."""
        try:
            while not self._stop.is_set():
                wait = self.step()
                if wait:
                    self._stop.wait(wait)
        finally:
            if self._sink is not None:
                self._sink.close()

    def step(self) -> float:
        """Send one page, or a part of it; the seconds until there may be more to do. Raises StoreError."""
        state = self._all.store.sinks.get(self._name)
        if state is None:
            return SINK_PAUSED
        wait = wait_before(self.spec, state, self._all.now())
        if wait is None or wait > 0:
            return min(SINK_PAUSED, SINK_PAUSED if wait is None else wait)
        entries = self._all.store.follow(state.seq, PAGE_OF_EVENTS)
        return 0.0 if entries and self._send_page(state, entries) else SINK_POLL

    def _send_page(self, state: SinkState, entries: Sequence[LedgerEntry]) -> bool:
        """Whether there may be more to send at once. After each answer, and not before, the cursor moves."""
        by_number = {entry.seq: entry.event for entry in entries}
        seen = list(by_number)
        wanted = [entry.seq for entry in entries if self._wants(entry.event)]
        if not wanted:
            return self._all.store.sinks.advance(state, msgspec.structs.replace(state, seq=seen[-1]))
        done = 0
        while done < len(wanted) and not self._stop.is_set():
            delivery = self._delivered(wanted[done:], by_number)
            done += delivery.taken
            after = self._settled(state, cursor_after(seen, wanted, done), delivery)
            if after is None or delivery.error is not None or not delivery.taken:
                return False
            state = after
        return True

    def _wants(self, event: Event) -> bool:
        return wants(self._name, self.spec.send, self._selector, event)

    def _delivered(self, numbers: Sequence[int], events: Mapping[int, Event]) -> SinkDelivery:
        """Send as many of them as the sink takes at once."""
        try:
            sink = self._sink = self._sink or self._all.open_sink(self._name, self.spec)
            messages = [sink_message(self._fleet, number, events[number]) for number in numbers[: sink.batch]]
            return sink.send(messages, self._all.now())
        except DriverError as error:
            return SinkDelivery(0, error)
        except OUTSIDE_ERRORS as error:  # a defect of a driver stops this sink alone
            return SinkDelivery(0, DriverError(defect(error)))

    def _settled(self, before: SinkState, cursor: int, delivery: SinkDelivery) -> SinkState | None:
        """Remember the answer; None: the cursor was set meanwhile."""
        after = settle_delivery(self.spec, before, cursor, delivery, self._all.now(), self._all.random())
        if delivery.taken:
            self._all.sent(self._name, "taken", delivery.taken)
        if delivery.error is not None:
            self._all.sent(self._name, "failed", 1)
        if not self._all.store.sinks.advance(before, after.state, tuple(map(self._all.described, after.events))):
            return None
        for event in after.events:
            self._all.report(event)
        return after.state

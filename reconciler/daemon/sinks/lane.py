"""The way of the ledger to one sink: what is due is decided in `kinds/sink/delivery.py`, and done here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property

import msgspec

from drivers.base import OUTSIDE_ERRORS, DriverError, EventSink, SinkDelivery
from reconciler import runtime
from reconciler.kinds.common.defect import defect
from reconciler.kinds.common.field_types.label_selector import Requirement, parse_selector
from reconciler.kinds.sink.delivery import (
    SinkSettlement,
    believed,
    cursor_after,
    settle_age,
    settle_delivery,
    wait_before,
)
from reconciler.kinds.sink.event_selection import KIND, wants
from reconciler.kinds.sink.spec import EventSinkSpec
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import ResourceKey
from reconciler.model.retry import SINK_PAUSED, SINK_POLL
from reconciler.model.sink_state import SinkState
from reconciler.store import LedgerEntry, Store
from reconciler.store.sql.store_errors import StoreError
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
        self._sink: EventSink | None = None
        self._stop = runtime.flag()

    @cached_property
    def _selector(self) -> tuple[Requirement, ...]:
        return parse_selector(self.spec.send.selector)

    @cached_property
    def _fleet(self) -> str:
        return self._all.store.sinks.fleet()

    def stop(self) -> None:
        """Send no more. What is under way still ends."""
        self._stop.set()

    def run(self) -> None:
        """Work until `stop`. Raises StoreError. Any other error is a defect that meets this sink alone: it is reported
        as a failure of the sink, and tried again as one."""
        try:
            while not self._stop.is_set():
                wait = self._guarded_step()
                if wait:
                    self._stop.wait(wait)
        finally:
            self._close()

    def _guarded_step(self) -> float:
        try:
            return self.step()
        except StoreError:
            raise
        except OUTSIDE_ERRORS as error:  # the other sinks, and the daemon, go on
            state = self._all.store.sinks.get(self._name)
            if state is not None:
                failed, now = SinkDelivery(0, DriverError(defect(error))), self._all.now()
                self._put(state, settle_delivery(self.spec, state, state.seq, failed, now, self._all.random()))
            return SINK_POLL

    def _close(self) -> None:
        try:
            if self._sink is not None:
                self._sink.close()
        except OUTSIDE_ERRORS as error:  # nothing is lost by it
            said = f"the connection to the receiver could not be closed because of {defect(error)}; report this bug"
            key = ResourceKey(KIND, self._name)
            told = self._all.described(Event(self._all.now(), EventType.WARNING, EventReason.SINK_FAILED, said, key))
            self._all.store.append([told])
            self._all.report(told)

    def step(self) -> float:
        """Send one page, or a part of it; the seconds until there may be more to do. Raises StoreError."""
        state = self._all.store.sinks.get(self._name)
        if state is None:
            return SINK_PAUSED
        state = self._aged(state, self._all.store.sinks.oldest_after(state.seq))
        wait = None if state is None else wait_before(self.spec, state, self._all.now())
        if state is None or wait is None or wait > 0:
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
            # A page can take hours with a slow receiver.
            aged = self._aged(after, by_number[wanted[done]].at) if done < len(wanted) else after
            if aged is None:
                return False
            state = aged
        return True

    def _aged(self, state: SinkState, oldest: datetime | None) -> SinkState | None:
        """Report how long the oldest event waits, if that is due; None: the cursor was set meanwhile."""
        found = settle_age(self.spec, state, oldest, self._all.now())
        return state if found is None else self._put(state, found)

    def _wants(self, event: Event) -> bool:
        return wants(self._name, self.spec.send, self._selector, event)

    def _delivered(self, numbers: Sequence[int], events: Mapping[int, Event]) -> SinkDelivery:
        """Send as many of them as the sink takes at once."""
        try:
            sink = self._sink = self._sink or self._all.open_sink(self._name, self.spec)
            messages = [sink_message(self._fleet, number, events[number]) for number in numbers[: sink.batch]]
            return believed(sink.send(messages, self._all.now()), len(messages))
        except StoreError:
            raise
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
        return self._put(before, after)

    def _put(self, before: SinkState, after: SinkSettlement) -> SinkState | None:
        if not self._all.store.sinks.advance(before, after.state, tuple(map(self._all.described, after.events))):
            return None
        for event in after.events:
            self._all.report(event)
        return after.state

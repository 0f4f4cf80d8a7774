"""What people ask for an event sink: a test, and events once more."""

from __future__ import annotations

from datetime import datetime

import msgspec

from reconciler import runtime
from reconciler.kinds import DELIVERED_TO
from reconciler.kinds.sink.spec import EventSinkSpec
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import DesiredState, Resource
from reconciler.operations.moment import moment_of
from reconciler.operations.named_resource import one_resource
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.stored_facts import described_by
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.runtime import now
from reconciler.views.cloud_event import sink_message

_MOST_DIGITS = 18


class SinkTest(msgspec.Struct, frozen=True):
    """A test event that was taken: by which sink, where, under which id, after how many seconds."""

    name: str
    url: str
    id: str
    seconds: float
    notes: tuple[str, ...] = ()


class SinkReplay(msgspec.Struct, frozen=True):
    """Which events are sent once more: those after `after`, so many with those that the sink does not want."""

    name: str
    after: int
    events: int
    at_work: bool
    """Whether a daemon runs, which sends them."""
    suspended: str | None = None
    """Why the document suspends the sink; None: it does not."""
    notes: tuple[str, ...] = ()


def send_test_event(where: Where, name: str) -> SinkTest:
    """Send one event of the reason Test from this process; the ledger and the cursor are not changed. Raises
    OperationError where the sink does not take it."""
    from reconciler.observed.sink_connections import sink_opener

    with Workspace(where) as at:
        with at.store() as store:
            resource, _ = _sink(at, name)
            spec: EventSinkSpec = resource.spec
            fleet = store.sinks.known_fleet() or "unknown"
            said = f"a test of the sink {resource.key.name}; nothing happened"
            event = Event(now(), EventType.NORMAL, EventReason.TEST, said, resource.key, by=where.by("sink test"))
            message, begun = sink_message(fleet, 0, event), runtime.monotonic()
            sink = sink_opener(at.connections(store))(resource.key.name, spec)
            try:
                delivery = sink.send([message], now())
            finally:
                sink.close()
        if delivery.error is not None:
            words = f"{resource.key}: the test event was not taken: {delivery.error}"
            raise OperationError(words, FailureReason.UNAVAILABLE)
        return SinkTest(resource.key.name, spec.target.url, message.id, runtime.monotonic() - begun, at.notes)


def replay_events(where: Where, name: str, after: str) -> SinkReplay:
    """Set the cursor of the sink back, so that the daemon sends everything after `after` once more. `after` is the
    number of an event, or a time as `events --since` takes it. Raises OperationError, and then nothing is changed."""
    with Workspace(where) as at:
        resource, desired = _sink(at, name)
        sink = resource.key.name
        number = _number(after)
        begin = None if number is not None else moment_of(at, after)
        with at.changing() as store:
            state = store.sinks.get(sink)
            if state is None:
                raise OperationError(
                    f"{resource.key} has no place in the ledger yet, because no daemon has sent events to it; start "
                    "one with `groundstate run`",
                    FailureReason.NOT_FOUND,
                )
            seq = store.last_event(before=begin) if number is None else number
            said = f"events after {seq} are sent once more"
            told = Event(now(), EventType.NORMAL, EventReason.SINK_REPLAYED, said, resource.key, by=where.by("sink"))
            told = described_by(desired, {})(told)
            if seq > state.seq or not store.sinks.rewind(sink, seq, told):
                raise OperationError(
                    f"{resource.key} has taken the events up to {state.seq}, so those after {_named(seq, begin)} are "
                    "still to be sent; nothing was changed, because a replay never skips an event. To send them "
                    f"now, use `groundstate sink replay {sink} --after {state.seq}`"
                )
            lag = store.sinks.reports()[sink].lag.events
            daemon = store.daemon.get()
        at_work = daemon is not None and daemon.at_work(now())
        pause = resource.spec.suspend
        return SinkReplay(sink, seq, lag, at_work, pause.reason if pause is not None else None, at.notes)


def _number(after: str) -> int | None:
    """The number of an event; None: it is a time. Raises OperationError."""
    if not (after.isascii() and after.isdecimal()):
        return None
    if len(after) > _MOST_DIGITS:
        raise OperationError(
            f"--after has a number of {len(after)} digits, and the number of an event has at most {_MOST_DIGITS}; "
            "`groundstate events` shows the numbers"
        )
    return int(after)


def _named(seq: int, begin: datetime | None) -> str:
    return str(seq) if begin is None else f"{begin:%Y-%m-%d %H:%M:%S}Z (event {seq})"


def _sink(at: Workspace, name: str) -> tuple[Resource[EventSinkSpec], DesiredState]:
    with at.store() as store:
        desired = at.read(at.source(), store)
    return one_resource(name, DELIVERED_TO, desired), desired

"""When a sink is sent events, and what follows from an answer. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from drivers.base import Busy, DriverError, SinkDelivery
from reconciler.kinds.sink.event_selection import KIND
from reconciler.kinds.sink.spec import EventSinkSpec
from reconciler.model.counting import count
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import ResourceKey
from reconciler.model.retry import sink_delay
from reconciler.model.sink_state import SinkState, SinkTrouble

BEHIND_AFTER = timedelta(hours=72)
"""A sink that has taken nothing for so long is reported, and again each time that so much has passed."""


class SinkSettlement(msgspec.Struct, frozen=True):
    """What is remembered of the sink after a delivery, and the events to record with it."""

    state: SinkState
    events: tuple[Event, ...] = ()


def document_mark(spec: EventSinkSpec) -> str:
    """Another text for another document of the sink, whatever is in `suspend`."""
    spec = msgspec.structs.replace(spec, suspend=None)
    return hashlib.sha256(msgspec.json.encode(spec, order="sorted")).hexdigest()[:16]


def wait_before(spec: EventSinkSpec, state: SinkState, now: datetime) -> float | None:
    """Seconds until events may be sent; 0: now. None: not before the document changes."""
    if spec.suspend is not None or state.trouble.ended == document_mark(spec):
        return None
    due = state.trouble.next_at
    return 0.0 if due is None else max(0.0, (due - now).total_seconds())


def cursor_after(seen: Sequence[int], wanted: Sequence[int], taken: int) -> int:
    """The cursor when of the events `seen` (numbers, in order) those `wanted` were sent, and the first `taken` of them
    were taken. It is before the first one that was not."""
    return seen[-1] if taken >= len(wanted) else wanted[taken] - 1


def settle_delivery(
    spec: EventSinkSpec, before: SinkState, cursor: int, delivery: SinkDelivery, now: datetime, jitter: float
) -> SinkSettlement:
    """The sink after a delivery. `cursor`: as `cursor_after` has it. `jitter` is in [0, 1)."""
    if delivery.error is None:
        told = [_recovered(before, now)] if before.trouble.failures else []
        return SinkSettlement(SinkState(before.name, cursor), tuple(told))
    trouble, told = _failed(spec, before, delivery, delivery.error, now, jitter)
    return SinkSettlement(SinkState(before.name, cursor, trouble), tuple(told))


def _failed(
    spec: EventSinkSpec, before: SinkState, delivery: SinkDelivery, error: DriverError, now: datetime, jitter: float
) -> tuple[SinkTrouble, list[Event]]:
    old = before.trouble
    # What was taken before the failure shows that the sink is not behind for as long as it was.
    goes_on = bool(old.failures) and not delivery.taken
    failures = old.failures + 1 if goes_on else 1
    since = old.since if goes_on and old.since is not None else now
    retry_after = error.retry_after if isinstance(error, Busy) else None
    trouble = SinkTrouble(
        failures,
        since,
        now + timedelta(seconds=sink_delay(failures, jitter, retry_after)),
        str(error),
        document_mark(spec) if delivery.ended else "",
        old.behind_at if goes_on else None,
    )
    told = [_told(before.name, trouble, now)] if delivery.ended or not old.failures else []
    if now - since >= BEHIND_AFTER <= now - (trouble.behind_at or since):
        told.append(_behind(before.name, trouble, now))
        trouble = msgspec.structs.replace(trouble, behind_at=now)
    return trouble, told


def _told(name: str, trouble: SinkTrouble, now: datetime) -> Event:
    if trouble.ended:
        said = (
            f"the receiver wants no more events: {trouble.error}; groundstate keeps the events, and sends nothing "
            f"until the document of the sink changes. To send without a change, use `groundstate sink replay {name}`"
        )
    else:
        said = f"no event was taken: {trouble.error}; groundstate tries again, and keeps the events meanwhile"
    return Event(now, EventType.WARNING, EventReason.SINK_FAILED, said, _key(name))


def _recovered(before: SinkState, now: datetime) -> Event:
    since = before.trouble.since
    failed = count(before.trouble.failures, "failure")
    lasted = f" after {failed} since {since:%Y-%m-%d %H:%M:%S}Z" if since else ""
    said = f"events are taken again{lasted}"
    return Event(now, EventType.NORMAL, EventReason.SINK_RECOVERED, said, _key(before.name))


def _behind(name: str, trouble: SinkTrouble, now: datetime) -> Event:
    said = (
        f"no event was taken since {trouble.since:%Y-%m-%d %H:%M:%S}Z: {trouble.error}; all events since then are kept "
        "until the sink takes them. Repair the receiver, or remove the document of the sink"
    )
    return Event(now, EventType.WARNING, EventReason.SINK_BEHIND, said, _key(name))


def _key(name: str) -> ResourceKey:
    return ResourceKey(KIND, name)

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
"""A sink that an event waits for so long is reported, once until it has caught up."""
CAUGHT_UP = timedelta(hours=1)
"""A sink for which no event has waited for longer has caught up. Less than BEHIND_AFTER, so that a sink near one
limit is not reported repeatedly."""
REPORTED_EACH = timedelta(hours=1)
"""A receiver that comes and goes is reported once in this time."""


class SinkSettlement(msgspec.Struct, frozen=True):
    """What is remembered of the sink after a delivery, and the events to record with it."""

    state: SinkState
    events: tuple[Event, ...] = ()


def document_mark(spec: EventSinkSpec) -> str:
    """Another text for another document of the sink, whatever is in `suspend` and `renamedFrom`."""
    spec = msgspec.structs.replace(spec, suspend=None, renamed_from=None)
    return hashlib.sha256(msgspec.json.encode(spec, order="sorted")).hexdigest()[:16]


def wait_before(spec: EventSinkSpec, state: SinkState, now: datetime) -> float | None:
    """Seconds until events may be sent; 0: now. None: not before the document changes."""
    if spec.suspend is not None or has_ended(spec, state.trouble):
        return None
    due = state.trouble.next_at
    return 0.0 if due is None else max(0.0, (due - now).total_seconds())


def has_ended(spec: EventSinkSpec, trouble: SinkTrouble) -> bool:
    """Whether the receiver answered to this document that it wants no more events."""
    return bool(trouble.ended) and trouble.ended == document_mark(spec)


def cursor_after(seen: Sequence[int], wanted: Sequence[int], taken: int) -> int:
    """The cursor when of the events `seen` (numbers, in order) those `wanted` were sent, and the first `taken` of them
    were taken. It is before the first one that was not."""
    return seen[-1] if taken >= len(wanted) else wanted[taken] - 1


def believed(delivery: SinkDelivery, sent: int) -> SinkDelivery:
    """The answer, if it can be true of so many messages; else a failure, so that no event is skipped by it."""
    if 0 <= delivery.taken <= sent:
        return delivery
    said = f"a bug in the driver: it reports that {delivery.taken} of {sent} events were taken; report this bug"
    return SinkDelivery(0, DriverError(said))


def settle_delivery(
    spec: EventSinkSpec, before: SinkState, cursor: int, delivery: SinkDelivery, now: datetime, jitter: float
) -> SinkSettlement:
    """The sink after a delivery. `cursor`: as `cursor_after` has it. `jitter` is in [0, 1)."""
    if delivery.error is None:
        told = [_recovered(before, now)] if before.trouble.failures and before.trouble.is_told else []
        return SinkSettlement(SinkState(before.name, cursor, _after_success(before.trouble, now)), tuple(told))
    trouble, told = _failed(spec, before, delivery, delivery.error, now, jitter)
    return SinkSettlement(SinkState(before.name, cursor, trouble), tuple(told))


def settle_age(spec: EventSinkSpec, before: SinkState, oldest: datetime | None, now: datetime) -> SinkSettlement | None:
    """What follows from how long the oldest event waits for the sink, whatever it waits for; None: nothing.

    `oldest`: when it was recorded; None: no event waits. After a replay, old events wait since the replay."""
    trouble = before.trouble
    begun = [one for one in (oldest, trouble.replayed_at) if one is not None]
    since = max(begun) if oldest is not None else None
    if since is not None and trouble.behind_at is None and now - since >= BEHIND_AFTER:
        after = msgspec.structs.replace(trouble, behind_at=now)
        told = _behind(spec, before, since, now)
    elif trouble.behind_at is not None and (since is None or now - since < CAUGHT_UP):
        after = msgspec.structs.replace(trouble, behind_at=None)
        said = f"the sink has caught up; it was reported as behind at {trouble.behind_at:%Y-%m-%d %H:%M:%S}Z"
        told = Event(now, EventType.NORMAL, EventReason.SINK_RECOVERED, said, _key(before.name))
    else:
        return None
    return SinkSettlement(msgspec.structs.replace(before, trouble=after), (told,))


def _after_success(old: SinkTrouble, now: datetime) -> SinkTrouble:
    """What stays of it: what was reported, for as long as that matters."""
    kept = SinkTrouble(behind_at=old.behind_at, replayed_at=old.replayed_at)
    if old.told_at is None or now - old.told_at >= REPORTED_EACH:
        return kept
    untold = old.untold + (1 if old.failures and not old.is_told else 0)
    return msgspec.structs.replace(kept, told_at=old.told_at, untold=untold)


def _failed(
    spec: EventSinkSpec, before: SinkState, delivery: SinkDelivery, error: DriverError, now: datetime, jitter: float
) -> tuple[SinkTrouble, list[Event]]:
    old = before.trouble
    # What was taken before the failure shows that the sink did not fail for as long as it seemed.
    goes_on = bool(old.failures) and not delivery.taken
    failures = old.failures + 1 if goes_on else 1
    since = old.since if goes_on and old.since is not None else now
    retry_after = error.retry_after if isinstance(error, Busy) else None
    is_told = bool(old.failures) and old.is_told
    tell = delivery.ended or (not is_told and (old.told_at is None or now - old.told_at >= REPORTED_EACH))
    trouble = SinkTrouble(
        failures=failures,
        since=since,
        next_at=now + timedelta(seconds=sink_delay(failures, jitter, retry_after)),
        error=str(error),
        ended=document_mark(spec) if delivery.ended else "",
        is_told=is_told or tell,
        told_at=now if tell else old.told_at,
        untold=0 if tell else old.untold,
        behind_at=old.behind_at,
        replayed_at=old.replayed_at,
    )
    return trouble, [_told(before.name, trouble, old.untold, now)] if tell else []


def _told(name: str, trouble: SinkTrouble, untold: int, now: datetime) -> Event:
    if trouble.ended:
        said = (
            f"the receiver wants no more events: {trouble.error}; groundstate keeps the events, and sends nothing "
            f"until the document of the sink changes. To send without a change, use `groundstate sink replay {name}`"
        )
    else:
        said = f"no event was taken: {trouble.error}; groundstate tries again, and keeps the events meanwhile"
        if untold:
            said += f". Since the last report, the sink failed {count(untold, 'more time')} and took events again"
    return Event(now, EventType.WARNING, EventReason.SINK_FAILED, said, _key(name))


def _recovered(before: SinkState, now: datetime) -> Event:
    since = before.trouble.since
    failed = count(before.trouble.failures, "failure")
    lasted = f" after {failed} since {since:%Y-%m-%d %H:%M:%S}Z" if since else ""
    said = f"events are taken again{lasted}"
    return Event(now, EventType.NORMAL, EventReason.SINK_RECOVERED, said, _key(before.name))


def _behind(spec: EventSinkSpec, before: SinkState, since: datetime, now: datetime) -> Event:
    trouble = before.trouble
    if spec.suspend is not None:
        why, what = f"the sink is suspended (spec.suspend: {spec.suspend.reason})", "Remove spec.suspend"
    elif has_ended(spec, trouble):
        why, what = f"the receiver wants no more events ({trouble.error})", "Change the document"
    elif trouble.failures:
        why, what = f"the last delivery failed ({trouble.error})", "Repair the receiver"
    else:
        why, what = "the receiver takes events more slowly than groundstate records them", "Make the receiver faster"
    said = (
        f"the oldest event after {before.seq} waits for the sink since {since:%Y-%m-%d %H:%M:%S}Z: {why}. All events "
        f"since then are kept, and the ledger grows, until the sink takes them. {what}, or remove the document of the "
        "sink"
    )
    return Event(now, EventType.WARNING, EventReason.SINK_BEHIND, said, _key(before.name))


def _key(name: str) -> ResourceKey:
    return ResourceKey(KIND, name)

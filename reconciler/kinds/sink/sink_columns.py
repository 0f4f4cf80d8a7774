"""What `get sinks` shows, and the conditions of a sink. Pure."""

from __future__ import annotations

from datetime import datetime

from reconciler.kinds.common.column import NOTHING, Column, ResourceView
from reconciler.kinds.sink.delivery import has_ended
from reconciler.kinds.sink.spec import EventSinkSpec
from reconciler.model.counting import count
from reconciler.model.outcome import Condition, ConditionReason, ConditionType, Status
from reconciler.model.resource import Resource
from reconciler.model.sink_state import SinkLag, SinkReport

READY, RECONCILING, STALLED = ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED


def sink_conditions(resource: Resource[EventSinkSpec], report: SinkReport | None) -> tuple[Condition, ...]:
    """Ready: the last delivery was taken, or there was none yet."""
    spec = resource.spec
    if report is None:
        words = "the daemon has not begun to send events to this sink; start one with `groundstate run`"
        return (*_suspended(spec), Condition(READY, Status.UNKNOWN, ConditionReason.NOT_OBSERVED, words))
    trouble = report.state.trouble
    if has_ended(spec, trouble):
        words = (
            f"the receiver wants no more events: {trouble.error}; change the document, or use `groundstate sink replay`"
        )
        return (
            Condition(READY, Status.FALSE, ConditionReason.REJECTED, words, trouble.since),
            Condition(STALLED, Status.TRUE, ConditionReason.REJECTED, words, trouble.since),
            *_suspended(spec),
        )
    if trouble.failures:
        again = f"; the next attempt is at {trouble.next_at:%H:%M:%S}Z" if trouble.next_at is not None else ""
        words = f"{count(trouble.failures, 'delivery', 'deliveries')} failed in a row: {trouble.error}{again}"
        return (
            Condition(READY, Status.FALSE, ConditionReason.RETRYING, words, trouble.since),
            Condition(RECONCILING, Status.TRUE, ConditionReason.RETRYING, words, trouble.since),
            *_suspended(spec),
        )
    words = f"all events up to {report.state.seq} are taken; {_lagging(report.lag)} in the ledger after it"
    return (Condition(READY, Status.TRUE, ConditionReason.RECONCILED, words), *_suspended(spec))


def _number(lag: SinkLag) -> str:
    return f"{'' if lag.exact else '~'}{lag.events}"


def _lagging(lag: SinkLag) -> str:
    return count(lag.events, "event") if lag.exact else f"about {count(lag.events, 'event')}"


def _suspended(spec: EventSinkSpec) -> tuple[Condition, ...]:
    if spec.suspend is None:
        return ()
    said = f"spec.suspend: {spec.suspend.reason}; events are kept"
    return (Condition(ConditionType.SUSPENDED, Status.TRUE, ConditionReason.DECLARED, said),)


def _target(view: ResourceView, _: datetime) -> str:
    spec = view.resource.spec if view.resource is not None else None
    return NOTHING if spec is None else str(spec.target.url)


def _lag(view: ResourceView, _: datetime) -> str:
    return NOTHING if view.delivery is None else _number(view.delivery.lag)


def _behind(view: ResourceView, now: datetime) -> str:
    oldest = view.delivery.lag.oldest if view.delivery is not None else None
    if oldest is None:
        return NOTHING
    return f"{max(0, int((now - oldest).total_seconds()))}s"


def _failures(view: ResourceView, _: datetime) -> str:
    return NOTHING if view.delivery is None else str(view.delivery.state.trouble.failures)


def _cursor(view: ResourceView, _: datetime) -> str:
    return NOTHING if view.delivery is None else str(view.delivery.state.seq)


def _error(view: ResourceView, _: datetime) -> str:
    return (view.delivery.state.trouble.error if view.delivery is not None else "") or NOTHING


SINK_COLUMNS = (
    Column("TARGET", _target),
    Column("LAG", _lag),
    Column("BEHIND", _behind),
    Column("LAST ERROR", _error),
    Column("FAILURES", _failures, wide=True),
    Column("CURSOR", _cursor, wide=True),
)

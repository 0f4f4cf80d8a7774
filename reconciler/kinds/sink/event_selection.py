"""Which events a sink gets. Pure."""

from __future__ import annotations

from reconciler.kinds.common.field_types.label_selector import Requirement
from reconciler.kinds.sink.spec import SendSpec
from reconciler.model.event import Event, EventReason
from reconciler.model.resource import ResourceKey

KIND = "EventSink"
OF_A_SINK = frozenset({EventReason.SINK_FAILED, EventReason.SINK_RECOVERED, EventReason.SINK_BEHIND})
"""Events of a sink's own failure. They go to all other sinks, because this one may fail again."""


def wants(name: str, send: SendSpec, selector: tuple[Requirement, ...], event: Event) -> bool:
    """Whether the sink `name` gets the event. `selector`: the parsed one of `send`.

    Project and labels are those of the time when the event was recorded, so a later tenant gets none of a former one's
    events. An event without them, such as one of an older groundstate, fulfils no condition on them."""
    key = event.key
    if event.reason in OF_A_SINK and key == ResourceKey(KIND, name):
        return False
    return (
        (not send.types or event.type in send.types)
        and (not send.reasons or event.reason in send.reasons)
        and (not send.kinds or (key is not None and key.kind in send.kinds))
        and (not selector or _has_labels(selector, event))
        and (send.project is None or event.project == send.project)
    )


def _has_labels(selector: tuple[Requirement, ...], event: Event) -> bool:
    labels = event.labels
    return labels is not None and all(requirement.accepts(labels) for requirement in selector)

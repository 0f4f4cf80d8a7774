"""An event of the ledger as a CloudEvent 1.0 (github.com/cloudevents/spec). Pure."""

from __future__ import annotations

from datetime import datetime

import msgspec

from drivers.base import SinkMessage
from reconciler.model.event import Event
from reconciler.model.resource import ResourceKey

SHORT_MESSAGE = 500
"""Characters of a message that a receiver gets which refuses the whole event as too large."""

_FLEET = ResourceKey("Fleet", "-")
"""Stands in a subject for events that are about no one resource."""


class CloudEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """The attributes, in the names of the specification, and `data`: the event as `events -o json` prints it.

    `sequence` is the extension of that name: 20 digits, which sort as text in the order of the ledger. `partitionkey`
    keeps the events of one resource in order where a receiver has partitions. `shortened`: the message was too long for
    the receiver, and is not whole.
    """

    specversion: str
    id: str
    source: str
    type: str
    time: datetime
    datacontenttype: str
    sequence: str
    partitionkey: str
    severity: str
    data: Event
    subject: str | None = None
    revision: str | None = None
    shortened: bool = False


def cloud_event(fleet: str, seq: int, event: Event) -> CloudEvent:
    """The event with this number of this fleet."""
    subject = None if event.key is None else f"{event.key.kind}/{event.key.name}"
    return CloudEvent(
        "1.0",
        event_id(fleet, seq, event),
        f"/groundstate/{fleet}",
        f"io.groundstate.{event.reason}",
        event.at,
        "application/json",
        f"{seq:020}",
        subject or _FLEET.kind,
        str(event.type),
        event,
        subject,
        event.revision,
    )


def event_id(fleet: str, seq: int, event: Event) -> str:
    """`FLEET/SEQ-TIME`, equal each time that the event is sent.

    The time is in microseconds. A store that was put back from a backup gives the same numbers to other events. A
    receiver that leaves out known ids would lose these.
    """
    return f"{fleet}/{seq}-{int(event.at.timestamp() * 1_000_000)}"


def sink_message(fleet: str, seq: int, event: Event) -> SinkMessage:
    """The same, as a driver sends it."""
    about = event.key or _FLEET
    whole = cloud_event(fleet, seq, event)
    short = None if len(event.message) <= SHORT_MESSAGE else msgspec.json.encode(_shortened(whole))
    return SinkMessage(whole.id, msgspec.json.encode(whole), (about.kind, about.name, str(event.reason)), short)


def _shortened(whole: CloudEvent) -> CloudEvent:
    message = whole.data.message
    said = f"{message[:SHORT_MESSAGE]}... (the first {SHORT_MESSAGE} of {len(message)} characters)"
    return msgspec.structs.replace(whole, data=msgspec.structs.replace(whole.data, message=said), shortened=True)

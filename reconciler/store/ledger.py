"""Adding to the ledger inside a transaction that writes something else too."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, insert

from drivers.base import printable
from reconciler.model.event import Event
from reconciler.model.redact import redacted
from reconciler.store import tables

LONGEST = 16_000
"""Characters of an event's message; what is longer is cut."""


def append(connection: Connection, events: list[Event]) -> None:
    """Add to the ledger, in this order; nothing for none."""
    rows = [
        {
            "at": event.at,
            "kind": event.key.kind if event.key else None,
            "name": event.key.name if event.key else None,
            "value": msgspec.json.encode(_kept(event)).decode(),
        }
        for event in events
    ]
    if rows:
        connection.execute(insert(tables.event).inline(), rows)


def _kept(event: Event) -> Event:
    """As it can be kept, whoever wrote it: text from elsewhere may have come by a door that does not clean."""
    return msgspec.structs.replace(event, message=redacted(printable(event.message)[:LONGEST]))

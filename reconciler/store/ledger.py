"""Adding to the ledger inside a transaction that writes something else too."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, insert

from reconciler.model.event import Event
from reconciler.store import tables


def append(connection: Connection, events: list[Event]) -> None:
    """Add to the ledger, in this order; nothing for none."""
    rows = [
        {
            "at": event.at,
            "kind": event.key.kind if event.key else None,
            "name": event.key.name if event.key else None,
            "value": msgspec.json.encode(event).decode(),
        }
        for event in events
    ]
    if rows:
        connection.execute(insert(tables.event).inline(), rows)

"""Adding to the ledger inside a transaction that writes something else too.

An action that is refused again and again is one story: its repeats are counted beside the events that began it, so that
a BMC that says no for a year is a few lines.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, and_, insert, select, update

from drivers.base import hidden, printable
from reconciler.model.event import Event
from reconciler.model.redact import redacted
from reconciler.store import shapes, tables

LONGEST = 16_000
"""Characters of an event's message; what is longer is cut."""

REPEATED = frozenset({"ActionSent", "ActionRefused", "ActionNotConfirmed"})
"""The events of a story that may repeat itself; any other event about the resource ends the story."""
LOOKED_BACK = 6
"""Events of the resource among which the same one is sought: a BMC may refuse in more words than one."""


def append(connection: Connection, events: list[Event]) -> None:
    """Add to the ledger, in this order; nothing for none. A repeat is counted beside the event that it repeats."""
    rows = [_row(event) for event in map(_kept, events) if not _counted(connection, event)]
    if rows:
        connection.execute(insert(tables.event).inline(), rows)


def _counted(connection: Connection, event: Event) -> bool:
    """Whether it repeats an event of the story that the resource is in, and was counted there."""
    table, repeat, key = tables.event, tables.repeat, event.key
    if key is None or event.reason not in REPEATED:
        return False
    latest = select(table.c.seq, table.c.value).where(and_(table.c.kind == key.kind, table.c.name == key.name))
    refused = event.reason != "ActionSent"
    for seq, value in connection.execute(latest.order_by(table.c.seq.desc()).limit(LOOKED_BACK)):
        before = shapes.EVENT.decode(value)
        if before.reason not in REPEATED:
            return False
        refused = refused or before.reason != "ActionSent"
        # What was sent and is not told of yet is another thing than what was refused.
        if refused and _story(before) == _story(event):
            more = {"count": repeat.c.count + 1, "last": event.at}
            if connection.execute(update(repeat).where(repeat.c.seq == seq).values(more)).rowcount == 0:
                connection.execute(insert(repeat), {"seq": seq, "count": 2, "last": event.at})
            return True
    return False


def _story(event: Event) -> tuple[Any, ...]:
    return event.type, event.reason, event.message, event.revision, event.by


def _row(event: Event) -> dict[str, Any]:
    kind, name = (event.key.kind, event.key.name) if event.key is not None else (None, None)
    return {"at": event.at, "kind": kind, "name": name, "value": msgspec.json.encode(event).decode()}


def _kept(event: Event) -> Event:
    """As it can be kept, whoever wrote it: text from elsewhere may have come by a door that does not clean."""
    return msgspec.structs.replace(event, message=redacted(hidden(printable(event.message))[:LONGEST]))

"""Adding to the ledger inside a transaction that writes something else too.

What happens again and again is one story: its repeats are counted beside the events that began it, so that a BMC that
comes and goes, or says no, for a year is a few lines a week.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, insert, select

from drivers.base import hidden, printable
from reconciler.model.event import Event, EventReason
from reconciler.model.redact import redacted
from reconciler.model.resource import ResourceKey
from reconciler.store import decoders, tables
from reconciler.store.dialects import insert_for

_MAX_MESSAGE = 16_000
"""Characters of an event's message; what is longer is cut."""

TOLD_EACH = frozenset(
    {
        EventReason.ACCESS_CHANGED,
        EventReason.BOOT_ORDERED,
        EventReason.BOUND,
        EventReason.CLAIMED,
        EventReason.DISKS_WIPED,
        EventReason.FORGOTTEN,
        EventReason.FREED,
        EventReason.GIVEN_BACK,
        EventReason.IMAGE_PINNED,
        EventReason.IMAGE_WRITTEN,
        EventReason.INVENTORY_ACCEPTED,
        EventReason.IPAM_IMPORTED,
        EventReason.IPAM_REBUILT,
        EventReason.OVERRIDE_BEGAN,
        EventReason.OVERRIDE_EXPIRED,
        EventReason.OVERRIDE_REVOKED,
        EventReason.PLACED,
        EventReason.RELEASING,
        EventReason.REVISION_APPLIED,
        EventReason.REVISION_REWOUND,
        EventReason.REWIND_ALLOWED,
        EventReason.SYSTEM_ACCEPTED,
        EventReason.UNBOUND,
    }
)
"""Events that are told each time, and end the story of their resource: what a person, a commit or an order did."""
EXACT = frozenset(
    {
        EventReason.ACTION_ABANDONED,
        EventReason.ACTION_CONFIRMED,
        EventReason.ACTION_SENT,
        EventReason.DRIFT_DETECTED,
        EventReason.INVENTORY_CHANGED,
        EventReason.INVENTORY_TAKEN,
        EventReason.MACHINE_FOUND,
        EventReason.NOT_DESCENDANT,
        EventReason.REVISION_REFUSED,
        EventReason.SHUTDOWN_IGNORED,
    }
)
"""Events that are another thing in other words. The others may be in the words of a BMC that never says the same."""
_REFUSED = frozenset({EventReason.ACTION_REFUSED, EventReason.ACTION_FAILED, EventReason.ACTION_NOT_CONFIRMED})
"""An action that comes to nothing is tried again and again: that is counted from the second time on."""
TOLD = 3
"""So often in a week anything else is told before it is counted."""
LOOKED_BACK, PAGE = 64, 6
"""Events of the resource among which the same one is sought, and how many of them at first."""
WORDINGS = 5
"""So many events of one reason, each in other words, are told; the next ones are counted beside the newest of them."""
A_WEEK = timedelta(days=7)
"""So long after it began, a story is told anew."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?")


def append(connection: Connection, events: list[Event]) -> None:
    """Add to the ledger, in this order; nothing for none. A repeat is counted beside the event that it repeats."""
    waiting: list[dict[str, Any]] = []
    for event in map(_kept, events):
        if event.reason not in TOLD_EACH:
            # What it may repeat has to be there.
            _insert(connection, waiting)
            if _counted(connection, event):
                continue
        waiting.append(_row(event))
    _insert(connection, waiting)


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(tables.event).inline(), rows)
        rows.clear()


def _counted(connection: Connection, event: Event) -> bool:
    """Whether it repeats an event of the story that its resource, or the fleet, is in, and was counted there."""
    same: list[int] = []
    alike: list[int] = []
    since: set[str] = set()
    for seq, before in _latest(connection, event.key):
        if before.reason in TOLD_EACH:
            break
        if _of_one_story(before, event):
            (same if _in_words(before) == _in_words(event) else alike).append(seq)
            if len(same) == _told_before(event, since):
                _count(connection, same[0], event)
                return True
        if not same:
            since.add(before.reason)
    if event.reason in EXACT or len(same) + len(alike) < WORDINGS:
        return False
    _count(connection, max(*same, *alike), event)
    return True


def _told_before(event: Event, since: AbstractSet[str]) -> int:
    """After how many of the same it is counted; `since`: the reasons of what was told after the newest of these."""
    if event.reason == EventReason.ACTION_SENT:
        # What was sent and is not told of yet is another thing than what was sent before.
        return 1 if since & _REFUSED else TOLD if since - {EventReason.ACTION_SENT} else LOOKED_BACK
    return 1 if event.reason in _REFUSED else TOLD


def _latest(connection: Connection, key: ResourceKey | None) -> Iterator[tuple[int, Event]]:
    """Of this resource, the newest first: a few at a time, as what repeats itself did so just before."""
    table = tables.event
    of_it = table.c.kind.is_(None) if key is None else and_(table.c.kind == key.kind, table.c.name == key.name)
    wanted = select(table.c.seq, table.c.value).where(of_it).order_by(table.c.seq.desc())
    for page in (PAGE, LOOKED_BACK - PAGE):
        rows = connection.execute(wanted.limit(page)).all()
        for seq, value in rows:
            yield seq, decoders.EVENT.decode(value)
        if len(rows) < page:
            return
        wanted = wanted.where(table.c.seq < rows[-1].seq)


def _of_one_story(before: Event, event: Event) -> bool:
    """Whether they may be: whatever the clocks said in between."""
    same = (before.type, before.reason, before.by) == (event.type, event.reason, event.by)
    return same and abs(event.at - before.at) < A_WEEK


def _in_words(event: Event) -> str:
    """Its message without times, such as since when a field drifts."""
    return _TIME.sub("", event.message)


def _count(connection: Connection, seq: int, event: Event) -> None:
    repeat = tables.repeat
    added = insert_for(connection)(repeat).values(seq=seq, count=2, last=event.at)
    again = {"count": repeat.c.count + 1, "last": event.at}
    connection.execute(added.on_conflict_do_update(index_elements=["seq"], set_=again))


def _row(event: Event) -> dict[str, Any]:
    kind, name = (event.key.kind, event.key.name) if event.key is not None else (None, None)
    return {"at": event.at, "kind": kind, "name": name, "value": msgspec.json.encode(event).decode()}


def _kept(event: Event) -> Event:
    """As it can be kept, whoever wrote it: text from elsewhere may have come by a door that does not clean."""
    return msgspec.structs.replace(event, message=redacted(hidden(printable(event.message))[:_MAX_MESSAGE]))

"""Adding to the ledger inside a transaction that writes something else too.

What happens again and again is one story. Its repeats are counted beside the events that began the story. So a BMC that
comes and goes, or says no, for a year is a few lines a week."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, text

from drivers.base import hidden, printable
from reconciler.model.event import Event, EventReason
from reconciler.model.resource import ResourceKey
from reconciler.model.values.redact import redacted
from reconciler.store.sql import decoders, tables
from reconciler.store.sql.dialects import insert_for

_MAX_MESSAGE = 16_000
"""Characters of an event's message; what is longer is cut."""

TOLD_EACH = frozenset(
    {
        EventReason.ACCESS_CHANGED,
        EventReason.BOOT_REQUESTED,
        EventReason.BOUND,
        EventReason.CLAIMED,
        EventReason.DISKS_WIPED,
        EventReason.FORGOTTEN,
        EventReason.FREED,
        EventReason.RELEASED,
        EventReason.IMAGE_PINNED,
        EventReason.IMAGE_WRITTEN,
        EventReason.INVENTORY_ACCEPTED,
        EventReason.IPAM_IMPORTED,
        EventReason.IPAM_REBUILT,
        EventReason.OVERRIDE_BEGAN,
        EventReason.OVERRIDE_EXPIRED,
        EventReason.OVERRIDE_REVOKED,
        EventReason.PLACED,
        EventReason.RECONCILE_REQUESTED,
        EventReason.RELEASING,
        EventReason.REVISION_APPLIED,
        EventReason.REVISION_REWOUND,
        EventReason.REWIND_ALLOWED,
        EventReason.SYSTEM_ACCEPTED,
        EventReason.UNBOUND,
    }
)
"""Events that are reported each time, and end the story of their resource: what a person, a commit or an order did."""
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
"""So often in a week anything else is recorded before it is counted."""
LOOKED_BACK, PAGE = 64, 6
"""Events of the resource among which the same one is sought, and how many of them at first."""
WORDINGS = 5
"""So many events of one reason, each in other words, are recorded; the next ones are counted beside the newest."""
A_WEEK = timedelta(days=7)
"""So long after it began, a story begins anew."""

_Told = tuple[int, str]
"""An event as it is kept, and its place in the ledger."""
_NEVER = 2**62
"""A place behind all events."""
_INSERT = insert(tables.event).inline()
_NEWEST = (
    select(tables.event.c.seq, tables.event.c.value)
    .where(tables.event.c.seq < bindparam("before"))
    .order_by(tables.event.c.seq.desc())
    .limit(bindparam("count"))
)
_OF_FLEET = _NEWEST.where(tables.event.c.kind.is_(None))
_OF_ONE = _NEWEST.where(tables.event.c.kind == bindparam("of_kind"), tables.event.c.name == bindparam("of_name"))
_LATEST = {
    "sqlite": text("""
        SELECT event.kind, event.name, event.seq, event.value FROM json_each(:keys) AS wanted JOIN event ON event.seq IN
            (SELECT seq FROM event AS one WHERE one.kind = json_extract(wanted.value, '$.kind')
             AND one.name = json_extract(wanted.value, '$.name') ORDER BY seq DESC LIMIT :count)
    """),
    "postgresql": text("""
        SELECT wanted.kind, wanted.name, page.seq, page.value
        FROM json_to_recordset(CAST(:keys AS json)) AS wanted (kind text, name text), LATERAL
            (SELECT seq, value FROM event WHERE event.kind = wanted.kind AND event.name = wanted.name
             ORDER BY seq DESC LIMIT :count) AS page
    """),
}
"""The newest of each of many resources. Neither database plans the other one's form well."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?")


def append(connection: Connection, events: Sequence[Event]) -> None:
    """Add to the ledger, in this order; nothing for none. A repeat is counted beside the event that it repeats."""
    waiting: list[Event] = []
    keys: set[ResourceKey | None] = set()
    for event in map(_kept, events):
        if event.reason not in TOLD_EACH and event.key in keys:
            # What it may repeat has to be there.
            _append_each(connection, waiting)
            waiting, keys = [], set()
        waiting.append(event)
        keys.add(event.key)
    _append_each(connection, waiting)


def _append_each(connection: Connection, events: Sequence[Event]) -> None:
    """Events of which none can repeat another one."""
    latest = _latest_of(connection, [event.key for event in events if event.reason not in TOLD_EACH])
    rows = [
        _row(event)
        for event in events
        if event.reason in TOLD_EACH or not _counted(connection, event, latest[event.key])
    ]
    if rows:
        connection.execute(_INSERT, rows)


def _counted(connection: Connection, event: Event, latest: Sequence[_Told]) -> bool:
    """Whether it repeats an event of the story that its resource, or the fleet, is in, and was counted there."""
    same: list[int] = []
    alike: list[int] = []
    since: set[str] = set()
    for seq, before in _story(connection, event.key, latest):
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
    """After how many of the same it is counted; `since`: the reasons of what was recorded after the newest of these."""
    if event.reason == EventReason.ACTION_SENT:
        # What was sent and is not reported yet is another thing than what was sent before.
        return 1 if since & _REFUSED else TOLD if since - {EventReason.ACTION_SENT} else LOOKED_BACK
    return 1 if event.reason in _REFUSED else TOLD


def _story(connection: Connection, key: ResourceKey | None, latest: Sequence[_Told]) -> Iterator[tuple[int, Event]]:
    """Of this resource, the newest first: the rest only after `latest`, as what repeats itself did so just before."""
    for seq, value in latest:
        yield seq, decoders.EVENT.decode(value)
    if len(latest) == PAGE:
        for seq, value in _page(connection, key, LOOKED_BACK - PAGE, before=latest[-1][0]):
            yield seq, decoders.EVENT.decode(value)


def _latest_of(connection: Connection, keys: Sequence[ResourceKey | None]) -> dict[ResourceKey | None, list[_Told]]:
    """The newest events of each, the newest first: with one question for all, as a store may be far away."""
    found: dict[ResourceKey | None, list[_Told]] = {key: [] for key in keys}
    some = [key for key in found if key is not None]
    if None in found:
        found[None] = _page(connection, None, PAGE)
    if some:
        asked = {"keys": msgspec.json.encode(some).decode(), "count": PAGE}
        for kind, name, seq, value in connection.execute(_LATEST[connection.dialect.name], asked):
            found[ResourceKey(kind, name)].append((seq, value))
    return {key: sorted(reported, reverse=True) for key, reported in found.items()}


def _page(connection: Connection, key: ResourceKey | None, count: int, before: int = _NEVER) -> list[_Told]:
    asked: dict[str, Any] = {"before": before, "count": count}
    if key is None:
        found = connection.execute(_OF_FLEET, asked)
    else:
        found = connection.execute(_OF_ONE, {**asked, "of_kind": key.kind, "of_name": key.name})
    return [(seq, value) for seq, value in found]


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

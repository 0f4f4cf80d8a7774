"""Adding to the ledger inside a transaction that writes something else too.

What happens again and again is one story. Its repeats are counted beside the events that began the story. So a BMC that
comes and goes, or says no, for a year is a few lines a week. What repeats what, `Event.about` says; of the repeats, the
words of the last one are kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from drivers.base import hidden, printable
from reconciler.model.event import Event, EventReason
from reconciler.model.resource import ResourceKey
from reconciler.model.values.redact import redacted
from reconciler.store.sql import decoders, tables
from reconciler.store.sql.round_trips import Question, ask, sending
from reconciler.store.sql.row_batches import insert_for, insert_rows
from reconciler.store.sql.row_json import row_json

_MAX_MESSAGE = 16_000
"""Characters of an event's message; what is longer is cut."""
_MAX_ABOUT = 1_000
"""The same of each part of what it is about."""

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
_REFUSED = frozenset({EventReason.ACTION_REFUSED, EventReason.ACTION_FAILED, EventReason.ACTION_NOT_CONFIRMED})
"""An action that comes to nothing is tried again and again: that is counted from the second time on."""
TOLD = 3
"""So often in a week anything else is recorded before it is counted."""
LOOKED_BACK, PAGE = 64, 6
"""Events of the resource among which the same one is sought, and how many of them at first."""
A_WEEK = timedelta(days=7)
"""The time after which repeated events begin a new entry."""

_Told = tuple[int, str]
"""A stored event, and its place in the ledger."""
_Answers = Mapping[str, Sequence[tuple[Any, ...]]]
_GO_ON = -1  # No event has this place.
_OF_ONES, _OF_FLEET = "of-ones", "of-fleet"
_NEWEST = {
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
_FLEET = text("SELECT kind, name, seq, value FROM event WHERE kind IS NULL ORDER BY seq DESC LIMIT :count")
_NEWEST_OF_FLEET = {"sqlite": _FLEET, "postgresql": _FLEET}


def append(connection: Connection, events: Sequence[Event]) -> None:
    """Add to the ledger, in this order; nothing for none. A repeat is counted beside the event that it repeats."""
    for run in runs(events):
        lines = judged(connection, run, ask(connection, newest_of_each(run)))
        with sending(connection):
            write_lines(connection, lines)


def runs(events: Sequence[Event]) -> list[list[Event]]:
    """The events as they are kept, in their order; cut where one may repeat another one, which has to be there then."""
    found: list[list[Event]] = []
    keys: set[ResourceKey | None] = set()
    for event in map(_kept, events):
        if not found or (event.reason not in TOLD_EACH and event.key in keys):
            found.append([])
            keys = set()
        found[-1].append(event)
        keys.add(event.key)
    return found


def newest_of_each(run: Sequence[Event], count: int = PAGE) -> dict[str, Question | None]:
    """What `judged` has to know: so many of the newest events of those that the events are about."""
    keys = {event.key for event in run if event.reason not in TOLD_EACH}
    some = [key for key in keys if key is not None]
    asked = {"keys": row_json(some), "count": count}
    return {
        _OF_ONES: Question(_NEWEST, asked) if some else None,
        _OF_FLEET: Question(_NEWEST_OF_FLEET, {"count": count}) if None in keys else None,
    }


_Line = tuple[Event, int | None]
"""An event, and the place of the event beside which it is counted; None: it is recorded."""


def judged(connection: Connection, run: Sequence[Event], answers: _Answers) -> list[_Line]:
    """Which events of the run repeat others. `answers`: to `newest_of_each`. Some questions need a longer look back."""
    told = _by_key(answers)
    found = [
        None if one.reason in TOLD_EACH else _repeated(one, told[one.key], len(told[one.key]) < PAGE) for one in run
    ]
    again = [event for event, beside in zip(run, found, strict=True) if beside == _GO_ON]
    if again:
        more = _by_key(ask(connection, newest_of_each(again, LOOKED_BACK)))
        found = [
            _repeated(event, more[event.key], is_all=True) if beside == _GO_ON else beside
            for event, beside in zip(run, found, strict=True)
        ]
    return list(zip(run, found, strict=True))


def write_lines(connection: Connection, lines: Sequence[_Line]) -> None:
    """Record the events, or count them."""
    rows = [_row(event) for event, beside in lines if beside is None]
    if rows:
        insert_rows(connection, tables.event, rows)
    for event, beside in lines:
        if beside is not None:
            _count(connection, beside, event)


def _by_key(answers: _Answers) -> defaultdict[ResourceKey | None, list[_Told]]:
    found: defaultdict[ResourceKey | None, list[_Told]] = defaultdict(list)
    for kind, name, seq, value in (row for rows in answers.values() for row in rows):
        found[ResourceKey(kind, name) if kind is not None else None].append((seq, value))
    for told in found.values():
        told.sort(reverse=True)
    return found


def _repeated(event: Event, newest_first: Sequence[_Told], is_all: bool) -> int | None:
    """The place of the event that it repeats in the story that its resource, or the fleet, is in; None for none.
    _GO_ON: that depends on older ones, as these are not all."""
    if event.reason in TOLD_EACH:
        return None
    same: list[int] = []
    since: set[str] = set()
    for seq, value in newest_first:
        before = decoders.EVENT.decode(value)
        if before.reason in TOLD_EACH:
            return None
        if _of_one_story(before, event):
            same.append(seq)
            if len(same) == _told_before(event, since):
                return same[0]
        if not same:
            since.add(before.reason)
    return None if is_all else _GO_ON


def _told_before(event: Event, since: AbstractSet[str]) -> int:
    """After how many of the same it is counted; `since`: the reasons of what was recorded after the newest of these."""
    if event.reason == EventReason.ACTION_SENT:
        # What was sent and is not reported yet is another thing than what was sent before.
        return 1 if since & _REFUSED else TOLD if since - {EventReason.ACTION_SENT} else LOOKED_BACK
    return 1 if event.reason in _REFUSED else TOLD


def _of_one_story(before: Event, event: Event) -> bool:
    """Whether one repeats the other: the same happened to the same, by the same, whatever the messages say, and
    whatever the clocks said in between."""
    same = (before.type, before.reason, before.by, before.about) == (event.type, event.reason, event.by, event.about)
    # The words of a new tenant's event must not be counted beside a former tenant's one, which is sent to that one.
    same = same and (before.project, before.labels) == (event.project, event.labels)
    return same and abs(event.at - before.at) < A_WEEK


def _count(connection: Connection, seq: int, event: Event) -> None:
    repeat = tables.repeat
    added = insert_for(connection)(repeat).values(seq=seq, count=2, last=event.at, message=event.message)
    again = {"count": repeat.c.count + 1, "last": event.at, "message": event.message}
    connection.execute(added.on_conflict_do_update(index_elements=["seq"], set_=again))


def _row(event: Event) -> dict[str, Any]:
    kind, name = (event.key.kind, event.key.name) if event.key is not None else (None, None)
    return {"at": event.at, "kind": kind, "name": name, "value": row_json(event)}


def _kept(event: Event) -> Event:
    """The text in a form that can be stored, from every caller: some text was not cleaned before."""
    # Between blanks each part is as clean as by itself, so nearly every event is looked through once as a whole.
    whole = " ".join((event.message, *event.about))
    if _clean(whole, _MAX_ABOUT) == whole:
        return event
    about = tuple(_clean(one, _MAX_ABOUT) for one in event.about)
    return msgspec.structs.replace(event, message=_clean(event.message, _MAX_MESSAGE), about=about)


def _clean(text: str, longest: int) -> str:
    return redacted(hidden(printable(text))[:longest])

"""The cursors of event sinks: how far each has taken the ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import msgspec
from sqlalchemy import Connection, Row, delete, func, select, update

from reconciler import runtime
from reconciler.kinds.sink.arrangement import arrange, removed_event, renamed_event
from reconciler.model.event import Event, EventReason
from reconciler.model.sink_state import SinkLag, SinkReport, SinkState, SinkTrouble, replayed
from reconciler.store.rows.ledger import append
from reconciler.store.rows.restart_rows import Described, undescribed
from reconciler.store.sql import decoders
from reconciler.store.sql.database import Database
from reconciler.store.sql.row_batches import insert_for
from reconciler.store.sql.tables import event, meta, sink

FLEET_META = "fleet-id"
"""In `meta`: what events of this store are known by elsewhere."""
_FLEET_ID = select(meta.c.value).where(meta.c.name == FLEET_META)
MOST_COUNTED = 1000
"""Events that are counted of a lag. It is done each few seconds for each sink, so it must not scan the ledger."""
_MOST_APPLIED = 100
"""So often a revision may have been applied again before a sink that it declares has a place in the ledger."""
_TROUBLE = msgspec.json.Decoder(SinkTrouble)


class SinkTable:
    """The sinks of one store. Each call is one transaction, and may raise StoreError.

    A cursor is not forced to disk: what was taken after the last one that is on disk is sent once more.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def fleet(self) -> str:
        """The id of the fleet, made at the first call. A new store is another fleet."""
        if (found := self.known_fleet()) is not None:
            return found
        made = _random_uuid()
        with self._database.write() as connection:
            new = insert_for(connection)(meta).values(name=FLEET_META, value=made)
            connection.execute(new.on_conflict_do_nothing())
            return str(connection.scalar(_FLEET_ID))

    def known_fleet(self) -> str | None:
        """The same; None where no one has called `fleet` yet."""
        with self._database.read() as connection:
            found = connection.scalar(_FLEET_ID)
        return None if found is None else str(found)

    def get(self, name: str) -> SinkState | None:
        """One of them."""
        with self._database.read() as connection:
            row = connection.execute(select(sink).where(sink.c.name == name)).first()
        return None if row is None else _read(row)

    def begin(self, name: str, seq: int) -> None:
        """Have a cursor from now on, if there is none."""
        with self._database.write() as connection:
            _begin(connection, name, seq)

    def arrange(
        self, declared: Mapping[str, tuple[str, ...]], revision: str, now: datetime, described: Described = undescribed
    ) -> tuple[Event, ...]:
        """Have a cursor for each of the sinks that are declared, and for no other; each is given with its former names.
        Returns the events that the ledger has of it.

        A renamed sink keeps its cursor. A new one begins with the event that says that the revision was applied, so
        that it gets what followed. A removed one is forgotten, and the ledger is not kept for it."""
        with self._database.write() as connection:
            states = {row.name: _read(row) for row in connection.execute(select(sink).order_by(sink.c.name))}
            found = arrange(states, declared)
            gone = [SinkReport(states[name], _lag(connection, states[name].seq)) for name in found.removed]
            for old, new in found.renamed.items():
                connection.execute(update(sink).where(sink.c.name == old).values(name=new))
            connection.execute(delete(sink).where(sink.c.name.in_(found.removed)))
            begins = _applied(connection, revision) if found.begun else 0
            for name in found.begun:
                _begin(connection, name, begins)
            told = [renamed_event(old, new, now) for old, new in found.renamed.items()]
            events = tuple(map(described, [*told, *(removed_event(one, now) for one in gone)]))
            append(connection, events)
        return events

    def advance(self, before: SinkState, after: SinkState, events: Collection[Event] = ()) -> bool:
        """Put the sink's new state with the events of it, all or nothing. False: the cursor was set meanwhile, or the
        sink was removed, and nothing is changed."""
        changed = update(sink).where(sink.c.name == before.name, sink.c.seq == before.seq)
        with self._database.write(durable=bool(events)) as connection:
            done = connection.execute(changed.values(seq=after.seq, trouble=_json(after.trouble)))
            if done.rowcount:
                append(connection, list(events))
        return bool(done.rowcount)

    def rewind(self, name: str, seq: int, told: Event) -> bool:
        """Set the cursor back to `seq`, and let the sink be tried at once; the ledger says so. False: there is no such
        sink, or the cursor is not behind it, and nothing is changed."""
        with self._database.write() as connection:
            asked = select(sink).where(sink.c.name == name, sink.c.seq >= seq).with_for_update()
            row = connection.execute(asked).first()
            if row is None:
                return False
            back = replayed(_read(row), seq, told.at)
            changed = update(sink).where(sink.c.name == name).values(seq=seq, trouble=_json(back.trouble))
            connection.execute(changed)
            append(connection, [told])
        return True

    def oldest_after(self, seq: int) -> datetime | None:
        """When the first event after the cursor was recorded; None: there is none."""
        with self._database.read() as connection:
            return _oldest(connection, seq)

    def reports(self) -> dict[str, SinkReport]:
        """Every sink with how far it is behind the end of the ledger, by name."""
        with self._database.read() as connection:
            rows = connection.execute(select(sink).order_by(sink.c.name)).all()
            states = [_read(row) for row in rows]
            return {state.name: SinkReport(state, _lag(connection, state.seq)) for state in states}


def _begin(connection: Connection, name: str, seq: int) -> None:
    row = {"name": name, "seq": seq, "trouble": _json(SinkTrouble())}
    connection.execute(insert_for(connection)(sink).values(**row).on_conflict_do_nothing())


def _applied(connection: Connection, revision: str) -> int:
    """The number before the event that says that this revision was applied; the last number, if it is not there yet. A
    revision that was applied again and again, with no other one in between, was applied first then."""
    applied = (
        select(event.c.seq, event.c.value)
        .where(event.c.kind.is_(None), event.c.value.like(f'%"reason":"{EventReason.REVISION_APPLIED}"%'))
        .order_by(event.c.seq.desc())
        .limit(_MOST_APPLIED)
    )
    begins = None
    for seq, value in connection.execute(applied):
        if decoders.EVENT.decode(value).revision != revision:
            break
        begins = seq - 1
    return begins if begins is not None else connection.scalar(select(func.max(event.c.seq))) or 0


def _lag(connection: Connection, cursor: int) -> SinkLag:
    later = event.c.seq > cursor
    some = select(event.c.seq).where(later).limit(MOST_COUNTED + 1).subquery()
    counted = connection.scalar(select(func.count()).select_from(some)) or 0
    oldest = _oldest(connection, cursor) if counted else None
    if counted <= MOST_COUNTED:
        return SinkLag(counted, oldest)
    first = connection.scalar(select(event.c.seq).where(later).order_by(event.c.seq).limit(1)) or 0
    last = connection.scalar(select(func.max(event.c.seq))) or 0
    return SinkLag(max(counted, last - first + 1), oldest, exact=False)


def _oldest(connection: Connection, cursor: int) -> datetime | None:
    return connection.scalar(select(event.c.at).where(event.c.seq > cursor).order_by(event.c.seq).limit(1))


def _read(row: Row[tuple[str, int, str]]) -> SinkState:
    try:
        trouble = _TROUBLE.decode(row.trouble)
    except msgspec.MsgspecError:
        trouble = SinkTrouble()  # It is tried, and says anew what is wrong.
    return SinkState(row.name, row.seq, trouble)


def _random_uuid() -> str:
    """RFC 9562, version 4."""
    number = int.from_bytes(runtime.entropy(16)) & ~(0xF000 << 64 | 0xC000 << 48) | (0x4000 << 64 | 0x8000 << 48)
    text = f"{number:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _json(trouble: SinkTrouble) -> str:
    return msgspec.json.encode(trouble).decode()

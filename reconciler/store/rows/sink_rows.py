"""The cursors of event sinks: how far each has taken the ledger."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import Connection, Row, delete, func, select, update

from reconciler import runtime
from reconciler.model.event import Event
from reconciler.model.sink_state import SinkLag, SinkReport, SinkState, SinkTrouble
from reconciler.store.rows.ledger import append
from reconciler.store.sql.database import Database
from reconciler.store.sql.dialects import insert_for
from reconciler.store.sql.tables import event, meta, sink

FLEET_META = "fleet-id"
"""In `meta`: what events of this store are known by elsewhere."""
_FLEET_ID = select(meta.c.value).where(meta.c.name == FLEET_META)
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
        row = {"name": name, "seq": seq, "trouble": _json(SinkTrouble())}
        with self._database.write() as connection:
            connection.execute(insert_for(connection)(sink).values(**row).on_conflict_do_nothing())

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
        back = update(sink).where(sink.c.name == name, sink.c.seq >= seq)
        with self._database.write() as connection:
            done = connection.execute(back.values(seq=seq, trouble=_json(SinkTrouble())))
            if done.rowcount:
                append(connection, [told])
        return bool(done.rowcount)

    def keep(self, names: Collection[str]) -> None:
        """Forget all others: their documents were removed, and the ledger is not kept for them."""
        with self._database.write() as connection:
            connection.execute(delete(sink).where(sink.c.name.not_in(list(names))))

    def reports(self) -> dict[str, SinkReport]:
        """Every sink with how far it is behind the end of the ledger, by name."""
        with self._database.read() as connection:
            rows = connection.execute(select(sink).order_by(sink.c.name)).all()
            states = [_read(row) for row in rows]
            return {state.name: SinkReport(state, _lag(connection, state.seq)) for state in states}


def _lag(connection: Connection, cursor: int) -> SinkLag:
    later = event.c.seq > cursor
    behind = connection.scalar(select(func.count()).select_from(event).where(later)) or 0
    oldest = connection.scalar(select(event.c.at).where(later).order_by(event.c.seq).limit(1)) if behind else None
    return SinkLag(behind, oldest)


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

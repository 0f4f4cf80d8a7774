"""Pauses: rows that are only added and ended, each with its events in the ledger in the same transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, delete, insert, select, update

from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.plans.pause import ResourcePause
from reconciler.store.rows.ledger import append
from reconciler.store.rows.override_rows import OVERRIDES_KEPT
from reconciler.store.sql.database import Database
from reconciler.store.sql.row_json import row_json
from reconciler.store.sql.store_errors import StoreError
from reconciler.store.sql.tables import pause_table

UNREADABLE_PAUSE = "unreadable"
"""Stands for targets that are not what this program writes; such a pause covers everything."""


class PauseTable:
    """The pauses of one store. Each call is one transaction, on disk when it returns, and may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[ResourcePause, ...]:
        """All that are known, the oldest first; those that are over too."""
        with self._database.read() as connection:
            rows = connection.execute(select(pause_table).order_by(pause_table.c.at, pause_table.c.id)).all()
        return tuple(map(_read, rows))

    def add(self, new: ResourcePause) -> None:
        """It stands from now on; the ledger says so."""
        row = msgspec.structs.asdict(new)
        row |= {name: row_json(list(row[name])) for name in ("targets", "known")}
        message = f"{new.id}: {new.covers} is paused {new.lasts}: {new.reason}"
        with self._database.write() as connection:
            connection.execute(insert(pause_table), row)
            append(
                connection,
                [Event(new.at, EventType.WARNING, EventReason.PAUSE_BEGAN, message, by=new.by, about=(new.id,))],
            )

    def end(self, names: list[str], by: str, at: datetime) -> tuple[ResourcePause, ...]:
        """These end now; the ledger says so. Raises StoreError where one is not known, or is over; then none ends."""
        with self._database.write() as connection:
            rows = connection.execute(select(pause_table).where(pause_table.c.id.in_(names)).with_for_update()).all()
            found = {row.id: _read(row) for row in rows}
            for name in names:
                if name not in found:
                    raise StoreError(f"no pause has the id {name!r}; `groundstate get pauses` shows all")
                if not found[name].stands(at):
                    raise StoreError(f"pause {name} has already ended; nothing was changed")
            these = pause_table.c.id.in_(names)
            connection.execute(update(pause_table).where(these).values(ended_at=at, ended_by=by, known="[]"))
            append(connection, [_ended(found[name], by, at) for name in names])
        return tuple(msgspec.structs.replace(found[name], ended_at=at, ended_by=by) for name in names)

    def expire(self, now: datetime) -> tuple[Event, ...]:
        """Record in the ledger, once, those whose time has ended; returns the events."""
        over = (pause_table.c.until <= now, pause_table.c.ended_at.is_(None))
        with self._database.read() as connection:
            if connection.execute(select(pause_table.c.id).where(*over).limit(1)).first() is None:
                return ()
        with self._database.write() as connection:
            reported = update(pause_table).where(*over).values(ended_at=pause_table.c.until, known="[]")
            ended = sorted(map(_read, connection.execute(reported.returning(pause_table))), key=lambda one: one.id)
            events = tuple(_expired(one, now) for one in ended)
            append(connection, list(events))
            connection.execute(delete(pause_table).where(pause_table.c.ended_at < now - OVERRIDES_KEPT))
        return events


def _ended(pause: ResourcePause, by: str, at: datetime) -> Event:
    message = f"{pause.id}: {pause.covers} is resumed"
    return Event(at, EventType.NORMAL, EventReason.PAUSE_ENDED, message, by=by, about=(pause.id,))


def _expired(pause: ResourcePause, now: datetime) -> Event:
    message = f"{pause.id}: the pause of {pause.covers} ended at {pause.ended_at:%Y-%m-%d %H:%M:%S}Z"
    return Event(now, EventType.NORMAL, EventReason.PAUSE_EXPIRED, message, by=pause.by, about=(pause.id,))


def _read(row: Row[Any]) -> ResourcePause:
    found = {name: getattr(row, name) for name in ResourcePause.__struct_fields__}
    try:
        targets = tuple(msgspec.json.decode(row.targets, type=list[str]))
        known = frozenset(msgspec.json.decode(row.known, type=list[str]))
    except msgspec.MsgspecError:
        targets, known = (UNREADABLE_PAUSE,), frozenset()  # Whatever it was to hold is held.
    return ResourcePause(**found | {"targets": targets, "known": known})

"""Overrides of guards: rows that are only added and ended, each with its events in the ledger in the same transaction.

Any process may write them while another process works on the store; the other process reads them again every few
seconds.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Row, delete, insert, select, update

from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.plans.override import Override
from reconciler.store.rows.ledger import append
from reconciler.store.sql.database import Database
from reconciler.store.sql.row_json import row_json
from reconciler.store.sql.store_errors import StoreError
from reconciler.store.sql.tables import override_table

OVERRIDES_KEPT = timedelta(days=30)
"""How long an override that is over is listed; the ledger keeps its events."""

UNREADABLE_OVERRIDE = "unreadable"
"""Stands for targets that are not what this program writes; no resource is meant by it."""


class OverrideTable:
    """The overrides of one store. Each call is one transaction, on disk when it returns, and may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[Override, ...]:
        """All that are known, the oldest first; those that are over too."""
        with self._database.read() as connection:
            rows = connection.execute(select(override_table).order_by(override_table.c.at, override_table.c.id)).all()
        return tuple(map(_read, rows))

    def add(self, new: Override) -> None:
        """It is in force from now on; the ledger says so."""
        row = msgspec.structs.asdict(new) | {"targets": row_json(new.targets)}
        until = f"{new.until:%Y-%m-%d %H:%M:%S}Z"
        message = f"{new.id}: guard {new.guard} is overridden until {until} for {new.covers}: {new.reason}"
        event = Event(new.at, EventType.WARNING, EventReason.OVERRIDE_BEGAN, message, by=new.by)
        with self._database.write() as connection:
            connection.execute(insert(override_table), row)
            append(connection, [event])

    def revoke(self, name: str, by: str, at: datetime) -> Override:
        """It ends now; the ledger says so. Raises StoreError when there is none of this name, or it is over."""
        this = override_table.c.id == name
        with self._database.write() as connection:
            row = connection.execute(select(override_table).where(this).with_for_update()).first()
            if row is None:
                raise StoreError(f"no override has the id {name!r}; `groundstate override --list` shows all")
            found = _read(row)
            if not found.in_force(at):
                raise StoreError(f"override {name} has already ended; nothing was changed")
            connection.execute(update(override_table).where(this).values(revoked_at=at, revoked_by=by))
            message = f"{name}: the override of guard {found.guard} for {found.covers} is revoked"
            append(connection, [Event(at, EventType.NORMAL, EventReason.OVERRIDE_REVOKED, message, by=by)])
        return msgspec.structs.replace(found, revoked_at=at, revoked_by=by)

    def expire(self, now: datetime) -> tuple[Event, ...]:
        """Record in the ledger, once, those whose time has ended; returns the events."""
        over = (
            override_table.c.until <= now,
            override_table.c.revoked_at.is_(None),
            override_table.c.expired_at.is_(None),
        )
        with self._database.read() as connection:
            if connection.execute(select(override_table.c.id).where(*over).limit(1)).first() is None:
                return ()
        with self._database.write() as connection:
            reported = update(override_table).where(*over).values(expired_at=now).returning(override_table)
            ended = sorted((_read(row) for row in connection.execute(reported)), key=lambda one: (one.until, one.id))
            events = tuple(
                Event(
                    now,
                    EventType.NORMAL,
                    EventReason.OVERRIDE_EXPIRED,
                    f"{one.id}: the override of guard {one.guard} for {one.covers} ended at "
                    f"{one.until:%Y-%m-%d %H:%M:%S}Z",
                    by=one.by,
                )
                for one in ended
            )
            append(connection, list(events))
            connection.execute(delete(override_table).where(override_table.c.until < now - OVERRIDES_KEPT))
        return events


def _read(row: Row[Any]) -> Override:
    found = {name: getattr(row, name) for name in Override.__struct_fields__}
    try:
        targets = tuple(msgspec.json.decode(row.targets, type=list[str]))
    except msgspec.MsgspecError:
        targets = (UNREADABLE_OVERRIDE,)  # It lifts nothing, and does not keep the others from being read.
    return Override(**found | {"targets": targets})

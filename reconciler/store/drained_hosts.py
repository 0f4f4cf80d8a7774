"""Drained hosts: rows that people add and remove, each with its event in the ledger in the same transaction."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import delete, insert, select

from reconciler.model.event import Event, EventReason, EventType
from reconciler.store.rows.ledger import append
from reconciler.store.sql.database import Database
from reconciler.store.sql.tables import drained_host_table


class DrainedHost(msgspec.Struct, frozen=True):
    """A host of which the daemons do not work."""

    host: str
    """As `get daemons` names it."""
    reason: str
    by: str
    """Who drained it."""
    at: datetime
    """Since when."""

    def __str__(self) -> str:
        """In words, for a message."""
        return f"{self.host} is drained since {self.at:%Y-%m-%d %H:%M:%S}Z by {self.by}: {self.reason}"


class DrainTable:
    """The drained hosts of one store. Each call is one transaction, and may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[DrainedHost, ...]:
        """By their names."""
        with self._database.read() as connection:
            rows = connection.execute(select(drained_host_table).order_by(drained_host_table.c.host)).all()
        return tuple(DrainedHost(row.host, row.reason, row.by, row.at) for row in rows)

    def of(self, host: str) -> DrainedHost | None:
        """Since when and why it is drained; None: it is not."""
        return next((one for one in self.all() if one.host == host), None)

    def begin(self, new: DrainedHost) -> DrainedHost:
        """It is drained from now on. The ledger says so. Returns the row of before, where it was drained already."""
        event = Event(new.at, EventType.WARNING, EventReason.HOST_DRAINED, f"{new.host} is drained: {new.reason}")
        with self._database.write() as connection:
            same = drained_host_table.c.host == new.host
            before = connection.execute(select(drained_host_table).where(same)).first()
            if before is not None:
                return DrainedHost(before.host, before.reason, before.by, before.at)
            connection.execute(insert(drained_host_table), msgspec.structs.asdict(new))
            append(connection, [msgspec.structs.replace(event, by=new.by)])
        return new

    def end(self, host: str, by: str, at: datetime) -> bool:
        """It is not drained any more, which the ledger says. False: it was not."""
        event = Event(at, EventType.NORMAL, EventReason.HOST_UNCORDONED, f"{host} is not drained any more", by=by)
        with self._database.write() as connection:
            table = drained_host_table
            if connection.execute(delete(table).where(table.c.host == host).returning(table.c.host)).first() is None:
                return False
            append(connection, [event])
        return True

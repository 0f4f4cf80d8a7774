"""Which process works on a store, and which daemons stand by: for people, and never for a decision."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import delete, select, text

from reconciler.store.lease.instance import StoreHolder
from reconciler.store.sql import tables
from reconciler.store.sql.database import Database
from reconciler.store.sql.row_batches import insert_for
from reconciler.store.sql.row_json import row_json
from reconciler.store.sql.store_errors import StoreError

STANDBY_SILENT = timedelta(minutes=1)
"""A daemon that stands by and was not heard of for so long is gone."""
_HOLDER = msgspec.json.Decoder(StoreHolder)


class WorkingProcess(msgspec.Struct, frozen=True):
    """The process that works on the store."""

    process: StoreHolder
    """Who it is."""
    epoch: int
    """How often the store was taken until then."""
    lease_ends_at: datetime | None
    """By the clock of the database; None: it has none, or has ended it."""


class StandingBy(msgspec.Struct, frozen=True):
    """A daemon that stands by."""

    process: StoreHolder
    """Who it is."""
    heard: datetime
    """When it reported last."""


class StoreTurn(msgspec.Struct, frozen=True):
    """Whether a daemon of a host may take the store. `epoch`: how often it was taken. `is_leased`: a process works on
    it. `is_drained`: the daemons of the host are to leave it alone."""

    epoch: int
    is_leased: bool
    is_drained: bool


_TURN = text("""
    SELECT instance.epoch, instance.holder IS NOT NULL AND coalesce(lease.ends_at > clock_timestamp(), false),
        EXISTS (SELECT 1 FROM drained_host WHERE host = :host)
    FROM instance, lease
""")


class StandbyTable:
    """Daemons by host and process. Each call is one transaction, and may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def working(self) -> WorkingProcess | None:
        """The process that took the store last and has not left it; it may have been killed."""
        with self._database.read() as connection:
            row = connection.execute(select(tables.instance_table)).one()
            of_it = tables.lease_table.c.epoch == row.epoch
            ends_at = connection.scalar(select(tables.lease_table.c.ends_at).where(of_it))
        return None if row.holder is None else WorkingProcess(_read(row.holder), row.epoch, ends_at)

    def turn(self, host: str) -> StoreTurn:
        """Of a store on PostgreSQL, for a daemon of this host."""
        with self._database.read() as connection:
            return StoreTurn(*connection.execute(_TURN, {"host": host}).one())

    def put(self, process: StoreHolder, now: datetime) -> None:
        """It stands by. Those that are long gone are removed."""
        row = {"name": process.name_of_process, "heard": now, "value": row_json(process)}
        with self._database.write(durable=False) as connection:
            connection.execute(delete(tables.standby).where(tables.standby.c.heard < now - STANDBY_SILENT))
            new = insert_for(connection)(tables.standby).values(row)
            connection.execute(new.on_conflict_do_update(index_elements=["name"], set_=row))

    def leave(self, process: StoreHolder) -> None:
        """It stands by no more."""
        with self._database.write(durable=False) as connection:
            connection.execute(delete(tables.standby).where(tables.standby.c.name == process.name_of_process))

    def all(self, now: datetime) -> tuple[StandingBy, ...]:
        """Those that were heard of lately, by their names."""
        with self._database.read() as connection:
            rows = connection.execute(select(tables.standby).order_by(tables.standby.c.name)).all()
        return tuple(StandingBy(_read(row.value), row.heard) for row in rows if now - row.heard < STANDBY_SILENT)


def _read(value: str) -> StoreHolder:
    try:
        return _HOLDER.decode(value)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the record of a daemon in the store cannot be read: {error}; restart the daemon") from error

"""What the daemon that is at work on the store says of itself: others plan by its limits and its boot service."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import delete, insert, select, update

from reconciler.planning.guards.standing import DaemonReport
from reconciler.store.lease import instance
from reconciler.store.sql import tables
from reconciler.store.sql.database import Database
from reconciler.store.sql.row_json import row_json
from reconciler.store.sql.store_errors import StoreError

_DECODER = msgspec.json.Decoder(DaemonReport)


class DaemonTable:
    """One row at most. Every call may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, daemon: DaemonReport, epoch: int, now: datetime) -> None:
        """It is at work from now on. Raises Fenced when another instance has taken over."""
        row = {"id": 1, "epoch": epoch, "heard": now, "value": _encoded(daemon)}
        with self._database.write() as connection:
            instance.check_epoch(connection, epoch)
            connection.execute(delete(tables.daemon))
            connection.execute(insert(tables.daemon), row)

    def heartbeat(self, daemon: DaemonReport, epoch: int, now: datetime) -> None:
        """It is still there. Raises Fenced. Not forced to disk: the next one follows in seconds."""
        values = {"heard": now, "value": _encoded(daemon)}
        with self._database.write(durable=False) as connection:
            instance.check_epoch(connection, epoch)
            connection.execute(update(tables.daemon).where(tables.daemon.c.epoch == epoch).values(values))

    def leave(self, epoch: int) -> None:
        """It has ended."""
        with self._database.write() as connection:
            connection.execute(update(tables.daemon).where(tables.daemon.c.epoch == epoch).values(epoch=0))

    def get(self) -> DaemonReport | None:
        """The last one; `ended` when it left, or another instance took the store since."""
        with self._database.read() as connection:
            row = connection.execute(select(tables.daemon)).first()
            current = connection.execute(select(tables.instance_table.c.epoch)).scalar_one()
        if row is None:
            return None
        try:
            found = _DECODER.decode(row.value)
        except msgspec.MsgspecError as error:
            raise StoreError(
                f"the record of the daemon in the store cannot be read: {error}; restart the daemon"
            ) from error
        return msgspec.structs.replace(found, seen_at=row.heard, ended=row.epoch != current)


def _encoded(daemon: DaemonReport) -> str:
    return row_json(daemon)

"""Restart requests: rows that are added and ended, each with its event in the ledger in the same transaction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import insert, select, update

from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import ResourceKey
from reconciler.model.restart import RestartRequest, RestartResult
from reconciler.store.database import Database
from reconciler.store.ledger import append
from reconciler.store.store_errors import StoreError
from reconciler.store.tables import restart_table


class RestartTable:
    """The restart requests of one store. Each call is one transaction, on disk when it returns, and may raise
    StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self) -> tuple[RestartRequest, ...]:
        """Those that have not ended, the oldest first."""
        asked = select(restart_table).where(restart_table.c.ended_at.is_(None))
        with self._database.read() as connection:
            rows = connection.execute(asked.order_by(restart_table.c.at, restart_table.c.id)).all()
        return tuple(
            RestartRequest(row.id, ResourceKey(row.kind, row.name), row.reason, row.by, row.at, row.until)
            for row in rows
        )

    def add(self, new: RestartRequest) -> None:
        """It is asked for from now on; the ledger says so. Raises StoreError while another one of it is open."""
        row = {"id": new.id, "kind": new.key.kind, "name": new.key.name, "reason": new.reason, "by": new.by}
        mine = (restart_table.c.kind == new.key.kind, restart_table.c.name == new.key.name)
        message = f"restart {new.id}, to begin before {new.until:%Y-%m-%d %H:%M:%S}Z: {new.reason}"
        event = Event(new.at, EventType.WARNING, EventReason.RESTART_REQUESTED, message, new.key, by=new.by)
        with self._database.write() as connection:
            opened = connection.execute(
                select(restart_table.c.id).where(*mine, restart_table.c.ended_at.is_(None))
            ).first()
            if opened is not None:
                raise StoreError(f"restart {opened.id} of {new.key} has not ended yet; nothing was changed")
            connection.execute(insert(restart_table), row | {"at": new.at, "until": new.until})
            append(connection, [event])

    def end(self, results: list[RestartResult], now: datetime) -> tuple[Event, ...]:
        """These have ended; tells the ledger, of each once, and returns what was recorded."""
        if not results:
            return ()
        events = []
        with self._database.write() as connection:
            for one in results:
                this = (restart_table.c.id == one.id, restart_table.c.ended_at.is_(None))
                ended = connection.execute(update(restart_table).where(*this).values(ended_at=now))
                if ended.rowcount:
                    events.append(_event(one, now))
            append(connection, events)
        return tuple(events)


def _event(result: RestartResult, now: datetime) -> Event:
    if not result.failure:
        message = f"restart {result.id}: the machine was seen off, and is on again"
        return Event(now, EventType.NORMAL, EventReason.RESTARTED, message, result.key)
    message = f"restart {result.id}: {result.failure}"
    return Event(now, EventType.WARNING, EventReason.RESTART_FAILED, message, result.key)

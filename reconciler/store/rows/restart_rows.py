"""Restart requests: rows that are added and ended, each with its event in the ledger in the same transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update

from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.plans.plan import typed
from reconciler.model.plans.restart import RestartRequest, RestartResult
from reconciler.model.resource import ResourceKey
from reconciler.store.rows.ledger import append
from reconciler.store.sql.database import Database
from reconciler.store.sql.store_errors import StoreError
from reconciler.store.sql.tables import restart_table

Described = Callable[[Event], Event]
"""Adds to an event whose it is: the project and the labels of its resource."""


def undescribed(event: Event) -> Event:
    """The event alone, for who does not know what is declared."""
    return event


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
        return tuple(map(_request, rows))

    def add(self, new: RestartRequest, described: Described = undescribed) -> None:
        """It is asked for from now on; the ledger says so. Raises StoreError while another one of it is open."""
        row = {"id": new.id, "kind": new.key.kind, "name": new.key.name, "reason": new.reason, "by": new.by}
        message = f"restart {new.id} was requested, to begin before {new.until:%Y-%m-%d %H:%M:%S}Z: {new.reason}"
        event = Event(
            new.at, EventType.WARNING, EventReason.RESTART_REQUESTED, message, new.key, by=new.by, about=(new.id,)
        )
        with self._database.write() as connection:
            opened = connection.execute(select(restart_table.c.id).where(*_open_of(new.key))).first()
            if opened is not None:
                raise StoreError(
                    f"restart {opened.id} of {new.key} has not ended yet; nothing was changed. "
                    f"`groundstate restart --cancel {typed(new.key)}` cancels the restart"
                )
            connection.execute(insert(restart_table), row | {"at": new.at, "until": new.until})
            append(connection, [described(event)])

    def cancel(
        self, key: ResourceKey, why: str, by: str, now: datetime, described: Described = undescribed
    ) -> RestartRequest | None:
        """Cancel the open restart of this resource, with an event in the ledger. Returns the restart; None: there is
        none."""
        with self._database.write() as connection:
            asked = select(restart_table).where(*_open_of(key)).order_by(restart_table.c.at, restart_table.c.id)
            row = connection.execute(asked).first()
            if row is None:
                return None
            connection.execute(update(restart_table).where(restart_table.c.id == row.id).values(ended_at=now))
            message = f"restart {row.id} was cancelled{f': {why}' if why else ''}"
            reason, about = EventReason.RESTART_CANCELLED, (row.id,)
            append(connection, [described(Event(now, EventType.NORMAL, reason, message, key, by=by, about=about))])
        return _request(row)

    def end(self, results: list[RestartResult], now: datetime, described: Described = undescribed) -> tuple[Event, ...]:
        """Record that these restarts have ended, each once in the ledger. Returns the events."""
        if not results:
            return ()
        events = []
        with self._database.write() as connection:
            for one in results:
                this = (restart_table.c.id == one.id, restart_table.c.ended_at.is_(None))
                ended = connection.execute(update(restart_table).where(*this).values(ended_at=now))
                if ended.rowcount:
                    events.append(described(_event(one, now)))
            append(connection, events)
        return tuple(events)


def _open_of(key: ResourceKey) -> tuple[Any, ...]:
    table = restart_table.c
    return table.kind == key.kind, table.name == key.name, table.ended_at.is_(None)


def _request(row: Any) -> RestartRequest:
    return RestartRequest(row.id, ResourceKey(row.kind, row.name), row.reason, row.by, row.at, row.until)


def _event(result: RestartResult, now: datetime) -> Event:
    if not result.failure:
        message = f"restart {result.id}: the machine was off, and is on again"
        return Event(now, EventType.NORMAL, EventReason.RESTARTED, message, result.key, about=(result.id,))
    message = f"restart {result.id}: {result.failure}"
    return Event(now, EventType.WARNING, EventReason.RESTART_FAILED, message, result.key, about=(result.id,))

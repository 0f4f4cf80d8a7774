"""How long the ledger is kept: old events go, a few at a time, and what a reader still needs stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select

from reconciler.model.event import EventReason
from reconciler.store.sql.database import Database
from reconciler.store.sql.tables import event, meta, repeat, sink

EVENTS_KEPT = timedelta(days=400)
"""A year and a month: what happened at the same time last year can be compared."""
BATCH = 500
"""Rows of one transaction, so that no writer waits for long."""
BATCHES = 10
"""Such transactions at a time: a process that ends soon, or has other work, takes out a part."""
KEPT_FOR = "ledger-kept-for-days"
"""In `meta`: what the daemon was started with last, so that an `apply` takes out no more."""
KEPT_FROM = "ledger-kept-from"
"""In `meta`: the database itself refuses to take out an event that is not older than this (migration 0008)."""


class Retention:
    """Takes old events out of the ledger. Every call may raise StoreError."""

    def __init__(self, database: Database, batch: int = BATCH) -> None:
        self._database, self._batch = database, batch
        self._cursor = 0

    def keep(self, kept: timedelta) -> None:
        """Remember for how long the ledger is kept here."""
        with self._database.write() as connection:
            _put(connection, KEPT_FOR, str(kept.days))

    def kept(self) -> timedelta:
        """For how long, as it was remembered last."""
        with self._database.read() as connection:
            days = connection.scalar(select(meta.c.value).where(meta.c.name == KEPT_FOR))
        return timedelta(days=int(days)) if days is not None else EVENTS_KEPT

    def trim_some(self, before: datetime) -> bool:
        """`trim` a few times; True when there may be more."""
        return all(self.trim(before) for _ in range(BATCHES))

    def trim(self, before: datetime) -> bool:
        """Take out some of the events from before this time, in one small transaction, oldest first; True when there
        may be more.

        What stays: the revision that was in force then, which `history --at` asks for, and an event that was repeated
        since. Also what an event sink has not taken yet; the daemon warns of such a sink (SinkBehind). Numbers of
        events are never used again, so that `events --watch` misses nothing.
        """
        following = select(event.c.seq, event.c.at).where(event.c.seq > self._cursor).order_by(event.c.seq)
        with self._database.read() as connection:
            rows = connection.execute(following.limit(self._batch)).all()
        old = {seq for seq, at in rows if at < before}
        if not old:
            self._cursor = 0
            return False
        with self._database.write(durable=False) as connection:
            gone = old - _needed(connection, old, before)
            if gone:
                _allow(connection, before)
                connection.execute(delete(repeat).where(repeat.c.seq.in_(gone)))
                connection.execute(delete(event).where(event.c.seq.in_(gone)))
        self._cursor = rows[-1].seq
        return True


def _allow(connection: Connection, before: datetime) -> None:
    # As the column `at` is written on SQLite; PostgreSQL reads it too.
    edge = before.astimezone(UTC).isoformat(timespec="microseconds")
    _put(connection, KEPT_FROM, edge)


def _put(connection: Connection, name: str, value: str) -> None:
    connection.execute(delete(meta).where(meta.c.name == name))
    connection.execute(insert(meta), {"name": name, "value": value})


def _needed(connection: Connection, old: set[int], before: datetime) -> set[int]:
    in_force = (
        select(func.max(event.c.seq))
        .where(event.c.kind.is_(None), event.c.at < before)
        .where(event.c.value.like(f'%"reason":"{EventReason.REVISION_APPLIED}"%'))
    )
    going_on = select(repeat.c.seq).where(repeat.c.seq.in_(old), repeat.c.last >= before)
    cursor = connection.scalar(select(func.min(sink.c.seq)))
    ahead = set() if cursor is None else {seq for seq in old if seq > cursor}
    return {*connection.scalars(in_force), *connection.scalars(going_on), *ahead} - {None}

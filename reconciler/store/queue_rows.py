"""The rows behind the daemon's durable queue: one a key, leased while a worker has it in hand.

`due` is NULL while a leased key is not asked for again. A put merges with what waits: the earliest time and the best
priority win. So a key that is put while it is handled is handled once more, and never by two workers at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, bindparam, text

from reconciler.model.resource import ResourceKey
from reconciler.store.database import Database
from reconciler.store.tables import UtcTime

# For each priority in use, from the top, the first time that something waits at it. Each step is two look-ups in the
# index, so it costs the same with 50,000 keys waiting as with ten.
_HEADS = text("""
    WITH RECURSIVE level (priority) AS (
        SELECT max(priority) FROM queue WHERE token IS NULL
        UNION ALL
        SELECT (SELECT max(q.priority) FROM queue q WHERE q.token IS NULL AND q.priority < level.priority)
        FROM level WHERE level.priority >= :least
    )
    SELECT priority, (SELECT min(q.due) FROM queue q WHERE q.token IS NULL AND q.priority = level.priority) AS due
    FROM level WHERE priority >= :least
""").columns(due=UtcTime)

_PUT = text("""
    INSERT INTO queue (kind, name, priority, due) VALUES (:kind, :name, :priority, :due)
    ON CONFLICT (kind, name) DO UPDATE SET
        due = CASE WHEN queue.due IS NULL OR excluded.due < queue.due THEN excluded.due ELSE queue.due END,
        priority = CASE WHEN queue.due IS NULL OR excluded.priority > queue.priority
            THEN excluded.priority ELSE queue.priority END
""").bindparams(bindparam("due", type_=UtcTime))

_LEASE = text("""
    UPDATE queue SET token = :token, lease_until = :until, due = NULL
    WHERE token IS NULL AND (kind, name) = (
        SELECT kind, name FROM queue WHERE token IS NULL AND priority = :priority AND due <= :now
        ORDER BY due, kind, name LIMIT 1)
    RETURNING kind, name, priority
""").bindparams(bindparam("until", type_=UtcTime), bindparam("now", type_=UtcTime))

_LEASE_EXPIRED = text("""
    UPDATE queue SET token = :token, lease_until = :until, due = NULL
    WHERE (kind, name) = (
        SELECT kind, name FROM queue WHERE token IS NOT NULL AND lease_until <= :now AND priority >= :least
        ORDER BY lease_until, kind, name LIMIT 1) AND token IS NOT NULL AND lease_until <= :now
    RETURNING kind, name, priority
""").bindparams(bindparam("until", type_=UtcTime), bindparam("now", type_=UtcTime))

_NEXT_EXPIRY = text("SELECT min(lease_until) AS due FROM queue WHERE token IS NOT NULL").columns(due=UtcTime)

_FINISH = text("DELETE FROM queue WHERE kind = :kind AND name = :name AND token = :token AND due IS NULL")

_LET_GO = text("""
    UPDATE queue SET token = NULL, lease_until = NULL WHERE kind = :kind AND name = :name AND token = :token
""")

_RETRY = text("""
    UPDATE queue SET token = NULL, lease_until = NULL,
        due = CASE WHEN due IS NULL OR :due < due THEN :due ELSE due END,
        priority = CASE WHEN due IS NULL OR :priority > priority THEN :priority ELSE priority END
    WHERE kind = :kind AND name = :name AND token = :token
""").bindparams(bindparam("due", type_=UtcTime))

_RECOVER = text("""
    UPDATE queue SET token = NULL, lease_until = NULL, due = COALESCE(due, :now) WHERE token IS NOT NULL
""").bindparams(bindparam("now", type_=UtcTime))


class WorkTable:
    """Statements on the queue's rows, a transaction a call; none is forced to disk, as the queue can be rebuilt."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, entries: Iterable[tuple[ResourceKey, int, datetime]]) -> None:
        """Ask for keys with a priority from a time on; all or none. Raises StoreError."""
        rows = [{"kind": k.kind, "name": k.name, "priority": priority, "due": due} for k, priority, due in entries]
        if rows:
            with self._database.write(durable=False) as connection:
                connection.execute(_PUT, rows)

    def lease(self, token: str, now: datetime, until: datetime, least: int) -> tuple[ResourceKey, int] | None:
        """Lease the best due key of priority `least` or higher, else one whose lease ran out. None: nothing is due."""
        while True:
            with self._database.read() as connection:
                heads = self._heads(connection, least)
                expiry = connection.execute(_NEXT_EXPIRY).scalar()
            priority = next((priority for priority, due in heads if due <= now), None)
            lease = {"token": token, "until": until, "now": now}
            if priority is not None:
                statement, values = _LEASE, {**lease, "priority": priority}
            elif expiry is not None and expiry <= now:
                statement, values = _LEASE_EXPIRED, {**lease, "least": least}
            else:
                return None
            with self._database.write(durable=False) as connection:
                row = connection.execute(statement, values).first()
            if row is not None:
                return ResourceKey(row.kind, row.name), row.priority
            if statement is _LEASE_EXPIRED:
                return None

    def finish(self, key: ResourceKey, token: str) -> None:
        """Drop the key, unless it was put meanwhile: then let it go to be taken again."""
        values = {"kind": key.kind, "name": key.name, "token": token}
        with self._database.write(durable=False) as connection:
            if connection.execute(_FINISH, values).rowcount == 0:
                connection.execute(_LET_GO, values)

    def retry(self, key: ResourceKey, token: str, due: datetime, priority: int) -> None:
        """Let the key go and put it, in one."""
        values = {"kind": key.kind, "name": key.name, "token": token, "due": due, "priority": priority}
        with self._database.write(durable=False) as connection:
            connection.execute(_RETRY, values)

    def next_due(self, least: int) -> datetime | None:
        """When the next key of priority `least` or higher that nobody has in hand is due."""
        with self._database.read() as connection:
            return min((due for _, due in self._heads(connection, least)), default=None)

    def recover(self, now: datetime) -> int:
        """Free every lease, for a start after which no worker of before can be alive. Returns how many."""
        with self._database.write(durable=False) as connection:
            return connection.execute(_RECOVER, {"now": now}).rowcount

    def _heads(self, connection: Connection, least: int) -> list[tuple[int, datetime]]:
        return [(row.priority, row.due) for row in connection.execute(_HEADS, {"least": least})]

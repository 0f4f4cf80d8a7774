"""Reading on in the ledger. PostgreSQL numbers an event before its transaction ends, so a smaller number may appear
after a larger one. A reader that remembers the largest number would miss that event."""

from __future__ import annotations

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

_HAS_GAP = text("SELECT count(*) < :last - :since FROM event WHERE seq > :since AND seq <= :last")
"""A gap may be an event of a transaction that is still open. Its age says nothing: the times of events are those of the
writers' clocks, and an event can be recorded long after it happened."""
_WAIT = (
    text("SET LOCAL lock_timeout = '1s'"),
    text("SET LOCAL idle_in_transaction_session_timeout = '5s'"),
    text("LOCK TABLE event IN SHARE MODE"),
)
"""Each transaction that adds an event holds the opposite lock from before the event has its number until its end. A
reader that is suspended, or cut off, while it holds the lock must not keep the daemon from writing for hours."""
_NOT_IN_TIME = "55P03"


def begin(connection: Connection) -> None:
    """Have all of this transaction see the same: what is committed after the list is a gap of the list."""
    connection.execution_options(isolation_level="REPEATABLE READ")


def has_gap(connection: Connection, since: int, last: int) -> bool:
    """Whether a number between these is missing, and may still appear. On PostgreSQL."""
    return bool(connection.execute(_HAS_GAP, {"since": since, "last": last}).scalar_one())


def wait_for_writers(connection: Connection) -> bool:
    """Wait until every event that has a number is committed, or will never be. False: not within a second. A reader
    that may not lock does not wait."""
    try:
        with connection.begin_nested():
            for statement in _WAIT:
                connection.execute(statement)
    except DBAPIError as error:
        return getattr(error.orig, "sqlstate", None) != _NOT_IN_TIME
    return True

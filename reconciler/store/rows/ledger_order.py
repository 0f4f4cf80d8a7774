"""Reading on in the ledger. PostgreSQL numbers an event before its transaction ends, so a smaller number may appear
after a larger one. A reader that remembers the largest number would miss that event."""

from __future__ import annotations

from sqlalchemy import Connection, text

from reconciler import runtime

_HAS_GAP = text("SELECT count(*) < :last - :since FROM event WHERE seq > :since AND seq <= :last")
"""A gap may be an event of a transaction that is still open. Its age says nothing: the times of events are those of the
writers' clocks, and an event can be recorded long after it happened."""
_WRITERS = text("""
    SELECT DISTINCT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'
    AND relation = 'event'::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")
"""Each transaction that adds an event holds this lock from before the event has its number until after its end.

A lock of the table against writers shows the same. But that lock also waits for VACUUM, and all writers wait
meanwhile."""
WRITERS_SECONDS = 1.0
"""How long a reader waits for open transactions."""
_BETWEEN = 0.01


def begin(connection: Connection) -> None:
    """Have all of this transaction see the same: what is committed after the list is a gap of the list."""
    connection.execution_options(isolation_level="REPEATABLE READ")


def begin_again(connection: Connection) -> None:
    """Have each statement of this transaction see what was committed before it, whatever the server's default is."""
    connection.execution_options(isolation_level="READ COMMITTED")


def has_gap(connection: Connection, since: int, last: int) -> bool:
    """Whether a number between these is missing, and may still appear. On PostgreSQL."""
    return bool(connection.execute(_HAS_GAP, {"since": since, "last": last}).scalar_one())


def wait_for_writers(connection: Connection) -> bool:
    """Wait until the end of each transaction that has added events up to now. False: not within a second. On
    PostgreSQL."""
    open_ones = _writers(connection)
    ends = runtime.monotonic() + WRITERS_SECONDS
    while open_ones and runtime.monotonic() < ends:
        runtime.sleep(_BETWEEN)
        open_ones &= _writers(connection)
    return not open_ones


def _writers(connection: Connection) -> set[str]:
    return set(connection.execute(_WRITERS).scalars())

"""The lease of the process that works on a PostgreSQL store: how long it may send without asking the database again.

The database's clock alone says when a lease ends. The holder counts from before it asked, by a clock that only goes
forward, and stops earlier by a margin. A write that has left may still be under way when another process takes over.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from sqlalchemy import Connection, text

from drivers.base import LeaseEnded
from reconciler import runtime
from reconciler.kinds.common.defect import defect
from reconciler.store.sql.database import Database
from reconciler.store.sql.store_errors import Fenced, StoreError

STORE_LEASE_SECONDS = 15.0
"""How long a process that stopped, or cannot reach the database, keeps others from taking over."""

_RENEWALS = 3
"""In the time of a lease."""
_MARGIN = 1 / 3
"""Of the lease: nothing is sent in its last third."""
_CLOCK_SECONDS = 1.0
"""By which the clock of the database may differ from what was expected, before the new time is adopted."""
_TRY_AGAIN_SECONDS = 1.0
"""After a renewal that failed."""

_RENEW = text("""
    UPDATE lease SET ends_at = clock_timestamp() + make_interval(secs => :seconds) WHERE epoch = :epoch
    RETURNING extract(epoch FROM clock_timestamp())
""")
_TAKE = text("""
    UPDATE lease SET epoch = :epoch, ends_at = clock_timestamp() + make_interval(secs => :seconds)
    RETURNING extract(epoch FROM clock_timestamp())
""")
_END = text("UPDATE lease SET ends_at = NULL WHERE epoch = :epoch")
_LEFT = text("SELECT extract(epoch FROM ends_at - clock_timestamp()), ends_at FROM lease FOR UPDATE")


class LeaseLeft(msgspec.Struct, frozen=True):
    """What is left of the lease of the process that works on the store. `seconds`: 0 or less when it has ended."""

    seconds: float
    ends_at: datetime | None


class StoreLease:
    """Of one process. `seconds`: from a renewal to the end. Any thread may ask `require`."""

    def __init__(self, seconds: float = STORE_LEASE_SECONDS) -> None:
        self.seconds = seconds
        self._until: float | None = None
        self._database_at: float | None = None
        self._ended: str | None = None
        self._lost: Fenced | None = None

    def renewed(self, asked_at: float) -> None:
        """The database has granted it, to who asked at that moment (`runtime.monotonic`)."""
        self._until = asked_at + self.seconds * (1 - _MARGIN)

    def compare_clocks(self, asked_at: float, database: float) -> None:
        """The clock of the database showed so many seconds since 1970, at some moment after `asked_at`
        (`runtime.monotonic`)."""
        found = database - (asked_at + runtime.monotonic()) / 2
        # An answer that was under way for longer would else put the time back and forth.
        if self._database_at is None or abs(found - self._database_at) > _CLOCK_SECONDS:
            self._database_at = found

    def now(self) -> datetime:
        """The time by the clock of the database, as it was compared last; the time of this host where it never was."""
        if self._database_at is None:
            return runtime.now()
        return datetime.fromtimestamp(self._database_at + runtime.monotonic(), UTC)

    def lose(self, error: Fenced) -> None:
        """Another process has taken over, or the store is not the same any more."""
        self._lost = error

    def fail(self, error: BaseException) -> None:
        """The thread that renews it has ended with a defect."""
        self._ended = f"the thread that renews the lease ended because of {defect(error)}; report this bug"

    def leave(self) -> None:
        """The process does not work on the store any more. One of its threads may not have noticed."""
        self._ended = self._ended or "this process does not work on the store any more"

    def require(self) -> None:
        """Raise LeaseEnded unless a write may leave now."""
        if self._lost is not None:
            raise LeaseEnded(str(self._lost))
        if self._ended is not None:
            raise LeaseEnded(f"nothing was sent: {self._ended}")
        if self._until is not None and runtime.monotonic() >= self._until:
            raise LeaseEnded(
                "nothing was sent: the store has not answered for so long that another groundstate process may take "
                "over. groundstate continues when the store answers; check the database"
            )

    def require_not_lost(self) -> None:
        """Raise what the lease was lost by."""
        if self._lost is not None:
            raise self._lost


def lease_left(connection: Connection) -> LeaseLeft:
    """What is left of the lease. It is not renewed before the transaction of the connection ends."""
    seconds, ends_at = connection.execute(_LEFT).one()
    return LeaseLeft(0.0 if seconds is None else float(seconds), ends_at)


def take_lease(connection: Connection, lease: StoreLease, epoch: int) -> None:
    """The lease is of that epoch from now on."""
    asked_at = runtime.monotonic()
    shown = float(connection.execute(_TAKE, {"epoch": epoch, "seconds": lease.seconds}).scalar_one())
    lease.compare_clocks(asked_at, shown)
    lease.renewed(asked_at)


def end_lease(connection: Connection, epoch: int) -> None:
    """The process of that epoch leaves: the next one need not wait."""
    connection.execute(_END, {"epoch": epoch})


def keep_lease(
    database: Database, lease: StoreLease, epoch: int, check: Callable[[Connection], None], stop: runtime.Flag
) -> None:
    """Renew it until `stop`, or until it is lost: then `check` raises Fenced. While the database does not answer, it is
    asked again and again."""
    pause = lease.seconds / _RENEWALS
    while not stop.wait(pause):
        asked_at = runtime.monotonic()
        try:
            with database.write() as connection:
                check(connection)
                renewed = connection.execute(_RENEW, {"epoch": epoch, "seconds": lease.seconds})
                lease.compare_clocks(asked_at, float(renewed.scalar_one()))
        except Fenced as error:
            lease.lose(error)
            return
        except StoreError:  # Every write of this process reports it.
            pause = min(_TRY_AGAIN_SECONDS, lease.seconds / _RENEWALS)
            continue
        lease.renewed(asked_at)
        pause = lease.seconds / _RENEWALS

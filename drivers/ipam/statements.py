"""The embedded IPAM's way to its database: plain statements on the driver's own connection, and errors in words.

SQLAlchemy gives the pool of connections. Its statement layer is left out: it costs more than the statements do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from drivers.base import Busy, Conflict, DriverError, Rejected, Unreachable
from drivers.base.support import scheduling

Run = Callable[..., Any]
"""Runs a statement with `?` where its values go, and returns a cursor."""

# PostgreSQL manual, appendix A: serialization failure, deadlock, lock not available.
_BUSY_STATES = ("40001", "40P01", "55P03")
_EXCLUSION = "23P01"
# Connection, insufficient resources (the disk among them), operator intervention, system error.
_AWAY_CLASSES = ("08", "53", "57", "58")


class IpamDatabase:
    """Transactions on an engine's connections. Everything raises DriverError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.sqlite = engine.dialect.name == "sqlite"
        # Threads that meet at SQLite's own lock sleep and try again; this one hands over at once.
        self._one_writer = scheduling.lock() if self.sqlite else nullcontext()

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """All or nothing, on disk at the end. On SQLite no other process writes meanwhile."""
        with self._one_writer, self._connection() as raw:
            if self.sqlite:
                # WAL with NORMAL may lose the last commits when the power goes, and an address with them.
                raw.execute("PRAGMA synchronous = FULL")
                raw.execute("BEGIN IMMEDIATE")
            yield self._runner(raw)
            raw.commit()

    @contextmanager
    def statements(self) -> Iterator[Run]:
        """Each statement is a transaction, which on PostgreSQL saves the round trips of begin and commit."""
        with self._connection() as raw:
            if self.sqlite:
                yield self._runner(raw)
                return
            raw.autocommit = True
            try:
                yield self._runner(raw)
            finally:
                if not raw.closed:
                    raw.autocommit = False

    @contextmanager
    def snapshot(self) -> Iterator[Run]:
        """Statements that all see the state of the database at the first one, and change nothing."""
        with self._connection() as raw:
            raw.execute("BEGIN" if self.sqlite else "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield self._runner(raw)

    @contextmanager
    def changing(self, network: str | None = None) -> Iterator[Run]:
        """A transaction in which no other process changes any network, or acquires or releases in this one (in any, if
        None)."""
        with self.transaction() as run:
            if not self.sqlite:
                run("LOCK TABLE ipam_prefix IN SHARE ROW EXCLUSIVE MODE")
                which, values = ("", ()) if network is None else ("WHERE name = ?", (network,))
                run(f"SELECT 1 FROM ipam_network {which} FOR NO KEY UPDATE", *values)  # noqa: S608  our own two texts
            yield run

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        errors = self._engine.dialect.loaded_dbapi.Error
        try:
            pooled = self._engine.raw_connection()
        except (SQLAlchemyError, errors) as error:
            raise Unreachable(f"the IPAM's database cannot be opened; check --store ({_said(error)})") from error
        raw: Any = pooled.driver_connection
        try:
            yield raw
        except errors as error:
            if getattr(raw, "closed", False):
                pooled.invalidate()
            raise (_sqlite_error if self.sqlite else _postgresql_error)(error) from error
        finally:
            # Rolls back what was not committed.
            pooled.close()

    def _runner(self, raw: Any) -> Run:
        if self.sqlite:
            return lambda statement, *values: raw.execute(statement, values)
        return lambda statement, *values: raw.execute(statement.replace("?", "%s"), values)


def plain_name(what: str, name: object) -> str:
    """The name, when an address's owner or a network may have it. Raises Rejected.

    What begins with # is a pool's, in the same tables.
    """
    if not isinstance(name, str) or not name or not name.isprintable() or name.startswith("#"):
        raise Rejected(f"{name!r} is not a valid name for {what}; write printable text that does not begin with #")
    return name


def _sqlite_error(error: Exception) -> DriverError:
    said = _said(error)
    if "locked" in said or "busy" in said:
        return Busy(f"another process holds the IPAM's database; try again when that process has finished ({said})")
    if "is full" in said:
        return Unreachable(f"the disk of the IPAM's database is full; free some space, nothing was changed ({said})")
    if "no such table" in said:
        return Rejected(
            f"the database has no tables of the IPAM; `groundstate apply` with this --store creates them ({said})"
        )
    return Unreachable(f"the IPAM's database failed; check the database of --store ({said})")


def _postgresql_error(error: Exception) -> DriverError:
    said, state = _said(error), getattr(error, "sqlstate", None)
    if state is None or state[:2] in _AWAY_CLASSES:
        # The connection may have broken between the commit and its answer.
        return Unreachable(f"the IPAM's database failed; check the database of --store ({said})", maybe_sent=True)
    if state in _BUSY_STATES:
        return Busy(f"the IPAM's database was busy, and nothing was changed; try again in a moment ({said})")
    if state == _EXCLUSION:
        return Conflict(f"the prefixes of two networks overlap; change one of the prefixes ({said})")
    return Rejected(
        f"the IPAM's database refused a statement, and nothing was changed; check the database of --store ({said})"
    )


def _said(error: Exception) -> str:
    origin = getattr(error, "orig", None) or error
    return (str(origin).strip() or type(origin).__name__).splitlines()[0]

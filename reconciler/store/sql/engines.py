"""How an engine of each database is made: its URL, what its connections are set to, and how a transaction begins."""

from __future__ import annotations

import errno
import logging
import os
import re
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from drivers.base import note_secrets
from reconciler import runtime
from reconciler.model.retry import STORE_LOCKED
from reconciler.store.sql.round_trips import in_sqlalchemy_errors
from reconciler.store.sql.store_errors import NoStore, StoreError, store_error

BUSY_SECONDS = 10.0
"""How long a writer waits for another process's transaction on SQLite."""

_CACHE_KIB = 512
"""A quarter of SQLite's own, for each connection of the pool: the host caches the file, and no work is measurably
slower."""
_SILENT_MS = 10_000
"""What was sent to PostgreSQL and is not acknowledged for so long ends the connection, instead of after 15 minutes."""
LONGEST_IDLE_SECONDS, _SHORTEST_IDLE_SECONDS = 15.0, 2.0
"""After which PostgreSQL ends a session that stands still in a transaction. A process that is stopped there would keep
the row of `instance` from who takes over, for longer than its lease."""

OLDEST_SQLITE = (3, 35)
"""The first with RETURNING."""

BEGIN_OPTION, DURABLE_OPTION = "groundstate_begin", "groundstate_durable"
"""Execution options: how a transaction of SQLite begins, and whether it is forced to disk."""
POOLED_MARK = "groundstate_pooled"
"""In the `info` of a connection behind which is a pool of PostgreSQL's sessions."""

LOG_ENDS = ("-wal", "-shm")
"""What SQLite adds to the name for its log and the index of that. Both stay while a connection is open; a pool keeps
one."""

_QUERY = re.compile(r"^([A-Za-z][\w+]*://[^?]*\?)([A-Za-z_]+=.*)$", re.DOTALL)
"""A URL up to its query, and that: SQLAlchemy takes what stands before an `@` in it for user and password."""


def parse_url(url: str) -> URL:
    """The URL with its driver named; its passwords are secrets from here on. Raises StoreError for anything but SQLite
    and PostgreSQL."""
    try:
        parsed = make_url(_QUERY.sub(lambda found: found[1] + found[2].replace("@", "%40"), url))
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError) as error:
        # The text itself may hold a password, so it is not repeated.
        raise StoreError(
            "the store's URL cannot be read; write sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from error
    if backend == "sqlite":
        return parsed.set(drivername="sqlite")
    if backend in ("postgresql", "postgres"):
        # SQLAlchemy lets the password end at its first `@`; psql, and people, at the last one before the host.
        rest, at, host = (parsed.host or "").rpartition("@")
        if at:
            parsed = parsed.set(password=f"{parsed.password or ''}@{rest}", host=host)
        query = (parsed.query.get(name) for name in ("password", "sslpassword"))
        note_secrets(str(parsed.password or ""), *(one if isinstance(one, str) else "" for one in query))
        return parsed.set(drivername="postgresql+psycopg")
    raise StoreError(f"store {backend}: only sqlite:///FILE and postgresql://USER@HOST/NAME are supported")


def check_place(url: URL, *, create: bool) -> None:
    """Say what SQLite would only call "unable to open database file", or a syntax error."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        raise StoreError(
            f"this Python has SQLite {sqlite3.sqlite_version}, but groundstate needs SQLite {needed}; use a "
            "newer Python, or a PostgreSQL store"
        )
    if not url.database or url.database == ":memory:":
        return
    path = Path(url.database)
    try:
        if path.is_dir():
            raise StoreError(f"store {path}: the path is a directory; name a file in the directory")
        if not path.exists() and not create:
            raise NoStore(str(path))
        if path.exists() and not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if not path.parent.is_dir():
            raise StoreError(f"store {path}: its directory does not exist; create {path.parent} first")
    except OSError as error:
        raise store_error(error, str(path)) from error


def open_engine(url: URL, *, read_only: bool = False) -> Engine:
    """The engine; nothing is connected yet."""
    if url.get_backend_name() == "postgresql":
        # It warns on stderr of a connection that was lost, which the error says that it raises.
        logging.getLogger("psycopg").setLevel(logging.CRITICAL)
        engine = create_engine(
            url,
            pool_size=8,
            max_overflow=16,
            hide_parameters=True,
            connect_args={
                "connect_timeout": 10,
                "keepalives_idle": 30,
                # Whoever waits for an answer has sent nothing that is not acknowledged. The system asks once in 75 s,
                # and the server repeats its answer as seldom after a cut.
                "keepalives_interval": _SILENT_MS // 1000,
                "tcp_user_timeout": _SILENT_MS,
            },
            execution_options={"postgresql_readonly": True} if read_only else {},
        )
        event.listen(engine, "connect", _connect_postgresql)
        event.listen(engine, "begin", _begin_postgresql)
        return engine
    in_memory = not url.database or url.database == ":memory:"
    # In memory, each connection would be a database of its own: one is shared, by one thread at a time.
    sizes = {"pool_size": 1, "max_overflow": 0} if in_memory else {"pool_size": 8, "max_overflow": 16}
    arguments = {"timeout": BUSY_SECONDS, "check_same_thread": False}
    if read_only and not in_memory and url.database and not url.database.startswith("file:"):
        # At each connection, as a daemon may begin its work meanwhile.
        made: dict[str, Any] = {"creator": partial(_open_to_read, Path(url.database).absolute())}
    else:
        made = {"connect_args": arguments}
    engine = create_engine(url, poolclass=QueuePool, hide_parameters=True, **made, **sizes)
    event.listen(engine, "connect", _connect_read_only if read_only else _connect_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _open_to_read(file: Path) -> sqlite3.Connection:
    """A store at rest has no log, and who may not write beside it cannot make one. SQLite then reads it only as a file
    that does not change. The file holds everything that was committed, because the last process that closes a store
    empties the log."""
    at_rest = not any(file.with_name(file.name + end).exists() for end in LOG_ENDS)
    fixed = at_rest and file.exists() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))
    address = f"{file.as_uri()}?mode={'ro&immutable=1' if fixed else 'rw'}"
    return sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, check_same_thread=False)


def _connect_sqlite(connection: Any, _record: object) -> None:
    # Without this the sqlite3 module decides by itself where a transaction begins, and reads see no snapshot.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    keep_journal(connection)
    # WAL with NORMAL may lose the last commits when the power goes (sqlite.org/pragma.html#pragma_synchronous).
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")


def _connect_read_only(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA query_only = ON")


def keep_journal(connection: Any, pause: Callable[[float], None] = runtime.sleep) -> None:
    """Switch the write-ahead log on, which is off in a new file.

    While another connection writes to the new file, SQLite refuses the change at once, whatever the connection's
    timeout. Waiting with a read lock for a write lock might wait for ever (sqlite.org/c3ref/busy_handler.html). So that
    is waited out here, `pause` being given the seconds. Raises sqlite3.OperationalError."""
    for _ in range(round(BUSY_SECONDS / STORE_LOCKED)):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            pause(STORE_LOCKED)
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL")


def _connect_postgresql(connection: Any, record: Any) -> None:
    connection.autocommit = True
    setting = _idle_setting(LONGEST_IDLE_SECONDS)
    (server, _), *_ = connection.execute(f"SELECT pg_backend_pid(), {setting}")
    connection.autocommit = False
    if server != connection.info.backend_pid:
        # PgBouncer gives a number of its own. In its transaction mode the next statement may go to another server,
        # which does not know what was prepared on this one.
        record.info[POOLED_MARK] = True
        connection.prepare_threshold = None


def limit_idle(engine: Engine, seconds: float) -> None:
    """Have PostgreSQL end the sessions that stand still in a transaction for so long, within bounds. Sessions that are
    open are replaced."""
    setting = _idle_setting(min(LONGEST_IDLE_SECONDS, max(_SHORTEST_IDLE_SECONDS, seconds)))

    def limit(connection: Any, _record: Any) -> None:
        connection.autocommit = True
        connection.execute(f"SELECT {setting}")
        connection.autocommit = False

    event.listen(engine, "connect", limit)
    engine.dispose()


def _idle_setting(seconds: float) -> str:
    return f"set_config('idle_in_transaction_session_timeout', '{seconds * 1000:.0f}', false)"


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    driver = cast("sqlite3.Connection", connection.connection.driver_connection)
    with in_sqlalchemy_errors(connection):
        if DURABLE_OPTION in options:
            driver.execute(f"PRAGMA synchronous = {'FULL' if options[DURABLE_OPTION] else 'NORMAL'}")
        driver.execute(options.get(BEGIN_OPTION, "BEGIN"))


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get(DURABLE_OPTION) is False:
        connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")

"""Opens the database behind the store and gives out its transactions. SQLite and PostgreSQL differ here and hardly
anywhere else."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from drivers.base import note_secrets
from reconciler import runtime
from reconciler.model.retry import STORE_LOCKED
from reconciler.store.sql.file_modes import give_access
from reconciler.store.sql.migrate import HEAD, migrate, refuse_newer, schema_version
from reconciler.store.sql.round_trips import in_sqlalchemy_errors
from reconciler.store.sql.store_errors import NoStore, StoreError, StoreGone, store_address, store_error

BUSY_SECONDS = 10.0
"""How long a writer waits for another process's transaction on SQLite."""

_CACHE_KIB = 512
"""A quarter of SQLite's own, for each connection of the pool: the host caches the file, and no work is measurably
slower."""
_SILENT_MS = 10_000
"""What was sent to PostgreSQL and is not acknowledged for so long ends the connection, instead of after 15 minutes."""
_IDLE_MS = 15_000
"""After which PostgreSQL ends a session that stands still in a transaction."""

OLDEST_SQLITE = (3, 35)
"""The first with RETURNING."""

_BEGIN, _DURABLE, _POOLED = "groundstate_begin", "groundstate_durable", "groundstate_pooled"


_LOG = ("-wal", "-shm")
"""What SQLite adds to the name for its log and the index of that. Both stay while a connection is open; a pool keeps
one."""
_NOW_WHAT = (
    "groundstate sends nothing more, because it could not record what it sends. Restore the file or a "
    'backup (see "Where facts are '
    'kept" in the how-to), and start groundstate again'
)


Alone = Callable[["Database"], AbstractContextManager[object]]
"""Keeps others from being at work on the store for a while."""


_QUERY = re.compile(r"^([A-Za-z][\w+]*://[^?]*\?)([A-Za-z_]+=.*)$", re.DOTALL)
"""A URL up to its query, and that: SQLAlchemy takes what stands before an `@` in it for user and password."""


class Database:
    """An open database of the current schema. Safe for use by several threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.where = store_address(engine.url)
        self.copied: str | None = None
        """The schema of the older store that this is a copy of."""
        self._durable = engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE", _DURABLE: True})
        self._relaxed = engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE", _DURABLE: False})
        # psycopg would wait for the answer to a BEGIN of its own.
        self._together = self._durable if self.sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
        # Threads that meet at SQLite's own lock sleep and try again; this one hands over at once.
        self._identities: dict[Path, tuple[int, int]] = {}
        """By which its files are supported again, each by device and inode."""
        self._one_writer = runtime.lock() if self.sqlite else nullcontext()

    @classmethod
    def open(cls, url: str, *, create: bool = True, alone: Alone = nullcontext) -> Database:
        """Open and bring up to date; an older store while `alone`, as what is at work on it knows its schema.

        Raises StoreError.
        """
        with cls._opened(_checked(url, create=create)) as database:
            if database.file is not None:
                give_access(database.file)
            found = database._version()
            if found != HEAD:
                with alone(database) if found is not None else nullcontext():
                    migrate(database.engine, database._durable)
            database._remember_files("", *_LOG)
        return database

    @classmethod
    def read_only(cls, url: str) -> Database:
        """Open without changing anything; of an older SQLite store a copy in memory, brought up to date, is read.

        Raises NoStore when there is none yet, StoreError when it is newer, or older on PostgreSQL.
        """
        parsed = _checked(url, create=False)
        with cls._opened(parsed, read_only=True) as database:
            found = database._version()
            if found is None:
                raise NoStore(database.where)
            database._remember_files("")
            if found == HEAD:
                return database
            refuse_newer(found)
            if not database.sqlite:
                raise StoreError(
                    f"store {database.where} has schema {found} of an older groundstate; nothing was changed. "
                    "Stop the older groundstate. Then `groundstate apply` or `groundstate run` of this version "
                    f"changes the store to schema {HEAD}"
                )
            copy = database._copy()
        database.close()
        copy.copied = found
        return copy

    @classmethod
    @contextmanager
    def _opened(cls, url: URL, *, read_only: bool = False) -> Iterator[Database]:
        database = cls(_engine(url, read_only=read_only))
        try:
            with database.in_words():
                yield database
        except StoreError:
            database.close()
            raise

    def _version(self) -> str | None:
        with self.engine.connect() as connection:
            return schema_version(connection)

    def _remember_files(self, *ends: str) -> None:
        for file in (self.file.with_name(self.file.name + end) for end in ends) if self.file else ():
            with suppress(FileNotFoundError):  # Where the file system allows no log.
                self._identities[file] = _identity(file)

    def _copy(self) -> Database:
        """A copy in memory, of today's schema."""
        copy = Database(_engine(make_url("sqlite://")))
        with (
            copy.in_words(),
            closing(self.engine.raw_connection()) as mine,
            closing(copy.engine.raw_connection()) as new,
        ):
            mine.driver_connection.backup(new.driver_connection)  # type: ignore[union-attr]  # sqlite3's, as it is open
        with copy.in_words():
            migrate(copy.engine, copy._durable)
        copy.where = self.where
        return copy

    @property
    def sqlite(self) -> bool:
        """Whether it is SQLite; otherwise it is PostgreSQL."""
        return self.engine.dialect.name == "sqlite"

    def is_pooled(self) -> bool:
        """Whether a pool such as PgBouncer is before PostgreSQL: two transactions of one connection may then be in two
        sessions. Raises StoreError."""
        with self.in_words(), self.engine.connect() as connection:
            return _POOLED in connection.info

    @property
    def file(self) -> Path | None:
        """The SQLite file; None in memory and on PostgreSQL."""
        name = self.engine.url.database
        return Path(name) if self.sqlite and name and name != ":memory:" else None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads. Raises StoreError."""
        with self.in_words(), self.engine.connect() as connection:
            self.check_file()
            yield connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """A transaction that holds the write lock from the start on SQLite, committed at the end. Raises StoreError.

        `durable` False: the last such commits may be lost when the machine (not the process) dies; the database stays
        whole. For what another look at the fleet brings back.
        """
        engine = self._durable if durable else self._relaxed
        with self.in_words(), self._one_writer, engine.begin() as connection:
            self.check_file()
            yield connection
            self.check_file()

    def mark(self) -> str:
        """A text that is another one after each change; it may be another one without a change too."""
        if not self.sqlite:
            with self.read() as connection:
                return str(connection.exec_driver_sql("SELECT txid_current_snapshot()").scalar_one())
        found = []
        for file in (self.file, self.file.with_name(self.file.name + _LOG[0])) if self.file else ():
            with suppress(FileNotFoundError):
                state = file.stat()
                found.append(f"{state.st_ino}:{state.st_mtime_ns}:{state.st_size}")
        return " ".join(found)

    @contextmanager
    def write_together(self) -> Iterator[Connection]:
        """As `write`, for who goes to PostgreSQL as seldom as can be. The first statements must be those of `ask` with
        `begins`; those of `sending` with `commits` may be the last. Raises StoreError."""
        with self.in_words(), self._one_writer, self._together.begin() as connection:
            self.check_file()
            yield connection
            self.check_file()

    def check_file(self) -> None:
        """Raise StoreGone if a path no longer leads to the file that SQLite opened: the database, its log, or the index
        of the log. Without them the latest writes are lost, or two processes damage the database.

        SQLite itself goes on writing to a file that was deleted (sqlite.org/howtocorrupt.html, 2.4)."""
        for file, identity in self._identities.items():
            try:
                found = file.stat()
            except OSError:
                raise StoreGone(f"store {self.where}: {_named(file)} was deleted or moved away; {_NOW_WHAT}") from None
            if (found.st_dev, found.st_ino) != identity:
                raise StoreGone(f"store {self.where}: another file was put in place of {_named(file)}; {_NOW_WHAT}")
            if not found.st_size and file == self.file:
                raise StoreGone(f"store {self.where}: {_named(file)} was emptied; {_NOW_WHAT}")

    @contextmanager
    def in_words(self) -> Iterator[None]:
        """Turn the database's errors into StoreErrors."""
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            raise store_error(error, self.where) from error
        except UnicodeEncodeError as error:
            raise StoreError(
                f"store {self.where}: nothing was written, because a text is no valid Unicode ({error}); correct the "
                "text, and try again"
            ) from error

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _checked(url: str, *, create: bool) -> URL:
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        _check_file(parsed, create=create)
    return parsed


def _identity(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_dev, found.st_ino


def _named(file: Path) -> str:
    return f"its {file.name[-4:]} file" if file.name.endswith(_LOG) else "the file"


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


def _check_file(url: URL, *, create: bool) -> None:
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


def _engine(url: URL, *, read_only: bool = False) -> Engine:
    if url.get_backend_name() == "postgresql":
        engine = create_engine(
            url,
            pool_size=8,
            max_overflow=16,
            hide_parameters=True,
            connect_args={"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": _SILENT_MS},
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
    at_rest = not any(file.with_name(file.name + end).exists() for end in _LOG)
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
    # A process that is stopped in a transaction would keep the row of `instance` from who takes over.
    setting = f"set_config('idle_in_transaction_session_timeout', '{_IDLE_MS}', false)"
    (server, _), *_ = connection.execute(f"SELECT pg_backend_pid(), {setting}")
    connection.autocommit = False
    if server != connection.info.backend_pid:
        # PgBouncer gives a number of its own. In its transaction mode the next statement may go to another server,
        # which does not know what was prepared on this one.
        record.info[_POOLED] = True
        connection.prepare_threshold = None


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    driver = cast("sqlite3.Connection", connection.connection.driver_connection)
    with in_sqlalchemy_errors(connection):
        if _DURABLE in options:
            driver.execute(f"PRAGMA synchronous = {'FULL' if options[_DURABLE] else 'NORMAL'}")
        driver.execute(options.get(_BEGIN, "BEGIN"))


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get(_DURABLE) is False:
        connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")

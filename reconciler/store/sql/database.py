"""Opens the database behind the store and gives out its transactions. SQLite and PostgreSQL differ here and hardly
anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from reconciler import runtime
from reconciler.store.sql.engines import (
    BEGIN_OPTION,
    DURABLE_OPTION,
    LOG_ENDS,
    LONGEST_IDLE_SECONDS,
    POOLED_MARK,
    check_place,
    limit_idle,
    open_engine,
    parse_url,
)
from reconciler.store.sql.file_modes import give_access
from reconciler.store.sql.migrate import HEAD, migrate, refuse_newer, schema_version
from reconciler.store.sql.store_errors import NoStore, StoreError, StoreGone, store_address, store_error

_NOW_WHAT = (
    "groundstate sends nothing more, because it could not record what it sends. Restore the file or a "
    'backup (see "Where facts are '
    'kept" in the how-to), and start groundstate again'
)


Alone = Callable[["Database"], AbstractContextManager[object]]
"""Keeps others from being at work on the store for a while."""

_TOGETHER: ContextVar[tuple[Database, Connection] | None] = ContextVar("together", default=None)
"""The transaction in which a thread reads for a while."""


class Database:
    """An open database of the current schema. Safe for use by several threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.where = store_address(engine.url)
        self.copied: str | None = None
        """The schema of the older store that this is a copy of."""
        self._durable = engine.execution_options(**{BEGIN_OPTION: "BEGIN IMMEDIATE", DURABLE_OPTION: True})
        self._relaxed = engine.execution_options(**{BEGIN_OPTION: "BEGIN IMMEDIATE", DURABLE_OPTION: False})
        # psycopg would wait for the answer to a BEGIN of its own.
        self._together = self._durable if self.sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
        # Threads that meet at SQLite's own lock sleep and try again; this one hands over at once.
        self._identities: dict[Path, tuple[int, int]] = {}
        """By which its files are supported again, each by device and inode."""
        self._idle_seconds = LONGEST_IDLE_SECONDS
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
                refuse_newer(found)
                with alone(database) if found is not None else nullcontext():
                    migrate(database.engine, database._durable)
            database._remember_files("", *LOG_ENDS)
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
        database = cls(open_engine(url, read_only=read_only))
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
        copy = Database(open_engine(make_url("sqlite://")))
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
            return POOLED_MARK in connection.info

    def limit_idle(self, seconds: float) -> None:
        """Have PostgreSQL end sessions of this process that stand still in a transaction for so long."""
        if not self.sqlite and seconds != self._idle_seconds:
            self._idle_seconds = seconds
            limit_idle(self.engine, seconds)

    @property
    def file(self) -> Path | None:
        """The SQLite file; None in memory and on PostgreSQL."""
        name = self.engine.url.database
        return Path(name) if self.sqlite and name and name != ":memory:" else None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads. Raises StoreError."""
        together = _TOGETHER.get()
        if together is not None and together[0] is self:
            with self.in_words():
                yield together[1]
            return
        with self.in_words(), self.engine.connect() as connection:
            self.check_file()
            yield connection

    @contextmanager
    def read_together(self) -> Iterator[None]:
        """All that this thread reads in the block is one transaction on PostgreSQL, of which each statement sees what
        was committed before it. Raises StoreError."""
        if self.sqlite:
            yield
            return
        with self.read() as connection:
            token = _TOGETHER.set((self, connection))
            try:
                yield
            finally:
                _TOGETHER.reset(token)

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
        for file in (self.file, self.file.with_name(self.file.name + LOG_ENDS[0])) if self.file else ():
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
        check_place(parsed, create=create)
    return parsed


def _identity(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_dev, found.st_ino


def _named(file: Path) -> str:
    return f"its {file.name[-4:]} file" if file.name.endswith(LOG_ENDS) else "the file"

"""A database for the embedded IPAM whose connection can die before or after any statement, the commit included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine

from drivers.ipam.statements import IpamDatabase


class Crash(Exception):
    """The process died here, as far as the database can tell."""


class CrashingDatabase(IpamDatabase):
    """`after` statements from now the connection is gone: before the statement is run, or (`done`) when it has been."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.after: int | None = None
        self.done = False

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        with super()._connection() as raw:
            yield _Connection(raw, self)


class _Connection:
    """A connection of psycopg or sqlite3, with a last statement."""

    def __init__(self, raw: Any, database: CrashingDatabase) -> None:
        self.__dict__.update(raw=raw, database=database)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.raw, name, value)

    def execute(self, *statement: Any) -> Any:
        return self._last_or_not(lambda: self.raw.execute(*statement))

    def commit(self) -> None:
        self._last_or_not(self.raw.commit)

    def _last_or_not(self, call: Callable[[], Any]) -> Any:
        database: CrashingDatabase = self.database
        if database.after is None:
            return call()
        database.after -= 1
        if database.after >= 0:
            return call()
        database.after = None
        if database.done:
            call()
        self.raw.close()
        raise Crash

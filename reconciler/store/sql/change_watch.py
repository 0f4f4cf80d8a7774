"""Whether there is anything new in a store, for who reads it every few seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from reconciler.store.sql.database import Database
from reconciler.store.sql.round_trips import in_sqlalchemy_errors


@contextmanager
def change_watch(database: Database) -> Iterator[Callable[[], bool]]:
    """A function that returns whether any connection may have committed something since its last call. The first call
    returns True, and so does each on PostgreSQL. For one thread. Raises StoreError.

    SQLite counts the commits of all connections but the one that asks (sqlite.org/pragma.html#pragma_data_version). So
    a connection is kept that does nothing else. Its answer costs a hundredth of a read."""
    if database.file is None:
        yield lambda: True
        return
    with database.in_words():
        opened = database.engine.raw_connection()
    with closing(opened):
        driver: Any = opened.driver_connection
        last: object = None

        def may_have_changed() -> bool:
            nonlocal last
            with database.in_words(), in_sqlalchemy_errors(database.engine):
                database.check_file()
                before, last = last, driver.execute("PRAGMA data_version").fetchone()
            return before != last

        yield may_have_changed

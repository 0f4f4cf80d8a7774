"""A reader of the ledger that remembers the largest number misses no event, whatever ends first on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import ResourceKey
from reconciler.store import Store
from reconciler.store.rows import ledger_order

VALUE = '{"at":"2026-01-01T00:00:00Z","type":"Normal","reason":"Bound","message":"first"}'
INSERT = "INSERT INTO event (at, value) VALUES (now(), %s)"


@pytest.fixture
def store(empty_postgresql_url: str) -> Iterator[Store]:
    opened = Store.open(empty_postgresql_url)
    yield opened
    opened.close()


@pytest.fixture
def slow(empty_postgresql_url: str, store: Store) -> Iterator[psycopg.Connection]:
    """A writer whose event has its number, and is not committed yet."""
    with psycopg.connect(empty_postgresql_url) as connection:
        connection.execute(INSERT, (VALUE,))
        store.append(
            [Event(datetime.now(UTC), EventType.NORMAL, EventReason.BOUND, "second", ResourceKey("Machine", "m"))]
        )
        yield connection


def read(store: Store) -> list[str]:
    return [entry.event.message for entry in store.follow(0)]


def test_an_event_behind_one_that_is_not_committed_yet_is_not_read_yet(store: Store, slow: psycopg.Connection) -> None:
    assert read(store) == []
    slow.commit()
    assert read(store) == ["first", "second"]


def test_a_number_that_was_rolled_back_keeps_no_event_back(store: Store, slow: psycopg.Connection) -> None:
    slow.rollback()
    assert read(store) == ["second"]


def test_a_list_that_nobody_reads_on_waits_for_nobody(store: Store, slow: psycopg.Connection) -> None:
    assert [entry.event.message for entry in store.events()] == ["second"]


def test_a_reader_that_stops_while_it_holds_the_lock_keeps_nobody_from_writing_for_long(store: Store) -> None:
    """PostgreSQL ends the session; without that, the lock of a suspended laptop lasts until TCP gives up."""
    with store._database.read() as connection:
        assert ledger_order.wait_for_writers(connection)
        assert connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one() == "5s"
    with store._database.read() as connection:
        assert connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one() == "0"

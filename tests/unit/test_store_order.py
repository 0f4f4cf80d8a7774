"""A reader of the ledger that remembers the largest number misses no event, whatever ends first on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest

from reconciler import runtime
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import ResourceKey
from reconciler.store import Store

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


def test_a_reader_waits_for_no_vacuum_and_no_writer_waits_for_a_reader(
    store: Store, slow: psycopg.Connection, empty_postgresql_url: str
) -> None:
    """VACUUM holds this lock on a large ledger for minutes."""
    with psycopg.connect(empty_postgresql_url) as vacuum, psycopg.connect(empty_postgresql_url) as writer:
        vacuum.execute("LOCK TABLE event IN SHARE UPDATE EXCLUSIVE MODE")
        writer.execute("SET lock_timeout = '100ms'")
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(read, store)
            for _ in range(20):
                writer.execute(INSERT, (VALUE,))
                writer.commit()
            slow.rollback()
            reading.result()
        assert len(read(store)) == 21


def test_what_is_added_while_a_reader_waits_is_not_ahead_of_a_gap(
    store: Store, slow: psycopg.Connection, empty_postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second writer has its number while the reader waits for the first one, and a third one ends before it."""
    with psycopg.connect(empty_postgresql_url) as late:

        def wait(_seconds: float) -> None:
            monkeypatch.setattr(runtime, "sleep", lambda _: None)
            late.execute(INSERT, (VALUE,))
            store.append([Event(datetime.now(UTC), EventType.NORMAL, EventReason.BOUND, "last", None)])
            slow.commit()

        monkeypatch.setattr(runtime, "sleep", wait)
        assert read(store) == ["first", "second"]
        late.commit()
    assert read(store) == ["first", "second", "first", "last"]


@pytest.mark.usefixtures("slow")
def test_a_writer_that_does_not_end_keeps_what_follows_back(store: Store) -> None:
    assert [read(store) for _ in range(2)] == [[], []]

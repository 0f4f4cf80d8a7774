"""What goes wrong with a store is said in words: where, why, and what to do. Never a traceback, never a password."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg as psycopg_dialect
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from reconciler.store import Store, StoreError
from reconciler.store.sql.engines import parse_url
from reconciler.store.sql.store_errors import is_outage


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://h/d", "only sqlite:///FILE and postgresql://USER@HOST/NAME"),
        ("state.db", "URL cannot be read; write sqlite:///FILE"),
        ("", "URL cannot be read"),
        (
            "sqlite:////nowhere/at/all/state.db",
            r"/nowhere/at/all/state.db: its directory does not exist; create /nowhere",
        ),
        ("sqlite:////proc", "the path is a directory; name a file in the directory"),
        ("postgresql://u:geheim@127.0.0.1:1/d", r"u:\*\*\*@127.0.0.1:1/d: the database cannot be reached; check that"),
    ],
)
def test_a_store_that_cannot_be_opened(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        Store.open(url)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2", "postgresql+psycopg"])
def test_postgresql_is_always_spoken_to_by_psycopg_3(scheme: str) -> None:
    assert parse_url(f"{scheme}://u@h/d").drivername == "postgresql+psycopg"


def test_one_that_does_not_exist_and_must_not_be_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist yet"):
        Store.open(f"sqlite:///{tmp_path / 'state.db'}", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("kind: Machine\n" * 100)
    with pytest.raises(StoreError, match=r"state.db: the file is not a SQLite database; check the path"):
        Store.open(f"sqlite:///{tmp_path / 'state.db'}")


def test_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    Store.open(f"sqlite:///{path}").close()
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    with pytest.raises(StoreError, match=r"state.db: the file is damaged; move the file away and restore a backup"):
        Store.open(f"sqlite:///{path}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="check that it exists and is writable"):
        Store.open(f"sqlite:///{tmp_path / 'state.db'}")


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    store = Store.open(url)
    store.put_meta("kept", "1")

    @event.listens_for(store.engine, "checkout")
    def limit(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")

    with pytest.raises(StoreError, match="the disk is full; nothing was changed"):
        store.put_meta("big", "x" * 1_000_000)
    store.close()
    reopened = Store.open(url)
    assert (reopened.get_meta("kept"), reopened.get_meta("big")) == ("1", None)
    reopened.close()


def test_a_database_that_another_program_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.store.sql.engines.BUSY_SECONDS", 0.05)
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another process has locked the file for too long"):
        store.put_meta("name", "value")
    other.close()
    store.put_meta("name", "value")
    store.close()


def test_a_sqlite_that_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(StoreError, match=r"needs SQLite 3\.35; use a newer Python"):
        Store.open(f"sqlite:///{tmp_path / 'state.db'}")


@pytest.mark.parametrize("empty_store_url", ["postgresql"], indirect=True)
def test_a_server_that_goes_away_is_told_and_found_again(store: Store, store_url: str) -> None:
    with store.engine.connect() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    with psycopg.connect(store_url) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", [pid])
    with pytest.raises(StoreError, match=r"terminating connection|server closed"):
        store.get_meta("name")
    assert store.get_meta("name") is None


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (psycopg.OperationalError("connection failed"), True),
        (psycopg.InterfaceError("the connection is closed"), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.CannotConnectNow(), True),
        (psycopg.errors.TooManyConnections(), True),
        (psycopg.errors.ReadOnlySqlTransaction(), True),
        (psycopg.errors.IdleInTransactionSessionTimeout(), True),
        (psycopg.errors.QueryCanceled(), False),
        (psycopg.errors.DeadlockDetected(), False),
        (psycopg.errors.UniqueViolation(), False),
        (psycopg.errors.UndefinedTable(), False),
    ],
    ids=lambda one: type(one).__name__,
)
def test_which_errors_of_postgresql_are_an_outage(error: psycopg.Error, outage: bool) -> None:
    wrapped = DBAPIError.instance(None, None, error, psycopg.Error, dialect=psycopg_dialect())  # type: ignore[no-untyped-call]
    assert isinstance(wrapped, SQLAlchemyError)
    assert is_outage(wrapped, "postgresql://h/d") is outage


def test_a_locked_file_is_no_outage(tmp_path: Path) -> None:
    error = OperationalError(None, None, sqlite3.OperationalError("database is locked"))
    assert not is_outage(error, str(tmp_path))

"""A database is brought to the program's schema where it is opened to be written; one that is newer is refused, and
whoever only reads changes nothing."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from reconciler.store import InstanceHeld, NoStore, Store, StoreError
from reconciler.store.sql import tables
from reconciler.store.sql.engines import BUSY_SECONDS, keep_journal, parse_url
from reconciler.store.sql.migrate import HEAD, NEW_SQLITE, SCRIPTS, schema_version, upgrade
from reconciler.store.sql.new_schema import new_schema


def test_an_empty_database_gets_today_s_schema(empty_store_url: str) -> None:
    store = Store.open(empty_store_url)
    with store.engine.connect() as connection:
        assert schema_version(connection) == HEAD
    assert {"event", "facts", "in_flight", "ipam_allocation"} <= set(inspect(store.engine).get_table_names())
    store.close()


def test_a_new_sqlite_store_is_made_as_the_migrations_make_it() -> None:
    assert NEW_SQLITE.read_text("utf-8") == new_schema(), "run: python -m reconciler.store.sql.new_schema"
    with create_engine("sqlite://").begin() as connection:
        upgrade(connection)
        migrated = contents(connection)
    store = Store.open("sqlite://")
    with store.engine.connect() as connection:
        assert contents(connection) == migrated
    store.close()


def contents(connection: Connection) -> dict[str, object]:
    """What is in an SQLite database: how everything was made, and all rows."""
    made = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").all()
    tables_made = [name for what, name, _, _ in made if what == "table"]
    rows = {name: connection.exec_driver_sql(f'SELECT * FROM "{name}"').all() for name in tables_made}  # noqa: S608
    return {"made": made, **rows}


def test_a_database_with_tables_of_another_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    other = sqlite3.connect(file)
    other.execute("CREATE TABLE meta (anything TEXT)")
    other.close()
    with pytest.raises(StoreError):
        Store.open(f"sqlite:///{file}")
    other = sqlite3.connect(file)
    assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("meta",)]
    other.close()


def test_opening_again_changes_nothing(empty_store_url: str) -> None:
    Store.open(empty_store_url).close()
    store = Store.open(empty_store_url)
    store.put_meta("name", "value")
    store.close()
    store = Store.open(empty_store_url)
    assert store.get_meta("name") == "value"
    store.close()


def test_several_that_open_an_empty_database_at_once_all_succeed(empty_store_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: Store.open(empty_store_url), range(4)))
    assert [store.get_meta("name") for store in stores] == [None] * 4
    for store in stores:
        store.close()


def test_an_open_waits_for_one_that_makes_the_tables_in_a_new_file(tmp_path: Path) -> None:
    first, second = (sqlite3.connect(tmp_path / "new.db", isolation_level=None) for _ in range(2))
    first.execute("BEGIN IMMEDIATE")
    paused = []

    def pause(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 3:
            first.execute("COMMIT")

    keep_journal(second, pause)
    assert second.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert len(paused) == 3
    for connection in (first, second):
        connection.close()


def test_an_open_does_not_wait_for_ever(tmp_path: Path) -> None:
    first, second = (sqlite3.connect(tmp_path / "new.db", isolation_level=None) for _ in range(2))
    first.execute("BEGIN IMMEDIATE")
    paused: list[float] = []
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        keep_journal(second, paused.append)
    assert sum(paused) == pytest.approx(BUSY_SECONDS)
    for connection in (first, second):
        connection.close()


def test_a_database_of_a_newer_program_is_refused(store_url: str) -> None:
    store = Store.open(store_url)
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(StoreError, match=r"schema 9999.*A newer groundstate made the store"):
        Store.open(store_url)


def test_an_older_program_does_not_wait_until_it_may_change_the_store_of_a_newer_one(store_url: str) -> None:
    store = Store.open(store_url)
    with store.instance("run"):
        with store.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(StoreError, match="A newer groundstate made the store"):
            Store.open(store_url)
    store.close()


def older(url: str, version: str = "0005") -> None:
    """Make a store as an older program made it."""
    engine = create_engine(parse_url(url))
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        connection.execute(text("INSERT INTO meta (name, value) VALUES ('name', 'kept')"))
    engine.dispose()


def test_an_older_store_loses_its_queue_and_nothing_else(empty_store_url: str) -> None:
    older(empty_store_url, "0009")
    store = Store.open(empty_store_url)
    assert store.get_meta("name") == "kept"
    assert "queue" not in inspect(store.engine).get_table_names()
    store.close()


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}


class TestReading:
    """Whoever only looks changes nothing: `plan` of a newer program must not alter the store under an older daemon."""

    def test_an_older_file_is_read_as_a_copy(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'state.db'}"
        older(url)
        before = bytes_of(tmp_path)
        store = Store.read_only(url)
        assert (store.copied, store.get_meta("name"), store.overrides.all()) == ("0005", "kept", ())
        store.close()
        assert bytes_of(tmp_path) == before

    def test_an_older_postgresql_store_is_refused_with_the_commands_that_bring_it_up_to_date(
        self, empty_store_url: str
    ) -> None:
        if not empty_store_url.startswith("postgresql"):
            pytest.skip("files are read as a copy")
        older(empty_store_url)
        with pytest.raises(StoreError, match=r"has schema 0005 of an older.*`groundstate run` of this version"):
            Store.read_only(empty_store_url)
        store = Store.open(empty_store_url)
        assert store.get_meta("name") == "kept"
        store.close()

    def test_a_newer_one_is_refused(self, store_url: str) -> None:
        store = Store.open(store_url)
        with store.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        store.close()
        with pytest.raises(StoreError, match=r"schema 9999.*A newer groundstate made the store.*Nothing was changed"):
            Store.read_only(store_url)

    def test_an_empty_one_is_none(self, empty_store_url: str) -> None:
        with pytest.raises(NoStore):
            Store.read_only(empty_store_url)

    def test_what_writes_all_the_same_is_refused_by_the_database(self, store_url: str) -> None:
        Store.open(store_url).close()
        store = Store.read_only(store_url)
        with pytest.raises(StoreError):
            store.put_meta("name", "value")
        store.close()
        store = Store.open(store_url)
        assert store.get_meta("name") is None
        store.close()


def test_an_older_store_is_not_brought_up_to_date_under_a_process_that_is_at_work_on_it(empty_store_url: str) -> None:
    store = Store.open(empty_store_url)
    with store.instance("run"):
        with store.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '0007'"))
        with pytest.raises(InstanceHeld, match=r"in use by groundstate run, process.*first stop that process"):
            Store.open(empty_store_url)
        with store.engine.connect() as connection:
            assert schema_version(connection) == "0007"
    store.close()


def test_the_newest_script_is_the_schema_that_the_program_expects() -> None:
    assert ScriptDirectory(str(SCRIPTS)).get_current_head() == HEAD


def test_the_tables_that_queries_use_are_those_that_the_migrations_make(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        differences = compare_metadata(context, tables.metadata)
    # Indexes and what numbers the events stand in the migrations alone: naming their dialects' options would load both
    # dialects at every start.
    apart = ("ipam_", "_index'", "'modify_default'")
    assert [one for one in differences if not any(word in str(one) for word in apart)] == []


def test_a_new_sqlite_store_is_opened_without_alembic_and_so_is_one_with_nothing_to_do(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    twice = f"Store.open({url!r}).close(); Store.open({url!r}).close()"
    script = f"import sys; from reconciler.store import Store; {twice}; print('alembic' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=_root())
    assert printed.stdout.strip() == "False"


def _root() -> Path:
    return Path(__file__).parents[2]

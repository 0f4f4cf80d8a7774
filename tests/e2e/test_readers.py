"""Commands that only show change nothing of the store, whichever groundstate made it: no file, no byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from reconciler.store.sql.migrate import HEAD, SCRIPTS
from tests.e2e.desk import Desk, machine, partition

READERS = {
    "plan": ["plan", "--no-refresh"],
    "plan of part": ["plan", "machine/m0"],
    "get": ["get", "machines"],
    "get overrides": ["get", "overrides"],
    "get pauses": ["get", "pauses"],
    "describe": ["describe", "machine/m0"],
    "events": ["events"],
    "history": ["history", "machine/m0"],
    "override --list": ["override", "--list"],
    "inventory": ["inventory", "m0"],
    "explain-size": ["explain-size", "m0"],
    "capacity": ["capacity"],
    "get ports": ["get", "ports"],
    "ipam tree": ["ipam", "tree"],
    "ipam check": ["ipam", "check"],
    "ipam export": ["ipam", "export"],
    "discover": ["discover", "127.0.0.1/32"],
}
FLEET = [partition(), machine("m0", power="On")]


def older(file: Path, version: str = "0005") -> None:
    engine = create_engine(f"sqlite:///{file}")
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    engine.dispose()


def version(file: Path) -> str:
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        found = str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())
    engine.dispose()
    return found


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("arguments", READERS.values(), ids=READERS)
class TestOnly:
    """What only shows."""

    def test_reads_a_copy_of_an_older_store_and_says_which_command_brings_it_up_to_date(
        self, desk: Desk, arguments: list[str]
    ) -> None:
        desk.commit(lab=FLEET)
        older(desk.store)
        before = digest(desk.store)
        done = desk.run(*arguments)
        assert "(schema 0005); this command reads a copy of the store, and does not change the store" in done.err
        assert "`groundstate apply` and `groundstate run` upgrade the store" in done.err
        assert digest(desk.store) == before

    def test_leaves_a_store_of_today_as_it_is(self, desk: Desk, arguments: list[str]) -> None:
        desk.commit(lab=FLEET)
        assert desk.run("apply", "--yes").code == 0
        before = digest(desk.store)
        desk.run(*arguments)
        assert digest(desk.store) == before

    def test_makes_no_store_where_there_is_none(self, desk: Desk, arguments: list[str]) -> None:
        desk.commit(lab=FLEET)
        assert "there is no store at" in desk.run(*arguments).err
        assert not desk.store.exists()

    def test_is_refused_on_a_newer_store(self, desk: Desk, arguments: list[str]) -> None:
        desk.commit(lab=FLEET)
        older(desk.store, HEAD)
        engine = create_engine(f"sqlite:///{desk.store}")
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        engine.dispose()
        before = digest(desk.store)
        done = desk.run(*arguments)
        assert (done.code, done.out) == (1, "")
        assert "A newer groundstate made the store; use that version. Nothing was changed" in done.err
        assert digest(desk.store) == before


def test_watching_is_refused_of_a_copy_in_which_nothing_new_would_be_seen(desk: Desk) -> None:
    desk.commit(lab=FLEET)
    older(desk.store)
    done = desk.run("events", "--watch")
    assert (done.code, done.out) == (1, "")
    assert "--watch cannot read this store" in done.err


def test_what_watches_sees_what_another_process_writes(desk: Desk) -> None:
    desk.commit(lab=FLEET)
    assert desk.run("apply", "--yes").code == 0
    with desk.running("events", "--watch") as watching:
        watching.until(lambda: watching.out.count("ActionConfirmed") == 1, "what there was")
        # Machines in memory are new in each process, so that this one is off again.
        assert desk.run("apply", "--yes").code == 0
        watching.until(lambda: watching.out.count("ActionConfirmed") == 2, "the new events")


def test_apply_brings_it_up_to_date(desk: Desk) -> None:
    desk.commit(lab=FLEET)
    older(desk.store)
    assert desk.run("apply", "--yes").code == 0
    assert version(desk.store) == HEAD


def test_a_file_without_tables_is_no_store_yet(desk: Desk) -> None:
    desk.commit(lab=FLEET)
    desk.store.touch()
    done = desk.run("plan")
    assert (done.code, "there is no store at" in done.err) == (2, True)
    assert desk.store.stat().st_size == 0

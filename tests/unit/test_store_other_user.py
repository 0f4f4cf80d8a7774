"""The store is read by another user than its owner, where the owner lets that user read the files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from reconciler.model.plans.restart import RestartRequest
from reconciler.model.resource import ResourceKey
from reconciler.store import Store, StoreError
from tests.unit.test_store_pauses import AT, HOUR, ONE

READ = """
import os, sys
from reconciler.store import Store
warm = Store.open("sqlite://"); list(warm.events()); warm.close()
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(65534)
try:
    store = Store.read_only(sys.argv[1])
    print([str(entry.event.reason) for entry in store.events()], len(store.pauses.all()), store.daemon.get())
except Exception as error:
    print(type(error).__name__, error)
"""
HOLD = """
import os, sys
from reconciler.store import Store
store = Store.open(sys.argv[1])
store.put_meta("a", "b")
os.kill(os.getpid(), 9)
"""
OPERATORS = 12345
FOUND = "['PauseBegan', 'RestartRequested'] 1 None\n"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can read as another user")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store in a folder that is shared with the operators' group."""
    for folder in tmp_path.parents:
        if folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    os.chown(tmp_path, -1, OPERATORS)
    tmp_path.chmod(0o2750)
    file = tmp_path / "state.db"
    store = Store.open(f"sqlite:///{file}")
    store.pauses.add(ONE)
    store.restarts.add(RestartRequest("r1", ResourceKey("Machine", "m1"), "INC-7", "ada", AT, AT + HOUR))
    store.close()
    return file


def python(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr[-600:]


def test_a_member_of_the_group_reads_a_store_that_is_closed(file: Path) -> None:
    assert python(READ, f"sqlite:///{file}", OPERATORS) == FOUND


def test_a_member_of_the_group_reads_a_store_that_is_in_use(file: Path) -> None:
    store = Store.open(f"sqlite:///{file}")
    assert python(READ, f"sqlite:///{file}", OPERATORS) == FOUND
    store.close()


def test_a_member_of_the_group_reads_a_store_whose_daemon_was_killed(file: Path) -> None:
    """Its log is left behind: blindness would come just in the incident."""
    python(HOLD, f"sqlite:///{file}")
    assert file.with_name("state.db-wal").exists()
    assert python(READ, f"sqlite:///{file}", OPERATORS) == FOUND


@pytest.mark.parametrize("folder", [0o2750, 0o2755])
def test_another_user_is_refused_and_told_how_to_let_a_group_read(file: Path, folder: int) -> None:
    file.parent.chmod(folder)
    said = python(READ, f"sqlite:///{file}", 65534)
    assert said.startswith(f"StoreError store {file}: this user has no permission to open ")
    assert "its owner runs: chgrp GROUP" in said


def test_a_role_with_select_alone_reads_a_store_in_postgresql(empty_postgresql_url: str) -> None:
    store = Store.open(empty_postgresql_url)
    store.pauses.add(ONE)
    with psycopg.connect(empty_postgresql_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'x'")
        connection.execute("GRANT USAGE ON SCHEMA public TO reader")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    url = make_url(empty_postgresql_url).set(username="reader", password="x").render_as_string(hide_password=False)
    reader = Store.read_only(url)
    assert [entry.event.reason for entry in reader.events()] == ["PauseBegan"]
    assert reader.mark()
    refused = Store.open(url)
    with pytest.raises(StoreError, match="the database role lacks a permission"):
        refused.pauses.add(ONE)
    for one in (store, reader, refused):
        one.close()
    with psycopg.connect(empty_postgresql_url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY reader")
        connection.execute("DROP ROLE reader")

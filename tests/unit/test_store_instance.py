"""One instance at a time works on a store, and a killed one is no obstacle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.store import InstanceHeld, Store, StoreError

HOLD = """
import sys
from reconciler.store import Store
store = Store.open(sys.argv[1])
with store.instance("run", lease=1.0) as epoch:
    print(epoch, flush=True)
    sys.stdin.read()
store.close()
"""


@contextmanager
def another_process(url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the store until its standard input ends. Given when it has the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip().isdigit()
        yield process


def test_the_second_is_refused_and_told_who_is_first(store: Store, store_url: str) -> None:
    with another_process(store_url) as holder:
        with pytest.raises(InstanceHeld, match=rf"in use by groundstate run, process {holder.pid} on \S+, since 20"):
            store.instance("apply").__enter__()
        holder.communicate()


def test_also_within_one_process(store: Store, store_url: str) -> None:
    other = Store.open(store_url)
    with store.instance("run"), pytest.raises(InstanceHeld, match=rf"process {os.getpid()}"), other.instance("apply"):
        pass
    other.close()


def test_a_link_leads_to_the_same_lock(tmp_path: Path) -> None:
    """A daemon on `--repo /srv/fleet`, a link, and an apply in the folder that it leads to are on one store."""
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    (tmp_path / "link.db").symlink_to(tmp_path / "state.db")
    other = Store.open(f"sqlite:///{tmp_path / 'link.db'}")
    with store.instance("run"), pytest.raises(InstanceHeld), other.instance("apply"):
        pass
    other.close()
    store.close()


def test_after_kill_9_the_store_is_free(store: Store, store_url: str) -> None:
    with another_process(store_url) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert _epoch_once_free(store) == 2


def test_after_a_proper_end_it_is_free_and_names_nobody(store: Store) -> None:
    with store.instance("run"):
        pass
    with store.instance("run") as epoch:
        assert epoch == 2


def test_one_that_fails_frees_it(store: Store) -> None:
    with pytest.raises(RuntimeError), store.instance("run"):
        raise RuntimeError
    with store.instance("run") as epoch:
        assert epoch == 2


def test_reading_is_free_for_all(store: Store, store_url: str) -> None:
    with another_process(store_url) as holder:
        assert store.in_flight() == {}
        holder.communicate()


def _epoch_once_free(store: Store) -> int:
    """PostgreSQL may notice a moment later that the connection ended; then the lease is waited for."""
    while True:
        try:
            with store.instance("run", waiting=lambda _: None) as epoch:
                return epoch
        except InstanceHeld:
            time.sleep(0.01)


def test_a_store_that_was_emptied_is_said_to_be(store: Store) -> None:
    with store.instance("run"):
        with store.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM instance")
        with pytest.raises(StoreError, match="nothing was sent: the store was emptied"):
            store.check()


def test_a_store_without_its_tables_is_said_to_be(store: Store) -> None:
    with store.instance("run"):
        with store.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE instance")
        with pytest.raises(StoreError, match="the tables of the store are missing; restore a backup"):
            store.check()

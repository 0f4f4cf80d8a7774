"""The store is read by another user than its owner, where the owner lets that user read the files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.model.plans.restart import RestartRequest
from reconciler.model.resource import ResourceKey
from reconciler.store import Store
from tests.unit.test_store_pauses import AT, HOUR, ONE

READ = """
import os, sys
from reconciler.store import Store
warm = Store.open("sqlite://"); list(warm.events()); warm.close()
os.setgroups([]); os.setgid(65534); os.setuid(65534)
store = Store.read_only(sys.argv[1])
print([entry.event.reason for entry in store.events()], len(store.pauses.all()), store.daemon.get())
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can read as another user")


def opened(file: Path) -> None:
    """Let everybody read the files, and nobody else write them."""
    for folder in (file.parent, *file.parent.parents):
        if folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    for one in file.parent.glob(file.name + "*"):
        one.chmod(0o644)


def read_by_nobody(file: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", READ, f"sqlite:///{file}"], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout + done.stderr[-600:]


@pytest.mark.parametrize("running", [False, True], ids=["closed", "in use"])
def test_another_user_reads_it(tmp_path: Path, running: bool) -> None:
    file = tmp_path / "state.db"
    store = Store.open(f"sqlite:///{file}")
    store.pauses.add(ONE)
    store.restarts.add(RestartRequest("r1", ResourceKey("Machine", "m1"), "INC-7", "ada", AT, AT + HOUR))
    if not running:
        store.close()
    opened(file)
    assert read_by_nobody(file) == "['PauseBegan', 'RestartRequested'] 1 None\n"
    if running:
        store.close()

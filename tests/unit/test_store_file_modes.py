"""Who may read a store is said by its folder: nobody but the owner, or the group that the folder is shared with."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from reconciler.store import Store
from reconciler.store.sql.file_modes import file_access

OPERATORS = 12345


@pytest.mark.parametrize(
    ("folder", "files"),
    [
        (0o700, 0o600),
        (0o755, 0o600),
        (0o775, 0o600),
        (0o2700, 0o600),
        (0o2750, 0o640),
        (0o2755, 0o640),
        (0o2770, 0o660),
    ],
)
def test_a_group_reads_what_is_in_a_folder_with_the_setgid_bit(tmp_path: Path, folder: int, files: int) -> None:
    tmp_path.chmod(folder)
    assert file_access(tmp_path).mode == files


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to any group")
def test_an_existing_store_is_given_to_the_group_of_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    Store.open(f"sqlite:///{file}").close()
    os.chown(tmp_path, -1, OPERATORS)
    tmp_path.chmod(0o2750)
    store = Store.open(f"sqlite:///{file}")
    with store.instance("run"):
        found = {one.name: (stat.S_IMODE(one.stat().st_mode), one.stat().st_gid) for one in tmp_path.iterdir()}
    store.close()
    assert set(found) == {"state.db", "state.db-wal", "state.db-shm", "state.db.lock"}
    assert set(found.values()) == {(0o640, OPERATORS)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to any group")
def test_a_store_is_private_again_when_its_folder_is(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    tmp_path.chmod(0o2770)
    Store.open(f"sqlite:///{file}").close()
    tmp_path.chmod(0o2700)
    Store.open(f"sqlite:///{file}").close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

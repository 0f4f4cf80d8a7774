"""Where the default store is, and that a store whose file goes away is noticed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from reconciler.operations.operation_error import OperationError
from reconciler.operations.store_location import default_store
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace, store_url
from reconciler.store import Store, StoreError
from tests.unit.desired_worlds import PARTITION, Git


@pytest.fixture
def repository(tmp_path: Path) -> Git:
    made = Git(tmp_path / "fleet")
    made.commit({"a/partition.yaml": PARTITION})
    return made


def where(repo: str) -> Where:
    return Where(repo=repo, ref="HEAD", path=".", work_tree=False, store=None, base=Path())


def test_git_clean_does_not_take_the_store(repository: Git) -> None:
    """jmglov/blambda#18: clean deletes state."""
    with Workspace(where(str(repository.folder))).changing(create=True):
        pass
    repository("clean", "-fdxq")
    assert default_store(str(repository.folder)) == repository.folder / ".git/groundstate/state.db"
    assert default_store(str(repository.folder)).exists()


def test_folders_have_their_own_and_work_trees_share(repository: Git, tmp_path: Path) -> None:
    repository("worktree", "add", "-q", "--detach", str(tmp_path / "w"))
    top = repository.folder / ".git/groundstate"
    assert default_store(str(repository.folder / "a")) == top / "a/state.db"
    assert default_store(str(tmp_path / "w")) == top / "state.db"
    assert default_store(str(tmp_path / "w/a")) == top / "a/state.db"


def test_a_bare_repository_keeps_it_itself(tmp_path: Path) -> None:
    Git(tmp_path / "r.git", "--bare")
    assert default_store(str(tmp_path / "r.git")) == tmp_path / "r.git/groundstate/state.db"


def test_a_url_has_one_in_the_state_folder_whatever_its_login(tmp_path: Path) -> None:
    place = default_store("https://bot:x@git.example/fleet.git", tmp_path)
    assert place == default_store("https://git.example/fleet.git", tmp_path)
    assert place != default_store("https://git.example/other.git", tmp_path)
    assert place.is_relative_to(tmp_path)


def test_without_a_state_folder_the_store_of_a_url_has_to_be_named() -> None:
    with pytest.raises(OperationError, match="name the store with --store"):
        store_url(where("https://git.example/fleet.git"))


def test_who_asks_is_a_value_that_the_ledger_names() -> None:
    """An API's client, and not the account of the API's own process."""
    assert msgspec.structs.replace(where("."), caller="ada@api").by("pause") == "ada@api (pause)"


def test_a_store_at_the_old_place_stops_every_command(repository: Git) -> None:
    old = repository.folder / ".groundstate/state.db"
    old.parent.mkdir()
    Store.open(f"sqlite:///{old}").close()
    with pytest.raises(OperationError, match=f"mv {old.parent} {repository.folder}/.git/groundstate"):
        store_url(where(str(repository.folder)))
    shutil.move(old.parent, repository.folder / ".git/groundstate")
    assert Path(store_url(where(str(repository.folder))).removeprefix("sqlite:///")).exists()


def _restored(file: Path) -> None:
    shutil.copy(file, f"{file}.backup")
    Path(f"{file}.backup").replace(file)


def _another(file: Path) -> None:
    file.rename(f"{file}.old")
    Store.open(f"sqlite:///{file}").close()


GONE: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "moved": lambda file: file.rename(f"{file}.away"),
    "a restored backup": _restored,
    "another store": _another,
    "its log alone deleted": lambda file: Path(f"{file}-wal").unlink(),
    "the index of its log deleted": lambda file: Path(f"{file}-shm").unlink(),
    "emptied": lambda file: os.truncate(file, 0),
}


@pytest.mark.parametrize("how", GONE)
def test_a_store_that_goes_away_is_noticed(tmp_path: Path, how: str) -> None:
    """WiseLibs/better-sqlite3#1237: in WAL mode nothing notices that the file is deleted."""
    file = tmp_path / "state.db"
    store = Store.open(f"sqlite:///{file}")
    store.check()
    GONE[how](file)
    uses: list[Callable[[], object]] = [lambda: store.put_meta("a", "b"), lambda: store.get_meta("a"), store.check]
    for use in uses:
        with pytest.raises(StoreError, match="groundstate sends nothing more"):
            use()
    store.close()


def test_a_store_that_others_open_and_close_stays_the_same(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    for _ in range(3):
        other = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
        other.put_meta("a", "b")
        other.close()
        store.check()
    store.put_meta("a", "c")
    store.close()


def test_a_second_instance_beside_a_deleted_lock_fences_the_first(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    first, second = Store.open(f"sqlite:///{file}"), Store.open(f"sqlite:///{file}")
    with first.instance("run"):
        Path(f"{file}.lock").unlink()
        with second.instance("run"), pytest.raises(StoreError, match="taken over"):
            first.check()
    first.close()
    second.close()

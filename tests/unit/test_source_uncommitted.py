"""How many manifests lie on disk otherwise than in the commit that is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.desired.git.sources.open_source import open_source
from tests.unit.desired_worlds import PARTITION, TENANT, Git, machine


@pytest.fixture
def repository(tmp_path: Path) -> Git:
    """Two manifests, apart from the settings of the user and the machine."""
    made = Git(tmp_path / "fleet")
    made.commit({"partition.yaml": PARTITION, "racks/r1.yml": machine("m1"), "README.md": "x"}, "first")
    return made


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ({}, 0),
        ({"partition.yaml": "edited"}, 1),
        ({"tenant.yaml": TENANT}, 1),
        ({"new/folder/a.yaml": "x", "new/folder/b.yml": "x", "racks/r1.yml": "edited"}, 3),
        ({"odd \u00e9\n.yaml": "x"}, 1),
        ({"README.md": "edited", "notes.txt": "x"}, 0),
        ({".github/ci.yaml": "x", "a/.b/c.yaml": "x"}, 0),
    ],
)
def test_edited_and_new_manifests_count(repository: Git, written: dict[str, str], number: int) -> None:
    repository.write(written)
    assert open_source(repository.folder).uncommitted() == number
    repository("add", "--all")
    assert open_source(repository.folder).uncommitted() == number


def test_deleted_and_renamed_ones_count(repository: Git) -> None:
    repository("mv", "partition.yaml", "renamed.yaml")
    (repository.folder / "racks/r1.yml").unlink()
    assert open_source(repository.folder).uncommitted() == 3


def test_ignored_ones_do_not(repository: Git) -> None:
    repository.write({".gitignore": "draft.yaml", "draft.yaml": "x"})
    assert open_source(repository.folder).uncommitted() == 0


def test_only_the_folder_that_is_read_counts(repository: Git) -> None:
    repository.write({"partition.yaml": "edited", "racks/r2.yaml": "x"})
    assert open_source(repository.folder, path="racks").uncommitted() == 1
    assert open_source(repository.folder / "racks").uncommitted() == 1


def test_a_work_tree_a_bare_repository_and_a_remote_pass_over_nothing(repository: Git, tmp_path: Path) -> None:
    repository("clone", "-q", "--bare", ".", str(tmp_path / "bare"))
    repository.write({"partition.yaml": "edited"})
    remote = open_source(repository.folder.as_uri(), cache_dir=tmp_path / "cache")
    remote.snapshot()
    others = (open_source(repository.folder, work_tree=True), open_source(tmp_path / "bare"), remote)
    assert [source.uncommitted() for source in others] == [0, 0, 0]


def touched(repository: Git) -> None:
    """A manifest of the same size, so that git has to read it: one of another size has changed without that."""
    path = repository.folder / "partition.yaml"
    path.write_text(path.read_text().swapcase())
    os.utime(path, (1, 1))


@pytest.mark.parametrize("name", ["evil", "with.dots", "with=sign", "With Case"])
@pytest.mark.parametrize("variable", ["clean", "process"])
def test_no_filter_of_the_folder_s_own_settings_runs(
    repository: Git, tmp_path: Path, name: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder's .git/config names commands that `git status` runs on what was edited."""
    ran = tmp_path / "ran"
    repository("config", f"filter.{name}.{variable}", f"touch {ran}; cat")
    repository("config", f"filter.{name}.required", "true")
    attribute = name if " " not in name else "Case"
    (repository.folder / ".git" / "info" / "attributes").write_text(f"*.yaml filter={attribute}\n")
    if attribute != name:
        repository("config", f"filter.{attribute}.{variable}", f"touch {ran}; cat")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Ada")
    touched(repository)
    assert open_source(repository.folder).uncommitted() == 1
    assert not ran.exists()


def test_a_filter_of_a_file_that_the_settings_include_does_not_run_either(repository: Git, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "more").write_text(f'[filter "evil"]\n\tclean = touch {ran}; cat\n')
    repository("config", "include.path", str(tmp_path / "more"))
    (repository.folder / ".git" / "info" / "attributes").write_text("*.yaml filter=evil\n")
    touched(repository)
    assert open_source(repository.folder).uncommitted() == 1
    assert not ran.exists()

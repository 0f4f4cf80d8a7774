"""Files are committed on a branch, and nothing else of the repository moves."""

from __future__ import annotations

import pytest

from reconciler.desired.git.branches.commit_branch import branch_exists, commit_on_branch, push
from reconciler.desired.git.plumbing import SourceError
from tests.unit.desired_worlds import Git

FILES = {"machines/a.yaml": "a: 1\n", "machines/b.yaml": "b: 1\n"}


@pytest.fixture
def fleet(git: Git, monkeypatch: pytest.MonkeyPatch) -> Git:
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ada@fleet.example")
    git.commit({"partition.yaml": "p: 1\n"})
    return git


def state(git: Git) -> tuple[str, ...]:
    """What must not move: where HEAD is, what it is, what differs from it."""
    return tuple(git(*words) for words in (["symbolic-ref", "HEAD"], ["rev-parse", "HEAD"], ["status", "--short"]))


def test_new_files_are_on_the_branch_beside_what_was_there(fleet: Git) -> None:
    (fleet.folder / "edited.yaml").write_text("not committed\n")
    before = state(fleet)
    commit = commit_on_branch(fleet.folder, "found", "HEAD", FILES, "Add 2 machines\n\nfound\n")
    assert state(fleet) == before
    assert commit == fleet("rev-parse", "found").strip()
    assert fleet("ls-tree", "-r", "--name-only", "found").split() == [*FILES, "partition.yaml"]
    assert fleet("show", "found:machines/a.yaml") == "a: 1"
    assert fleet("log", "-1", "--format=%s", "found").strip() == "Add 2 machines"


def test_the_same_files_again_are_no_commit(fleet: Git) -> None:
    commit_on_branch(fleet.folder, "found", "HEAD", FILES, "one")
    assert commit_on_branch(fleet.folder, "found", "HEAD", FILES, "two") is None


def test_a_branch_that_is_there_goes_on(fleet: Git) -> None:
    first = commit_on_branch(fleet.folder, "found", "HEAD", {"a.yaml": "a: 1\n"}, "one")
    commit_on_branch(fleet.folder, "found", "HEAD", {"b.yaml": "b: 1\n"}, "two")
    assert fleet("rev-parse", "found^").strip() == first


def test_a_file_with_other_contents_is_not_written_over(fleet: Git) -> None:
    with pytest.raises(SourceError, match=r"partition.yaml exists already"):
        commit_on_branch(fleet.folder, "found", "HEAD", {"partition.yaml": "x: 1\n"}, "one")
    assert not branch_exists(fleet.folder, "found")


@pytest.mark.parametrize("name", ["main", "-x", "a..b", "", "a b", "HEAD", "@", "refs/heads/found"])
def test_a_branch_that_cannot_be_is_refused_in_words(fleet: Git, name: str) -> None:
    with pytest.raises(SourceError, match=r"checked out|not a valid branch name"):
        commit_on_branch(fleet.folder, name, "HEAD", FILES, "one")


def test_a_folder_that_is_no_repository_is_said_to_be_none(fleet: Git) -> None:
    outside = fleet.folder.parent / "outside"
    outside.mkdir()
    with pytest.raises(SourceError, match="cannot be opened as a git repository"):
        branch_exists(outside, "found")


def test_the_branch_is_pushed_and_a_remote_that_went_on_is_not_forced(fleet: Git) -> None:
    remote = fleet.folder.parent / "remote.git"
    fleet("init", "--quiet", "--bare", str(remote))
    fleet("remote", "add", "origin", str(remote))
    commit = commit_on_branch(fleet.folder, "found", "HEAD", FILES, "one")
    push(fleet.folder, "found")
    assert fleet("--git-dir", str(remote), "rev-parse", "found").strip() == commit
    fleet("branch", "-f", "found", "HEAD")
    with pytest.raises(SourceError, match=r"found was not pushed to origin.*tries again"):
        push(fleet.folder, "found")


def test_why_the_remote_refuses_is_told_in_its_own_words(fleet: Git) -> None:
    remote = fleet.folder.parent / "remote.git"
    fleet("init", "--quiet", "--bare", str(remote))
    hook = remote / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'only bots may push to found' >&2\nexit 1\n")
    hook.chmod(0o700)
    fleet("remote", "add", "origin", str(remote))
    commit_on_branch(fleet.folder, "found", "HEAD", FILES, "Add it")
    with pytest.raises(
        SourceError, match=r"not pushed to origin; .*only bots may push to found.*`git push origin found`"
    ):
        push(fleet.folder, "found")

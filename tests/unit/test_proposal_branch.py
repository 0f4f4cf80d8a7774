"""The branch of found machines at a real remote: what is seen of it, and what is pushed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.desired.git.branches.proposal_branch import ProposalBranch
from reconciler.desired.git.plumbing import SourceError, SourceUnavailable
from reconciler.desired.git.sources.open_source import open_source
from reconciler.desired.git.sources.repository import Repository
from reconciler.model.resource import Revision
from reconciler.onboarding.proposal import Branch, Start, Update
from tests.unit.desired_worlds import PARTITION, Git, machine

A, B = "machines/a.yaml", "machines/b.yaml"
ADD_A, ADD_B = {A: machine("a")}, {B: machine("b")}


class Office:
    """A clone that the daemon follows, its remote, and a colleague's clone."""

    def __init__(self, git: Git, folder: Path) -> None:
        self.git, self.remote = git, folder / "remote.git"
        git.commit({"partition.yaml": PARTITION})
        git("init", "--quiet", "--bare", "-b", "main", str(self.remote))
        git("remote", "add", "origin", str(self.remote))
        git("push", "--quiet", "origin", "main")
        self.colleague = Git(folder / "colleague")
        self.colleague("remote", "add", "origin", str(self.remote))
        self.branch = self.of(git.folder)

    def of(self, location: Path | str, cache: Path | None = None) -> ProposalBranch:
        source = open_source(location, cache_dir=cache)
        assert isinstance(source, Repository)
        self.source = source
        return ProposalBranch(source, "found", "machines")

    @property
    def followed(self) -> Revision:
        return self.source.snapshot().revision

    def look(self) -> Branch:
        return self.branch.fetch(self.followed)

    def push(self, start: Start, add: dict[str, str], *remove: str) -> str:
        return self.branch.go_on(self.followed, self.look(), Update(start, add, remove), "Add it\n")

    def tip(self) -> str:
        return self.git("ls-remote", str(self.remote), "refs/heads/found").partition("\t")[0]

    def edit(self, change: Callable[[Git], object], branch: str = "found") -> str:
        """A colleague's commit on the branch."""
        self.colleague("fetch", "--quiet", "origin")
        self.colleague("checkout", "--quiet", "-B", branch, f"origin/{branch}")
        change(self.colleague)
        self.colleague("add", "--all")
        self.colleague("commit", "--quiet", "--allow-empty", "-m", "Edit")
        self.colleague("push", "--quiet", "origin", branch)
        return self.colleague("rev-parse", "HEAD")

    def squash(self) -> None:
        """The pull request is merged as one commit of its own, and the daemon's clone is brought up to date."""
        self.edit(lambda git: git("checkout", "origin/found", "--", "."), "main")
        self.git("pull", "--quiet", "origin", "main")


@pytest.fixture
def office(git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ada@fleet.example")
    return Office(git, tmp_path / "office")


def test_without_a_branch_there_is_only_what_is_followed(office: Office) -> None:
    assert office.look() == Branch()


def test_a_commit_arrives_and_nothing_moves_here(office: Office) -> None:
    (office.git.folder / "partition.yaml").write_text("edited")
    before = [office.git(*words) for words in (["show-ref", "--heads"], ["status", "--short"], ["rev-parse", "HEAD"])]
    made = office.push(Start.FOLLOWED, ADD_A)
    assert (office.tip(), office.git("rev-parse", f"{made}^")) == (made, before[2])
    assert office.git("diff", "--name-only", f"{made}^", made) == A
    assert before == [
        office.git(*words) for words in (["show-ref", "--heads"], ["status", "--short"], ["rev-parse", "HEAD"])
    ]


def test_what_is_on_the_branch_is_seen_with_what_people_did_there(office: Office) -> None:
    office.push(Start.FOLLOWED, ADD_A | ADD_B)

    def change(git: Git) -> None:
        git("rm", "--quiet", B)
        git.write({"notes.md": "x", "partition.yaml": PARTITION + "---\n" + machine("p")})

    tip = office.edit(change)
    seen = office.look()
    assert (seen.tip, seen.merged, seen.deleted, seen.paths) == (tip, False, frozenset({B}), frozenset({A}))
    assert [(one.path, [m.key.name for m in one.machines], one.only, one.added) for one in seen.files] == [
        (A, ["a"], True, True),
        ("notes.md", [], False, True),
        ("partition.yaml", ["p"], False, False),
    ]
    assert not any(one.merged for one in seen.files)


def test_a_slip_of_somebody_who_edits_a_file_there_is_seen(office: Office) -> None:
    office.push(Start.FOLLOWED, ADD_A)
    office.edit(lambda git: git.write({A: machine("a") + "  rack: [\n"}))
    assert [(one.machines, one.only, one.broken) for one in office.look().files] == [((), False, True)]


def test_the_branch_goes_on_from_what_people_did(office: Office) -> None:
    office.push(Start.FOLLOWED, ADD_A)
    theirs = office.edit(lambda git: git.write({A: machine("a", more="  rack: r1\n")}))
    made = office.push(Start.TIP, ADD_B, A)
    assert office.git("rev-parse", f"{made}^") == theirs
    assert office.git("ls-tree", "-r", "--name-only", made).split() == [B, "partition.yaml"]


def test_a_branch_that_was_merged_is_begun_anew(office: Office) -> None:
    first = office.push(Start.FOLLOWED, ADD_A)
    office.git("fetch", "--quiet", "origin", "found")
    office.git("merge", "--quiet", "--no-ff", "-m", "Merge", "FETCH_HEAD")
    seen = office.look()
    assert (seen.tip, seen.merged, seen.files, seen.paths) == (first, True, (), frozenset({A}))
    made = office.push(Start.FOLLOWED, ADD_B)
    assert office.git("rev-parse", f"{made}^") == office.followed.id


def test_what_another_commit_took_in_as_it_is_counts_as_merged_even_after_it_was_changed(office: Office) -> None:
    office.push(Start.FOLLOWED, ADD_A)
    office.squash()
    office.git.commit({A: machine("a", more="  rack: r1\n")})
    seen = office.look()
    assert [(one.path, one.merged) for one in seen.files] == [(A, True)]


def test_a_spent_branch_is_begun_anew_without_a_force(office: Office) -> None:
    first = office.push(Start.FOLLOWED, ADD_A)
    office.squash()
    office.git.commit({"new.yaml": ""})
    made = office.push(Start.ANEW, ADD_B)
    assert office.git("rev-parse", f"{made}^1", f"{made}^2").split() == [office.followed.id, first]
    assert office.git("diff", "--name-only", "main", made) == B
    assert [one.path for one in office.look().files] == [B]


def test_what_was_deleted_before_it_began_anew_is_forgotten(office: Office) -> None:
    office.push(Start.FOLLOWED, ADD_A | ADD_B)
    office.edit(lambda git: git("rm", "--quiet", B))
    office.squash()
    assert office.look().deleted == {B}
    office.push(Start.ANEW, {"machines/c.yaml": machine("c")})
    assert office.look().deleted == set()


def test_files_of_the_followed_branch_that_the_open_one_has_not_yet_are_seen(office: Office) -> None:
    office.push(Start.FOLLOWED, ADD_A)
    office.git.commit(ADD_B)
    assert office.look().paths == {A, B}


def test_somebody_who_pushed_meanwhile_is_not_undone(office: Office) -> None:
    office.push(Start.FOLLOWED, ADD_A)
    seen = office.look()
    theirs = office.edit(lambda git: git.write({"x": "x"}))
    with pytest.raises(SourceUnavailable, match=r"found at origin was not pushed; .*the commit -> found.*tries again"):
        office.branch.go_on(office.followed, seen, Update(Start.TIP, ADD_B), "Add it\n")
    assert office.tip() == theirs


def test_a_remote_that_is_followed_itself_gets_the_branch(office: Office, tmp_path: Path) -> None:
    office.branch = office.of(office.remote.as_uri(), tmp_path / "cache")
    made = office.push(Start.FOLLOWED, ADD_A)
    assert office.tip() == made
    assert office.look().paths == {A}, "a second look, after the mirror was brought up to date"


def test_a_repository_without_a_remote_has_the_branch_itself(office: Office) -> None:
    office.git("remote", "remove", "origin")
    made = office.push(Start.FOLLOWED, ADD_A)
    assert office.git("rev-parse", "found") == made


def test_only_the_folder_that_is_followed_is_written_into(office: Office) -> None:
    office.git.commit({"sites/fra/x.yaml": "", "sites/fra/machines/a.yaml": ""})
    branch = ProposalBranch(Repository(office.source._place, None, "sites/fra"), "found", "machines")
    assert branch.folder == "sites/fra/machines"
    assert branch.fetch(office.followed).paths == {"sites/fra/machines/a.yaml"}


def test_the_followed_branch_is_never_written_into(office: Office) -> None:
    with pytest.raises(SourceError, match=r"main is the branch that groundstate follows.*name another"):
        ProposalBranch(office.source, "main", "machines").fetch(office.followed)


def test_a_branch_of_something_else_is_left_alone(office: Office) -> None:
    office.colleague.commit({"x": "x"})
    office.colleague("push", "--quiet", "origin", "HEAD:found")
    with pytest.raises(SourceError, match="has no commit in common"):
        office.look()


def test_a_remote_that_is_away_is_said_in_words(office: Office) -> None:
    office.remote.rename(office.remote.with_suffix(".away"))
    with pytest.raises(SourceUnavailable, match="origin cannot be fetched"):
        office.look()


def test_an_account_without_a_name_commits_as_groundstate(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("GIT_AUTHOR", "GIT_COMMITTER"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("EMAIL", "")
    office.git("config", "user.useConfigOnly", "true")
    made = office.push(Start.FOLLOWED, ADD_A)
    assert office.git("log", "-1", "--format=%an <%ae>", made) == "groundstate <groundstate@localhost>"

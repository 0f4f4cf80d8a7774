"""Which commits' guards judge the first revision in a new store: no arrangement of commits hides a loosening.

hashicorp/terraform#17599 in git's own forms: several commits in one push, a rebase, a merge from the wrong side.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.desired.git.sources.open_source import open_source
from reconciler.desired.git.sources.source import DesiredSource
from reconciler.desired.load import load_bases
from tests.unit.desired_worlds import Git

NIGHT, NOON, SOON, LATER = (f"2026-01-02T{time}:00Z" for time in ("03:00", "12:00", "12:10", "12:20"))
LAST_YEAR = "2025-01-01T00:00:00Z"


def guard(most: int) -> dict[str, str]:
    text = "apiVersion: groundstate/v1\nkind: Guard\nmetadata: {name: g}\nspec: {budget: {maxDisrupted: %d}}\n"
    return {"guard.yaml": text % most}


@pytest.fixture
def git(tmp_path: Path) -> Git:
    return Git(tmp_path / "repo")


def source(git: Git) -> DesiredSource:
    return open_source(git.folder)


def budgets(git: Git) -> list[int]:
    """The budgets by which HEAD is judged besides its own."""
    states = load_bases(source(git), git("rev-parse", "HEAD"))
    return [one.spec.budget.max_disrupted for state in states for one in state.of_kind("Guard")]


def test_the_first_commit_follows_none(git: Git) -> None:
    git.commit(guard(1), when=NOON)
    assert budgets(git) == []


def test_a_commit_that_loosens_follows_its_parent(git: Git) -> None:
    git.commit(guard(1), when=LAST_YEAR)
    git.commit(guard(9), when=NOON)
    assert budgets(git) == [1]


def test_a_push_of_several_commits_follows_what_was_before_all_of_them(git: Git) -> None:
    git.commit(guard(1), when=LAST_YEAR)
    git.commit(guard(9), "loosen", when=NIGHT)
    git.commit({"other.yaml": ""}, "use it", when=NOON)
    assert budgets(git) == [1, 9]


def test_a_guard_that_came_and_went_within_the_day_judges(git: Git) -> None:
    git.commit(guard(9), when=LAST_YEAR)
    git.commit(guard(1), "tighten", when=NIGHT)
    git.commit(guard(9), "loosen", when=NOON)
    git.commit({"other.yaml": ""}, "use it", when=SOON)
    assert budgets(git) == [9, 1, 9]


def branch_that_loosens(git: Git) -> None:
    git.commit(guard(1), when=LAST_YEAR)
    git("checkout", "-q", "-b", "feature")
    git.commit(guard(9), "loosen", when=NOON)
    git("checkout", "-q", "main")
    git.commit({"other.yaml": ""}, "meanwhile", when=SOON)


def test_a_merge_of_a_branch_that_loosens_follows_both_sides(git: Git) -> None:
    branch_that_loosens(git)
    git("merge", "-q", "--no-ff", "-m", "merge", "feature", when=LATER)
    assert 1 in budgets(git)


def test_a_merge_into_the_branch_that_loosens_follows_both_sides(git: Git) -> None:
    """The first parent is the branch, in which the guard is loose already: a foxtrot merge, pushed as main."""
    branch_that_loosens(git)
    git("checkout", "-q", "feature")
    git("merge", "-q", "-m", "merge", "main", when=LATER)
    assert 1 in budgets(git)


def test_a_branch_that_was_rebased_and_moved_forward_follows_where_it_began(git: Git) -> None:
    branch_that_loosens(git)
    git("checkout", "-q", "feature")
    git("rebase", "-q", "main", when=LATER)
    git.commit({"more.yaml": ""}, "use it", when=LATER)
    git("branch", "-f", "main", "feature")
    assert 1 in budgets(git)


def test_a_squash_follows_its_parent(git: Git) -> None:
    branch_that_loosens(git)
    git("merge", "-q", "--squash", "feature")
    git("commit", "-q", "-m", "squashed", when=LATER)
    assert 1 in budgets(git)


def test_a_loosening_of_some_days_ago_has_had_its_hour(git: Git) -> None:
    git.commit(guard(1), when=LAST_YEAR)
    git.commit(guard(9), "loosen", when="2025-12-01T00:00:00Z")
    git.commit({"other.yaml": ""}, "use it", when=NOON)
    assert budgets(git) == [9]


def test_edits_on_disk_follow_what_head_follows_too(git: Git) -> None:
    git.commit(guard(1), when=LAST_YEAR)
    git.commit(guard(9), "loosen", when=NOON)
    git.write({"guard.yaml": guard(20)["guard.yaml"]})
    states = load_bases(open_source(git.folder, work_tree=True), "any")
    assert [one.spec.budget.max_disrupted for state in states for one in state.of_kind("Guard")] == [1, 9]


def test_of_a_busy_day_some_commits_and_its_beginning_judge(git: Git) -> None:
    git.commit(guard(1), when=LAST_YEAR)
    for number in range(2, 60):
        git.commit(guard(number), when=f"2026-01-02T03:{number}:00Z")
    found = budgets(git)
    assert found[0] == 1
    assert found[-1] == 58
    assert len(found) < 20


def test_a_broken_commit_between_hides_none(git: Git) -> None:
    git.commit(guard(1), when=LAST_YEAR)
    git.commit({"guard.yaml": "kind: ["}, "break it", when=NIGHT)
    git.commit(guard(9), "loosen", when=NOON)
    assert budgets(git) == [1]

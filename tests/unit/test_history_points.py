"""What a person means by a time, asked of real repositories."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.desired.git.history.revisions import HistoryPoint
from reconciler.desired.git.plumbing import SourceError
from reconciler.desired.git.sources.open_source import open_source
from tests.unit.desired_worlds import TENANT, Git


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Two commits on main, on the 10th and the 20th; one on a side from the 12th, merged on the 25th."""
    git = Git(tmp_path / "fleet")
    git.commit({"a.yaml": TENANT}, "first", "2026-01-10T00:00:00Z")
    git("checkout", "-q", "-b", "side")
    git.commit({"b.yaml": TENANT}, "on the side", "2026-01-12T00:00:00Z")
    git("checkout", "-q", "main")
    git.commit({"c.yaml": TENANT}, "second", "2026-01-20T18:00:00Z")
    git("merge", "-q", "--no-ff", "-m", "merged", "side", when="2026-01-25T00:00:00Z")
    return git


def moment(git: Git, text: str) -> HistoryPoint:
    source = open_source(git.folder)
    return source.moment(source.snapshot().revision, text)


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("2026-01-19", "first"),
        ("2026-01-20", "second"),
        ("2026-01-20T17:59", "first"),
        ("2026-01-20T19:00+02:00", "first"),
        ("2026-01-24 23:00:00Z", "second"),
        ("2026-01-25", "merged"),
        ("2 hours ago", "merged"),
        ("yesterday", "merged"),
        ("jan 21 2026", "second"),
    ],
)
def test_a_time_has_the_newest_commit_that_was_there_then(git: Git, text: str, subject: str) -> None:
    found = moment(git, text).commit
    assert found is not None
    assert found.subject == subject


def test_before_the_first_commit_there_was_none(git: Git) -> None:
    assert moment(git, "2026-01-09").commit is None


def test_a_day_is_as_long_as_a_day_and_a_time_is_a_moment(git: Git) -> None:
    day, time = moment(git, "2026-01-20"), moment(git, "2026-01-20T12:00")
    assert (day.at, day.until) == (datetime(2026, 1, 20, tzinfo=UTC), datetime(2026, 1, 20, 23, 59, 59, tzinfo=UTC))
    assert time.at == time.until == datetime(2026, 1, 20, 12, tzinfo=UTC)


def test_words_mean_what_git_takes_them_for(git: Git) -> None:
    assert timedelta(days=2) <= datetime.now(UTC) - moment(git, "2 days ago").at < timedelta(days=2, minutes=1)


@pytest.mark.parametrize("text", ["side", "HEAD^2", "main~1"])
def test_a_commit_is_named_as_git_knows_it(git: Git, text: str) -> None:
    found = moment(git, text)
    assert found.named
    assert found.commit is not None
    assert found.commit.sha == git("rev-parse", text)


@pytest.mark.parametrize("text", ["soon", "", "  ", "tomorow", "--all", "-1", "9999-12-31T", "0001-01-01T00:00+14:00"])
def test_what_is_neither_time_nor_commit_is_said(git: Git, text: str) -> None:
    with pytest.raises(SourceError, match="2026-11-20"):
        moment(git, text)


def test_a_work_tree_has_no_times(git: Git) -> None:
    source = open_source(git.folder, work_tree=True)
    with pytest.raises(SourceError, match="no history"):
        source.moment(source.snapshot().revision, "2026-01-20")

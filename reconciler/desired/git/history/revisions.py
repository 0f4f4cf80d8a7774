"""What a person means by a time: a day, a time, `2 days ago`, or a commit."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from reconciler.desired.git import plumbing
from reconciler.desired.git.commits import commit_at
from reconciler.desired.git.plumbing import GitFailed, SourceError
from reconciler.desired.git.refs import commit_hash
from reconciler.model.resource import Commit

_WORD = re.compile(
    r"(?i)\d+(st|nd|rd|th|am|pm)?|(second|minute|hour|day|week|month|year)s?|ago|at|last|noon|midnight|now|today|"
    r"yesterday|one|two|three|four|five|six|seven|eight|nine|ten|(mon|tues?|wed(nes)?|thu(rs)?|fri|sat(ur)?|sun)(day)?|"
    r"jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sep(tember)?|oct(ober)?|nov(ember)?|"
    r"dec(ember)?|utc|z|[-+]\d{4}"
)
_BETWEEN = re.compile(r"[\s.,:/-]+")
_HINT = "write a day or time such as 2026-11-20 or 2026-11-20T14:30, 2h, `2 days ago`, or a commit, branch or tag"


class HistoryPoint(msgspec.Struct, frozen=True):
    """A time in UTC, and the commit that was the newest then, if there was one. `named`: the commit was asked for.

    A day alone begins at `at` and is over at `until`; else both are the same.
    """

    at: datetime
    until: datetime
    commit: Commit | None
    named: bool = False


def find_revision(git_dir: Path, sha: str, text: str) -> HistoryPoint:
    """The time, or the commit, that the text means, in the history of the commit `sha`. Raises SourceError.

    The newest commit of a time is the first-parent one, so that what was merged later was not there yet.
    """
    times = _iso(text)
    if times is None:
        try:
            step = commit_at(git_dir, commit_hash(git_dir, text))
        except GitFailed:
            times = _in_words(git_dir, text)
        else:
            at = step.committed.astimezone(UTC)
            return HistoryPoint(at, at, step.commit, named=True)
    return HistoryPoint(*times, _newest(git_dir, sha, times[1]))


def _iso(text: str) -> tuple[datetime, datetime] | None:
    if "-" not in text:  # 20261120 may be a commit's hash.
        return None
    try:
        at = datetime.fromisoformat(text)
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        day = re.fullmatch(r"\d{4}-\d\d-\d\d", text)
        return at, (at + timedelta(days=1, seconds=-1) if day else at)
    except (ValueError, OverflowError):
        return None


def _in_words(git_dir: Path, text: str) -> tuple[datetime, datetime]:
    """git takes any text for a time, and what it does not understand for now: only words that it knows get there."""
    words = [word for word in _BETWEEN.split(text) if word]
    said = len(words) > 2 or any(word[-1].isalpha() for word in words)
    if not said or not all(map(_WORD.fullmatch, words)):
        raise SourceError(f"{text!r} is not a time, commit, branch or tag", "", _HINT)
    try:
        age = plumbing.run(git_dir, "rev-parse", f"--since={text}").decode()
        at = datetime.fromtimestamp(int(age.partition("=")[2]), UTC)
    except (GitFailed, ValueError, OSError, OverflowError) as error:
        raise SourceError(f"{text!r} is not a time", str(error), _HINT) from error
    return at, at


def _newest(git_dir: Path, sha: str, until: datetime) -> Commit | None:
    args = ("rev-list", "-1", "--topo-order", "--first-parent", f"--before={int(until.timestamp())}", sha)
    try:
        found = plumbing.run(git_dir, *args).decode().strip()
        return commit_at(git_dir, found).commit if found else None
    except GitFailed as error:
        raise SourceError("the history cannot be read", error.stderr, plumbing.FSCK) from error

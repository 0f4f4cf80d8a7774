"""Commits from git's log, with the files that each one changed, and the contents of files by their ids."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Self

import msgspec

from drivers.base import clean
from reconciler.desired.git import plumbing
from reconciler.desired.git.plumbing import GitFailed, SourceError
from reconciler.desired.manifest.manifest_files import MAX_FILE
from reconciler.model.resource import Commit

_LOG_FORMAT = "%H%x1f%P%x1f%cI%x1f%aI%x1f%an%x1f%s"
"""What can hold anything comes last, so that a strange name muddles nothing but itself."""

_RAW = ("--topo-order", "--root", "-c", "--raw", "-z", "--no-abbrev", "--no-renames")
_FILE_MODES = {"100644", "100755", "100664"}
_BATCH = 256
"""Ids asked for at once: few enough for a pipe's buffer, so that neither side ever waits for the other."""


class Touch(msgspec.Struct, frozen=True, gc=False):
    """A file that a commit changed: the ids of its contents in each parent and afterwards, "" where it was no file."""

    path: str
    before: tuple[str, ...]
    after: str


class Step(msgspec.Struct, frozen=True):
    """A commit of a walk. Of a merge, only the files that it made unlike each of its parents are touched."""

    commit: Commit
    committed: datetime
    parents: tuple[str, ...]
    touched: tuple[Touch, ...]


def walk(
    git_dir: Path, *revisions: str, paths: Iterable[str] = (), options: Iterable[str] = ()
) -> Generator[Step, None, None]:
    """From the revisions (full hashes) back, newest first.

    With `paths` (git's pathspecs) only what touched these, and `parents` are the nearest ancestors that did.
    Raises SourceError.
    """
    asked = ("log", *_RAW, *options, f"--format=%x01{_LOG_FORMAT}", *revisions, "--", *paths)
    try:
        with plumbing.stream(git_dir, *asked) as output:
            yield from _steps(entries(output))
    except GitFailed as error:
        raise log_failed(error) from error


def commit_at(git_dir: Path, revision: str) -> Step:
    """The commit (a hash) alone, with its true parents and without files. Raises GitFailed when there is none."""
    args = ("log", "-1", f"--format={_LOG_FORMAT}", "--end-of-options", f"{revision}^{{commit}}", "--")
    said = plumbing.run(git_dir, *args).decode(errors="replace").rstrip("\n")
    if said.count("\x1f") < 5:
        raise GitFailed(f"{revision} is not a commit")
    return _step(said, [])


def entries(output: IO[bytes]) -> Iterator[bytes]:
    """What git separates by NUL."""
    rest = b""
    while chunk := output.read(1 << 16):
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole
    if rest:
        yield rest


def log_failed(error: GitFailed) -> SourceError:
    """That git's log failed, for people."""
    return SourceError(
        "the history cannot be read",
        error.stderr,
        plumbing.FSCK,
    )


class Blobs:
    """Contents by id, from one `cat-file --batch` that lasts as long as the block."""

    def __init__(self, git_dir: Path) -> None:
        self._git_dir = git_dir
        self._stack = ExitStack()
        self._pipes: tuple[IO[bytes], IO[bytes]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, ids: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
        """Each id (or `COMMIT:PATH`) with its contents; None for more than 1 MiB, which no manifest may have.

        Raises SourceError for what is missing. The contents must be taken to the end before more is asked.
        """
        wanted = list(ids)
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            questions, answers = self._opened()
            questions.write("".join(f"{one}\n" for one in batch).encode())
            questions.flush()
            yield from [(one, _contents(one, answers)) for one in batch]

    def one(self, blob_id: str) -> bytes:
        """One file's contents; nothing for none and for more than 1 MiB."""
        return (next(self.read([blob_id]))[1] or b"") if blob_id else b""

    def _opened(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._pipes is None:
            reading, writing = os.pipe()
            questions = os.fdopen(writing, "wb")
            try:
                answers = self._stack.enter_context(
                    plumbing.stream(self._git_dir, "cat-file", "--batch", stdin=reading)
                )
            finally:
                os.close(reading)
                self._stack.enter_context(questions)  # Closed first, as git goes on until there are no more questions.
            self._pipes = questions, answers
        return self._pipes


def _contents(wanted: str, answers: IO[bytes]) -> bytes | None:
    header = answers.readline().split()
    if len(header) != 3 or header[1] != b"blob":
        hint = plumbing.FSCK
        raise SourceError("the history cannot be read", f"object {wanted} is missing", hint)
    size = int(header[2])
    if size <= MAX_FILE:
        return answers.read(size + 1)[:-1]
    left = size + 1
    while left and (chunk := answers.read(min(left, MAX_FILE))):
        left -= len(chunk)
    return None


def _steps(tokens: Iterator[bytes]) -> Iterator[Step]:
    head, touched = "", list[Touch]()
    for token in tokens:
        text = token.decode(errors="replace").lstrip("\n")
        if text.startswith("\x01"):
            if head:
                yield _step(head, touched)
            head, touched = text[1:], []
        elif text.startswith(":"):
            touched.append(_touch(text, next(tokens, b"").decode(errors="replace")))
    if head:
        yield _step(head, touched)


def _step(text: str, touched: list[Touch]) -> Step:
    sha, parents, committed, at, author, subject = text.split("\x1f", 5)
    return Step(
        Commit(sha, clean(author), _time(at), clean(subject)), _time(committed), tuple(parents.split()), tuple(touched)
    )


def _touch(meta: str, path: str) -> Touch:
    """`:mode mode id id M`, with as many colons, and modes and ids before the last of each, as there are parents."""
    parents = len(meta) - len(meta.lstrip(":"))
    parts = meta[parents:].split(" ")
    modes, ids = parts[: parents + 1], parts[parents + 1 : 2 * parents + 2]
    found = [one if mode in _FILE_MODES else "" for mode, one in zip(modes, ids, strict=True)]
    return Touch(path, tuple(found[:-1]), found[-1])


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:  # git keeps years that no calendar here has.
        return datetime.max.replace(tzinfo=UTC)

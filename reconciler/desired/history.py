"""What became of one document, commit by commit: found by its kind and name in whatever file it stood.

git tells which commits touched a file; which of them touched the *document* is told by reading both sides of each and
comparing values, so that an edit beside it, a comment, or another order of keys is no change of it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from reconciler.desired import git
from reconciler.desired.files import MAX_FILE, is_manifest
from reconciler.desired.git import GitFailed, SourceError
from reconciler.desired.reader import Fault, decode, read, split
from reconciler.model.resource import Commit, ResourceKey

COMMIT_FORMAT = "%H%x1f%an%x1f%aI%x1f%s"
MAX_PATHS = 400
"""Beyond it a command line grows long, and to walk all commits is as quick."""

MAX_BLOBS = 4_000
"""How many versions of files with several documents are read to find who changed which."""

_ABSENT = "0" * 40
_HISTORY = "a shallow clone has none; run git fsck"


class Touch(msgspec.Struct, frozen=True):
    """A file that a commit made unlike each of its parents: git's ids of its contents there and here, "" where it is
    not."""

    path: str
    before: tuple[str, ...]
    after: str


class Version(msgspec.Struct, frozen=True):
    """A commit that changed the document. `before` and `after`: the whole document, None where there is none; `path`:
    where it stands after it, or stood before. `unreadable`: why one side cannot be told."""

    commit: Commit
    path: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    moved_from: str = ""
    unreadable: str = ""


Found = tuple[dict[ResourceKey, dict[str, Any]], str]
"""The documents of a text by key, and what is wrong with the others, if anything."""


class Documents:
    """Reads the documents of file contents. `name`: those without this word are not parsed.

    A version of a file differs from the next in a document or two, so each document's text is parsed once only.
    """

    def __init__(self, output: IO[bytes], asked: IO[bytes], name: str = "") -> None:
        self._output, self._asked, self._name = output, asked, name
        self._known: dict[str, Found] = {"": ({}, "")}
        self._parts: dict[str, tuple[dict[ResourceKey, dict[str, Any]], Fault | None]] = {}

    @property
    def read(self) -> int:
        """How many contents were read."""
        return len(self._known)

    def of(self, blob_id: str) -> Found:
        """What is in the contents of that id."""
        if blob_id not in self._known:
            self._known[blob_id] = self._parse(self._data(blob_id))
        return self._known[blob_id]

    def _data(self, blob_id: str) -> bytes:
        self._asked.write(f"{blob_id}\n".encode())
        self._asked.flush()
        header = self._output.readline().split()
        if len(header) != 3 or not header[2].isdigit():
            return b""
        data = self._output.read(int(header[2]) + 1)[:-1]
        return data if len(data) <= MAX_FILE else b""

    def _parse(self, data: bytes) -> Found:
        if self._name.encode() not in data:
            return {}, ""
        text = decode(data)
        if isinstance(text, Fault):
            return {}, text.what
        found: dict[ResourceKey, dict[str, Any]] = {}
        wrong, line = "", 0
        for part in split(text):
            if self._name in part:
                documents, fault = self._part(part)
                found = documents | found
                if fault is not None:
                    wrong = wrong or f"line {line + fault.line}: {fault.what}"
            line += part.count("\n")
        return found, wrong

    def _part(self, text: str) -> tuple[dict[ResourceKey, dict[str, Any]], Fault | None]:
        if text not in self._parts:
            documents = list(read(text))
            faults = [fault for document in documents for fault in document.faults]
            keyed = ((key_of(one.value), one.value) for one in documents if not one.faults)
            self._parts[text] = {key: value for key, value in keyed if key}, faults[0] if faults else None
        return self._parts[text]


def key_of(value: Any) -> ResourceKey | None:
    """Kind and name of a document, sound or not."""
    metadata = value.get("metadata") if isinstance(value, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    kind = value.get("kind") if isinstance(value, dict) else None
    return ResourceKey(kind, name) if isinstance(kind, str) and isinstance(name, str) else None


def versions(git_dir: Path, sha: str, key: ResourceKey, folder: str = "") -> Iterator[Version]:
    """Every commit up to `sha` that changed the document, newest first. Raises SourceError."""
    paths = _paths_with(git_dir, sha, key.name, folder)
    if not paths:
        return
    limited = sorted(paths) if len(paths) <= MAX_PATHS else [folder] if folder else []
    with reading(git_dir, key.name) as documents:
        for commit, touched in walk(git_dir, sha, limited):
            if (version := _version(commit, touched, key, documents)) is not None:
                yield version


def last_changes(
    git_dir: Path, sha: str, wanted: Mapping[str, Collection[ResourceKey]], shared: Collection[str]
) -> dict[ResourceKey, Commit]:
    """The newest commit that changed each wanted document, given by file. Raises SourceError.

    Of a file that is not `shared` by several documents it is the last that touched the file: then no contents are read.
    After MAX_BLOBS contents the rest falls back to that as well.
    """
    found: dict[ResourceKey, Commit] = {}
    open_keys = {path: set(keys) for path, keys in wanted.items() if keys}
    newest: dict[str, Commit] = {}
    if not open_keys:
        return found
    with reading(git_dir) as documents:
        for commit, touched in walk(git_dir, sha, []):
            for touch in touched:
                keys = open_keys.get(touch.path)
                if not keys:
                    continue
                newest.setdefault(touch.path, commit)
                alone = touch.path not in shared or documents.read > MAX_BLOBS
                changed = set(keys) if alone else {key for key in keys if _differs(touch, key, documents)}
                found |= dict.fromkeys(changed, newest[touch.path] if alone else commit)
                keys -= changed
            if not any(open_keys.values()):
                break
    return found


@contextmanager
def reading(git_dir: Path, name: str = "") -> Iterator[Documents]:
    """A git that gives contents by id, one after the other; started when the first is asked for."""
    process = subprocess.Popen(
        ["git", "--git-dir", str(git_dir), "cat-file", "--batch"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=git.environment(),
    )
    try:
        yield Documents(cast(IO[bytes], process.stdout), cast(IO[bytes], process.stdin), name)
    finally:
        process.kill()
        process.communicate()


def walk(git_dir: Path, sha: str, paths: list[str]) -> Iterator[tuple[Commit, list[Touch]]]:
    """Each commit and the manifests that it changed, newest first; of a merge what it made unlike every parent."""
    args = ["log", "-c", "--raw", "-z", "--no-renames", "--no-abbrev", f"--format=%x01{COMMIT_FORMAT}", sha, "--"]
    commit: Commit | None = None
    touched: list[Touch] = []
    raw = b""
    try:
        with git.stream(git_dir, *args, *paths) as output:
            for entry in entries(output):
                text = entry.lstrip(b"\n")
                if text.startswith(b"\x01"):
                    if commit is not None:
                        yield commit, touched
                    commit, touched, raw = parse_commit(text[1:].decode(errors="replace")), [], b""
                elif text.startswith(b":") and not raw:
                    raw = text
                elif raw:
                    if is_manifest(entry):
                        touched.append(_touch(raw, entry.decode(errors="replace")))
                    raw = b""
    except GitFailed as error:
        raise SourceError("the history cannot be read", error.stderr, _HISTORY) from error
    if commit is not None:
        yield commit, touched


def _paths_with(git_dir: Path, sha: str, name: str, folder: str) -> set[str]:
    """Every manifest that ever gained or lost the name."""
    args = ("log", "-c", f"-S{name}", "--name-only", "-z", "--no-renames", "--format=", sha, "--")
    try:
        with git.stream(git_dir, *args, *([folder] if folder else [])) as output:
            paths = (entry.lstrip(b"\n") for entry in entries(output))
            return {path.decode(errors="surrogateescape") for path in paths if is_manifest(path)}
    except GitFailed as error:
        raise SourceError("the history cannot be read", error.stderr, _HISTORY) from error


def _version(commit: Commit, touched: list[Touch], key: ResourceKey, documents: Documents) -> Version | None:
    after, here = _side(touched, key, documents, lambda touch: touch.after)
    parents = max((len(touch.before) for touch in touched), default=0)
    sides = [_side(touched, key, documents, lambda touch, n=n: touch.before[n]) for n in range(parents)]
    if not sides or any(before == after and there == here for before, there in sides):
        return None
    before, there = sides[0]
    unreadable = _wrong(touched, documents) if before is None or after is None else ""
    if before is None and after is None and not unreadable:
        return None
    moved = there if there and here and there != here else ""
    return Version(commit, here or there or touched[0].path, before, after, moved, unreadable)


def _side(touched: list[Touch], key: ResourceKey, documents: Documents, blob: Any) -> tuple[dict[str, Any] | None, str]:
    for touch in touched:
        if (value := documents.of(blob(touch))[0].get(key)) is not None:
            return value, touch.path
    return None, ""


def _wrong(touched: list[Touch], documents: Documents) -> str:
    """Why a document is not to be found, where what cannot be parsed may be why."""
    for touch in touched:
        for blob_id in (touch.after, *touch.before):
            if wrong := documents.of(blob_id)[1]:
                return f"{touch.path}: {wrong}"
    return ""


def _differs(touch: Touch, key: ResourceKey, documents: Documents) -> bool:
    after = documents.of(touch.after)[0].get(key)
    return all(documents.of(blob_id)[0].get(key) != after for blob_id in touch.before)


def _touch(raw: bytes, path: str) -> Touch:
    """`:MODE MODE OLD NEW M`; of a merge with a colon, a mode and an id for each parent."""
    parents = len(raw) - len(raw.lstrip(b":"))
    words = raw.lstrip(b":").decode().split()
    ids = ["" if word == _ABSENT else word for word in words[parents + 1 : 2 * parents + 2]]
    return Touch(path, tuple(ids[:-1]), ids[-1])


def entries(output: IO[bytes]) -> Iterator[bytes]:
    """What git separates by NUL."""
    rest = b""
    while chunk := output.read(1 << 16):
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole
    if rest:
        yield rest


def parse_commit(text: str) -> Commit:
    """What git prints by COMMIT_FORMAT."""
    sha, author, at, subject = text.rstrip("\n").split("\x1f", 3)
    return Commit(sha, author, datetime.fromisoformat(at), subject)

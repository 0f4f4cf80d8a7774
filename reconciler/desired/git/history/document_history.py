"""The commits that changed one document, newest first. It follows the document from file to file where the document
moved, and past commits that removed it.

A walk follows one file, as git simplifies its history: of a merge that took one side's file as it was, that side alone.
It ends where the document appears in the file; then the parents' trees are searched for it, and the walk goes on where
it stood. Where it stood nowhere, it was created, and an earlier life may end further back.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from heapq import heappop, heappush
from itertools import chain, islice
from pathlib import Path

import msgspec

from reconciler.desired.git import plumbing
from reconciler.desired.git.commits import Blobs, Step, Touch, commit_at, log_failed, walk
from reconciler.desired.git.history.documents import DocumentFinder
from reconciler.desired.git.plumbing import GitFailed
from reconciler.desired.manifest.manifest_files import MAX_FILES, is_manifest
from reconciler.model.resource import ResourceKey
from reconciler.views.render.tables.change_history import DocumentVersion, Edit, What

_AHEAD = 200
"""Steps whose contents are asked for at once."""


class _FoundDocument(msgspec.Struct, frozen=True):
    """A document in a commit's tree."""

    file: str
    version: DocumentVersion


class History:
    """The history of one document up to the commit `sha`, in the folder `prefix` of the repository."""

    def __init__(self, git_dir: Path, sha: str, key: ResourceKey, prefix: str, boundary: frozenset[str]) -> None:
        self._git_dir, self._sha, self._boundary = git_dir, sha, boundary
        self._finder = DocumentFinder(key)
        self._versions: dict[str, DocumentVersion | None] = {"": None}
        self._pending: list[tuple[float, int, Step, _Walk]] = []
        self._begun: set[tuple[str, str]] = set()
        self._passed: set[tuple[str, str]] = set()
        self._walks = 0
        self._merged: frozenset[str] | None = None
        folder = f"{prefix}/" if prefix else ""
        self._prefix = folder
        self._paths = [f":(top,glob){_escaped(folder)}**/*.{ending}" for ending in ("yaml", "yml")]

    def edits(self) -> Iterator[Edit]:
        """Every commit that changed the document, newest first, read as they are taken. Raises SourceError."""
        with Blobs(self._git_dir) as blobs:
            try:
                yield from _joined(self._edits(blobs))
            finally:
                self._pending.clear()  # Ends the walks that were not walked to their ends.

    def at(self) -> _FoundDocument | None:
        """The document as the commit has it."""
        with Blobs(self._git_dir) as blobs:
            return self._locate(blobs, self._sha)

    def _edits(self, blobs: Blobs) -> Iterator[Edit]:
        here = self._locate(blobs, self._sha)
        ends: tuple[str, ...] = (self._sha,)
        if here is not None:
            self._begin(blobs, self._sha, here.file)
            ends = yield from self._life(blobs)
        while ends and (removal := self._removal(blobs, ends)):
            yield removal
            ends = yield from self._life(blobs)

    def _life(self, blobs: Blobs) -> Generator[Edit, None, tuple[str, ...]]:
        """From the walks begun back to where the document was created; gives the parents of that commit."""
        ends: tuple[str, ...] = ()
        while self._pending:
            _, _, step, within = heappop(self._pending)
            edit = self._seen(blobs, step, within)
            if edit is not None:
                yield edit
                if edit.what is What.CREATED:
                    ends = (*ends, *self._parents(step.commit.sha))
            self._advance(within)
        return ends

    def _seen(self, blobs: Blobs, step: Step, within: _Walk) -> Edit | None:
        """What a step of a walk did to the document, if anything."""
        sha, file = step.commit.sha, within.file
        touch = within.take(step)
        after = self._versions[touch.after] if touch else None
        if touch is None or after is None or (sha, file) in self._passed:
            return None
        self._passed.add((sha, file))
        before = [self._versions[one] for one in touch.before]
        within.go_on(step, before)
        there = [one for one in before if one is not None]
        if any(after.says_the_same(one) for one in there):
            return None
        elsewhere = not there or len(there) < len(before) or sha in self._merges()
        moved = self._origins(blobs, sha, file) if elsewhere else []
        if there and any(after.says_the_same(one.version) for one in moved):
            return None
        if not there and not moved:
            what = What.OLDEST if sha in self._boundary else What.CREATED
            return Edit(step.commit, step.committed, what, file, None, after)
        origin = "" if there else moved[0].file
        return Edit(
            step.commit,
            step.committed,
            What.MOVED if origin else What.BROKEN if after.value is None else What.CHANGED,
            file,
            there[0] if there else moved[0].version,
            after,
            origin,
        )

    def _origins(self, blobs: Blobs, sha: str, file: str) -> list[_FoundDocument]:
        """Where the commit's parents have the document, if not in the file; each is walked from there."""
        found = []
        for parent in self._parents(sha):
            origin = self._locate(blobs, parent, prefer=file)
            if origin is not None and origin.file != file:
                self._begin(blobs, parent, origin.file)
                found.append(origin)
        return found

    def _merges(self) -> frozenset[str]:
        """All merges. git shows one along a file as no merge where a parent never had the file."""
        if self._merged is None:
            try:
                said = plumbing.run(self._git_dir, "rev-list", "--merges", self._sha)
            except GitFailed as error:
                raise log_failed(error) from error
            self._merged = frozenset(said.decode().split())
        return self._merged

    def _parents(self, sha: str) -> tuple[str, ...]:
        return () if sha in self._boundary else commit_at(self._git_dir, sha).parents

    def _removal(self, blobs: Blobs, starts: tuple[str, ...]) -> Edit | None:
        """The newest commit up to the starts that removed the document for good; walks begin before it."""
        options = (f"-G{self._finder.mention}", "--diff-filter=DM")
        for step in walk(self._git_dir, *starts, paths=self._paths, options=options):
            self._read(blobs, [step])
            for touch in step.touched:
                lost = [one for blob in touch.before if (one := self._versions[blob])]
                if not lost or self._versions[touch.after] or self._locate(blobs, step.commit.sha):
                    continue
                for parent in self._parents(step.commit.sha):
                    if origin := self._locate(blobs, parent, prefer=touch.path):
                        self._begin(blobs, parent, origin.file)
                return Edit(step.commit, step.committed, What.REMOVED, touch.path, lost[0], None)
        return None

    def _begin(self, blobs: Blobs, sha: str, file: str) -> None:
        """Walk the file back from a commit that has the document in it."""
        if (sha, file) in self._begun:
            return
        self._begun.add((sha, file))
        steps = walk(self._git_dir, sha, paths=[f":(top,literal){file}"], options=["--parents", "--date-order"])
        self._advance(_Walk(file, chain.from_iterable(self._read(blobs, some) for some in _batches(steps))))

    def _advance(self, within: _Walk) -> None:
        """Put the walk's next commit among those of the other walks, so that the newest is seen first."""
        step = next(within.steps, None)
        if step is not None:
            self._walks += 1
            heappush(self._pending, (-step.committed.timestamp(), self._walks, step, within))

    def _read(self, blobs: Blobs, steps: list[Step]) -> list[Step]:
        """Have the version of every file that the steps touch."""
        wanted = dict.fromkeys(
            blob for step in steps for touch in step.touched for blob in (*touch.before, touch.after)
        )
        for blob, data in blobs.read(blob for blob in wanted if blob not in self._versions):
            self._versions[blob] = self._finder(data)
        return steps

    def _locate(self, blobs: Blobs, tree: str, prefer: str = "") -> _FoundDocument | None:
        """The document in the tree: where it can be read first, in `prefer` if it is there."""
        broken = None
        names = sorted(self._naming(tree), key=lambda name: name != prefer)
        for name, data in blobs.read(f"{tree}:{name}" for name in names):
            version = self._finder(data)
            found = _FoundDocument(name.partition(":")[2], version) if version else None
            if found and found.version.value is not None:
                return found
            broken = broken or found
        return broken

    def _naming(self, tree: str) -> list[str]:
        """The manifests of a tree in which the document may stand."""
        for pattern in (self._finder.claim, self._finder.mention):
            args = ("grep", "-lzE", "--no-recurse-submodules", "-e", pattern, tree, "--", *self._paths)
            try:
                said = plumbing.run(self._git_dir, *args)
            except GitFailed as error:
                if error.stderr:
                    raise log_failed(error) from error
                continue
            names = (name.partition(b":")[2] for name in said.split(b"\0") if name)
            return [name.decode() for name in names if is_manifest(name) and _sound(name)][:MAX_FILES]
        return []


class _Walk:
    """A walk along one file. Only steps on the way to which the file never lost the document are of it."""

    def __init__(self, file: str, steps: Iterator[Step]) -> None:
        self.file, self.steps = file, steps
        self._alive: set[str] | None = None

    def take(self, step: Step) -> Touch | None:
        """What the step did to the file; None when it is not of the walk, or did nothing."""
        sha = step.commit.sha
        if self._alive is None:
            self._alive = {sha}
        if sha not in self._alive:
            return None
        touch = next((touch for touch in step.touched if touch.path == self.file), None)
        if touch is None:  # A merge of which git keeps the sides apart.
            self._alive.update(step.parents)
        return touch

    def go_on(self, step: Step, before: list[DocumentVersion | None]) -> None:
        """Follow the parents that have the document in the file."""
        if self._alive is not None:
            alike = len(before) == len(step.parents)
            kept = [p for p, one in zip(step.parents, before, strict=True) if one] if alike else step.parents
            self._alive.update(kept)


def _joined(edits: Iterator[Edit]) -> Iterator[Edit]:
    """What ends a time in which the document could not be read is reported by what differs from before that time."""
    waiting: list[Edit] = []
    for edit in edits:
        waiting.append(edit)
        if not _broken(edit.before):
            yield from (msgspec.structs.replace(one, before=edit.before) if _mended(one) else one for one in waiting)
            waiting = []
    yield from waiting


def _broken(version: DocumentVersion | None) -> bool:
    return version is not None and version.value is None


def _mended(edit: Edit) -> bool:
    return _broken(edit.before) and not _broken(edit.after)


def _batches(steps: Iterator[Step]) -> Iterator[list[Step]]:
    while some := list(islice(steps, _AHEAD)):
        yield some


def _escaped(folder: str) -> str:
    """A folder within a glob."""
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in folder)


def _sound(name: bytes) -> bool:
    try:
        return "\n" not in name.decode()
    except UnicodeDecodeError:
        return False

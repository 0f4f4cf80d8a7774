"""A work tree as a source: what is on disk now, committed or not, under the same rules as a commit."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from reconciler import runtime
from reconciler.desired.git import plumbing
from reconciler.desired.git.commit_objects import BLOB, git_object_id
from reconciler.desired.git.sources import watch as watching
from reconciler.desired.git.sources.repository import Repository
from reconciler.desired.git.sources.repository_folder import RepositoryFolder, find_repository
from reconciler.desired.git.sources.source import Snapshot
from reconciler.desired.manifest.manifest_files import FILE, MAX_FILE, OTHER, SUBMODULE, SYMLINK, Listing, ManifestFile
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.resource import Commit, DesiredState, ResourceKey, Revision, Source, work_tree_id

if TYPE_CHECKING:
    from reconciler.desired.git.history.document_history import History
    from reconciler.desired.git.history.revisions import HistoryPoint

_UNREADABLE = "unreadable"


class WorkTreeSnapshot(msgspec.Struct, frozen=True):
    """The manifests as they were at one moment. Contents are kept, as the disk may change before they are parsed."""

    revision: Revision
    files: tuple[ManifestFile, ...]
    diagnostics: tuple[Diagnostic, ...]
    contents: dict[str, bytes]

    def __repr__(self) -> str:
        return f"WorkTreeSnapshot({self.revision}, {len(self.files)} files)"

    def read(self, files: Sequence[ManifestFile]) -> Iterator[tuple[ManifestFile, bytes]]:
        """Each file with its contents, in the order given."""
        return ((file, self.contents[file.path]) for file in files)


class WorkTree:
    """The folder `path` under a root, which need not be a repository. `folder` is where it was asked for, `prefix` from
    the root to there; what links in `folder` lead to is resolved at each read."""

    def __init__(self, folder: Path, path: str, prefix: str = "") -> None:
        self._folder, self._up = folder, len([part for part in prefix.split("/") if part])
        self._path = path

    @property
    def _root(self) -> Path:
        found = self._folder.resolve() if self._up or self._folder.is_symlink() else self._folder
        for _ in range(self._up):
            found = found.parent
        return found

    @property
    def requested_ref(self) -> str:
        """Nothing in git."""
        return "work tree"

    def branch(self) -> None:
        """What is on disk is of no branch."""

    def began(self) -> datetime | None:
        """When the repository around it began."""
        repository = self._repository()
        return None if repository is None else repository.began()

    def shallow(self) -> bool:
        """It has no history at all."""
        return False

    def descends(self, revision: str, ancestor: str) -> None:
        """It is unknown: nothing is kept."""

    def bases(self, revision: str) -> tuple[str, ...]:
        """The commits that what is on disk would follow; empty where the folder is in no repository."""
        repository = self._repository()
        return () if repository is None else repository.bases_of_work_tree()

    def _repository(self) -> Repository | None:
        found = find_repository(self._folder)
        if not isinstance(found, RepositoryFolder):
            return None
        return Repository(found, None, self._path, folder=self._folder)

    @property
    def location(self) -> str:
        """The repository's folder."""
        return str(self._root)

    def snapshot(self, at: str | None = None) -> Snapshot:
        """What is on disk now, or the commit `at`. Raises SourceError when the folder is gone."""
        if at is not None:
            repository = self._repository()
            if repository is None:
                raise plumbing.SourceError(
                    ("the folder has no earlier state to compare with"),
                    "the folder is not in a git repository",
                    "use a clone",
                )
            return repository.snapshot(at)
        top = self._root / self._path
        if not top.is_dir():
            raise plumbing.SourceUnavailable(f"{top} is not a directory", "", "check the path")
        root = self._root
        listing, contents = Listing(), dict[str, bytes]()
        for kind, path in _walk(root, self._path):
            if kind == _UNREADABLE:
                listing.diagnostics.append(_unreadable(path, "the folder cannot be listed"))
                continue
            data = self._contents(path, listing) if kind == FILE else b""
            if data is not None and listing.add(kind, os.fsencode(path), git_object_id(BLOB, data), len(data)):
                contents[path] = data
        files = listing.files()
        digest = hashlib.sha256("".join(f"{file.path}\0{file.blob_id}\n" for file in files).encode()).hexdigest()
        revision = Revision(id=work_tree_id(digest), ref="work tree", repository=str(self._root))
        return WorkTreeSnapshot(revision, files, tuple(listing.diagnostics), contents)

    def commits_for(self, state: DesiredState, keys: Iterable[ResourceKey]) -> dict[ResourceKey, Commit]:
        """Nothing: what is on disk need not be in any commit."""
        return {}

    def history(self, revision: Revision, key: ResourceKey) -> History:
        """Raises SourceError."""
        raise _no_history()

    def moment(self, revision: Revision, text: str) -> HistoryPoint:
        """Raises SourceError."""
        raise _no_history()

    def uncommitted(self) -> int:
        """None: what is on disk is what is read."""
        return 0

    def watch(self, stop: runtime.Flag, interval: float, jitter: Callable[[], float]) -> Iterator[str | None]:
        """Every manifest under the folder."""
        while not stop.is_set():
            root = self._root
            for note in watching.manifests(root / self._path, stop, interval, jitter):
                yield note
                if self._root != root:
                    break

    def _contents(self, path: str, listing: Listing) -> bytes | None:
        """The file's bytes, at most one more than is allowed; None, with a diagnostic, when it cannot be read."""
        try:
            # O_NONBLOCK: a FIFO with a manifest's name must not hold everything up.
            handle = os.open(self._root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as opened:
                return opened.read(MAX_FILE + 1) if stat.S_ISREG(os.fstat(handle).st_mode) else None
        except OSError as error:
            listing.diagnostics.append(_unreadable(path, f"the file cannot be read: {error.strerror}"))
            return None


def _no_history() -> plumbing.SourceError:
    return plumbing.SourceError("a work tree has no history", "", "read the commits without --work-tree")


def _unreadable(path: str, what: str) -> Diagnostic:
    source = Source(path.encode(errors="replace").decode())
    return Diagnostic("unreadable-file", Severity.ERROR, what, source=source, hint="check the permissions of the file")


def _walk(root: Path, path: str) -> Iterator[tuple[str, str]]:
    """Kind and path of every entry that is not below a dot-folder, in order."""
    pending = [path]
    while pending:
        folder = pending.pop()
        try:
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name, reverse=True)
        except OSError:
            yield _UNREADABLE, folder
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            inner = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_symlink():
                yield SYMLINK, inner
            elif not entry.is_dir(follow_symlinks=False):
                if inner.endswith((".yaml", ".yml")):
                    yield FILE if entry.is_file(follow_symlinks=False) else OTHER, inner
            elif os.path.lexists(f"{entry.path}/.git"):
                yield SUBMODULE, inner
            else:
                pending.append(inner)

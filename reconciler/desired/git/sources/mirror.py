"""A remote repository, kept as a bare mirror under the cache folder, which each snapshot brings up to date."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from drivers.base import note_secrets
from reconciler import runtime
from reconciler.desired.git import plumbing, remotes
from reconciler.desired.git.plumbing import Damaged, GitFailed, SourceError, SourceUnavailable
from reconciler.desired.git.sources.commit_snapshot import CommitSnapshot
from reconciler.desired.git.sources.repository import Repository
from reconciler.desired.git.sources.repository_folder import RepositoryFolder
from reconciler.desired.git.sources.source import Remote, Snapshot
from reconciler.desired.manifest.manifest_files import (
    ManifestFile,
)
from reconciler.model.values.redact import redacted

_LIMITS = ("-c", "http.lowSpeedLimit=100", "-c", "http.lowSpeedTime=60")
"""curl's own, for a remote that trickles, and for what is left of a groundstate that was killed. One that is silent is
ended by us."""
_FETCH = (
    *("-c", "fetch.fsckObjects=true"),
    # Harmless marks of old tools, which would lock out repositories with a long history.
    *("-c", "fetch.fsck.zeroPaddedFilemode=ignore", "-c", "fetch.fsck.badTimezone=ignore"),
    *_LIMITS,
    *("fetch", "--progress", "--prune", "--force", "--no-auto-gc", "--no-write-fetch-head"),
)
_REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
LOCK_TIMEOUT = 120.0
"""Seconds to wait for another process that fetches into the same mirror."""
_LITTER = ("objects/pack/tmp_*", "objects/pack/.tmp-*", "objects/??/tmp_obj_*", "objects/incoming-*", "objects/tmp_*")
"""What a git leaves in a mirror when it is ended."""


class Mirror(Repository):
    """A remote, kept as a bare mirror that is brought up to date by each snapshot."""

    def __init__(self, url: str, ref: str | None, path: str, cache_dir: Path) -> None:
        self._url, self._credentials = plumbing.split_credentials(url)
        note_secrets(*plumbing.passwords_in(url))
        folder = cache_dir / "mirrors" / f"{hashlib.sha256(self._url.encode()).hexdigest()[:20]}.git"
        super().__init__(RepositoryFolder(folder, folder, folder, ""), ref, path, name=redacted(self._url))
        self._folder = folder

    def remote(self) -> Remote:
        """Where it was fetched from."""
        return Remote(self._url, self._credentials, self._name)

    def branch(self) -> str | None:
        """None: the remote's HEAD is requested each time, also which branch it is."""
        return None

    def snapshot(self, at: str | None = None) -> Snapshot:
        """Fetch, then read; a damaged mirror is created again once. Raises SourceUnavailable when the remote cannot be
        had. Not fetched for `at`, where that is here."""
        if at is None or not (self._folder / "HEAD").exists():
            self._fetch()
        try:
            found = super().snapshot(at)
        except Damaged:
            self._fetch(anew=True)
            found = super().snapshot(at)
        return (
            MirrorSnapshot(
                found.git_dir, found.revision, found.files, found.diagnostics, lambda: self._fetch(anew=True)
            )
            if isinstance(found, CommitSnapshot)
            else found
        )

    def watch(self, stop: runtime.Flag, interval: float, jitter: Callable[[], float]) -> Iterator[str | None]:
        """Every interval; the fetching is the snapshot's."""
        while not stop.wait(interval + jitter()):
            yield None

    def _fetch(self, *, anew: bool = False) -> None:
        from filelock import FileLock, Timeout

        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # A plan and the daemon may want the same mirror at once; git's own ref locks would fail one of them.
            with FileLock(f"{self._folder}.lock", timeout=LOCK_TIMEOUT):
                self._update(anew)
        except GitFailed as error:
            raise remotes.unavailable(self._name, error.stderr) from error
        except SourceUnavailable as error:  # It hangs.
            raise remotes.silent_remote(self._name, error) from error
        except Timeout as error:
            raise SourceUnavailable(
                f"{self._name} is being fetched by another process",
                ("that fetch has not ended after a long time; if it hangs, end that process"),
            ) from error
        except OSError as error:
            why = f"{self._folder.parent} cannot be written: {error.strerror}"
            raise SourceError(
                f"{self._name} cannot be mirrored", why, "set another cache folder with XDG_CACHE_HOME"
            ) from error

    def _update(self, anew: bool) -> None:
        head = self._remote_head()
        if not anew and (self._folder / "HEAD").exists():
            _tidy(self._folder)
            try:
                self._bring(self._folder, head)
            except GitFailed as error:
                if remotes.is_elsewhere(error.stderr):
                    raise
                # The remote has just answered, so it is the mirror: a cut pack, a broken ref, other hashes.
            else:
                return
        self._make(head)

    def _make(self, head: Head) -> None:
        """Make the mirror beside the old one, and put it in its place when it is whole."""
        fresh = _beside(self._folder)
        _discard(fresh)
        try:
            plumbing.run(fresh, "init", "--quiet", "--bare", f"--object-format={head.hashes}")
            self._bring(fresh, head)
            _discard(self._folder)
            fresh.rename(self._folder)
        finally:
            _discard(fresh)

    def _bring(self, folder: Path, head: Head) -> None:
        """Fetch all branches and tags, and the ref or commit that was asked for where it is neither."""
        extra = self._credentials
        refspecs = [*_REFSPECS, *self._odd_ref()]
        try:
            plumbing.transfer(folder, *_FETCH, self._url, *refspecs, extra=extra)
        except GitFailed as error:
            if len(refspecs) > len(_REFSPECS) and "couldn't find remote ref" in error.stderr:
                hint = "git removes this ref when the pull request is closed or has conflicts"
                raise SourceError(f"{self._name} has no ref {self._ref}", "", hint) from error
            raise
        if self._ref is None and head.branch:
            plumbing.run(folder, "symbolic-ref", "HEAD", head.branch)
        elif self._ref is None and head.sha:
            with suppress(GitFailed):  # Where no branch or tag leads to it, the old HEAD stays.
                plumbing.run(folder, "update-ref", "--no-deref", "HEAD", head.sha)

    def _odd_ref(self) -> list[str]:
        """`refs/pull/7/merge` and the like, which are no branches and no tags."""
        name = self._ref or ""
        if re.match(r"(pull|merge-requests)/\d+/(merge|head)$", name):
            self._ref = name = f"refs/{name}"
        known = name.startswith(("refs/heads/", "refs/tags/", "refs/remotes/"))
        return [f"+{name}:{name}"] if name.startswith("refs/") and not known else []

    def _remote_head(self) -> Head:
        """What the remote's HEAD is, asked without the mirror, which may be damaged. Raises GitFailed."""
        args = (*_LIMITS, "ls-remote", "--symref", self._url, "HEAD")
        said = plumbing.run(Path(os.devnull), *args, extra=self._credentials, timeout=plumbing.SILENCE).decode(
            errors="replace"
        )
        branch = re.search(r"^ref: (refs/heads/\S+)\tHEAD$", said, re.MULTILINE)
        sha = re.search(r"^([0-9a-f]{40,64})\tHEAD$", said, re.MULTILINE)
        hashes = "sha256" if sha and len(sha[1]) == 64 else "sha1"
        return Head(branch[1] if branch else "", sha[1] if sha else "", hashes)


class Head(msgspec.Struct, frozen=True):
    """A remote's HEAD: a branch, or a commit alone; and by which hashes it names objects."""

    branch: str
    sha: str
    hashes: str


class MirrorSnapshot(CommitSnapshot, frozen=True):
    """The same of a mirror, which is created again if an object is damaged."""

    heal: Callable[[], None]

    def read(self, files: Sequence[ManifestFile]) -> Iterator[tuple[ManifestFile, bytes]]:
        """Each file with its contents, in the order given."""
        done = 0
        try:
            for found in super().read(files):
                yield found
                done += 1
        except Damaged:
            self.heal()
            yield from super().read(files[done:])


def _tidy(mirror: Path) -> None:
    """Remove the lock files of a git process that was ended. The caller holds our lock, so no other process writes
    there."""
    _discard(_beside(mirror))
    for pattern in (*_LITTER, "*.lock", "refs/**/*.lock", "objects/pack/*.lock", "objects/info/*.lock"):
        for path in mirror.glob(pattern):
            _discard(path)


def _beside(mirror: Path) -> Path:
    """The folder in which a mirror is created again."""
    return mirror.with_name(f"{mirror.name}.new")


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

"""A revision of a local git repository, bare or not, read without a checkout. Nothing is ever written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler import runtime
from reconciler.desired.git import plumbing
from reconciler.desired.git.history import revisions
from reconciler.desired.git.history.blame import last_commits
from reconciler.desired.git.history.revisions import HistoryPoint
from reconciler.desired.git.plumbing import GitFailed, SourceError, SourceUnavailable
from reconciler.desired.git.refs import refuse_sets
from reconciler.desired.git.sources import watch as watching
from reconciler.desired.manifest.manifest_files import (
    is_manifest,
)
from reconciler.model.resource import Commit, DesiredState, ResourceKey, Revision

if TYPE_CHECKING:
    from reconciler.desired.git.history.document_history import History
from reconciler.desired.git.sources.commit_snapshot import CommitSnapshot, list_manifests
from reconciler.desired.git.sources.ref_resolution import resolve_ref, short_ref_names
from reconciler.desired.git.sources.repository_folder import (
    RepositoryFolder,
    find_repository,
    folder_away,
    folder_identity,
    head_name,
)
from reconciler.desired.git.sources.source import Remote, Snapshot

_DAY_SECONDS = 24 * 60 * 60
_MOST_BASES = 16
"""Commits of the day before that are read besides; a new store reads them once."""


class Repository:
    """A revision of a local repository, bare or not."""

    def __init__(
        self, place: RepositoryFolder, ref: str | None, path: str, name: str = "", folder: Path | None = None
    ) -> None:
        if ref is not None:
            refuse_sets(ref)
        self._place = place
        self._folder_asked = folder
        self._identity = folder_identity(folder, place) if folder else None
        self._ref = ref
        self._path = path
        self._name = name or str(place.root)

    @property
    def location(self) -> str:
        """The repository's folder, or its URL without credentials."""
        return self._name

    @property
    def git_dir(self) -> Path:
        """Where its objects are."""
        return self._place.git_dir

    @property
    def path(self) -> str:
        """From its root to the folder that is read; empty for all of it."""
        return self._path

    def remote(self) -> Remote:
        """Where a branch for a pull request is pushed to: the repository's `origin`; itself, where it has none.

        Raises SourceError."""
        try:
            named = plumbing.run(self.git_dir, "remote").decode().split()
        except GitFailed as error:
            raise SourceError(f"{self._name} cannot be read", error.stderr, plumbing.FSCK) from error
        return Remote("origin", {}, "origin") if "origin" in named else Remote(str(self.git_dir), {}, self._name)

    @property
    def requested_ref(self) -> str:
        """The ref that is followed, as it was asked for."""
        return self._ref or "HEAD"

    def branch(self) -> str | None:
        """The branch that is checked out; None where HEAD is at no branch, and for a remote, whose HEAD is followed."""
        name = head_name(self._place.git_dir)
        return None if name == "HEAD" else name

    def refs(self) -> list[str]:
        """The short names of its branches and tags."""
        return short_ref_names(self._place.git_dir)

    def snapshot(self, at: str | None = None) -> Snapshot:
        """The commit that the ref points at now, or the commit `at`; where the repository is by then."""
        try:
            self._find_again()
            return self._snapshot(at)
        except OSError as error:
            why = f"{error.filename or 'git'}: {error.strerror}"
            raise SourceUnavailable(
                f"{self._name} cannot be read",
                why,
                "if a new clone replaces the folder, wait; otherwise check the folder and its permissions",
            ) from error
        except SourceError as error:
            if self._folder_asked is not None and not self._place.git_dir.exists():
                raise folder_away(self._folder_asked) from error
            raise

    def _snapshot(self, at: str | None) -> CommitSnapshot:
        commit = resolve_ref(self._place, self._name, at or self._ref)
        listing = list_manifests(self._place.git_dir, self._name, commit.sha, self._path)
        ref = self._ref or head_name(self._place.git_dir)
        revision = Revision(id=commit.sha, ref=ref, repository=self._name, commit=commit)
        return CommitSnapshot(self._place.git_dir, revision, listing.files(), tuple(listing.diagnostics))

    def _find_again(self) -> None:
        """Follow the folder that was asked for to where it leads now: a link that was turned, or another clone."""
        folder = self._folder_asked
        if folder is None or folder_identity(folder, self._place) == self._identity:
            return
        if not folder.is_dir():
            raise folder_away(folder)
        found = find_repository(folder)
        if not isinstance(found, RepositoryFolder):
            raise SourceUnavailable(found.what, found.why, found.hint)
        self._place, self._identity = found, folder_identity(folder, found)

    def descends(self, revision: str, ancestor: str) -> bool | None:
        """Whether the commit `revision` has `ancestor` among its ancestors, or is it; None where a shallow clone ends
        before that is known. A complete clone without `ancestor` gives False: it has all ancestors."""
        try:
            plumbing.run(self.git_dir, "merge-base", "--is-ancestor", ancestor, revision)
        except GitFailed:
            ends = self._boundary()
            return None if ends and self._hides(revision, ancestor, ends) else False
        return True

    def bases(self, revision: str) -> tuple[str, ...]:
        """Where the commit left the remote's default branch, as far as the clone knows that branch. Else all its
        parents, and what was committed in the day before, as for a commit that is on that branch already."""
        branched = self._branched_at(revision)
        return (branched,) if branched is not None else self._day_before(revision)

    def bases_of_work_tree(self) -> tuple[str, ...]:
        """The same of the files on disk, which a commit that follows HEAD would have, where they differ from HEAD."""
        head = self._parsed("HEAD")
        if head is None:
            return ()
        branched = self._branched_at(head)
        if branched is not None:
            return (branched,)
        return (*self._day_before(head), head) if self.uncommitted() else self._day_before(head)

    def _day_before(self, revision: str) -> tuple[str, ...]:
        """All parents of the commit, the commits of the day before it, and the last one before that day. The oldest is
        first. A push, a rebase or a merge from the wrong side brings several commits at once."""
        try:
            parents = plumbing.run(self.git_dir, "rev-parse", f"{revision}^@").decode().split()
            at = int(plumbing.run(self.git_dir, "show", "--no-patch", "--format=%ct", revision))
            since = at - _DAY_SECONDS
            walk = ("rev-list", "--topo-order", f"--max-count={_MOST_BASES}", f"--since={since}")
            lately = plumbing.run(self.git_dir, *walk, *parents).decode().split() if parents else []
            older = ("rev-list", "-1", "--first-parent", f"--before={since - 1}")
            before = plumbing.run(self.git_dir, *older, parents[0]).decode().split() if parents else []
        except (GitFailed, ValueError):
            return ()
        earlier = (parent for parent in reversed(parents) if parent not in lately)
        return tuple(dict.fromkeys((*before, *earlier, *reversed(lately))))

    def _branched_at(self, revision: str) -> str | None:
        """Where the commit left the remote's default branch; None for one that is on it, and where none is known."""
        for branch in ("refs/remotes/origin/HEAD", "refs/remotes/origin/main", "refs/remotes/origin/master"):
            try:
                found = plumbing.run(self.git_dir, "merge-base", revision, branch).decode().strip()
            except GitFailed:
                continue
            if found and found != revision:
                return found
        return None

    def _parsed(self, revision: str) -> str | None:
        try:
            return plumbing.run(self.git_dir, "rev-parse", "--verify", "--quiet", revision).decode().strip()
        except GitFailed:
            return None

    def _hides(self, revision: str, ancestor: str, ends: frozenset[str]) -> bool:
        """Whether `ancestor` may lie behind one of the `ends` of a shallow clone. Not behind those that are its own
        ancestors, such as all there are of a branch that was taken back."""
        try:
            said = plumbing.run(self.git_dir, "rev-list", revision, f"^{ancestor}")
        except GitFailed:  # It is not in the clone.
            return True
        return not ends.isdisjoint(said.decode().split())

    def commits_for(self, state: DesiredState, keys: Iterable[ResourceKey]) -> dict[ResourceKey, Commit]:
        """One walk back through history, which stops as soon as every document's commit was met."""
        if state.revision.commit is None:
            return {}
        return last_commits(self._place.git_dir, state.revision.commit.sha, state, keys, self._boundary())

    def history(self, revision: Revision, key: ResourceKey) -> History:
        """Of a shallow clone, as far back as it goes."""
        # Imported here: it parses YAML, which a run in which nothing changed does not need.
        from reconciler.desired.git.history.document_history import History

        return History(self._place.git_dir, revision.id, key, self._path, self._boundary())

    def moment(self, revision: Revision, text: str) -> HistoryPoint:
        """A day or time, in UTC unless it says otherwise; else what git knows as a commit; else git's own words."""
        return revisions.find_revision(self._place.git_dir, revision.id, text)

    def uncommitted(self) -> int:
        """Ignored files do not count: they are not meant to be committed."""
        if self._place.root == self._place.git_dir:
            return 0
        # Without renames each entry is one path, after two letters and a space.
        args = ("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--ignore-submodules=all")
        try:
            extra = plumbing.without_filters(self._place.root)
            said = plumbing.run(
                self._place.root, *args, "--", f":(top,literal){self._path}", discover=True, extra=extra
            )
        except (GitFailed, SourceUnavailable):  # What is read is the commit; this is only about the rest.
            return 0
        return sum(is_manifest(entry[3:]) for entry in said.split(b"\0"))

    def watch(self, stop: runtime.Flag, interval: float, jitter: Callable[[], float]) -> Iterator[str | None]:
        """HEAD, packed-refs and everything under refs, of wherever the repository is."""
        while not stop.is_set():
            place = self._place
            for note in watching.refs(place.git_dir, place.common_dir, stop, interval, jitter):
                yield note
                if self._place != place:
                    break

    def began(self) -> datetime | None:
        """The oldest of the commits without parents that lead to the ref."""
        if self._boundary():
            return None
        try:
            sha = resolve_ref(self._place, self._name, self._ref).sha
            said = plumbing.run(self.git_dir, "rev-list", "--max-parents=0", "--timestamp", sha)
            return datetime.fromtimestamp(min(int(line.split()[0]) for line in said.splitlines()), UTC)
        except (GitFailed, SourceError, OSError, ValueError, OverflowError):
            return None

    def shallow(self) -> bool:
        """Whether git says where the history was cut."""
        return bool(self._boundary())

    def _boundary(self) -> frozenset[str]:
        """The commits of a shallow clone whose parents are not in it."""
        try:
            return frozenset((self._place.common_dir / "shallow").read_text("ascii").split())
        except (OSError, ValueError):
            return frozenset()

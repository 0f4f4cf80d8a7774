"""Where desired state comes from: a revision of a git repository, read without a checkout, or a work tree on disk.

What is read of a commit are objects: sizes first, then the contents of manifests. Nothing is ever written but a mirror
of a remote, under the cache folder. Bad entries become diagnostics and do not stop the others.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from drivers.base import note_secrets
from reconciler import runtime
from reconciler.desired.git import plumbing, remotes, revisions
from reconciler.desired.git import watch as watching
from reconciler.desired.git.blame import last_commits
from reconciler.desired.git.commits import commit_at, entries
from reconciler.desired.git.plumbing import Damaged, GitFailed, SourceError, SourceUnavailable
from reconciler.desired.git.refs import HASH, LOCAL, commit_hash, full_name, refuse_sets
from reconciler.desired.git.revisions import Moment
from reconciler.desired.git.worktree import WorkTree
from reconciler.desired.manifest.manifest_files import (
    FILE,
    OTHER,
    SUBMODULE,
    SYMLINK,
    Listing,
    ManifestFile,
    is_manifest,
)
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.redact import redacted
from reconciler.model.resource import Commit, DesiredState, ResourceKey, Revision

if TYPE_CHECKING:
    from reconciler.desired.git.document_history import History

__all__ = ["DesiredSource", "ManifestFile", "Snapshot", "SourceError", "SourceUnavailable", "open_source"]

_REMOTE = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]*://|(?!-)(?:[^/@:\s]+@)?(?:\[[^]/\s]+\]|\w[\w.-]*):(?!:).)")
"""A URL, or `[USER@]HOST:PATH` as git and scp take it, where HOST may be an alias of the SSH settings."""
_NO_FOLDER = ("Not a valid object name", "not a tree object")
"""What git says of a path that is not in a commit, or is a file."""
_SCHEMES = ("https://", "ssh://", "file://")
_UNPROVEN = ("http", "git", "ftp", "ftps", "rsync")
_LIMITS = ("-c", "http.lowSpeedLimit=100", "-c", "http.lowSpeedTime=60")
"""curl's own, for a remote that trickles, and for what is left of a groundstate that was killed; one that is silent is
ended by us."""
_FETCH = (
    *("-c", "fetch.fsckObjects=true"),
    # Harmless marks of old tools, which would lock out repositories with a long history.
    *("-c", "fetch.fsck.zeroPaddedFilemode=ignore", "-c", "fetch.fsck.badTimezone=ignore"),
    *_LIMITS,
    *("fetch", "--progress", "--prune", "--force", "--no-auto-gc", "--no-write-fetch-head"),
)
_REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
_FILE_MODES = (b"100644", b"100755", b"100664")
_MODES = {b"120000": SYMLINK, b"160000": SUBMODULE}
LOCK_TIMEOUT = 120.0
"""Seconds to wait for another process that fetches into the same mirror."""
_LITTER = ("objects/pack/tmp_*", "objects/pack/.tmp-*", "objects/??/tmp_obj_*", "objects/incoming-*", "objects/tmp_*")
"""What a git leaves in a mirror when it is ended."""
MAX_ENTRIES = 2_000_000
"""Of any kind: a few trees that name each other make a listing without end."""


class RepositoryFolder(msgspec.Struct, frozen=True):
    """Where a repository is. `prefix`: from its root to the folder that was asked for."""

    root: Path
    git_dir: Path
    common_dir: Path
    prefix: str


class Remote(msgspec.Struct, frozen=True):
    """Where git pushes to: a name or a URL, the environment that lets it in, and what people are shown."""

    place: str
    environment: Mapping[str, str]
    shown: str


class Snapshot(Protocol):
    """The manifests of one revision, unread. `diagnostics` says which entries are refused."""

    @property
    def revision(self) -> Revision: ...
    @property
    def files(self) -> tuple[ManifestFile, ...]: ...
    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]: ...
    def read(self, files: Sequence[ManifestFile]) -> Iterator[tuple[ManifestFile, bytes]]:
        """Each file with its contents, in the order given. Raises SourceError."""


class DesiredSource(Protocol):
    """A place that desired state comes from."""

    @property
    def location(self) -> str:
        """The repository's folder or URL, without credentials."""

    def snapshot(self, at: str | None = None) -> Snapshot:
        """The newest revision; or the commit `at`, from what is here already, without asking a remote.

        Raises SourceError, SourceUnavailable.
        """

    def commits_for(self, state: DesiredState, keys: Iterable[ResourceKey]) -> dict[ResourceKey, Commit]:
        """The last commit, up to the state's, that changed each document; without those that git does not know.

        Where a file holds one document, that is the last commit that touched the file; among several, the last that
        changed the document by value. Where that is too much to look at, the last commit that touched the file.
        """

    def history(self, revision: Revision, key: ResourceKey) -> History:
        """The commits that changed a document, up to the revision. Raises SourceError where there are none."""

    def moment(self, revision: Revision, text: str) -> Moment:
        """The time, or the commit, that a person means: `2026-11-20`, `2 days ago`, a branch, tag or commit.

        Raises SourceError when the text is none of these.
        """

    def descends(self, revision: str, ancestor: str) -> bool | None:
        """Whether the commit `revision` has `ancestor` among its ancestors; None where that cannot be told."""

    def shallow(self) -> bool:
        """Whether its history ends before its beginning."""

    @property
    def requested_ref(self) -> str:
        """The ref that is followed, as it was asked for."""

    def branch(self) -> str | None:
        """The branch that is checked out here, without asking any remote; None where there is none."""

    def uncommitted(self) -> int:
        """How many manifests on disk, under the path, differ from HEAD or are not in it, deleted ones included. 0 where
        nothing on disk is passed over: bare repositories, remotes, work trees; and where git cannot tell."""

    def watch(self, stop: runtime.Flag, interval: float, jitter: Callable[[], float]) -> Iterator[str | None]:
        """Yield whenever there may be something new, until `stop` is set: None, or a word for people.

        Never raises for a network that is down: the next `snapshot` says so.

        Local repositories and work trees are watched, and looked at every `interval` seconds as well, in case the
        operating system forgot to say; remotes are only looked at. `jitter()` seconds are added to each interval.
        """


def open_source(
    location: str | os.PathLike[str],
    ref: str | None = None,
    path: str = "",
    *,
    work_tree: bool = False,
    cache_dir: Path | None = None,
) -> DesiredSource:
    """The source at a folder (a repository, any folder in one, a bare one) or a URL (https, ssh, file).

    `ref`: branch, tag or commit; the default is HEAD. `path`: the folder to read, from `location`. `work_tree`: what
    lies on disk, committed or not; then `location` need not be in a repository. `cache_dir`: where mirrors of remotes
    are kept; a remote needs it. Raises SourceError. Touches no network.
    """
    text = os.fspath(location)
    if _REMOTE.match(text) and not Path(text).exists():
        if work_tree:
            raise SourceError(
                f"{text} is a remote", "a work tree is a directory on disk", "clone it, or leave --work-tree out"
            )
        return _remote(text, ref, path, cache_dir)
    folder = Path(text).expanduser().absolute()
    if not folder.is_dir():
        raise SourceError(
            f"{folder} is not a directory", "it does not exist" if not folder.exists() else "", "check the path"
        )
    repository = _find_repository(folder)
    if isinstance(repository, RepositoryFolder):
        if work_tree and repository.root == repository.git_dir:
            raise SourceError(f"{folder} is a bare repository", "it has no work tree", "leave --work-tree out")
        joined = _joined(repository.prefix, path)
        if work_tree:
            return WorkTree(folder, joined, repository.prefix)
        return Repository(repository, ref, joined, folder=folder)
    if work_tree:
        return WorkTree(folder, _joined("", path))
    raise repository


class Repository:
    """A revision of a local repository, bare or not."""

    def __init__(
        self, place: RepositoryFolder, ref: str | None, path: str, name: str = "", folder: Path | None = None
    ) -> None:
        if ref is not None:
            refuse_sets(ref)
        self._place = place
        self._folder_asked = folder
        self._identity = _identity(folder, place) if folder else None
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
            raise SourceError(f"{self._name} cannot be read", error.stderr, "run git fsck") from error
        return Remote("origin", {}, "origin") if "origin" in named else Remote(str(self.git_dir), {}, self._name)

    @property
    def requested_ref(self) -> str:
        """The ref that is followed, as it was asked for."""
        return self._ref or "HEAD"

    def branch(self) -> str | None:
        """The branch that is checked out; None where HEAD is at no branch, and for a remote, whose HEAD is followed."""
        name = _head_name(self._place.git_dir)
        return None if name == "HEAD" else name

    def snapshot(self, at: str | None = None) -> Snapshot:
        """The commit that the ref points at now, or the commit `at`; where the repository is by then."""
        try:
            self._find_again()
            return self._snapshot(at)
        except OSError as error:
            why = f"{error.filename or 'git'}: {error.strerror}"
            raise SourceUnavailable(f"{self._name} cannot be read", why, "is it being replaced?") from error
        except SourceError as error:
            if self._folder_asked is not None and not self._place.git_dir.exists():
                raise _away(self._folder_asked) from error
            raise

    def _snapshot(self, at: str | None) -> CommitSnapshot:
        commit = self._resolve(at or self._ref)
        listing = self._list(commit.sha)
        ref = self._ref or _head_name(self._place.git_dir)
        revision = Revision(id=commit.sha, ref=ref, repository=self._name, commit=commit)
        return CommitSnapshot(self._place.git_dir, revision, listing.files(), tuple(listing.diagnostics))

    def _find_again(self) -> None:
        """Follow the folder that was asked for to where it leads now: a link that was turned, or another clone."""
        folder = self._folder_asked
        if folder is None or _identity(folder, self._place) == self._identity:
            return
        if not folder.is_dir():
            raise _away(folder)
        found = _find_repository(folder)
        if not isinstance(found, RepositoryFolder):
            raise SourceUnavailable(found.what, found.why, found.hint)
        self._place, self._identity = found, _identity(folder, found)

    def descends(self, revision: str, ancestor: str) -> bool | None:
        """Whether the commit `revision` has `ancestor` among its ancestors, or is it; None where a shallow clone ends
        before that can be told. A complete clone without `ancestor` tells: it has all ancestors there are."""
        try:
            plumbing.run(self.git_dir, "merge-base", "--is-ancestor", ancestor, revision)
        except GitFailed:
            ends = self._boundary()
            return None if ends and self._hides(revision, ancestor, ends) else False
        return True

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
        from reconciler.desired.git.document_history import History

        return History(self._place.git_dir, revision.id, key, self._path, self._boundary())

    def moment(self, revision: Revision, text: str) -> Moment:
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

    def shallow(self) -> bool:
        """Whether git says where the history was cut."""
        return bool(self._boundary())

    def _boundary(self) -> frozenset[str]:
        """The commits of a shallow clone whose parents are not in it."""
        try:
            return frozenset((self._place.common_dir / "shallow").read_text("ascii").split())
        except (OSError, ValueError):
            return frozenset()

    def _resolve(self, ref: str | None) -> Commit:
        git_dir = self._place.git_dir
        try:
            return commit_at(git_dir, commit_hash(git_dir, ref or "HEAD")).commit
        except GitFailed as error:
            try:
                named, unknown = self._named(ref or _head_name(git_dir)), self._unknown(ref)
            except GitFailed as again:
                why = remotes.words(again.stderr)
                raise Damaged(f"{self._name} cannot be read", why, "run git fsck") from again
            if named in ("blob", "tree"):
                what = {"blob": "a file", "tree": "a folder"}[named]
                raise SourceError(f"{self._name}: {ref} names {what}, not a commit", "", "name a commit") from error
            if named is not None:
                why = remotes.words(error.stderr) or f"what {ref or 'HEAD'} names cannot be read"
                raise Damaged(f"{self._name} cannot be read", why, "run git fsck") from error
            raise unknown from error

    def _named(self, ref: str) -> str | None:
        """What a ref of the name leads to: `commit`, `tree`, `blob`, "" where that cannot be read; None when no ref is
        called that. git itself passes over a ref whose file holds no hash."""
        git_dir, common = self._place.git_dir, self._place.common_dir
        ref = _head_name(git_dir) if ref == "HEAD" else ref
        if ref == "HEAD":
            name, known = ref, True  # It names a commit itself.
        elif HASH.fullmatch(ref):
            name, known = ref, _succeeds(git_dir, "cat-file", "-e", ref)
        else:
            name = full_name(git_dir, ref) or ""
            known = bool(name and plumbing.run(git_dir, "for-each-ref", "--format=%(objectname)", name))
        if not known:
            places = [name] if name else [f"{place}/{ref}" for place in LOCAL]
            return "" if any(_is_file(common / place) for place in places) else None
        try:
            return plumbing.run(git_dir, "cat-file", "-t", f"{name}^{{}}").decode().strip()
        except GitFailed:
            return ""

    def _unknown(self, ref: str | None) -> SourceError:
        names = plumbing.run(
            self._place.git_dir, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags"
        )
        known = names.decode(errors="replace").split()
        if not known:
            return SourceError(
                f"{self._name} has no commits",
                "the branch is empty",
                "commit the desired state, or use --work-tree",
            )
        if ref is None:
            head = _head_name(self._place.git_dir)
            return SourceError(
                f"{self._name}: HEAD names {head}, which has no commits", "", f"choose a ref: {known[0]}"
            )
        near = difflib.get_close_matches(ref, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known[:8])}"
        return SourceError(f"{self._name} has no branch, tag or commit {ref!r}", "", hint)

    def _list(self, sha: str) -> Listing:
        listing = Listing()
        prefix = f"{self._path}/".encode() if self._path else b""
        try:
            with plumbing.stream(self._place.git_dir, "ls-tree", "-r", "-z", "-l", f"{sha}:{self._path}") as output:
                for count, entry in enumerate(entries(output), 1):
                    if count > MAX_ENTRIES:
                        raise SourceError(
                            f"{self._name} has more than {MAX_ENTRIES:,} files", "", "choose a folder of it"
                        )
                    meta, _, name = entry.partition(b"\t")
                    mode, _, blob_id, size = meta.split()
                    if mode in _FILE_MODES:
                        if not size.isdigit():
                            raise _missing(self._name, blob_id.decode())
                        listing.add(FILE, prefix + name, blob_id.decode(), int(size))
                    else:
                        listing.add(_MODES.get(mode, OTHER), prefix + name, "", 0)
        except GitFailed as error:
            if self._path and any(words in error.stderr for words in _NO_FOLDER):
                raise SourceError(
                    f"{self._name} has no folder {self._path!r} at this revision", "", "check --path"
                ) from error
            raise Damaged(f"{self._name} cannot be read", error.stderr, "run git fsck") from error
        return listing


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
        """None: a remote's HEAD is asked for anew each time, also which branch it is."""
        return None

    def snapshot(self, at: str | None = None) -> Snapshot:
        """Fetch, then read; a mirror that is damaged is made anew once. Raises SourceUnavailable when the remote cannot
        be had. Not fetched for `at`, where that is here."""
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
            raise remotes.silent(self._name, error) from error
        except Timeout as error:
            raise SourceUnavailable(f"{self._name} is being fetched by another process", "it takes long") from error
        except OSError as error:
            why = f"{self._folder.parent} cannot be written: {error.strerror}"
            raise SourceError(f"{self._name} cannot be mirrored", why, "set another cache folder") from error

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
                hint = "a merge of a pull request goes when that is closed, or conflicts"
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


class CommitSnapshot(msgspec.Struct, frozen=True):
    """The manifests of a commit."""

    git_dir: Path
    revision: Revision
    files: tuple[ManifestFile, ...]
    diagnostics: tuple[Diagnostic, ...]

    def read(self, files: Sequence[ManifestFile]) -> Iterator[tuple[ManifestFile, bytes]]:
        """One `cat-file --batch`, fed from a file so that neither side ever waits for the other."""
        if not files:
            return
        with tempfile.TemporaryFile() as wanted:
            wanted.write("".join(f"{file.blob_id}\n" for file in files).encode())
            wanted.seek(0)
            try:
                with plumbing.stream(self.git_dir, "cat-file", "--batch", "--buffer", stdin=wanted) as output:
                    for file in files:
                        header = output.readline().split()
                        if header[1:] != [b"blob", b"%d" % file.size]:
                            raise _missing(self.revision.repository, file.blob_id)
                        yield file, output.read(file.size + 1)[:-1]
            except GitFailed as error:
                raise Damaged("objects cannot be read from git", error.stderr, "run git fsck") from error


class MirrorSnapshot(CommitSnapshot, frozen=True):
    """The same of a mirror, which is made anew where an object turns out damaged."""

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
    """Take away what a git that was ended left behind. The caller has our lock: nobody else writes there."""
    _discard(_beside(mirror))
    for pattern in (*_LITTER, "*.lock", "refs/**/*.lock", "objects/pack/*.lock", "objects/info/*.lock"):
        for path in mirror.glob(pattern):
            _discard(path)


def _beside(mirror: Path) -> Path:
    """Where a mirror is made anew."""
    return mirror.with_name(f"{mirror.name}.new")


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # Such as a name that is too long for one.
        return False


def _succeeds(git_dir: Path, *args: str) -> bool:
    try:
        plumbing.run(git_dir, *args)
    except GitFailed:
        return False
    return True


def _identity(folder: Path, place: RepositoryFolder) -> tuple[Path, int, int] | None:
    """By which a repository that was replaced is told; None while it is away."""
    try:
        found = place.git_dir.stat()
        return folder.resolve(strict=True), found.st_dev, found.st_ino
    except OSError:
        return None


def _away(folder: Path) -> SourceUnavailable:
    return SourceUnavailable(
        f"{folder} is no repository now", "it was moved or removed", "it is followed once it is back"
    )


def _head_name(git_dir: Path) -> str:
    head = (git_dir / "HEAD").read_text(encoding="utf-8", errors="replace").strip()
    return head.removeprefix("ref: refs/heads/") if head.startswith("ref: ") else "HEAD"


def _find_repository(folder: Path) -> RepositoryFolder | SourceError:
    """The repository around a folder, or why there is none. Raises SourceError when git refuses the one there is."""
    wanted = ("--absolute-git-dir", "--git-common-dir", "--is-bare-repository", "--show-prefix")
    try:
        said = plumbing.run(folder, "rev-parse", *wanted, discover=True)
    except GitFailed as error:
        if "dubious ownership" in error.stderr:
            hint = f"if you trust it: git config --global --add safe.directory {folder}"
            raise SourceError(f"git refuses {folder}", "it belongs to another user", hint) from error
        if "not a git repository" not in error.stderr:
            raise SourceError(f"git cannot read {folder}", error.stderr) from error
        hint = "run git init there, or name a folder of a repository"
        return SourceError(f"{folder} is not in a git repository", "", hint)
    git_dir, common, bare, prefix = os.fsdecode(said).split("\n")[:4]
    prefix = prefix.rstrip("/")
    root = Path(git_dir) if bare == "true" else folder.resolve()
    for _ in filter(None, prefix.split("/")):
        root = root.parent
    return RepositoryFolder(root, Path(git_dir), (folder / common).resolve(), prefix)


def _remote(url: str, ref: str | None, path: str, cache_dir: Path | None) -> DesiredSource:
    if "://" in url and not url.startswith(_SCHEMES):
        scheme = url.partition("://")[0]
        unproven = "this scheme does not authenticate the server or protect the data"
        why = unproven if scheme in _UNPROVEN else ""
        raise SourceError(f"{scheme}:// is not used to fetch", why, "use https, ssh or file")
    if cache_dir is None:
        raise SourceError(
            f"{redacted(url)} is a remote", "there is no folder to keep its mirror in", "set a cache folder"
        )
    return Mirror(url, ref, _joined("", path), cache_dir)


def _missing(name: str, blob_id: str) -> SourceError:
    hint = "run git fsck; a partial clone must be completed first"
    return Damaged(f"{name} cannot be read", f"object {blob_id} is missing", hint)


def _joined(prefix: str, path: str) -> str:
    parts = [part for part in f"{prefix}/{path}".split("/") if part not in ("", ".")]
    if ".." in parts:
        raise SourceError(f"{path!r} leads out of the repository", "", "name a folder in it")
    return "/".join(parts)

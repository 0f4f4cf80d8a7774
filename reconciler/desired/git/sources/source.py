"""What a source of desired state offers: its revisions, the manifests of each, and who changed what in them.

`open_source.py` opens one: a revision of a git repository, read without a checkout, or a work tree on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from reconciler import runtime
from reconciler.desired.git.history.revisions import HistoryPoint
from reconciler.desired.manifest.manifest_files import (
    ManifestFile,
)
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.resource import Commit, DesiredState, ResourceKey, Revision

if TYPE_CHECKING:
    from reconciler.desired.git.history.document_history import History


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

    def moment(self, revision: Revision, text: str) -> HistoryPoint:
        """The time, or the commit, that a person means: `2026-11-20`, `2 days ago`, a branch, tag or commit.

        Raises SourceError when the text is none of these.
        """

    def descends(self, revision: str, ancestor: str) -> bool | None:
        """Whether the commit `revision` has `ancestor` among its ancestors; None if that is unknown."""

    def bases(self, revision: str) -> tuple[str, ...]:
        """The commits whose guards judge the revision where nothing is remembered, the oldest first. It is where the
        revision left the remote's default branch, else its parents and the commits of the day before. Of a work tree
        that differs from HEAD: HEAD too. Empty where there is none, or if it is unknown."""

    def began(self) -> datetime | None:
        """When its first commit was made, by what is here already; None where its history is cut off or unknown."""

    def shallow(self) -> bool:
        """Whether its history ends before its beginning."""

    @property
    def requested_ref(self) -> str:
        """The ref that is followed, as it was asked for."""

    def branch(self) -> str | None:
        """The branch that is checked out here, without asking any remote; None where there is none."""

    def uncommitted(self) -> int:
        """How many manifests on disk, under the path, differ from HEAD or are not in it, deleted ones included. 0 where
        nothing on disk is passed over: bare repositories, remotes, work trees; and if git cannot answer."""

    def watch(self, stop: runtime.Flag, interval: float, jitter: Callable[[], float]) -> Iterator[str | None]:
        """Yield whenever there may be something new, until `stop` is set: None, or a word for people.

        Never raises for a network that is down: the next `snapshot` says so.

        Local repositories and work trees are watched, and read every `interval` seconds as well, in case the operating
        system forgot to say. Remotes are only read. `jitter()` seconds are added to each interval."""

"""What git says: resources by key, with where each stands, and the whole desired state of one revision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from reconciler.model.values.resource_key import ResourceKey as ResourceKey

API_VERSION = "groundstate/v1"

SpecT = TypeVar("SpecT", covariant=True)
T = TypeVar("T")


class Source(msgspec.Struct, frozen=True, gc=False):
    """Where a document or a value stands; line and column count from 1. Line 0: it stands in no file."""

    file: str
    """The file, from the root of the repository."""
    line: int = 1
    """The line, from 1."""
    column: int = 1
    """The column, from 1."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Commit(msgspec.Struct, frozen=True):
    """A git commit, as far as people need it."""

    sha: str
    """Its hash."""
    author: str
    """Who wrote it, as the commit says."""
    at: datetime
    """When, as the commit says."""
    subject: str
    """The first line of its message."""

    @property
    def short(self) -> str:
        """The first ten digits of the hash, as `git log --oneline` shows on large repositories."""
        return self.sha[:10]


class Resource(msgspec.Struct, Generic[SpecT], frozen=True):
    """One document. `spec` is the kind's own type (see reconciler.kinds)."""

    key: ResourceKey
    spec: SpecT
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    source: Source


_WORK_TREE = "worktree:"


def work_tree_id(digest: str) -> str:
    """The id of a revision that is no commit. `digest`: of what its files hold."""
    return f"{_WORK_TREE}{digest}"


def commit_id(revision: str | None) -> str | None:
    """The commit's hash of a revision that is known by its id alone. None: there is no revision, or it is a work tree,
    which cannot be read again."""
    return revision if revision and not revision.startswith(_WORK_TREE) else None


class Revision(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which desired state this is: a commit, or a work tree with uncommitted edits (`commit` None).

    `id` is the commit's hash, or that of `work_tree_id`.
    """

    id: str
    """The commit's hash, or that of `work_tree_id`."""
    ref: str
    """The ref by which it was found."""
    repository: str
    """Where it was read."""
    commit: Commit | None = None
    """The commit; None: it is a work tree."""

    def __str__(self) -> str:
        return f"{self.ref}@{self.commit.short}" if self.commit else f"{self.ref} ({self.id[:21]})"


def _by_kind(state: DesiredState) -> dict[str, list[Resource[Any]]]:
    found: dict[str, list[Resource[Any]]] = {}
    for key in sorted(state.resources):
        found.setdefault(key.kind, []).append(state.resources[key])
    return found


class DesiredState(msgspec.Struct, frozen=True, dict=True):
    """Everything that a revision declares. Immutable; equal input, equal value."""

    revision: Revision
    resources: Mapping[ResourceKey, Resource[Any]]

    def of_kind(self, kind: str) -> list[Resource[Any]]:
        """The kind's resources in order of name."""
        return self.derived("by kind", _by_kind).get(kind, [])

    def derived(self, name: str, build: Callable[[DesiredState], T]) -> T:
        """Something that follows from the state, built at the first call and kept: the state never changes."""
        kept: dict[str, T] = self.__dict__
        if name not in kept:
            kept[name] = build(self)
        return kept[name]

    def count(self, kind: str) -> int:
        """How many resources of the kind there are."""
        return self.derived("counts", lambda state: Counter(key.kind for key in state.resources))[kind]

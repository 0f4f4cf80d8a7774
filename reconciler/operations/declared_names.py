"""What is declared, for a shell that completes it: quick, without a network, and silent about errors. Nothing where
nothing can be read, or where a network would have to be asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reconciler.model.resource import Resource


def declared_names(
    kind: str, repo: str, ref: str | None, path: str, *, work_tree: bool, cache: Path | None
) -> list[str]:
    """Of one kind, in order; of a broken revision those in its sound files."""
    return sorted(one.key.name for one in _declared(repo, ref, path, work_tree, cache) if one.key.kind == kind)


def declared_labels(
    repo: str, ref: str | None, path: str, *, work_tree: bool, cache: Path | None
) -> dict[str, set[str]]:
    """The values of each label that a document has."""
    found: dict[str, set[str]] = {}
    for one in _declared(repo, ref, path, work_tree, cache):
        for name, value in one.labels.items():
            found.setdefault(name, set()).add(value)
    return found


def local_refs(repo: str) -> list[str]:
    """The branches and tags of a repository on this host."""
    from reconciler.desired.git.plumbing import SourceError
    from reconciler.desired.git.sources.open_source import open_source
    from reconciler.desired.git.sources.repository import Repository

    try:
        source = open_source(repo, None, "", work_tree=False) if Path(repo).is_dir() else None
        return source.refs() if isinstance(source, Repository) else []
    except SourceError:
        return []


def _declared(repo: str, ref: str | None, path: str, work_tree: bool, cache: Path | None) -> Iterator[Resource[Any]]:
    from reconciler.desired.git.plumbing import SourceError
    from reconciler.desired.git.sources.open_source import open_source
    from reconciler.desired.load import load_state

    if not Path(repo).is_dir():
        return
    try:
        source = open_source(repo, ref, path, work_tree=work_tree)
        known = load_state(source.snapshot(), cache=cache).known
    except SourceError:
        return
    for resources in known.values():
        yield from resources

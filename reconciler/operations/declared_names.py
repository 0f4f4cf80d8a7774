"""The names of what is declared, for a shell that completes them: quick, without a network, and silent about errors."""

from __future__ import annotations

from pathlib import Path

from reconciler.operations.store_location import cache_dir


def declared_names(kind: str, repo: str, ref: str | None, path: str, *, work_tree: bool) -> list[str]:
    """Of one kind, in order; of a broken revision those in its sound files. None where nothing can be read, or where a
    network would have to be asked."""
    from reconciler.desired.git.plumbing import SourceError
    from reconciler.desired.git.sources.open_source import open_source
    from reconciler.desired.load import load_state

    if not Path(repo).is_dir():
        return []
    try:
        source = open_source(repo, ref, path, work_tree=work_tree)
        found = load_state(source.snapshot(), cache=cache_dir()).known
    except SourceError:
        return []
    return sorted(one.key.name for resources in found.values() for one in resources if one.key.kind == kind)

"""What the shell's completion offers: kinds, and the names of what is declared.

It says nothing else and asks no network: where nothing can be read, it offers nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import click

from reconciler.kinds import KINDS, find_kind

Completion = Callable[[click.Context, click.Parameter, str], list[str]]


def complete_target(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Of `KIND[/NAME]`: kinds; names behind a slash; and, as kubectl has them, names after a bare kind."""
    word, slash, start = incomplete.partition("/")
    if slash:
        meant = find_kind(word)
        return [f"{word}/{name}" for name in _names(ctx, meant.name, start)] if meant else []
    before: tuple[str, ...] = ctx.params.get(param.name or "") or ()
    # A word that is no kind is a name, and the kind stands before it.
    kinds = [one for one in before if "/" in one or find_kind(one) is not None]
    bare = find_kind(kinds[-1]) if kinds else None
    return [*complete_kind(ctx, param, incomplete), *(_names(ctx, bare.name, incomplete) if bare else [])]


def complete_kind(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Kinds, by their plural."""
    return [kind.plural for kind in KINDS.values() if kind.plural.startswith(incomplete.lower())]


def complete_name(*kinds: str) -> Completion:
    """Names of these kinds."""
    return lambda ctx, _param, incomplete: [name for kind in kinds for name in _names(ctx, kind, incomplete)]


def _names(ctx: click.Context, kind: str, start: str) -> list[str]:
    """Those that begin so, in order."""
    from reconciler.operations.declared_names import declared_names
    from reconciler.operations.store_location import top_level

    said = ctx.params
    repo = said.get("repo") or "."
    ref = said.get("ref") if said.get("ref") != "HEAD" else None
    place = top_level() if repo == "." else repo
    names = declared_names(kind, place, ref, said.get("path") or "", work_tree=bool(said.get("work_tree")))
    return [name for name in names if name.startswith(start)]

"""What the shell's completion offers: kinds, and the names of what is declared.

It says nothing else and asks no network: where nothing can be read, it offers nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

from reconciler.commands.caller import top_level, user_cache_folder
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


def complete_field(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Of `KIND[.field...]`: kinds, and the fields behind each dot."""
    before, dot, start = incomplete.rpartition(".")
    if not dot:
        return complete_kind(ctx, param, incomplete)
    from reconciler.operations.reports.explain_field import fields_below

    return [f"{before}.{name}" for name in fields_below(incomplete) if name.startswith(start)]


def complete_one(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Of `KIND/NAME`: kinds with a slash and, where one kind alone is meant, its names, as a bare kind would not do."""
    if "/" in incomplete or ctx.params.get(param.name or ""):
        return complete_target(ctx, param, incomplete)
    kinds = complete_kind(ctx, param, incomplete)
    names = [one for kind in kinds if len(kinds) == 1 for one in complete_target(ctx, param, f"{kind}/")]
    return names or [f"{kind}/" for kind in kinds]


def complete_ref(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Branches and tags of a repository on this host."""
    from reconciler.operations.declared_names import local_refs

    return [ref for ref in local_refs(_place(ctx)) if ref.startswith(incomplete)]


def complete_selector(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Labels that are declared, and behind `=` their values; of the last part of `rack=r1,role=web`."""
    from reconciler.operations.declared_names import declared_labels

    before, comma, part = incomplete.rpartition(",")
    labels = declared_labels(
        _place(ctx), *_revision(ctx), work_tree=bool(ctx.params.get("work_tree")), cache=user_cache_folder()
    )
    key, sign, start = part.rpartition("=")
    if sign:
        values = labels.get(key.rstrip("!= "), ())
        found = [f"{key}={value}" for value in sorted(values) if value.startswith(start)]
    else:
        found = [f"{name}=" for name in sorted(labels) if name.startswith(part)]
    return [f"{before}{comma}{one}" for one in found]


def complete_column(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Columns of the kinds that are named before, or those that all kinds have. A heading of several words is left out:
    the shell would take it for several."""
    from reconciler.views.columns import columns

    words = (*(ctx.params.get("targets") or ()), *ctx.args)  # Click leaves them there before an option without a value.
    kinds = [kind for word in words if (kind := find_kind(word.partition("/")[0])) is not None] or [*KINDS.values()]
    of_each = [[column.title.lower() for column in columns(kind.name, wide=True)] for kind in kinds]
    shared = [title for title in of_each[0] if all(title in titles for titles in of_each)]
    return [title for title in shared if " " not in title and title.startswith(incomplete.lower())]


def complete_status(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Words that a status can be; of the last part of `Stalled,!Ready`."""
    from reconciler.views.conditions import STATUS_WORDS

    before, comma, part = incomplete.rpartition(",")
    sign, start = ("!", part[1:]) if part.startswith("!") else ("", part)
    return [f"{before}{comma}{sign}{word}" for word in STATUS_WORDS if word.lower().startswith(start.lower())]


def complete_name(*kinds: str) -> Completion:
    """Names of these kinds."""
    return lambda ctx, _param, incomplete: [name for kind in kinds for name in _names(ctx, kind, incomplete)]


def _names(ctx: click.Context, kind: str, start: str) -> list[str]:
    """Those that begin so, in order."""
    from reconciler.operations.declared_names import declared_names

    names = declared_names(
        kind, _place(ctx), *_revision(ctx), work_tree=bool(ctx.params.get("work_tree")), cache=user_cache_folder()
    )
    return [name for name in names if name.startswith(start)]


def _place(ctx: click.Context) -> str:
    repo: str = ctx.params.get("repo") or "."
    return top_level() if repo == "." else repo


def _revision(ctx: click.Context) -> tuple[str | None, str]:
    ref = ctx.params.get("ref")
    return None if ref == "HEAD" else ref, ctx.params.get("path") or ""


def _is_work_tree(ctx: click.Context) -> bool:
    return bool(ctx.params.get("work_tree"))


class _Bash(BashComplete):
    """bash takes `=` and `:` for the ends of words. So `rack=r` comes as three, and puts the offered text in the place
    of the last word. No space follows what is only begun, such as `rack=`."""

    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", "COMPREPLY+=($value); [[ $value == *[=/] ]] && compopt -o nospace"
    )

    def get_completion_args(self) -> tuple[list[str], str]:
        """Click's hook: the words as they were typed."""
        words, at = split_arg_string(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"])
        typed: list[str] = []
        joins = False
        for word in words[: at + 1]:
            ends = word in _BREAKS
            if typed and (joins or (ends and not typed[-1].startswith("--"))):
                typed[-1] += word
            else:
                typed.append(word)
            joins = ends and typed[-1] != word
        if at >= len(words) and not joins:
            typed.append("")
        shown = "" if at >= len(words) or words[at] in _BREAKS else words[at]
        self._kept = len(typed[-1]) - len(shown)
        return typed[1:-1], typed[-1]

    def format_completion(self, item: CompletionItem) -> str:
        """Click's hook."""
        return f"{item.type},{item.value[self._kept :]}"


class _Zsh(ZshComplete):
    """zsh puts a space behind each word that it completes, and `-S ''` leaves that out behind what is only begun. fish
    does so without help."""

    source_template = ZshComplete.source_template.replace(
        "compadd -U -V unsorted -a completions",
        """local -a begun=(${(M)completions:#*[=/]}) whole=(${completions:#*[=/]})
        (( ! $#begun )) || compadd -S '' -U -V unsorted -a begun
        (( ! $#whole )) || compadd -U -V unsorted -a whole""",
    )


_BREAKS = ("=", ":")
add_completion_class(_Bash)
add_completion_class(_Zsh)

"""`groundstate history`: who changed what in which commit, for one object, from git and the ledger."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import click

from reconciler.commands.completion import complete_one
from reconciler.commands.options import option, output_option, where_from, where_options
from reconciler.commands.printing import dump
from reconciler.commands.terminal import exit_in_words, on_terminal, say_notes
from reconciler.operations.reports.resource_history import (
    MOST_ENTRIES,
    HistoryRequest,
    PastDocument,
    named_key,
    read_document_at,
    read_history,
)
from reconciler.views.render.tables.change_history import Entry, entry_form, render_history
from reconciler.views.render.words import ansi, unpainted


@click.command("history", short_help="Show which commit changed a resource, by whom.")
@click.argument("target", nargs=-1, required=True, metavar="KIND/NAME", shell_complete=complete_one)
@option(
    "--at",
    metavar="TIME",
    help=("Show the document as it was at this time or commit: 2h, 2026-01-31, '2 days ago', a commit or a branch."),
)
@option(
    "--since",
    metavar="TIME",
    help=("Only entries since this time or commit: 2h, 2026-01-31, '2 days ago', or a commit."),
)
@option(
    "--limit",
    "-n",
    default=50,
    type=click.IntRange(1, MOST_ENTRIES),
    help=("Maximum number of entries to show; the newest are shown."),
)
@option("--events/--no-events", default=True, help="Show events of the ledger too.")
@where_options
@output_option("text", "json", "yaml", default="text")
def history_command(
    target: tuple[str, ...],
    at: str | None,
    since: str | None,
    limit: int,
    events: bool,
    output: str,
    **values: Any,
) -> None:
    """Show each commit that changed the document, in any file, and the events of the resource, newest first.

    Changes of other documents, of comments and of the order of keys are left out. The history of a removed document is
    shown too. Times are those of the commits, in UTC. For a day, --at means its end and --since its beginning.

    \b
    Examples:
      groundstate history machine/r12-01
      groundstate history machine/r12-01 --since '2 weeks ago'
      groundstate history network/shop --at 2026-01-31
      groundstate history machine/r12-01 --no-events -o json
    """
    where = where_from(values)
    if where.work_tree:
        raise click.UsageError("history is read from commits; leave --work-tree out")
    with exit_in_words():
        key = named_key(target)
        if at is not None:
            _print_document(read_document_at(where, key, at), output)
            return
        found = read_history(where, HistoryRequest(key, since, limit, events))
    say_notes(found.notes)
    _print(found.entries, output)


def _print(entries: Iterable[Entry], output: str) -> None:
    if output != "text":
        click.echo(dump([entry_form(entry) for entry in entries], output))
        return
    color = on_terminal(sys.stdout)
    for line in render_history(entries, ansi if color else unpainted):
        click.echo(line, color=color)


def _print_document(then: PastDocument, output: str) -> None:
    """As YAML that can be committed again: all remarks are in comments."""
    say_notes(then.notes)
    if output != "json":
        for line in then.remarks:
            click.echo(f"# {line}")
    click.echo(dump(then.value, "json" if output == "json" else "yaml"))

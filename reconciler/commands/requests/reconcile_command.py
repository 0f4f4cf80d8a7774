"""`groundstate reconcile`: have the daemon look at resources now."""

from __future__ import annotations

from typing import Any

import click

from reconciler.commands.options import filter_options, where_from, where_options
from reconciler.commands.terminal import exit_in_words, say_notes
from reconciler.model.counting import count
from reconciler.operations.requests.request_reconcile import request_reconcile
from reconciler.views.render.words import clean


@click.command("reconcile", short_help="Ask the daemon to observe and reconcile resources now.")
@filter_options
@where_options
def reconcile_command(targets: tuple[str, ...], selector: str, **values: Any) -> None:
    """Ask the running daemon to observe and reconcile these resources now, before their next turn.

    Guards, pacing and overrides apply as usual. The ledger records the request. `groundstate events KIND/NAME --watch`
    shows the result.

    Exit codes: 0 the daemon was asked, 1 no daemon is running, or nothing matches.

    \b
    Examples:
      groundstate reconcile machine/r12-01
      groundstate reconcile machines -l rack=r12
    """
    with exit_in_words():
        asked = request_reconcile(where_from(values), targets, selector)
    say_notes(asked.notes)
    what = str(asked.keys[0]) if len(asked.keys) == 1 else count(len(asked.keys), "resource")
    click.echo(clean(f"asked the daemon of {asked.daemon.by} to reconcile {what} now"))

"""`groundstate restart`: one power cycle of a machine, by the guards."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from reconciler.commands.completion import complete_one
from reconciler.commands.options import DurationType, where_from, where_options
from reconciler.commands.terminal import exit_in_words, fail, say_notes
from reconciler.operations.requests.restart_machine import cancel_restart, restart_machine
from reconciler.operations.where import Where
from reconciler.views.render.words import clean


@click.command("restart", short_help="Restart a machine: one power cycle, if the guards allow it.")
@click.argument("target", metavar="machine/NAME", shell_complete=complete_one)
@click.option("--reason", default="", metavar="WHY", help="The reason, recorded in the ledger.")
@click.option(
    "--within",
    type=DurationType(timedelta(days=7)),
    default="1h",
    show_default=True,
    help="Cancel the restart if it cannot begin within this time.",
)
@click.option("--cancel", is_flag=True, help="Cancel the machine's open restart, if its power-off was not sent yet.")
@where_options
def restart_command(target: str, reason: str, within: timedelta, cancel: bool, **values: Any) -> None:
    """Request one power cycle of a machine: a graceful shutdown, and then power on.

    The running daemon carries out the restart; without a daemon, `groundstate apply machine/NAME` does. Guards, budgets
    and pauses hold a restart like any power-off. If the machine ignores the shutdown, spec.shutdown decides what
    follows. The power-off is sent at most once, even if groundstate is killed in between. A restart is refused for a
    machine that is declared Off, in maintenance, suspended, only observed, or being provisioned.

    Exit codes: 0 requested or cancelled, 1 refused; the message says why.

    \b
    Examples:
      groundstate restart machine/r1-03 --reason INC-7
      groundstate restart machine/r1-03 --reason "kernel hangs" --within 10m
      groundstate restart machine/r1-03 --cancel
      groundstate events machine/r1-03 --watch
    """
    if cancel:
        _cancel(where_from(values), target, reason)
        return
    with exit_in_words():
        asked = restart_machine(where_from(values), target, reason, within)
    say_notes(asked.notes)
    one = asked.request
    click.echo(
        clean(
            f"restart {one.id} of {one.key} is requested; groundstate cancels the restart if it cannot "
            f"begin before {one.until:%Y-%m-%d %H:%M:%S}Z"
        )
    )
    name = f"machine/{one.key.name}"
    who = (
        "the daemon carries out the restart"
        if asked.at_work
        else f"no daemon is running; `groundstate apply {name}` carries out the restart"
    )
    click.echo(clean(f"{who}; to follow the restart: `groundstate events {name} --watch`"), err=True)


def _cancel(where: Where, target: str, reason: str) -> None:
    with exit_in_words():
        found = cancel_restart(where, target, reason)
    say_notes(found.notes)
    one = found.request
    if found.too_late:
        fail(clean(f"restart {one.id} of {one.key}: the power-off was sent already; the machine is powered on again"))
    click.echo(clean(f"restart {one.id} of {one.key} is cancelled; nothing was sent"))

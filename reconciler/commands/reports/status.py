"""`groundstate status`: the state of the fleet at a glance."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click
import msgspec

from reconciler.commands.options import guard_options_of, output_option, policy_options, where_from, where_options
from reconciler.commands.printing import dump
from reconciler.commands.terminal import EXIT_ERROR, exit_in_words, on_terminal, say_notes
from reconciler.model.counting import count_are
from reconciler.operations.reports.fleet_status import FleetStatus, fleet_status
from reconciler.views.render.tables.status_lines import daemon_line, held_lines, revision_lines, status_lines
from reconciler.views.render.words import ansi, unpainted


@click.command("status", short_help="Show whether the daemon is alive, what is in force and what is held.")
@where_options
@policy_options
@output_option("text", "json", "yaml", default="text")
def status_command(output: str, **values: Any) -> None:
    """Show whether a daemon is at work, which revision is in force, and how many resources have which status.

    It also shows what guards hold, the pauses and overrides in force, and what is left of the disruption budget. No BMC
    is contacted.

    Exit codes: 0 a daemon is at work and the newest revision is in force, 1 otherwise.

    \b
    Examples:
      groundstate status
      groundstate status -o json
    """
    asked, where = guard_options_of(values), where_from(values)
    with exit_in_words():
        found = fleet_status(where, asked)
    say_notes(found.notes)
    if output == "text":
        click.echo("\n".join(_lines(found)), color=on_terminal(sys.stdout))
    else:
        form = msgspec.to_builtins(found) | {"healthy": found.healthy}
        form.pop("notes")
        for pause in form["pauses"]:
            pause.pop("known", None)
        click.echo(dump(form, output))
    raise click.exceptions.Exit(0 if found.healthy else EXIT_ERROR)


def _lines(found: FleetStatus) -> Iterator[str]:
    paint = ansi if on_terminal(sys.stdout) else unpainted
    revision = found.revision
    yield daemon_line(found.daemon, found.at_work, found.at, paint)
    yield from revision_lines(revision.in_force, revision.ref, revision.since, revision.broken, found.at, paint)
    yield "Resources:"
    yield from status_lines(found.statuses, paint)
    yield from held_lines(found.held, found.overrides, found.pauses)
    budget = found.budget
    left = max(0, budget.allowed - budget.down)
    limit = f"the limit is {budget.allowed}; {left} more may be taken down"
    yield f"Budget:     {count_are(budget.down, 'machine')} down because of groundstate; {limit}"
    yield f"In flight:  {found.in_flight}"

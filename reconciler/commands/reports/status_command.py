"""`groundstate status`: the state of the fleet at a glance. `groundstate get daemons`: who works on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click

from reconciler.commands.options import guard_options_of, output_option, policy_options, where_from, where_options
from reconciler.commands.printing import dump, print_records
from reconciler.commands.terminal import EXIT_ERROR, exit_in_words, fitting, on_terminal, say_notes
from reconciler.operations.reports.fleet_status import FleetStatus, fleet_status, status_form
from reconciler.operations.serving.daemon_listing import DaemonListing, DaemonRow, list_daemons
from reconciler.operations.where import Where
from reconciler.views.columns import short_age
from reconciler.views.render.tables.status_lines import (
    budget_lines,
    daemon_line,
    held_lines,
    revision_lines,
    status_lines,
)
from reconciler.views.render.words import ansi, unpainted


@click.command("status", short_help="Show whether the daemon is alive, its revision, and which changes wait.")
@where_options
@policy_options
@output_option("text", "json", "yaml", default="text")
def status_command(output: str, **values: Any) -> None:
    """Show whether a daemon is at work, which revision is in force, and how many resources have which status.

    It also shows what guards hold, the pauses and overrides in force, and what is left of the disruption budgets. No
    BMC is contacted. A running daemon counts the resources every few seconds, and this command reads these counts.

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
        click.echo(fitting("\n".join(_lines(found)), sys.stdout, 12), color=on_terminal(sys.stdout))
    else:
        click.echo(dump(status_form(found), output))
    raise click.exceptions.Exit(0 if found.healthy else EXIT_ERROR)


def _lines(found: FleetStatus) -> Iterator[str]:
    paint = ansi if on_terminal(sys.stdout) else unpainted
    revision, fleet = found.revision, found.fleet
    yield daemon_line(found.daemon, found.at_work, found.at, paint)
    yield from revision_lines(revision.in_force, revision.ref, revision.since, revision.broken, found.at, paint)
    if fleet is not None:
        yield "Resources:"
        yield from status_lines(fleet.statuses, paint)
    yield from held_lines(None if fleet is None else fleet.held, found.overrides, found.pauses)
    if fleet is not None:
        yield from budget_lines(fleet.budgets)
    yield f"In flight:  {found.in_flight}"


_TITLES = ["HOST", "PROCESS", "STATE", "SINCE", "SEEN", "EPOCH", "LEASE", "SHARDS", "REVISION", "VERSION"]


def show_daemons(where: Where, output: str, *, headers: bool = True) -> None:
    """A table, or their rows as JSON or YAML."""
    listing = list_daemons(where)
    say_notes(listing.notes)
    records = [(_form(one), _row(one, listing)) for one in listing.daemons]
    print_records(_TITLES, records, "Daemon", output, headers=headers)


def _form(one: DaemonRow) -> dict[str, Any]:
    return {
        "name": f"{one.process.host}/{one.process.pid}",
        "host": one.process.host,
        "process": one.process.pid,
        "state": one.state.value,
        "since": one.process.since.isoformat(),
        "seenAt": one.seen_at.isoformat() if one.seen_at else None,
        "shards": one.shards,
        "partitions": list(one.partitions),
        "epoch": one.epoch,
        "leaseEndsAt": one.lease_ends_at.isoformat() if one.lease_ends_at else None,
        "revision": one.revision,
        "version": one.process.version,
    }


def _row(one: DaemonRow, listing: DaemonListing) -> list[str]:
    left = (one.lease_ends_at - listing.at).total_seconds() if one.lease_ends_at else None
    return [
        one.process.host,
        str(one.process.pid),
        one.state.value,
        short_age(one.process.since, listing.at),
        short_age(one.seen_at, listing.at) if one.seen_at else "-",
        str(one.epoch) if one.epoch is not None else "-",
        "-" if left is None else f"{max(0.0, left):.0f} s left",
        str(one.shards) if one.shards else "-",
        one.revision[:10] if one.revision else "-",
        one.process.version,
    ]

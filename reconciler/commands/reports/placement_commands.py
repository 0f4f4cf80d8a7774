"""`groundstate explain-placement` and `groundstate capacity`: what a claim gets and why, and what there is to get."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from reconciler.commands.completion import complete_name
from reconciler.commands.options import headers_option, option, output_option, where_from, where_options
from reconciler.commands.plan_command import fleet_bar
from reconciler.commands.printing import dump, print_table
from reconciler.commands.terminal import EXIT_ERROR, exit_in_words, say_notes
from reconciler.kinds import PLACED
from reconciler.operations.reports.placement_report import report_capacity, report_placement
from reconciler.placement.capacity import Capacity
from reconciler.placement.placement_words import candidate_rows, placement_lines
from reconciler.views.render.ranges import fold

_PLACEMENT_TITLES = ["MACHINE", "PARTITION", "RACK", "SIZE", "WHY"]
_refresh = option("--refresh", is_flag=True, help="Observe the machines first.")
_CAPACITY_TITLES = ["PARTITION", "SIZE", "TOTAL", "FREE", "CLAIMED", "RESERVED", "FAULTY", "WAITING"]


@click.command("explain-placement", short_help="Show, machine by machine, whether a claim could get it.")
@click.argument("claim", metavar="CLAIM", shell_complete=complete_name(*PLACED))
@where_options
@_refresh
@output_option("text", "json", "yaml", default="text")
def explain_placement_command(claim: str, refresh: bool, output: str, **values: Any) -> None:
    """Show for every machine whether the claim could get it now, from the latest observations in the store.

    No BMC is contacted without --refresh.

    Exit codes: 0 the claim has all of its machines or would get them, 1 otherwise.

    \b
    Examples:
      groundstate explain-placement web
      groundstate explain-placement web --ref my-branch
      groundstate explain-placement web --refresh
      groundstate explain-placement web -o json
    """
    with exit_in_words(), fleet_bar() as observed:
        report = report_placement(where_from(values), claim, refresh=refresh, observed=observed)
    say_notes(report.notes)
    found = report.placement
    if output == "text":
        click.echo("\n".join(placement_lines(report.claim, found)))
        if found.candidates:
            click.echo("")
            print_table(_PLACEMENT_TITLES, candidate_rows(found), narrow=False)
    else:
        click.echo(dump(msgspec.to_builtins(found), output))
    raise click.exceptions.Exit(0 if report.complete else EXIT_ERROR)


@click.command("capacity", short_help="Count machines by partition and size: total, free, reserved.")
@where_options
@_refresh
@headers_option
@output_option("table", "wide", "json", "yaml", default="table")
@option("--partition", metavar="NAME", help="Only this partition.")
def capacity_command(partition: str | None, refresh: bool, no_headers: bool, output: str, **values: Any) -> None:
    """Count the machines of each size in each partition, from the latest observations in the store. No BMC is contacted
    without --refresh.

    Each machine is counted in one column. FREE machines can be claimed now. CLAIMED machines belong to a project.
    FAULTY machines are unclaimed, and are unreadable, of Critical health or failed. WAITING machines are unclaimed and
    not faulty, but cannot be claimed now. RESERVED is the part of the free machines that reservations keep.

    \b
    Examples:
      groundstate capacity
      groundstate capacity -o wide
    """
    with exit_in_words(), fleet_bar() as observed:
        report = report_capacity(where_from(values), partition, refresh=refresh, observed=observed)
    say_notes(report.notes)
    found = report.rows
    if output in ("json", "yaml"):
        click.echo(dump(msgspec.to_builtins(found), output))
        return
    wide = output == "wide"
    titles = [*_CAPACITY_TITLES, *(["LEAVING", "ASKED", "FAULTY MACHINES"] if wide else [])]
    print_table(titles, [_row(one, wide=wide) for one in found], narrow=not wide, headers=not no_headers)


def _row(one: Capacity, *, wide: bool) -> list[str]:
    numbers = [one.total, len(one.free), len(one.claimed), one.reserved, len(one.faulty), len(one.waiting)]
    more = [str(len(one.releasing)), str(one.asked), ",".join(fold(one.faulty)) or "-"] if wide else []
    return [one.partition, one.size or "-", *map(str, numbers), *more]

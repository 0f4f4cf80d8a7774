"""`groundstate inventory`: what is in a machine, by its BMC and by the agent, and what changed."""

from __future__ import annotations

import sys
from typing import Any

import click

from reconciler.commands.completion import complete_name
from reconciler.commands.options import output_option, where_from, where_options
from reconciler.commands.printing import dump
from reconciler.commands.terminal import exit_in_words, on_terminal, say_notes
from reconciler.kinds import INVENTORIED
from reconciler.kinds.common.machine_inventory import Origin
from reconciler.operations.reports.inventory_report import (
    InventoryReport,
    InventoryRequest,
    inventory_form,
    report_inventory,
)
from reconciler.views.render.tables.inventory_table import difference_lines, inventory_lines
from reconciler.views.render.words import ansi, unpainted


@click.command("inventory", short_help="Show a machine's hardware inventory, and what changed.")
@click.argument("target", metavar="[KIND/]NAME", shell_complete=complete_name(*INVENTORIED))
@click.option(
    "--source",
    type=click.Choice([str(one) for one in Origin]),
    help=("Only the inventory from the BMC, or from the agent."),
)
@click.option(
    "--diff", is_flag=True, help="Only changes, and differences between BMC and agent; exit code 2 if there are any."
)
@click.option("--refresh", is_flag=True, help="Read the inventory from the BMC now, and store it.")
@click.option("--accept", is_flag=True, help="Accept the current inventory as the baseline.")
@where_options
@output_option("text", "wide", "json", "yaml", default="text")
def inventory_command(
    target: str, source: str | None, diff: bool, refresh: bool, accept: bool, output: str, **values: Any
) -> None:
    """Show the inventory of a machine.

    The daemon reads the inventory from the BMC once a day, and the agent sends an inventory when it runs. Changes are
    shown against the last complete inventory. A missing part is shown until it is back, or until --accept.

    \b
    Examples:
      groundstate inventory r12-01
      groundstate inventory r12-01 --refresh -o wide
      groundstate inventory r12-01 --diff
    """
    request = InventoryRequest(target, Origin(source) if source else None, refresh, accept)
    with exit_in_words():
        report = report_inventory(where_from(values), request)
    say_notes(report.notes)
    for text in report.accepted:
        click.echo(f"accepted: {text}", err=True)
    if output in ("json", "yaml"):
        click.echo(dump(inventory_form(report), output))
    else:
        _print(report, diff=diff, wide=output == "wide")
    if not diff:
        return
    if report.differs:
        raise click.exceptions.Exit(2)
    click.echo("nothing changed", err=True)


def _print(report: InventoryReport, *, diff: bool, wide: bool) -> None:
    color = on_terminal(sys.stdout)
    paint = ansi if color else unpainted
    lines = (
        difference_lines(report.kept, paint)
        if diff
        else inventory_lines(str(report.key), report.kept, report.size, report.at, wide=wide, paint=paint)
    )
    for line in lines:
        click.echo(line, color=color)

"""`groundstate explain-size`: why each size fits a machine or not."""

from __future__ import annotations

import sys
from typing import IO, Any

import click
import msgspec

from drivers.base import Inventory
from reconciler.commands.completion import complete_name
from reconciler.commands.options import output_option, where_from, where_options
from reconciler.commands.printing import dump
from reconciler.commands.terminal import EXIT_ERROR, exit_in_words, fail, on_terminal, say_notes
from reconciler.kinds import SIZED
from reconciler.operations.reports.size_report import report_size, size_form
from reconciler.views.render.tables.sizes import Basis, size_lines
from reconciler.views.render.words import ansi, unpainted


@click.command("explain-size", short_help="Compare a machine's inventory with every Size.")
@click.argument("machine", metavar="MACHINE", shell_complete=complete_name(*SIZED))
@click.option(
    "--inventory",
    type=click.File("r", encoding="utf-8"),
    help="A YAML or JSON file with an inventory, instead of the stored one.",
)
@click.option("--refresh", "anew", is_flag=True, help="Read the inventory from the BMC now, and store it.")
@where_options
@output_option("text", "json", "yaml", default="text")
def explain_size_command(machine: str, inventory: IO[str] | None, anew: bool, output: str, **values: Any) -> None:
    """Compare the inventory of a machine with every Size, constraint by constraint.

    The command uses the agent's inventory, and the BMC's for values that the agent did not report. If the store has
    neither, the command reads the inventory from the BMC. The output names the source.

    Exit codes: 0 exactly one size fits (and it is the declared one, if one is declared), 1 otherwise.

    \b
    Examples:
      groundstate explain-size r12-01
      groundstate explain-size r12-01 --refresh
      groundstate explain-size r12-01 --inventory what-if.yaml
      groundstate explain-size r12-01 -o json
    """
    if inventory is not None and anew:
        raise click.UsageError("give only one of --inventory and --refresh")
    given = _from_file(inventory) if inventory is not None else None
    with exit_in_words():
        report = report_size(where_from(values), machine, given, refresh=anew)
    say_notes(report.notes)
    if output == "text":
        color = on_terminal(sys.stdout)
        paint = ansi if color else unpainted
        lines = size_lines(str(report.key), report.declared, report.basis, report.sizes, report.at, paint)
        click.echo("\n".join(lines), color=color)
    else:
        click.echo(dump(size_form(report), output))
    raise click.exceptions.Exit(0 if report.fits else EXIT_ERROR)


def _from_file(file: IO[str]) -> Basis:
    from reconciler.desired.manifest.manifests import load_plain

    try:
        return Basis(msgspec.convert(load_plain(file.read()), Inventory), file=file.name)
    except (ValueError, msgspec.ValidationError) as error:
        fail(f"{file.name}: not an inventory: {error}; an inventory has processors, memory, disks and gpus")

"""`groundstate adopt`: take over machines that were only observed, by an edit of their documents."""

from __future__ import annotations

import difflib
import sys
from typing import Any

import click

from reconciler.commands.options import filter_options, guard_options, guard_options_of, where_from, where_options
from reconciler.commands.plan_command import fleet_bar
from reconciler.commands.terminal import EXIT_ERROR, exit_in_words, on_terminal, say_notes
from reconciler.operations.onboarding.adopt_machines import AdoptRequest, FileEdit, adopt_machines


@click.command("adopt", short_help="Change machines from lifecycle.mode Observe to Managed.")
@filter_options
@click.option("--dry-run", is_flag=True, help="Show the edits, and write nothing.")
@where_options
@guard_options
def adopt_command(targets: tuple[str, ...], selector: str, dry_run: bool, **values: Any) -> None:
    """Change `mode: Observe` to `mode: Managed` in the files of the work tree, and nothing else in them.

    Each machine is observed first. The BMC must report a UUID or serial number, and the machine must not differ from
    its document. For each other machine, the command prints the reason, and continues with the rest. Commit the files
    to finish.

    Exit codes: 0 all are adopted, 1 at least one is not adopted.

    \b
    Examples:
      groundstate adopt r12-01 r12-02 --dry-run
      groundstate adopt -l rack=r12
    """
    if not targets and not selector:
        raise click.UsageError("name machines, such as r12-01, or select them with -l")
    asked, where = guard_options_of(values), where_from(values)
    with exit_in_words(), fleet_bar() as observed:
        found = adopt_machines(where, asked, AdoptRequest(targets, selector, dry_run), observed)
    say_notes(found.notes)
    if dry_run:
        for edit in found.edits:
            _show(edit)
    for key, why in found.refused.items():
        click.echo(f"{key}: not adopted; {why}", err=True)
    if found.adopted:
        done = (
            "would be adopted"
            if dry_run
            else "adopted; after you commit the change, groundstate manages these machines"
        )
        click.echo(f"{len(found.adopted)} of {found.meant} machines {done}", err=True)
    raise click.exceptions.Exit(EXIT_ERROR if found.refused else 0)


def _show(edit: FileEdit) -> None:
    old, new = (data.decode().splitlines(keepends=True) for data in (edit.before, edit.after))
    for line in difflib.unified_diff(old, new, f"a/{edit.file}", f"b/{edit.file}"):
        colour = {"+": "green", "-": "red"}.get(line[0]) if on_terminal(sys.stdout) else None
        click.secho(line.rstrip("\r\n"), fg=colour, color=on_terminal(sys.stdout))

"""`groundstate explain-guard`: which guards guard a resource, and what each says now or at another time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from reconciler.commands.completion import complete_one
from reconciler.commands.options import guard_options_of, output_option, policy_options, where_from, where_options
from reconciler.commands.printing import dump
from reconciler.commands.terminal import exit_in_words, say_notes
from reconciler.operations.reports.guard_explanation import explain_guard, guard_form
from reconciler.views.render.tables.guards_table import guard_lines, guard_state_lines

EXIT_HELD = 3


class _Moment(click.ParamType[datetime]):
    """`2026-12-24T22:00`, with or without a zone."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Click's hook."""
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a time; write 2026-12-24T22:00Z, or 2026-12-24T22:00+01:00", param, ctx)
        if not 1970 < found.year < 9000:
            self.fail(f"{value!r} is out of range: a year is from 1971 to 8999", param, ctx)
        return found.astimezone(UTC) if found.tzinfo is not None else found.replace(tzinfo=UTC)


@click.command("explain-guard", short_help="Show which guards hold a resource, and until when.")
@click.argument("target", metavar="KIND/NAME", shell_complete=complete_one)
@click.option(
    "--at", "at_time", type=_Moment(), help=("Judge the guards as of this time; UTC unless the time has a zone.")
)
@where_options
@policy_options
@output_option("text", "json", "yaml", default="text")
def explain_guard_command(target: str, at_time: datetime | None, output: str, **values: Any) -> None:
    """Show every guard of a resource: its windows, its budget, its protection, and whether it holds the change.

    For a guard, declared or built-in, show the resources that it matches, the use of its budgets, and the changes that
    it holds. The command uses the store; no BMC is contacted. With --at, windows and budgets are judged as of that
    time, and all else as of now.

    Exit codes: 0 nothing is held, 3 something is held, 1 an error.

    \b
    Examples:
      groundstate explain-guard machine/r12-01
      groundstate explain-guard machine/r12-01 --at 2026-12-24T22:00+01:00
      groundstate explain-guard machine/r12-01 -o json
      groundstate explain-guard guard/mass-removal
    """
    asked, where = guard_options_of(values), where_from(values)
    with exit_in_words():
        found = explain_guard(where, asked, target, at_time)
    say_notes(found.notes)
    if output == "text" and found.states:
        click.echo("\n".join(guard_state_lines(found.at, found.states)))
    elif output == "text":
        click.echo("\n".join(guard_lines(found.key, found.at, found.change, found.verdicts)))
    else:
        click.echo(dump(guard_form(found), output))
    raise click.exceptions.Exit(EXIT_HELD if found.held else 0)

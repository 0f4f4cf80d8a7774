"""`groundstate events`: what happened, from the ledger."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import datetime
from typing import Any

import click
import msgspec

from drivers.base import clean
from reconciler.commands.options import filter_options, option, output_option, where_from, where_options
from reconciler.commands.printing import dump
from reconciler.commands.terminal import (
    exit_in_words,
    fitting,
    on_terminal,
    relax_garbage_collection,
    say_notes,
    wait_while_read,
)
from reconciler.kinds import shown_key
from reconciler.model.event import Event, EventType
from reconciler.operations.reports.ledger_events import EventRequest, read_events


@click.command("events", short_help="Show events from the audit ledger.")
@filter_options
@where_options
@option(
    "--limit",
    "-n",
    default=50,
    type=click.IntRange(1, 100_000),
    help=("Maximum number of events to show; the newest are shown."),
)
@option("--watch", "-w", is_flag=True, help="Keep running and print new events.")
@option(
    "--since",
    metavar="TIME",
    help=("Only events since this time or commit: 2h, 2026-01-31, '2 days ago', or a commit."),
)
@click.option(
    "--type",
    "type_",
    type=click.Choice([str(one) for one in EventType], case_sensitive=False),
    help="Only events of this type.",
)
@click.option("--fleet", is_flag=True, help="Only events of no single resource, such as RevisionApplied.")
@output_option("table", "json", "yaml", default="table")
def events_command(
    targets: tuple[str, ...],
    selector: str,
    limit: int,
    watch: bool,
    since: str | None,
    type_: str | None,
    fleet: bool,
    output: str,
    **values: Any,
) -> None:
    """List events, oldest first, from the append-only ledger.

    \b
    Examples:
      groundstate events -n 20
      groundstate events machine/r12-01 --watch
      groundstate events --type Warning --since 2h
    """
    if fleet and (targets or selector):
        raise click.UsageError(
            "--fleet shows events of no single resource; leave KIND/NAME and -l out, or leave --fleet out"
        )
    request = EventRequest(targets, selector, limit, watch, since, EventType(type_) if type_ else None, fleet)
    if watch:
        relax_garbage_collection()
    with exit_in_words(), suppress(KeyboardInterrupt):
        for page in read_events(where_from(values), request, wait_while_read):
            say_notes(page.notes)
            for event in page.events:
                click.echo(_event_line(event, output))


def _event_line(event: Event, output: str) -> str:
    if output == "json":
        return msgspec.json.encode(event).decode()
    if output == "yaml":
        return f"---\n{dump(msgspec.to_builtins(event), output)}"
    at: datetime = event.at
    who = f"  [{clean(event.by)}]" if event.by else ""
    whose = shown_key(event.key) if event.key is not None else "fleet"
    line = f"{at:%Y-%m-%d %H:%M:%S}Z  {event.type:<7}  {clean(whose)}  {event.reason}: {clean(event.message)}"
    line = fitting(f"{line}{event.times}{who}", sys.stdout, 4)
    colour = "yellow" if event.type is EventType.WARNING and on_terminal(sys.stdout) else None
    return click.style(line, fg=colour) if colour else line

"""`groundstate get`, `describe` and `events`: what is declared, what was last seen, and what happened."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import datetime
from typing import Any

import click
import msgspec

from drivers.base import clean, printable
from reconciler.commands.options import (
    filter_options,
    guard_options_of,
    option,
    output_option,
    policy_options,
    where_from,
    where_options,
)
from reconciler.commands.printing import dump, print_table
from reconciler.commands.terminal import exit_in_words, on_terminal, say_notes
from reconciler.kinds.claim.spec import display_key, of_claim
from reconciler.kinds.common.column import ResourceView
from reconciler.kinds.machine.labels import AGGREGATE
from reconciler.model.event import Event, EventType
from reconciler.operations.ledger_events import EventRequest, read_events
from reconciler.operations.resource_views import Description, describe_resources, list_resources
from reconciler.runtime import now
from reconciler.views.columns import columns, short_age
from reconciler.views.render.words import override_words as words_of


@click.command("get", short_help="List declared resources with their last observed state. Contacts no BMC.")
@filter_options
@where_options
@policy_options
@output_option("table", "wide", "json", "yaml", "name", default="table")
def get_resources_command(targets: tuple[str, ...], selector: str, output: str, **values: Any) -> None:
    """List declared resources with the latest observation of the daemon or of `apply`. No BMC is contacted.

    \b
    Examples:
      groundstate get machines
      groundstate get machine r12-01 r12-02
      groundstate get machine/r12-01 -o yaml
      groundstate get machines -l rack=r12 -o wide
      groundstate get overrides
    """
    asked, where = guard_options_of(values), where_from(values)
    if targets in (("overrides",), ("override",)):
        if selector:
            raise click.UsageError("overrides have no labels; leave --selector out")
        from reconciler.commands.override import show_overrides

        with exit_in_words():
            show_overrides(where, output)
        return
    with exit_in_words():
        listing = list_resources(where, asked, targets, selector)
    say_notes(listing.notes)
    views = listing.views
    match output:
        case "name":
            for view in views:
                click.echo(view.key)
        case "json" | "yaml":
            click.echo(dump([_document(view) for view in views], output))
        case _:
            _tables(views, wide=output == "wide")


@click.command("describe", short_help="Show everything about a resource.")
@filter_options
@where_options
@policy_options
@output_option("text", "json", "yaml", default="text")
def describe_command(targets: tuple[str, ...], selector: str, output: str, **values: Any) -> None:
    """Show a resource's spec, latest observation, conditions, facts and newest events.

    \b
    Examples:
      groundstate describe machine/r12-01
    """
    if not targets and not selector:
        raise click.UsageError("name what to describe, such as machine/r12-01")
    asked, where = guard_options_of(values), where_from(values)
    with exit_in_words():
        described = describe_resources(where, asked, targets, selector)
    say_notes(described.notes)
    if output != "text":
        found = [_document(one.view) | {"events": msgspec.to_builtins(one.events)} for one in described.found]
        click.echo(dump(found, output))
        return
    click.echo("\n\n".join(_described(one) for one in described.found))


@click.command("events", short_help="Show events from the audit ledger.")
@filter_options
@where_options
@option("--limit", "-n", default=50, type=click.IntRange(1, 100_000), help="How many of the newest events.")
@option("--watch", "-w", is_flag=True, help="Keep running and print new events.")
@output_option("table", "json", default="table")
def events_command(
    targets: tuple[str, ...], selector: str, limit: int, watch: bool, output: str, **values: Any
) -> None:
    """List events, oldest first, from the append-only ledger.

    \b
    Examples:
      groundstate events -n 20
      groundstate events machine/r12-01 --watch
    """
    request = EventRequest(targets, selector, limit, watch)
    with exit_in_words(), suppress(KeyboardInterrupt):
        for page in read_events(where_from(values), request):
            say_notes(page.notes)
            for event in page.events:
                click.echo(_event_line(event, output))


def _tables(views: list[ResourceView], *, wide: bool) -> None:
    if not views:
        click.echo("No resources found.", err=True)
    for one in dict.fromkeys(one for view in views for one in view.overrides):
        click.echo(clean(f"note: {words_of(one)}"), err=True)
    at = now()
    for index, kind in enumerate(dict.fromkeys(view.key.kind for view in views)):
        if index:
            click.echo()
        found = {name.removeprefix(AGGREGATE) for view in views for name in view.derived if name.startswith(AGGREGATE)}
        shown = columns(kind, wide=wide, aggregates=sorted(found))
        rows = [[column.cell(view, at) for column in shown] for view in views if view.key.kind == kind]
        print_table([column.title for column in shown], rows, narrow=not wide)


def _document(view: ResourceView) -> dict[str, Any]:
    seen = view.observation
    status: dict[str, Any] = {"conditions": [msgspec.to_builtins(one) for one in view.conditions]}
    if view.phase is not None:
        status["phase"] = view.phase
    if seen is not None:
        status["observedAt"] = msgspec.to_builtins(seen.taken_at)
        if seen.error is not None:
            status["error"] = msgspec.to_builtins(seen.error)
        elif seen.value is not None:
            status["observed"] = msgspec.to_builtins(seen.value)
    found: dict[str, Any] = {"apiVersion": "groundstate/v1", "kind": view.key.kind, "metadata": {"name": view.key.name}}
    if view.resource is not None:
        for name in ("labels", "annotations"):
            if value := dict(getattr(view.resource, name)):
                found["metadata"][name] = value
        found["spec"] = msgspec.to_builtins(view.resource.spec)
        if view.derived:
            status["labels"] = dict(view.derived)
        status["source"] = str(view.resource.source)
    if view.overrides:
        status["overrides"] = [msgspec.to_builtins(one) for one in view.overrides]
    if view.machines:
        status["machines"] = [msgspec.to_builtins(one) for one in view.machines]
    return found | {"status": status}


def _described(one: Description) -> str:
    at, view = now(), one.view
    document = _document(view)
    lines = [str(view.key), f"Status:      {view.status}"]
    if view.phase is not None:
        lines.append(f"Phase:       {view.phase}")
    if view.resource is not None:
        lines += [f"Source:      {view.resource.source}", "Spec:", _indented(document["spec"])]
    if (meant := of_claim(view.key)) is not None:
        lines.append(f"For:         {meant}; {view.key} has no document of its own")
    if view.machines:
        lines.append("Machines:")
        lines += [f"  slot {slot.slot}  {slot.machine}  {slot.phase}" for slot in view.machines]
    seen = view.observation
    if seen is not None:
        lines.append(f"Seen:        {short_age(seen.taken_at, at)} ago")
        lines.append(_indented(document["status"].get("observed") or document["status"].get("error") or {}))
    if view.derived:
        lines += ["Labels of its inventory:", *(f"  {name}={clean(text)}" for name, text in view.derived.items())]
    for kept in one.inventory.all:
        taken = (
            f"{short_age(kept.taken_at, at)} ago; `groundstate inventory` shows it" if kept.taken_at else "not read yet"
        )
        lines.append(f"Inventory:   {kept.origin}, {taken}")
    lines += [f"In force:    {clean(words_of(one))}" for one in view.overrides]
    lines.append("Conditions:")
    lines += [f"  {one.type}={one.status}  {one.reason}: {clean(one.message)}" for one in view.conditions]
    if flight := one.flight:
        sent = f"sent {short_age(flight.sent_at, at)} ago by {flight.by}"
        lines.append(f"In flight:   {flight.action.name}, {sent}{clean(flight.task_words)}")
    if remembered := one.remembered:
        lines += ["Remembered:", _indented(msgspec.to_builtins(remembered))]
    lines.append("Events:" if one.events else "Events:      none")
    lines += [
        f"  {short_age(event.latest, at):>4} ago  {event.reason}: {clean(event.message)}{event.times}"
        for event in one.events
    ]
    return "\n".join(_clean(line) for text in lines for line in text.split("\n"))


def _clean(line: str) -> str:
    """A line whose indentation counts."""
    bare = line.lstrip(" ")
    return line[: len(line) - len(bare)] + printable(bare)


def _indented(value: object) -> str:
    return "\n".join("  " + line for line in dump(value, "yaml").splitlines())


def _event_line(event: Event, output: str) -> str:
    if output == "json":
        return msgspec.json.encode(event).decode()
    at: datetime = event.at
    who = f"  [{clean(event.by)}]" if event.by else ""
    whose = display_key(event.key) if event.key is not None else "fleet"
    line = f"{at:%Y-%m-%d %H:%M:%S}Z  {event.type:<7}  {clean(whose)}  {event.reason}: {clean(event.message)}"
    line += f"{event.times}{who}"
    colour = "yellow" if event.type is EventType.WARNING and on_terminal(sys.stdout) else None
    return click.style(line, fg=colour) if colour else line

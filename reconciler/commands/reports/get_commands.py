"""`groundstate get` and `describe`: what is declared, and what was last seen."""

from __future__ import annotations

import sys
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import click
import msgspec

from drivers.base import clean, printable
from reconciler.commands.completion import complete_column, complete_status
from reconciler.commands.options import (
    TEMPLATES,
    filter_options,
    guard_options_of,
    headers_option,
    option,
    output_option,
    policy_options,
    where_from,
    where_options,
)
from reconciler.commands.printing import dump
from reconciler.commands.reports.resource_printer import ResourcePrinter
from reconciler.commands.terminal import exit_in_words, fitting, relax_garbage_collection, say_notes, wait_while_read
from reconciler.kinds import KINDS, implied
from reconciler.kinds.common.column import OutlineBranch
from reconciler.kinds.common.consoles.offered_consoles import console_hint
from reconciler.operations.reports.resource_views import (
    Description,
    ListRequest,
    describe_resources,
    list_resources,
    watch_resources,
)
from reconciler.operations.where import Where
from reconciler.runtime import now
from reconciler.views.camel_case import camel_form
from reconciler.views.columns import short_age
from reconciler.views.render.json_path import BadPath
from reconciler.views.render.words import override_words as words_of
from reconciler.views.render.words import pause_words
from reconciler.views.resource_document import document_list, resource_document


@click.command("get", short_help="List declared resources with their last observed state. Contacts no BMC.")
@filter_options
@where_options
@policy_options
@option(
    "--status",
    metavar="WORDS",
    default="",
    help="Only resources with this status, such as Stalled,Unknown or !Ready.",
    shell_complete=complete_status,
)
@option(
    "--sort-by",
    metavar="COLUMN|PATH",
    default="",
    help="Sort by a column, or by a path such as .spec.power.",
    shell_complete=complete_column,
)
@click.option("--watch", "-w", is_flag=True, help="Keep running and print what changes.")
@option("--show-labels", is_flag=True, help="Add a column with all labels.")
@headers_option
@output_option("table", "wide", "json", "yaml", "name", default="table", templates=TEMPLATES)
def get_resources_command(
    targets: tuple[str, ...],
    selector: str,
    status: str,
    sort_by: str,
    watch: bool,
    show_labels: bool,
    no_headers: bool,
    output: str,
    **values: Any,
) -> None:
    """List declared resources with the latest observation of the daemon or of `apply`. No BMC is contacted.

    \b
    Examples:
      groundstate get machines
      groundstate get machine r12-01 r12-02
      groundstate get machine/r12-01 -o yaml
      groundstate get machines -l rack=r12 -o wide --sort-by status
      groundstate get machines --status '!Ready' -w
      groundstate get machines --no-headers -o custom-columns=NAME:.metadata.name,POWER:.status.observed.power
      groundstate get machines -o jsonpath='{.items[*].metadata.name}'
      groundstate get overrides
      groundstate get pauses
      groundstate get consoles
      groundstate get daemons
      groundstate get ports leaf01
      groundstate get ports machine/r12-01
    """
    asked, where = guard_options_of(values), where_from(values)
    narrowed = bool(status or sort_by or watch or output.startswith(TEMPLATES))
    if (show := _listing_of_its_own(targets, where, selector, narrowed=narrowed)) is not None:
        with exit_in_words():
            show(output, headers=not no_headers)
        return
    request = ListRequest(targets, selector, tuple(filter(None, status.replace(" ", "").split(","))), sort_by)
    printer = _printer(output, headers=not no_headers, labels=show_labels)
    with exit_in_words(), suppress(KeyboardInterrupt):
        if not watch:
            printer.print(list_resources(where, asked, request))
            return
        relax_garbage_collection()
        for listing in watch_resources(where, asked, request, wait_while_read):
            printer.print_changed(listing)


_LISTINGS = ("override", "pause", "console", "daemon")


class _Show(Protocol):
    """Prints a listing."""

    def __call__(self, output: str, *, headers: bool) -> None: ...


def _listing_of_its_own(targets: tuple[str, ...], where: Where, selector: str, *, narrowed: bool) -> _Show | None:
    """What prints the ports, overrides, pauses, consoles or daemons that are asked for. None: resources are asked for.

    Raises UsageError for options that are for resources alone, such as those that are `narrowed`."""
    if targets[:1] in (("ports",), ("port",)):
        if narrowed:
            raise click.UsageError("ports cannot be sorted or watched; leave out --status, --sort-by, -w and templates")
        from reconciler.commands.reports.port_listing import show_ports

        return partial(show_ports, where, targets[1:], selector)
    if len(targets) != 1 or (name := targets[0].removesuffix("s")) not in _LISTINGS:
        return None
    if selector or narrowed:
        raise click.UsageError(
            f"{targets[0]} cannot be filtered, sorted or watched; leave out -l, --status, --sort-by, -w and templates"
        )
    from reconciler.commands.console_command import show_consoles
    from reconciler.commands.reports.status_command import show_daemons
    from reconciler.commands.requests.override_command import show_overrides
    from reconciler.commands.requests.pause_commands import show_pauses

    shown = {"pause": show_pauses, "override": show_overrides, "console": show_consoles, "daemon": show_daemons}
    return partial(shown[name], where)


def _printer(output: str, *, headers: bool, labels: bool) -> ResourcePrinter:
    try:
        return ResourcePrinter(output, headers=headers, labels=labels)
    except BadPath as error:
        raise click.UsageError(f"-o {error}") from None


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
        found = [resource_document(one.view) | {"events": camel_form(one.events)} for one in described.found]
        click.echo(dump(found[0] if described.single else document_list(found), output))
        return
    click.echo(fitting("\n\n".join(_described(one) for one in described.found), sys.stdout))


def _described(one: Description) -> str:
    at, view = now(), one.view
    document = resource_document(view)
    outlined = KINDS[view.key.kind].outlined if view.key.kind in KINDS else ()
    lines = [str(view.key), f"Status:      {view.status}"]
    if view.phase is not None:
        lines.append(f"Phase:       {view.phase}")
    if view.resource is not None:
        lines += [f"Source:      {view.resource.source}", "Spec:", _indented(_without(document["spec"], outlined))]
    if (meant := implied(view.key)) is not None:
        lines.append(f"For:         {meant.words}, which declares {view.key}")
    if view.machines:
        lines.append("Machines:")
        lines += [f"  slot {slot.slot}  {slot.machine}  {slot.phase}" for slot in view.machines]
    seen = view.observation
    if seen is not None:
        lines.append(f"Seen:        {short_age(seen.taken_at, at)} ago")
        found = _without(document["status"].get("observed") or document["status"].get("error") or {}, outlined)
        lines.append(_indented(_short(found)))
    lines += _outline(view.outline, at)
    if view.derived:
        lines += ["Labels from the inventory:", *(f"  {name}={clean(text)}" for name, text in view.derived.items())]
    for kept in one.inventory.all:
        taken = (
            f"{short_age(kept.taken_at, at)} ago; `groundstate inventory` shows it" if kept.taken_at else "not read yet"
        )
        lines.append(f"Inventory:   {kept.origin}, {taken}")
    if hint := console_hint(one.inventory):
        lines.append(f"Console:     {hint}")
    lines += [f"In force:    {clean(words_of(one))}" for one in view.overrides]
    lines += [f"Paused:      {clean(pause_words(one))}" for one in view.pauses]
    lines += [f"Holds:       {clean(', '.join(map(str, view.held_changes)))}"] if view.held_changes else []
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


def _without(value: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: one for name, one in value.items() if name not in names}


def _outline(branches: Collection[OutlineBranch], at: datetime) -> list[str]:
    """A tree with the branches, two steps deep."""
    lines = [] if not branches else ["Ports:"]
    for branch in branches:
        lines.append(f"  {branch.name}  {clean(branch.words)}")
        since = f" for {short_age(branch.since, at)}" if branch.since is not None else ""
        below = [f"    {title:<8} {clean(text)}" for title, text in branch.below]
        lines += [*below[:-1], f"{below[-1]}{since}"] if below else []
    return lines


def _clean(line: str) -> str:
    """A line whose indentation counts."""
    bare = line.lstrip(" ")
    return line[: len(line) - len(bare)] + printable(bare)


def _short(value: dict[str, Any]) -> dict[str, Any]:
    """The same, with each list of words on one line."""
    return {
        name: ", ".join(one) if isinstance(one, list | tuple) and all(isinstance(word, str) for word in one) else one
        for name, one in value.items()
    }


def _indented(value: object) -> str:
    return "\n".join("  " + line for line in dump(value, "yaml").splitlines())

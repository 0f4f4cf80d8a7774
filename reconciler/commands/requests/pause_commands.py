"""`groundstate pause` and `resume`: nothing that matches is written to for a while, also while the daemon runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click

from reconciler.commands.options import (
    DurationType,
    filter_options,
    headers_option,
    output_option,
    where_from,
    where_options,
)
from reconciler.commands.printing import print_records
from reconciler.commands.terminal import exit_in_words, say_notes
from reconciler.model.counting import count
from reconciler.model.plans.pause import ResourcePause
from reconciler.operations.requests.resource_pauses import PauseRequest, begin_pause, end_pauses, list_pauses
from reconciler.operations.where import Where
from reconciler.views.columns import short_age
from reconciler.views.render.words import clean
from reconciler.views.resource_document import pause_document

_TITLES = ["ID", "COVERS", "STATE", "ENDS", "BY", "REASON"]


@click.command("pause", short_help="Send no changes to some or all resources, until `resume`.")
@filter_options
@click.option("--all", "everything", is_flag=True, help="All resources, including those that are declared later.")
@click.option("--for", "lasting", type=DurationType(timedelta(days=366)), help="How long, such as 30m, 2h or 1d.")
@click.option("--reason", default="", metavar="WHY", help="The reason, shown in every plan and recorded in the ledger.")
@click.option("--list", "listed", is_flag=True, help="Show the pauses in force, and those that ended.")
@where_options
@headers_option
@output_option("table", "wide", "json", "yaml", "name", default="table")
def pause_command(
    targets: tuple[str, ...],
    selector: str,
    everything: bool,
    lasting: timedelta | None,
    reason: str,
    listed: bool,
    no_headers: bool,
    output: str,
    **values: Any,
) -> None:
    """Stop changes to these resources: no power action, no address, no release.

    The daemon, `apply` and every plan hold the changes within seconds. groundstate still observes the resources. If an
    action was already sent, groundstate observes its result. The pause of a claim covers its machines and addresses.
    Without --for, the pause lasts until `groundstate resume`.

    Exit codes: 0 done, 1 refused; the message says why.

    \b
    Examples:
      groundstate pause machine/r1-03 --reason INC-7
      groundstate pause -l rack=r1 --for 2h --reason "work on the power of rack r1"
      groundstate pause --all --for 30m --reason "network maintenance"
      groundstate pause --list
    """
    if listed and (targets or selector or everything or lasting is not None or reason):
        raise click.UsageError("--list shows all pauses; leave out resources, --for and --reason")
    with exit_in_words():
        if listed:
            show_pauses(where_from(values), output, headers=not no_headers)
            return
        begun = begin_pause(where_from(values), PauseRequest(targets, selector, everything, lasting, reason))
    say_notes(begun.notes)
    one = begun.pause
    click.echo(clean(f"pause {one.id}: {one.covers} ({begun.covered} now) is paused {one.lasts}"))
    if begun.in_flight:
        flying = ", ".join(map(str, begun.in_flight[:8])) + (" and others" if len(begun.in_flight) > 8 else "")
        click.echo(clean(f"actions that were already sent continue, and groundstate observes them: {flying}"), err=True)
    click.echo(f"`groundstate resume {one.id}` ends the pause", err=True)


@click.command("resume", short_help="End a pause.")
@filter_options
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help=("End only the pauses that were made with `pause --all`; other pauses stay in force."),
)
@where_options
def resume_command(targets: tuple[str, ...], selector: str, everything: bool, **values: Any) -> None:
    """End a pause. Name the pause by its id, or by the same arguments that were given to `groundstate pause`.

    Other pauses of the same resources stay in force.

    Exit codes: 0 done, 1 there is no such pause.

    \b
    Examples:
      groundstate resume machine/r1-03
      groundstate resume -l rack=r1
      groundstate resume 3f2a91
      groundstate resume --all
    """
    with exit_in_words():
        done = end_pauses(where_from(values), targets, selector, everything=everything)
    say_notes(done.notes)
    for one in done.ended:
        click.echo(clean(f"pause {one.id} of {one.covers} is ended"))
    if done.left:
        left = "; ".join(f"{one.id} of {one.covers}" for one in done.left)
        click.echo(clean(f"{count(len(done.left), 'pause')} still in force: {left}"), err=True)


def show_pauses(where: Where, output: str, *, headers: bool = True) -> None:
    """A table, or their rows as JSON or YAML."""
    listing = list_pauses(where)
    say_notes(listing.notes)
    at = listing.at
    records = [(pause_document(one) | {"state": _state(one, at)}, _row(one, at)) for one in listing.pauses]
    print_records(_TITLES, records, "Pause", output, headers=headers)


def _state(one: ResourcePause, at: datetime) -> str:
    if one.stands(at):
        return "in force"
    return "resumed" if one.ended_by is not None else "expired"


def _row(one: ResourcePause, at: datetime) -> list[str]:
    end = one.ended_at or one.until
    if end is None:
        when = "when resumed"
    else:
        when = f"in {short_age(at, end)}" if one.stands(at) else f"{short_age(end, at)} ago"
    return [one.id, one.covers, _state(one, at), when, one.by, one.reason]

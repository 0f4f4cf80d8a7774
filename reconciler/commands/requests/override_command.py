"""`groundstate override`: let what a guard holds pass for a while, also while the daemon runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click
import msgspec

from reconciler.commands.completion import complete_selector, complete_target
from reconciler.commands.options import (
    DurationType,
    headers_option,
    output_option,
    where_from,
    where_options,
)
from reconciler.commands.printing import print_records
from reconciler.commands.terminal import exit_in_words, say_notes
from reconciler.model.plans.override import Override
from reconciler.operations.requests.guard_overrides import (
    OverrideBegun,
    OverrideRequest,
    begin_override,
    list_overrides,
    revoke_override,
)
from reconciler.operations.where import Where
from reconciler.planning.override_scope import MAX_OVERRIDE, OVERRIDABLE
from reconciler.views.columns import short_age

_TITLES = ["ID", "GUARD", "COVERS", "STATE", "ENDS", "BY", "REASON"]


def _guards(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in [*OVERRIDABLE, "guard/"] if name.startswith(incomplete)]


@click.command("override", short_help="Override a guard for a limited time.")
@click.argument("guard", required=False, metavar="GUARD", shell_complete=_guards)
@click.argument("targets", nargs=-1, metavar="[KIND[/NAME]]...", shell_complete=complete_target)
@click.option(
    "--selector",
    "-l",
    default="",
    metavar="LABELS",
    help="Only for resources with these labels (key=value,...).",
    shell_complete=complete_selector,
)
@click.option("--for", "lasting", type=DurationType(MAX_OVERRIDE), help="How long, such as 30m, 2h or 1d; at most 7d.")
@click.option("--reason", default="", metavar="WHY", help="The reason, shown in every plan and recorded in the ledger.")
@click.option("--by", default="", metavar="NAME", help="The person who decided on the override, if it was not you.")
@click.option("--list", "listed", is_flag=True, help="Show the overrides in force, and those that ended.")
@click.option("--revoke", default="", metavar="ID", help="End an override now.")
@where_options
@headers_option
@output_option("table", "wide", "json", "yaml", "name", default="table")
def override_command(
    guard: str | None,
    targets: tuple[str, ...],
    selector: str,
    lasting: timedelta | None,
    reason: str,
    by: str,
    listed: bool,
    revoke: str,
    no_headers: bool,
    output: str,
    **values: Any,
) -> None:
    """Allow changes that GUARD holds, for all or for some resources, for a limited time.

    The override is in force within seconds for the daemon, `apply` and every plan. The daemon need not be stopped.

    Guards that can be overridden: disruption-budget, mass-removal, empty-desired-state, unreachable-fleet,
    mass-release, mass-unclaim. Also first-sight and system-identity, for named or selected
    machines, tenant-behind and other-port, for named or selected switches, and declared guards, as
    guard/NAME.
    For other guards, change the document.

    Exit codes: 0 done, 1 refused; the message says why.

    \b
    Examples:
      groundstate override disruption-budget machine/r1-03 --for 1h --reason INC-7
      groundstate override disruption-budget -l rack=r1 --for 2h --reason "rack r1 moves"
      groundstate override guard/db-racks -l rack=r1 --for 2h --reason INC-7
      groundstate override --list
      groundstate override --revoke 3f2a91
    """
    where = where_from(values)
    asked = [bool(guard), listed, bool(revoke)]
    if sum(asked) != 1:
        raise click.UsageError("give one of: the name of a guard, --list, --revoke ID")
    with exit_in_words():
        if listed:
            show_overrides(where, output, headers=not no_headers)
        elif revoke:
            ended = revoke_override(where, revoke, by)
            click.echo(f"override {ended.id} of guard {ended.guard} is revoked")
        else:
            _show_begun(begin_override(where, OverrideRequest(str(guard), targets, selector, lasting, reason, by)))


def _show_begun(begun: OverrideBegun) -> None:
    say_notes(begun.notes)
    one = begun.override
    covered = "everything" if begun.covered is None else f"{one.covers} ({begun.covered} now)"
    click.echo(f"override {one.id}: guard {one.guard} is overridden until {one.until:%Y-%m-%d %H:%M:%S}Z for {covered}")
    click.echo(f"{begun.effect}; `groundstate override --revoke {one.id}` ends the override", err=True)


def show_overrides(where: Where, output: str, *, headers: bool = True) -> None:
    """A table, or their rows as JSON or YAML."""
    listing = list_overrides(where)
    say_notes(listing.notes)
    at = listing.at
    records = [(msgspec.to_builtins(one) | {"state": _state(one, at)}, _row(one, at)) for one in listing.overrides]
    print_records(_TITLES, records, "Override", output, headers=headers)


def _state(one: Override, at: datetime) -> str:
    if one.revoked_at is not None:
        return "revoked"
    return "in force" if one.in_force(at) else "expired"


def _row(one: Override, at: datetime) -> list[str]:
    end = min(one.until, one.revoked_at or one.until)
    when = f"in {short_age(at, end)}" if one.in_force(at) else f"{short_age(end, at)} ago"
    return [one.id, one.guard, one.covers, _state(one, at), when, one.by, one.reason]

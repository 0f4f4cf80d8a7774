"""`groundstate override`: let what a guard holds pass for a while, also while the daemon runs."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

import click
import msgspec

from reconciler.commands.completion import complete_target
from reconciler.commands.options import output_option, where_from, where_options
from reconciler.commands.printing import dump, print_table
from reconciler.commands.workspace import (
    change_store,
    derived_labels,
    exit_in_words,
    facts_of,
    fail,
    now,
    open_desired_source,
    open_store,
    operator,
    read_or_exit,
)
from reconciler.model.override import Override
from reconciler.operations.where import Where
from reconciler.planning.override_scope import OVERRIDABLE, override_refusal, parse_duration
from reconciler.planning.planner import universe
from reconciler.planning.selectors import select
from reconciler.views.columns import short_age

_TITLES = ["ID", "GUARD", "COVERS", "STATE", "ENDS", "BY", "REASON"]


class _Span(click.ParamType[timedelta]):
    """`2h`, `90m`, `1d`."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Click's hook."""
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _guards(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in OVERRIDABLE if name.startswith(incomplete)]


@click.command("override", short_help="Override a guard for a limited time.")
@click.argument("guard", required=False, metavar="GUARD", shell_complete=_guards)
@click.argument("targets", nargs=-1, metavar="[KIND[/NAME]]...", shell_complete=complete_target)
@click.option(
    "--selector", "-l", default="", metavar="LABELS", help=("Only for resources with these labels (key=value,...).")
)
@click.option("--for", "lasting", type=_Span(), help="How long, such as 30m, 2h or 1d; at most 7d.")
@click.option("--reason", default="", metavar="WHY", help="The reason, shown in every plan and recorded in the ledger.")
@click.option("--by", default="", metavar="NAME", help="Who decided it, where that is not the user who types it.")
@click.option("--list", "listed", is_flag=True, help="Show the overrides: those in force, and those that are over.")
@click.option("--revoke", default="", metavar="ID", help="End an override now.")
@where_options
@output_option("table", "json", "yaml", default="table")
def override_command(
    guard: str | None,
    targets: tuple[str, ...],
    selector: str,
    lasting: timedelta | None,
    reason: str,
    by: str,
    listed: bool,
    revoke: str,
    output: str,
    **values: Any,
) -> None:
    """Let what GUARD holds pass, for all or for some resources, until the time is over. The daemon, `apply` and every
    plan take it up within seconds; the daemon need not be stopped for it.

    Guards: disruption-budget, mass-removal, empty-desired-state, unreachable-fleet, mass-release, mass-unclaim; and
    first-sight, for named or selected machines. What other guards hold is changed in the document.

    Exit codes: 0 done, 1 refused; the text says why.

    \b
    Examples:
      groundstate override disruption-budget machine/r1-03 --for 1h --reason INC-7
      groundstate override disruption-budget -l rack=r1 --for 2h --reason "rack r1 moves"
      groundstate override --list
      groundstate override --revoke 3f2a91
    """
    where = where_from(values)
    asked = [bool(guard), listed, bool(revoke)]
    if sum(asked) != 1:
        raise click.UsageError("name a guard to override, or pass --list, or --revoke ID; one of the three")
    with exit_in_words():
        if listed:
            show_overrides(where, output)
        elif revoke:
            _revoke(where, revoke, by)
        else:
            _begin(where, str(guard), targets, selector, lasting, reason.strip(), by)


def show_overrides(where: Where, output: str) -> None:
    """A table, or their rows as JSON or YAML."""
    store = open_store(where)
    try:
        found = store.overrides.all()
    finally:
        store.close()
    at = now()
    if output in ("json", "yaml"):
        click.echo(dump([msgspec.to_builtins(one) | {"state": _state(one, at)} for one in found], output))
    elif found:
        print_table(_TITLES, [_row(one, at) for one in found], narrow=output != "wide")
    else:
        click.echo("No overrides.", err=True)


def _begin(
    where: Where,
    guard: str,
    targets: tuple[str, ...],
    selector: str,
    lasting: timedelta | None,
    reason: str,
    by: str,
) -> None:
    if (why := override_refusal(guard, narrowed=bool(targets or selector))) is not None:
        fail(why)
    if lasting is None:
        fail("say for how long: --for 30m, --for 2h; the override ends automatically")
    if not reason:
        fail("say why: --reason INC-7; the reason is shown in every plan and in the ledger")
    number = _meant(where, targets, selector)
    store = change_store(where, create=True)
    try:
        at = now()
        one = Override(secrets.token_hex(3), guard, reason, _who(by), at, at + lasting, targets, selector)
        store.overrides.add(one)
    finally:
        store.close()
    covered = "everything" if number is None else f"{one.covers} ({number} now)"
    click.echo(f"override {one.id}: guard {guard} is overridden until {one.until:%Y-%m-%d %H:%M:%S}Z for {covered}")
    click.echo(f"{OVERRIDABLE[guard]}; `groundstate override --revoke {one.id}` ends it", err=True)


def _meant(where: Where, targets: tuple[str, ...], selector: str) -> int | None:
    """How many resources it covers now; None: all. Raises Unmatched for what matches nothing: a slip of the pen."""
    if not targets and not selector:
        return None
    store = open_store(where)
    try:
        desired, facts = read_or_exit(open_desired_source(where), store), facts_of(store)
        chosen = select(targets, selector, desired, universe(desired, facts), lambda: derived_labels(store, desired))
    finally:
        store.close()
    return len(chosen)


def _revoke(where: Where, name: str, by: str) -> None:
    store = change_store(where)
    try:
        ended = store.overrides.revoke(name, _who(by), now())
    finally:
        store.close()
    click.echo(f"override {ended.id} of guard {ended.guard} is revoked")


def _who(by: str) -> str:
    mine = operator("override")
    return f"{by}, as {mine}" if by else mine


def _state(one: Override, at: datetime) -> str:
    if one.revoked_at is not None:
        return "revoked"
    return "in force" if one.in_force(at) else "expired"


def _row(one: Override, at: datetime) -> list[str]:
    end = min(one.until, one.revoked_at or one.until)
    when = f"in {short_age(at, end)}" if one.in_force(at) else f"{short_age(end, at)} ago"
    return [one.id, one.guard, one.covers, _state(one, at), when, one.by, one.reason]

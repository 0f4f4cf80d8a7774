"""`groundstate explain-placement` and `groundstate capacity`: what a claim gets and why, and what there is to get."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from reconciler.commands.completion import complete_name
from reconciler.commands.options import option, output_option, where_from, where_options
from reconciler.commands.plan import shown_plan
from reconciler.commands.printing import dump, print_table
from reconciler.commands.workspace import (
    exit_in_words,
    facts_in_force,
    facts_under,
    fail,
    observed_types,
    open_desired_source,
    open_store,
    read_or_exit,
)
from reconciler.model.facts import Facts
from reconciler.model.observation import Observation
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.operations.prospect import PlanRequest
from reconciler.operations.where import Where
from reconciler.placement.capacity import Capacity, capacity
from reconciler.placement.place import place_all
from reconciler.placement.placement_result import Placement
from reconciler.planning.selectors import select
from reconciler.planning.standing import CommandLimits
from reconciler.runtime import now
from reconciler.views.render.placements import candidate_rows, placement_lines
from reconciler.views.render.ranges import fold

_PLACEMENT_TITLES = ["MACHINE", "PARTITION", "RACK", "SIZE", "WHY"]
_refresh = option("--refresh", is_flag=True, help="Observe the machines first.")
_CAPACITY_TITLES = ["PARTITION", "SIZE", "TOTAL", "FREE", "CLAIMED", "RESERVED", "FAULTY", "WAITING"]


@click.command("explain-placement", short_help="Show, machine by machine, whether a claim could get it.")
@click.argument("claim", metavar="CLAIM", shell_complete=complete_name("MachineClaim"))
@where_options
@_refresh
@output_option("text", "json", "yaml", default="text")
def explain_placement_command(claim: str, refresh: bool, output: str, **values: Any) -> None:
    """Judge every machine for a claim as a plan would now, by what the store has seen of them. Asks no BMC without
    --refresh.

    Exit codes: 0 the claim has all of its machines or would get them, 1 otherwise.

    \b
    Examples:
      groundstate explain-placement web
      groundstate explain-placement web --ref my-branch
      groundstate explain-placement web --refresh
      groundstate explain-placement web -o json
    """
    with exit_in_words():
        desired, observed, facts = _known(where_from(values), refresh=refresh)
        key = _claim(claim, desired)
    found = place_all(desired, observed, facts, now(), only=(key.name,), explain=(key.name,))[key.name]
    if output == "text":
        click.echo("\n".join(placement_lines(desired.resources[key], found)))
        if found.candidates:
            click.echo("")
            print_table(_PLACEMENT_TITLES, candidate_rows(found), narrow=False)
    else:
        click.echo(dump(msgspec.to_builtins(found), output))
    raise click.exceptions.Exit(0 if _settled(found) else 1)


@click.command("capacity", short_help="Count machines by partition and size: total, free, reserved.")
@where_options
@_refresh
@output_option("table", "wide", "json", "yaml", default="table")
@option("--partition", metavar="NAME", help="Only this partition.")
def capacity_command(partition: str | None, refresh: bool, output: str, **values: Any) -> None:
    """Count the machines of each size in each partition, by what the store has seen of them. Asks no BMC without
    --refresh.

    Every machine is free (could be given out now), claimed (a project's), faulty (nobody's, and unreadable, Critical or
    in trouble) or waiting (nobody's and sound, but not to be had just now). Reserved is how many are kept back.

    \b
    Examples:
      groundstate capacity
      groundstate capacity -o wide
    """
    with exit_in_words():
        desired, observed, facts = _known(where_from(values), refresh=refresh)
    found = [one for one in capacity(desired, observed, facts) if partition in (None, one.partition)]
    if partition is not None and ResourceKey("Partition", partition) not in desired.resources:
        fail(f"there is no Partition {partition!r}")
    if output in ("json", "yaml"):
        click.echo(dump(msgspec.to_builtins(found), output))
        return
    wide = output == "wide"
    titles = [*_CAPACITY_TITLES, *(["LEAVING", "ASKED", "FAULTY MACHINES"] if wide else [])]
    print_table(titles, [_row(one, wide=wide) for one in found], narrow=not wide)


def _row(one: Capacity, *, wide: bool) -> list[str]:
    numbers = [one.total, len(one.free), len(one.claimed), one.reserved, len(one.faulty), len(one.waiting)]
    more = [str(len(one.releasing)), str(one.asked), ",".join(fold(one.faulty)) or "-"] if wide else []
    return [one.partition, one.size or "-", *map(str, numbers), *more]


def _known(where: Where, *, refresh: bool) -> tuple[DesiredState, dict[ResourceKey, Observation], Facts]:
    looked = shown_plan(where, CommandLimits(), PlanRequest(("machines",))).observations if refresh else ()
    store = open_store(where)
    try:
        desired = read_or_exit(open_desired_source(where), store)
        observed = {one.key: one for one in (*store.observations(observed_types()), *looked)}
        return desired, observed, facts_in_force(desired, facts_under(store, desired))
    finally:
        store.close()


def _claim(name: str, desired: DesiredState) -> ResourceKey:
    target = name if "/" in name else f"machineclaim/{name}"
    found = sorted(select([target], "", desired))
    if len(found) != 1 or found[0].kind != "MachineClaim":
        fail(f"{name!r} is not one claim; `groundstate get claims` lists them")
    return found[0]


def _settled(found: Placement) -> bool:
    return len(found.chosen) == len(found.lacks)

"""`groundstate inventory`: what is in a machine, by its BMC and by the agent, and what changed."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from reconciler.commands import inventory_refresh
from reconciler.commands.completion import complete_name
from reconciler.commands.options import output_option, where_from, where_options
from reconciler.commands.printing import dump
from reconciler.commands.workspace import (
    change_store,
    exit_in_words,
    on_terminal,
    open_desired_source,
    open_store,
    operator,
    read_or_exit,
)
from reconciler.kinds.catalogue.aggregate import aggregate_items, aggregates
from reconciler.kinds.common.inventory import MachineInventory, Origin
from reconciler.kinds.common.mac_vendor import mac_vendor
from reconciler.kinds.machine.labels import size_by_inventory
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import DesiredState, Resource
from reconciler.onboarding.inventory_comparison import _listed, changes, disagreements
from reconciler.runtime import now
from reconciler.store import Store
from reconciler.views.render.inventory_table import difference_lines, inventory_lines
from reconciler.views.render.words import ansi, unpainted


@click.command("inventory", short_help="Show a machine's hardware inventory, and what changed.")
@click.argument("machine", metavar="MACHINE", shell_complete=complete_name("Machine"))
@click.option(
    "--source",
    type=click.Choice([str(one) for one in Origin]),
    help=("Only the inventory from the BMC, or from the agent."),
)
@click.option("--diff", is_flag=True, help="Only what changed, and by what the two differ; exit code 2 if anything.")
@click.option("--refresh", is_flag=True, help="Read the inventory from the BMC now, and store it.")
@click.option("--accept", is_flag=True, help="Accept the current inventory as the baseline.")
@where_options
@output_option("text", "wide", "json", "yaml", default="text")
def inventory_command(
    machine: str, source: str | None, diff: bool, refresh: bool, accept: bool, output: str, **values: Any
) -> None:
    """Show what is kept of a machine: read from its BMC by the daemon once a day, and sent by the agent when it ran.

    What changed is measured against the last inventory that was as it should be; it stays told until the part is back
    or somebody says --accept.

    \b
    Examples:
      groundstate inventory r12-01
      groundstate inventory r12-01 --refresh -o wide
      groundstate inventory r12-01 --diff
    """
    where = where_from(values)
    with exit_in_words():
        desired = read_or_exit(open_desired_source(where))
        resource = inventory_refresh.one_machine(machine, desired)
        store = change_store(where, create=True) if refresh or accept else open_store(where)
        try:
            if refresh:
                inventory_refresh.refresh(resource, desired, where, store, "inventory")
            if accept:
                _accept(resource, store, source)
            known = _chosen(store.inventories.of(resource.key.name), source)
        finally:
            store.close()
    if output in ("json", "yaml"):
        click.echo(dump(_form(resource, known, desired), output))
    else:
        colour = on_terminal(sys.stdout)
        paint = ansi if colour else unpainted
        size = size_by_inventory(resource, known.best, desired)
        lines = (
            difference_lines(known, paint)
            if diff
            else inventory_lines(str(resource.key), known, size, now(), wide=output == "wide", paint=paint)
        )
        for line in lines:
            click.echo(line, color=colour)
    if not diff:
        return
    if any(changes(one) for one in known.all) or disagreements(known):
        raise click.exceptions.Exit(2)
    click.echo("nothing changed", err=True)


def _accept(resource: Resource[Any], store: Store, source: str | None) -> None:
    for kept in _chosen(store.inventories.of(resource.key.name), source).all:
        found = changes(kept)
        if kept.previous is None:
            continue
        store.inventories.accept(kept.machine, kept.origin)
        message = f"{kept.origin}: {_listed(found)}"
        event = Event(
            now(), EventType.NORMAL, EventReason.INVENTORY_ACCEPTED, message, resource.key, by=operator("inventory")
        )
        store.append([event])
        click.echo(f"accepted: {message}", err=True)


def _chosen(known: MachineInventory, source: str | None) -> MachineInventory:
    match source:
        case Origin.OUT_OF_BAND:
            return MachineInventory(out_of_band=known.out_of_band)
        case Origin.IN_BAND:
            return MachineInventory(in_band=known.in_band)
        case _:
            return known


def _form(resource: Resource[Any], known: MachineInventory, desired: DesiredState) -> dict[str, Any]:
    sources = {}
    for kept in known.all:
        form = msgspec.to_builtins(kept)
        form.pop("machine")
        for nic in (form.get("value") or {}).get("nics") or ():
            nic["vendor"] = mac_vendor(nic["mac"]) or None
        form["changes"] = [str(one) for one in changes(kept)]
        sources[form.pop("origin")] = form
    size = size_by_inventory(resource, known.best, desired)
    return {
        "machine": resource.key.name,
        "sources": sources,
        "disagreements": [str(one) for one in disagreements(known)],
        "size": {"name": size.name, "why": size.why},
        "aggregates": aggregates(known.best, aggregate_items(desired)),
    }

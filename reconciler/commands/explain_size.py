"""`groundstate explain-size`: why each size fits a machine or not."""

from __future__ import annotations

import sys
from typing import IO, Any

import click
import msgspec

from drivers.base import Inventory
from reconciler.commands.completion import complete_name
from reconciler.commands.inventory_refresh import one_machine, refresh, refresh_inventory
from reconciler.commands.options import output_option, where_from, where_options
from reconciler.commands.printing import dump
from reconciler.commands.workspace import (
    change_store,
    exit_in_words,
    fail,
    on_terminal,
    open_desired_source,
    open_store,
    read_or_exit,
)
from reconciler.kinds.catalogue.size_matching import explain_size
from reconciler.model.resource import DesiredState, Resource
from reconciler.operations.where import Where
from reconciler.runtime import now
from reconciler.views.render.sizes import Basis, basis_form, is_right, size_lines, verdict
from reconciler.views.render.words import ansi, unpainted


@click.command("explain-size", short_help="Compare a machine's inventory with every Size.")
@click.argument("machine", metavar="MACHINE", shell_complete=complete_name("Machine"))
@click.option("--inventory", type=click.File("r", encoding="utf-8"), help="YAML or JSON instead of what is kept.")
@click.option("--refresh", "anew", is_flag=True, help="Read the inventory from the BMC now, and store it.")
@where_options
@output_option("text", "json", "yaml", default="text")
def explain_size_command(machine: str, inventory: IO[str] | None, anew: bool, output: str, **values: Any) -> None:
    """Hold what is in a machine against every size, constraint by constraint.

    What is in it is what `groundstate inventory` shows: the agent's word, and the BMC's where the agent says nothing.
    Where nothing is kept yet the BMC is asked. The output says which it was.

    Exit codes: 0 exactly one size fits (and it is the declared one, if one is declared), 1 otherwise.

    \b
    Examples:
      groundstate explain-size r12-01
      groundstate explain-size r12-01 --refresh
      groundstate explain-size r12-01 --inventory what-if.yaml
      groundstate explain-size r12-01 -o json
    """
    if inventory is not None and anew:
        raise click.UsageError("--inventory is judged instead of what the BMC says; leave out one of the two")
    where = where_from(values)
    with exit_in_words():
        desired = read_or_exit(open_desired_source(where))
        resource = one_machine(machine, desired)
        basis = _from_file(inventory) if inventory is not None else _known(resource, desired, where, anew=anew)
    found = [explain_size(size.key.name, size.spec.constraints, basis.inventory) for size in desired.of_kind("Size")]
    declared = resource.spec.size
    if output == "text":
        paint = ansi if on_terminal(sys.stdout) else unpainted
        lines = size_lines(str(resource.key), declared, basis, found, now(), paint)
        click.echo("\n".join(lines), color=on_terminal(sys.stdout))
    else:
        told = verdict(str(resource.key), declared, found)
        form = {
            "machine": machine,
            "declared": declared,
            "inventory": basis.inventory,
            **basis_form(basis),
            "sizes": found,
            "verdict": told,
        }
        click.echo(dump(msgspec.to_builtins(form), output))
    raise click.exceptions.Exit(0 if is_right(declared, found) else 1)


def _from_file(file: IO[str]) -> Basis:
    from reconciler.desired.manifest.manifests import load_plain

    try:
        return Basis(msgspec.convert(load_plain(file.read()), Inventory), file=file.name)
    except (ValueError, msgspec.ValidationError) as error:
        fail(f"{file.name}: this is no inventory: {error}; it has processors, memory, disks and gpus")


def _known(resource: Resource[Any], desired: DesiredState, where: Where, *, anew: bool) -> Basis:
    """What is kept; without anything, what the BMC says now."""
    store = change_store(where, create=True) if anew else open_store(where)
    try:
        if anew:
            refresh(resource, desired, where, store, "explain-size")
        known = store.inventories.of(resource.key.name)
        if known.best is not None:
            return Basis(known.best, kept=tuple(one for one in known.all if one.value is not None))
        return Basis(refresh_inventory(resource, desired, where, store))
    finally:
        store.close()

"""`groundstate explain-size`: why each size fits a machine or not."""

from __future__ import annotations

import sys
from typing import IO, Any

import click
import msgspec

from drivers.base import DriverError, Inventory
from reconciler.commands.get import dump
from reconciler.commands.options import Where, output_option, where_from, where_options
from reconciler.commands.workspace import connections, fail, on_terminal, open_source, open_store, read_or_exit, words
from reconciler.kinds.sizing import explain
from reconciler.model.resource import DesiredState, Resource
from reconciler.planning.render.sizes import is_right, size_lines, verdict
from reconciler.planning.render.words import ansi, plain
from reconciler.planning.select import select


@click.command("explain-size", short_help="Why each size fits a machine or not.")
@click.argument("machine", metavar="MACHINE")
@click.option("--inventory", type=click.File("r", encoding="utf-8"), help="YAML or JSON instead of asking the BMC.")
@where_options
@output_option("text", "json", "yaml", default="text")
def explain_size_command(machine: str, inventory: IO[str] | None, output: str, **values: Any) -> None:
    """Read what is in a machine from its BMC, and hold it against every size, constraint by constraint.

    Exit codes: 0 exactly one size fits (and it is the declared one, if one is declared), 1 otherwise.

    \b
    Examples:
      groundstate explain-size r12-01
      groundstate explain-size r12-01 --inventory what-if.yaml
      groundstate explain-size r12-01 -o json
    """
    where = where_from(values)
    with words():
        desired = read_or_exit(open_source(where))
        resource = one_machine(machine, desired)
        seen = _from_file(inventory) if inventory is not None else _from_bmc(resource, desired, where)
    found = [explain(size.key.name, size.spec.constraints, seen) for size in desired.of_kind("Size")]
    declared = resource.spec.size
    if output == "text":
        paint = ansi if on_terminal(sys.stdout) else plain
        lines = size_lines(str(resource.key), declared, seen, found, paint)
        click.echo("\n".join(lines), color=on_terminal(sys.stdout))
    else:
        told = verdict(str(resource.key), declared, found)
        form = {"machine": machine, "declared": declared, "inventory": seen, "sizes": found, "verdict": told}
        click.echo(dump(msgspec.to_builtins(form), output))
    raise click.exceptions.Exit(0 if is_right(declared, found) else 1)


def one_machine(name: str, desired: DesiredState) -> Resource[Any]:
    """The machine of that name. Exits with words when it is not one; raises Unmatched for none."""
    target = name if "/" in name else f"machine/{name}"
    found = sorted(select([target], "", desired))
    if len(found) != 1 or found[0].kind != "Machine":
        fail(f"{name!r} is not one machine; name one, such as r12-01")
    return desired.resources[found[0]]


def _from_file(file: IO[str]) -> Inventory:
    from reconciler.desired.manifests import load_plain

    try:
        return msgspec.convert(load_plain(file.read()), Inventory)
    except (ValueError, msgspec.ValidationError) as error:
        fail(f"{file.name}: this is no inventory: {error}; it has processors, memory, disks and gpus")


def _from_bmc(resource: Resource[Any], desired: DesiredState, where: Where) -> Inventory:
    from reconciler.observed.connections import way_to

    store = open_store(where, create=False)
    try:
        with connections(store, where) as ways:
            return ways.bmc(resource.key, way_to(resource, desired)).inventory()
    except DriverError as error:
        fail(f"{resource.key}: what is in it cannot be read: {error}")
    finally:
        store.close()

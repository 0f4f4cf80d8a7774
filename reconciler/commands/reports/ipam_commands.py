"""`groundstate ipam`: what the IPAM and the pools hold, and copies of it. Needs no git."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any

import click
import msgspec

from drivers.base import Allocation, Usage, clean
from reconciler.commands.completion import complete_name
from reconciler.commands.options import (
    headers_option,
    new_store_option,
    option,
    output_option,
    where_and_ipam_options,
    where_from,
)
from reconciler.commands.printing import dump, print_table
from reconciler.commands.terminal import EXIT_ERROR, exit_in_words, fail, on_terminal, say_notes
from reconciler.kinds import shown_key
from reconciler.model.counting import count as counted
from reconciler.model.resource import ResourceKey
from reconciler.operations.reports.ipam_contents import (
    Allocations,
    IpamUsage,
    check_ipam,
    copy_ipam,
    counts_of,
    ipam_allocations,
    ipam_usage,
    merge_ipam,
)
from reconciler.services.ipam_export import Copy
from reconciler.views.render.tables.tree import ASCII, TreeMarks, bar, free_words, pool_lines, tree, tree_lines
from reconciler.views.render.words import ansi, unpainted


@click.group("ipam", short_help="Show, check, export and import prefixes, addresses and numbers.")
def ipam_group() -> None:
    """Show, check, export and import the IPAM and the pools of numbers.

    \b
    Examples:
      groundstate ipam tree
      groundstate ipam get 10.20.0.80
      groundstate ipam check
    """


@ipam_group.command("tree", short_help="Show the prefix tree, and how full each prefix is.")
@click.argument("networks", nargs=-1, metavar="[NETWORK]...", shell_complete=complete_name("Network"))
@option(
    "--depth",
    type=click.IntRange(1),
    help=("Number of levels to show. Level 1 is the top prefixes, without their child prefixes."),
)
@where_and_ipam_options
def tree_command(networks: tuple[str, ...], depth: int | None, **values: Any) -> None:
    """Show every prefix in order of address, children under their parents, each with a bar of its use.

    \b
    Examples:
      groundstate ipam tree
      groundstate ipam tree tenants --depth 1
    """
    found = _usage(networks, values)
    paint, marks = (ansi if on_terminal(sys.stdout) else unpainted), _marks()
    lines = list(tree_lines(tree(found.networks, found.usage), paint=paint, marks=marks, depth=depth))
    if found.pools:
        lines += ["", paint("bold", "pools"), *pool_lines(found.pools, paint=paint, marks=marks)]
    click.echo("\n".join(lines) if lines else "The IPAM is empty.", color=on_terminal(sys.stdout))


def _usage(networks: tuple[str, ...], values: dict[str, Any]) -> IpamUsage:
    with exit_in_words():
        found = ipam_usage(where_from(values), networks)
    say_notes(found.notes)
    return found


def _marks() -> TreeMarks:
    try:
        "█├".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return ASCII
    return TreeMarks()


@ipam_group.command("get", short_help="Show which owner holds which address, prefix or number.")
@click.argument("wanted", nargs=-1, metavar="[NETWORK|POOL|OWNER|ADDRESS|NUMBER]...")
@where_and_ipam_options
@headers_option
@output_option("table", "wide", "json", "yaml", default="table")
def get_addresses_command(wanted: tuple[str, ...], no_headers: bool, output: str, **values: Any) -> None:
    """List addresses and numbers with their owners: all, or those of a network, pool or owner, or the one named.

    \b
    Examples:
      groundstate ipam get shop
      groundstate ipam get 10.20.0.80
      groundstate ipam get IPAddress/shop-front -o yaml
    """
    with exit_in_words():
        found = ipam_allocations(where_from(values), wanted)
    say_notes(found.notes)
    if output in ("json", "yaml"):
        form = {"addresses": found.addresses, "numbers": found.numbers}
        click.echo(dump(msgspec.to_builtins(form), output))
        return
    _print_held(found, wide=output == "wide", headers=not no_headers)


def _owner(allocation: Allocation) -> str:
    """The owner, and where it is a claim's slot, of which claim."""
    kind, _, name = allocation.owner.partition("/")
    return shown_key(ResourceKey(kind, name)) if kind and name else allocation.owner


_HELD_TITLES = ["ADDRESS", "NETWORK", "OWNER", "TYPE", "PROJECT", "DNS NAME", "TAGS"]


def _print_held(found: Allocations, *, wide: bool, headers: bool) -> None:
    if found.addresses:
        shown = len(_HELD_TITLES) if wide else 5
        rows = [_held_row(one)[:shown] for one in found.addresses]
        print_table(_HELD_TITLES[:shown], rows, narrow=not wide, headers=headers)
    if found.numbers:
        if found.addresses:
            click.echo()
        rows = [[str(one.number), one.pool, one.owner] for one in found.numbers]
        print_table(["NUMBER", "POOL", "OWNER"], rows, narrow=not wide, headers=headers)
    if not (found.addresses or found.numbers):
        click.echo("No allocation is held.", err=True)


def _held_row(one: Allocation) -> list[str]:
    return [
        one.address,
        one.network,
        _owner(one),
        "Ephemeral" if one.about.ephemeral else "Static",
        one.about.project or "-",
        one.about.dns_name or "-",
        ",".join(one.about.tags) or "-",
    ]


@ipam_group.command("usage", short_help="Show how full each prefix and pool is.")
@click.argument("networks", nargs=-1, metavar="[NETWORK]...", shell_complete=complete_name("Network"))
@where_and_ipam_options
@headers_option
@output_option("table", "json", "yaml", default="table")
def usage_command(networks: tuple[str, ...], no_headers: bool, output: str, **values: Any) -> None:
    """Show for each prefix and pool its size, what is used and what is free.

    \b
    Examples:
      groundstate ipam usage
      groundstate ipam usage tenants -o json
    """
    found = _usage(networks, values)
    if output != "table":
        click.echo(dump(msgspec.to_builtins({"networks": found.usage, "pools": found.pools}), output))
        return
    rows = [
        [one.network, one.cidr, f"{one.size:,}", f"{one.used:,}", bar(one.used, one.size), _free(one)]
        for one in found.usage
    ]
    for name, pool in sorted(found.pools.items()):
        size = sum(span.last - span.first + 1 for span in pool.ranges)
        free = f"{size - pool.held:,}"
        rows.append([f"Pool/{name}", "-", f"{size:,}", f"{pool.held:,}", bar(pool.held, size), free])
    print_table(["NETWORK", "PREFIX", "SIZE", "USED", "", "FREE"], rows, narrow=False, headers=not no_headers)


def _free(one: Usage) -> str:
    return free_words(one.free_prefixes) if one.free_prefixes else f"{one.size - one.used:,}"


@ipam_group.command("check", short_help="Check the IPAM for errors.")
@click.option(
    "--rebuild",
    is_flag=True,
    help=("First compute the free space again, from the declared prefixes and the held allocations."),
)
@where_and_ipam_options
def check_command(rebuild: bool, **values: Any) -> None:
    """Check the IPAM: overlaps, allocations with two owners or outside of their prefix, and lost free space.

    Exit codes: 0 no errors, 1 errors; each line says what, where, and how to proceed.

    \b
    Examples:
      groundstate ipam check
      groundstate ipam check --rebuild
    """
    with exit_in_words():
        found = check_ipam(where_from(values), rebuild=rebuild)
    say_notes(found.notes)
    for line in found.wrong:
        click.echo(clean(line))
    if found.wrong:
        wrong = len(found.wrong)
        click.echo(f"{counted(wrong, 'error')} found.", err=True)
        raise click.exceptions.Exit(EXIT_ERROR)
    addresses = "address" if found.addresses == 1 else "addresses"
    click.echo(f"No errors: {counted(found.networks, 'network')}, {found.addresses:,} {addresses}.")


@ipam_group.command("export", short_help="Export everything as YAML.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="The file. The default is standard output."
)
@where_and_ipam_options
@output_option("yaml", "json", default="yaml")
def export_command(out: Path | None, output: str, **values: Any) -> None:
    """Write networks, addresses, pools and numbers with their owners to a file, for `import`.

    \b
    Examples:
      groundstate ipam export --out ipam.yaml
    """
    with exit_in_words():
        exported = copy_ipam(where_from(values))
    say_notes(exported.notes)
    copy = exported.copy
    text = dump(msgspec.to_builtins(copy), output)
    if out is None:
        click.echo(text)
        return
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        temporary.touch(mode=0o600)
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(out)
    except OSError as error:
        fail(f"{out}: the copy cannot be written: {error.strerror or error}")
    click.echo(f"Wrote {counts_of(copy)} to {out}.", err=True)


@ipam_group.command("import", short_help="Import an exported file.")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--dry-run", is_flag=True, help="Try the import on a copy in memory and change nothing.")
@where_and_ipam_options
@new_store_option
def import_command(file: IO[str], dry_run: bool, **values: Any) -> None:
    """Add the entries of an exported file to the IPAM. Existing entries are not changed.

    The import is tried on a copy in memory first. If an entry is refused there, nothing is changed.

    \b
    Examples:
      groundstate ipam import ipam.yaml --dry-run
      groundstate ipam import ipam.yaml
    """
    copy = _read(file)
    with exit_in_words():
        found = merge_ipam(where_from(values), copy, file.name, dry_run=dry_run)
    say_notes(found.notes)
    for line in found.refused:
        click.echo(clean(line), err=True)
    if found.refused:
        fail(
            f"{counted(len(found.refused), 'entry', 'entries')} of {file.name} would be refused; nothing "
            f"was changed. Correct the file, or release the conflicting entries in the IPAM"
        )
    done = "would be imported" if dry_run else "are there"
    click.echo(f"{counts_of(copy)} {done}.")


def _read(file: IO[str]) -> Copy:
    from reconciler.desired.manifest.manifests import load_plain

    try:
        return msgspec.convert(load_plain(file.read()), Copy)
    except (ValueError, msgspec.ValidationError, UnicodeDecodeError) as error:
        fail(f"{file.name}: not a file written by `groundstate ipam export`: {error}")

"""`groundstate ipam`: what the IPAM and the pools hold, and copies of it. Needs no git."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click
import msgspec

from drivers.base import Allocation, DriverError, IpamNetwork, IpamSettings, Number, Usage, clean
from reconciler.commands.completion import complete_name
from reconciler.commands.options import option, output_option, where_from, where_options
from reconciler.commands.printing import dump, print_table
from reconciler.commands.workspace import (
    change_store,
    connections,
    exit_in_words,
    fail,
    on_terminal,
    open_store,
    operator,
)
from reconciler.kinds.claim.spec import display_key
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import ResourceKey
from reconciler.observed.connections import Connections
from reconciler.runtime import now
from reconciler.services.ipam_export import Copy, export_ipam, import_ipam
from reconciler.store import Store
from reconciler.views.render.tree import ASCII, TreeMarks, bar, free_words, pool_lines, tree, tree_lines
from reconciler.views.render.words import ansi, unpainted
from reconciler.views.render.words import count as counted


@click.group("ipam", short_help="What the IPAM holds: prefixes, addresses, numbers.")
def ipam_group() -> None:
    """Look into the IPAM and the pools of numbers, check them, and copy them.

    \b
    Examples:
      groundstate ipam tree
      groundstate ipam get 10.20.0.80
      groundstate ipam check
    """


@contextmanager
def _opened(values: dict[str, Any]) -> Iterator[Connections]:
    """IPAM and pools, to look at; what they cannot do is said in words."""
    with _changing(values, change=False) as (ways, _):
        yield ways


@contextmanager
def _changing(values: dict[str, Any], *, change: bool, create: bool = False) -> Iterator[tuple[Connections, Store]]:
    """The same, with the store, whose ledger is to have what is done."""
    where = where_from(values)
    with exit_in_words():
        store = change_store(where, create=create) if change else open_store(where)
        try:
            with connections(store, where) as ways:
                yield ways, store
        except DriverError as error:
            fail(str(error))
        finally:
            store.close()


@ipam_group.command("tree", short_help="The prefix tree, and how full it is.")
@click.argument("networks", nargs=-1, metavar="[NETWORK]...", shell_complete=complete_name("Network"))
@option("--depth", type=click.IntRange(1), help="1: leave out what lies in a parent.")
@where_options
def tree_command(networks: tuple[str, ...], depth: int | None, **values: Any) -> None:
    """Every prefix in order of address, children under their parents, each with a bar that says how full it is.

    \b
    Examples:
      groundstate ipam tree
      groundstate ipam tree tenants --depth 1
    """
    with _opened(values) as ways:
        known = ways.ipam.networks()
        usage = ways.ipam.usage()
        pools = {} if networks else ways.pools.pools()
    wanted = _chosen(networks, known)
    found = [one for one in usage if one.network in wanted]
    paint, marks = (ansi if on_terminal(sys.stdout) else unpainted), _marks()
    lines = list(tree_lines(tree({n: known[n] for n in wanted}, found), paint=paint, marks=marks, depth=depth))
    if pools:
        lines += ["", paint("bold", "pools"), *pool_lines(pools, paint=paint, marks=marks)]
    click.echo("\n".join(lines) if lines else "The IPAM is empty.", color=on_terminal(sys.stdout))


def _chosen(names: tuple[str, ...], known: dict[str, IpamNetwork]) -> set[str]:
    """The networks that are meant, children included. Exits for a name that is not known."""
    if missing := [name for name in names if name not in known]:
        fail(f"the IPAM has no network {missing[0]!r}; `groundstate ipam usage` lists what there is")
    return {n for n, one in known.items() if not names or n in names or one.parent in names}


def _marks() -> TreeMarks:
    try:
        "█├".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return ASCII
    return TreeMarks()


@ipam_group.command("get", short_help="Who holds what.")
@click.argument("wanted", nargs=-1, metavar="[NETWORK|POOL|OWNER|ADDRESS|NUMBER]...")
@where_options
@output_option("table", "wide", "json", "yaml", default="table")
def get_addresses_command(wanted: tuple[str, ...], output: str, **values: Any) -> None:
    """List addresses and numbers with their owners: all, or those of a network, pool or owner, or the one named.

    \b
    Examples:
      groundstate ipam get shop
      groundstate ipam get 10.20.0.80
      groundstate ipam get IPAddress/shop-front -o yaml
    """
    with _opened(values) as ways:
        addresses: list[Allocation] = ways.ipam.list()
        numbers = ways.pools.numbers()
    if wanted:
        asked = set(wanted)
        addresses = [one for one in addresses if asked & {one.owner, one.network, one.address}]
        numbers = [one for one in numbers if asked & {one.owner, one.pool, str(one.number)}]
        known = {text for one in addresses for text in (one.owner, one.network, one.address)}
        known |= {text for one in numbers for text in (one.owner, one.pool, str(one.number))}
        if missing := [text for text in wanted if text not in known]:
            fail(
                f"{' or '.join(missing)} is not allocated; `groundstate ipam get` lists all that is held,"
                " `groundstate ipam tree` the networks"
            )
    if output in ("json", "yaml"):
        click.echo(dump(msgspec.to_builtins({"addresses": addresses, "numbers": numbers}), output))
        return
    _print_held(addresses, numbers, wide=output == "wide")


def _owner(allocation: Allocation) -> str:
    """The owner, and where it is a claim's slot, of which claim."""
    kind, _, name = allocation.owner.partition("/")
    return display_key(ResourceKey(kind, name)) if kind and name else allocation.owner


def _print_held(addresses: list[Allocation], numbers: list[Number], *, wide: bool) -> None:
    type_of = {True: "Ephemeral", False: "Static"}
    if addresses:
        titles = ["ADDRESS", "NETWORK", "OWNER", "TYPE", "PROJECT", "DNS NAME", "TAGS"]
        rows = [
            [
                one.address,
                one.network,
                _owner(one),
                type_of[one.about.ephemeral],
                one.about.project or "-",
                one.about.dns_name or "-",
                ",".join(one.about.tags) or "-",
            ]
            for one in addresses
        ]
        shown = len(titles) if wide else 5
        print_table(titles[:shown], [row[:shown] for row in rows], narrow=not wide)
    if numbers:
        if addresses:
            click.echo()
        rows = [[str(one.number), one.pool, one.owner] for one in numbers]
        print_table(["NUMBER", "POOL", "OWNER"], rows, narrow=not wide)
    if not (addresses or numbers):
        click.echo("No allocation is held.", err=True)


@ipam_group.command("usage", short_help="How full each prefix and pool is.")
@click.argument("networks", nargs=-1, metavar="[NETWORK]...", shell_complete=complete_name("Network"))
@where_options
@output_option("table", "json", "yaml", default="table")
def usage_command(networks: tuple[str, ...], output: str, **values: Any) -> None:
    """A line for each prefix and pool: its size, what is used, what is free.

    \b
    Examples:
      groundstate ipam usage
      groundstate ipam usage tenants -o json
    """
    with _opened(values) as ways:
        known = ways.ipam.networks()
        usage = ways.ipam.usage()
        pools = {} if networks else ways.pools.pools()
    wanted = _chosen(networks, known)
    found = [one for one in usage if one.network in wanted]
    if output != "table":
        click.echo(dump(msgspec.to_builtins({"networks": found, "pools": pools}), output))
        return
    rows = [
        [one.network, one.cidr, f"{one.size:,}", f"{one.used:,}", bar(one.used, one.size), _free(one)] for one in found
    ]
    for name, pool in sorted(pools.items()):
        size = sum(span.last - span.first + 1 for span in pool.ranges)
        free = f"{size - pool.held:,}"
        rows.append([f"Pool/{name}", "-", f"{size:,}", f"{pool.held:,}", bar(pool.held, size), free])
    print_table(["NETWORK", "PREFIX", "SIZE", "USED", "", "FREE"], rows, narrow=False)


def _free(one: Usage) -> str:
    return free_words(one.free_prefixes) if one.free_prefixes else f"{one.size - one.used:,}"


@ipam_group.command("check", short_help="Verify every rule of the IPAM.")
@click.option("--rebuild", is_flag=True, help="First rebuild the free space from what is declared and held.")
@where_options
def check_command(rebuild: bool, **values: Any) -> None:
    """Verify that nothing overlaps, nothing is held twice or outside of its prefix, and nothing free is lost.

    Exit codes: 0 sound, 1 something is wrong; each line says what, where, and how to proceed.
    """
    with _changing(values, change=rebuild) as (ways, store):
        if rebuild:
            ways.ipam.rebuild()
            _report(store, EventReason.IPAM_REBUILT, "what is free was written anew from what is declared and held")
        wrong = ways.ipam.check()
        held, networks = len(ways.ipam.list()), len(ways.ipam.networks())
    for line in wrong:
        click.echo(clean(line))
    if wrong:
        click.echo("1 thing is wrong." if len(wrong) == 1 else f"{len(wrong)} things are wrong.", err=True)
        raise click.exceptions.Exit(1)
    click.echo(f"Sound: {counted(networks, 'network')}, {held:,} {'address' if held == 1 else 'addresses'}.")


@ipam_group.command("export", short_help="Write everything down as YAML.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file; left out: standard output.")
@where_options
@output_option("yaml", "json", default="yaml")
def export_command(out: Path | None, output: str, **values: Any) -> None:
    """Write down networks, addresses, pools and numbers with their owners, for `import`.

    \b
    Examples:
      groundstate ipam export --out ipam.yaml
    """
    with _opened(values) as ways:
        copy = export_ipam(ways.ipam, ways.pools)
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
    click.echo(f"Wrote {len(copy.networks):,} networks and {len(copy.addresses):,} addresses to {out}.", err=True)


@ipam_group.command("import", short_help="Take in what was exported.")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--dry-run", is_flag=True, help="Try it on a copy in memory and change nothing.")
@where_options
def import_command(file: IO[str], dry_run: bool, **values: Any) -> None:
    """Add a copy to what is there; what is there already stays as it is, so that it can be done twice.

    It is tried on a copy in memory first, and where that refuses anything, nothing is changed.

    \b
    Examples:
      groundstate ipam import ipam.yaml --dry-run
      groundstate ipam import ipam.yaml
    """
    copy = _read(file)
    count = f"{len(copy.networks):,} networks, {len(copy.addresses):,} addresses, {len(copy.numbers):,} numbers"
    with _changing(values, change=not dry_run, create=True) as (ways, store):
        refused = _rehearse(copy, export_ipam(ways.ipam, ways.pools))
        if not refused and not dry_run:
            _report(store, EventReason.IPAM_IMPORTED, f"{count} of {file.name}")
            refused = import_ipam(copy, ways.ipam, ways.pools)
    for line in refused:
        click.echo(clean(line), err=True)
    if refused:
        fail(f"{len(refused)} of it would be refused; nothing was changed")
    done = "would be taken in" if dry_run else "are there"
    click.echo(f"{count} {done}.")


def _report(store: Store, reason: str, message: str) -> None:
    store.append([Event(at=now(), type=EventType.NORMAL, reason=reason, message=message, by=operator("ipam"))])


def _read(file: IO[str]) -> Copy:
    from reconciler.desired.manifest.manifests import load_plain

    try:
        return msgspec.convert(load_plain(file.read()), Copy)
    except (ValueError, msgspec.ValidationError, UnicodeDecodeError) as error:
        fail(f"{file.name}: not a file written by `groundstate ipam export`: {error}")


def _rehearse(copy: Copy, present: Copy) -> list[str]:
    """What would be refused, found on an IPAM in memory that holds what is there now."""
    from drivers.registry import Registry
    from reconciler.store import Store

    store = Store.open("sqlite://")
    try:
        registry = Registry()
        ipam, pools = registry.open_ipam(IpamSettings(), store.engine), registry.open_pools(store.engine)
        return import_ipam(present, ipam, pools) or import_ipam(copy, ipam, pools)
    finally:
        store.close()

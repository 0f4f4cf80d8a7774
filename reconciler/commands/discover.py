"""`groundstate discover`: look for BMCs, and write a Machine document for each system behind them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from glob import escape
from pathlib import Path
from typing import Any

import click
import msgspec

from reconciler.commands.options import option, where_from, where_options
from reconciler.commands.output import deliver, say
from reconciler.commands.workspace import (
    EXIT_ERROR,
    connections,
    exit_in_words,
    fail,
    observed_types,
    on_terminal,
    open_desired_source,
    open_store,
    read_or_exit,
)
from reconciler.kinds.common.mac_vendor import mac_vendor
from reconciler.kinds.machine.credentials import host_of
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.resource import DesiredState, Resource
from reconciler.observed.bmc_scan import Manner, UnreadableBmc, probe_addresses, read_found
from reconciler.observed.connections import Connections
from reconciler.onboarding.dhcp_leases import read_leases
from reconciler.onboarding.discovery import (
    HTTPS,
    MOST_ADDRESSES,
    Declared,
    FoundSystem,
    Partition,
    ScanRange,
    declared_systems,
    parse_scan_range,
    propose,
)
from reconciler.onboarding.probe_targets import NoPartition, candidates
from reconciler.operations.store_location import cache_dir
from reconciler.operations.where import Where
from reconciler.runtime import now
from reconciler.store import Store
from reconciler.views.render.words import count

_NAMED = 10


class Options(msgspec.Struct, frozen=True):
    """What a person said."""

    ranges: tuple[str, ...]
    leases: tuple[Path, ...]
    partition: str | None
    port: int
    rate: float
    concurrency: int
    timeout: float
    insecure: bool
    ca_file: str | None
    fingerprint: str | None
    yes: bool

    @property
    def tls(self) -> dict[str, Any] | None:
        """The trust that is named on the command line, as a document has it."""
        given = {"insecure": self.insecure, "caFile": self.ca_file, "fingerprint": self.fingerprint}
        return {name: value for name, value in given.items() if value} or None


@click.command("discover", short_help="Find BMCs; write Machine documents for them.")
@click.argument("ranges", nargs=-1, metavar="[RANGE]...")
@click.option(
    "--leases",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A lease file of dnsmasq or Kea (memfile): its addresses are probed.",
)
@click.option("--partition", metavar="NAME", help="The Partition of the found machines.  [default: by its bmcNetworks]")
@option("--port", default=HTTPS, type=click.IntRange(1, 65535), help="TCP port of the BMCs.")
@option(
    "--rate", default=50.0, type=click.FloatRange(0.1, 10_000), help=("Maximum number of addresses probed in a second.")
)
@option("--concurrency", default=32, type=click.IntRange(1, 1024), help="How many addresses are probed in parallel.")
@option("--timeout", default=2.0, type=click.FloatRange(0.1, 60), help="Seconds that a connection may take.")
@click.option("--insecure", is_flag=True, help="Trust any certificate; it is written into the documents.")
@click.option("--ca-file", metavar="FILE", help="Trust these authorities; it is written into the documents.")
@click.option("--fingerprint", metavar="SHA256", help="Trust this certificate; it is written into the documents.")
@click.option("--yes", is_flag=True, help="Allow scanning more than 65,536 addresses.")
@click.option("--out", metavar="DIR", help="Write a file for each machine there, instead of all to stdout.")
@click.option(
    "--branch", metavar="NAME", help=("Commit the files on this branch; the work tree and HEAD are not changed.")
)
@click.option("--push", is_flag=True, help="Push that branch to origin.")
@where_options
def discover_command(out: str | None, branch: str | None, push: bool, **values: Any) -> None:
    """Search RANGEs (a prefix, a range a-b, address:port), DHCP leases or the partitions' bmcNetworks for BMCs.

    Each Redfish service is logged in to once, with the credentialRef of its partition. Each system behind it becomes a
    Machine that is only observed (lifecycle.mode Observe). If no trust is declared and the system does not trust the
    certificate, the certificate is pinned. Declared machines are skipped, so a second run finds nothing new.

    Exit codes: 0, or 1 when a BMC was found and could not be read.

    \b
    Examples:
      groundstate discover --out machines                  search bmcNetworks of the partitions
      groundstate discover 10.1.0.0/24 --partition fra1
      groundstate discover --leases /var/lib/misc/dnsmasq.leases --branch found --push
    """
    where = where_from(values)
    options = Options(**{name: values.pop(name) for name in Options.__struct_fields__})
    if options.ca_file:
        where = _trusting(where, options.ca_file)
    if push and branch is None:
        raise click.UsageError("--push is for --branch")
    if options.tls and len(options.tls) > 1:
        raise click.UsageError("--insecure, --ca-file and --fingerprint exclude each other")
    with exit_in_words():
        desired = read_or_exit(open_desired_source(where))
        store = open_store(where)
        try:
            there = _declared(desired, where, store, out, branch)
            with connections(store, where) as ways:
                found, troubles = _find(options, desired, there, ways)
        finally:
            store.close()
        proposals, skipped = propose(found, there)
        for one in skipped:
            say(f"{one.address}: skipped; {one.why}")
        for proposal in proposals:
            for note in proposal.notes:
                say(f"{proposal.name}: {note}")
        deliver(proposals, where, out, branch, push=push)
    if troubles:
        raise click.exceptions.Exit(EXIT_ERROR)


def _trusting(where: Where, ca_file: str) -> Where:
    """What a person names on the command line may be read, whatever documents may name."""
    grants = where.grants
    named = (*grants.ca_files, escape(str(where.base / ca_file)))
    return msgspec.structs.replace(where, grants=msgspec.structs.replace(grants, ca_files=named))


# -- what to look at ---------------------------------------------------------------------------------------------------


def _find(
    options: Options, desired: DesiredState, there: Declared, ways: Connections
) -> tuple[list[FoundSystem], list[UnreadableBmc]]:
    partitions = desired.of_kind("Partition")
    cards: dict[str, str] = {}
    ranges = [*_ranges(options, partitions), *_leased(options, partitions, cards)]
    total = sum(one.size for one in ranges)
    if total > MOST_ADDRESSES and not options.yes:
        fail(f"these are {total:,} addresses, more than a /16 has; name smaller ranges, or --yes to look at them all")
    if not ranges:
        fail("there is nothing to scan; name a RANGE, --leases, or declare bmcNetworks in a Partition")
    skipped: list[str] = []
    manner = Manner(options.rate, options.concurrency, options.timeout, options.tls)
    todo = candidates(ranges, partitions, there, skipped, options.tls)
    try:
        seen = _bar(probe_addresses(ways, todo, manner, say), total)
        found = [(candidate, one) for candidate, one in seen if one is not None]
    except NoPartition as error:
        fail(str(error))
    for text in skipped[:_NAMED]:
        say(text)
    if len(skipped) > _NAMED:
        say(f"and {len(skipped) - _NAMED:,} more that are declared already")
    identities, unread = read_found(ways, found, partitions, manner)
    for one in unread:
        vendor = mac_vendor(cards.get(host_of(one.url), ""))
        say(f"{one}{f' (its network card is of {vendor})' if vendor else ''}")
    say(f"{count(len(found), 'BMC')} found, {count(len(identities), 'system')} read")
    return identities, unread


def _ranges(options: Options, partitions: list[Partition]) -> list[ScanRange]:
    try:
        if options.ranges:
            return [parse_scan_range(text, options.port, options.partition) for text in options.ranges]
        if options.leases:
            return []
        chosen = [one for one in partitions if options.partition in (None, one.key.name)]
        return [parse_scan_range(text, options.port, one.key.name) for one in chosen for text in one.spec.bmc_networks]
    except ValueError as error:
        fail(str(error))


def _leased(options: Options, partitions: list[Partition], cards: dict[str, str]) -> Iterator[ScanRange]:
    """Of leases that lie in no declared bmcNetworks none: those of machines' systems stand in the same file, and
    whoever sits there could ask for the BMCs' login. `cards` gets the MAC address of each address."""
    chosen = [one for one in partitions if options.partition in (None, one.key.name)]
    networks = [parse_scan_range(text) for one in chosen for text in one.spec.bmc_networks]
    for path in options.leases:
        try:
            leases = read_leases(path.read_text("utf-8", "replace"), now())
        except OSError as error:
            fail(f"{path}: it cannot be read: {error.strerror}")
        for line, why in leases.problems[:_NAMED]:
            say(f"{path}:{line}: left out; {why}")
        if len(leases.problems) > _NAMED:
            say(f"{path}: and {len(leases.problems) - _NAMED:,} more lines that cannot be read")
        say(f"{path}: {len(leases.found):,} active leases, {leases.expired:,} expired")
        cards |= {lease.address: lease.mac for lease in leases.found}
        found = [parse_scan_range(_bracketed(lease.address), options.port, options.partition) for lease in leases.found]
        meant = [one for one in found if not networks or any(one.within(network) for network in networks)]
        if len(meant) < len(found):
            say(f"{path}: {count(len(found) - len(meant), 'lease')} left out, in no partition's bmcNetworks")
        yield from meant


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _bar(results: Iterator[Any], total: int) -> Iterator[Any]:
    if not on_terminal(sys.stderr):
        yield from results
        return
    with click.progressbar(results, length=total, label="Looking for BMCs", file=sys.stderr) as bar:
        yield from bar


# -- what is known already --------------------------------------------------------------------------------------------


def _declared(desired: DesiredState, where: Where, store: Store, out: str | None, branch: str | None) -> Declared:
    """What stands in git, in the files that an earlier run wrote, and on the branch that it made."""
    machines: list[Resource[MachineSpec]] = desired.of_kind("Machine")
    if branch is not None:
        machines = [*machines, *_on_branch(where, branch)]
    elif out is not None and Path(out).is_dir():
        machines = [*machines, *_in_folder(Path(out))]
    return declared_systems(machines, {one.key: one.value for one in store.observations(observed_types())})


def _on_branch(where: Where, branch: str) -> Iterator[Resource[MachineSpec]]:
    from reconciler.desired.git.commit_branch import branch_exists
    from reconciler.desired.load import load_state

    if branch_exists(Path(where.repo), branch):
        source = open_desired_source(msgspec.structs.replace(where, ref=f"refs/heads/{branch}", work_tree=False))
        loaded = load_state(source.snapshot(), cache=cache_dir()).known
        yield from (one for found in loaded.values() for one in found if one.key.kind == "Machine")


def _in_folder(folder: Path) -> Iterator[Resource[MachineSpec]]:
    from reconciler.desired.manifest.manifests import parse_manifest

    for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
        yield from (one for one in parse_manifest(str(path), path.read_bytes()).resources if one.key.kind == "Machine")

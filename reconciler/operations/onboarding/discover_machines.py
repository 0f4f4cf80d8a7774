"""Looking through addresses for BMCs, and a Machine document for each system that was found behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from glob import escape
from pathlib import Path
from typing import Any

import msgspec

from drivers.base import FoundBmc
from reconciler.kinds.catalogue.partition import partitions_of
from reconciler.kinds.common.access.credentials import host_of
from reconciler.kinds.common.mac_vendor import mac_vendor
from reconciler.model.counting import count
from reconciler.model.resource import Resource
from reconciler.observed.bmc_scan import Manner, UnreadableBmc, probe_addresses, read_found
from reconciler.observed.connections import Connections
from reconciler.onboarding.dhcp_leases import read_leases
from reconciler.onboarding.discovery import (
    HTTPS,
    MOST_ADDRESSES,
    Declared,
    FoundSystem,
    Partition,
    Proposal,
    ScanRange,
    Skipped,
    declared_systems,
    machines_among,
    parse_scan_range,
    propose,
)
from reconciler.onboarding.probe_targets import NoPartition, ProbeTarget, candidates
from reconciler.operations.onboarding.deliver_proposals import Delivery, deliver_proposals
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.prospect import ObservedSoFar, unwatched
from reconciler.operations.stored_facts import observed_types
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace, open_desired_source
from reconciler.runtime import now

_NAMED = 10


class DiscoverRequest(msgspec.Struct, frozen=True):
    """Where to look: ranges, or files of DHCP leases, or else the partitions' bmcNetworks. How fast (`rate` addresses a
    second, `concurrency` side by side, `timeout` seconds each). And whom to trust, as a document has it.

    `many`: more than 65,536 addresses are meant. `delivery`: where the documents go.
    """

    ranges: tuple[str, ...] = ()
    leases: tuple[Path, ...] = ()
    partition: str | None = None
    port: int = HTTPS
    rate: float = 50.0
    concurrency: int = 32
    timeout: float = 2.0
    tls: dict[str, Any] | None = None
    many: bool = False
    delivery: Delivery = Delivery()


class DiscoverResult(msgspec.Struct, frozen=True):
    """What was found: a proposed Machine for each new system, with its document as YAML in `documents` by name. And
    what was found and is declared already, or could not be read."""

    proposals: tuple[Proposal, ...]
    documents: dict[str, str]
    skipped: tuple[Skipped, ...]
    unreadable: tuple[UnreadableBmc, ...]
    notes: tuple[str, ...] = ()


Remark = Callable[[str], None]
"""Is called during the scan with each message for people."""


def discover_machines(
    where: Where, request: DiscoverRequest, remark: Remark, probed: ObservedSoFar = unwatched
) -> DiscoverResult:
    """Look, read each BMC that was found once, and deliver the documents. Raises OperationError.

    `probed` is called with how many addresses were probed, and how many there are.
    """
    if request.tls and (ca_file := request.tls.get("caFile")):
        where = _trusting(where, ca_file)
    with Workspace(where) as at:
        with at.store() as store:
            partitions, known = _known(at, store.observations(observed_types()), request.delivery)
            search = _Search(at.connections(store), request, partitions, known, remark, probed)
            found, unreadable = search.run()
        proposals, skipped = propose(found, known)
        for one in skipped:
            remark(f"{one.address}: skipped; {one.why}")
        for proposal in proposals:
            for note in proposal.notes:
                remark(f"{proposal.name}: {note}")
        documents = deliver_proposals(at.where, proposals, request.delivery, remark)
        return DiscoverResult(tuple(proposals), documents, tuple(skipped), tuple(unreadable), at.notes)


def _trusting(where: Where, ca_file: str) -> Where:
    """Files that the caller names may be read, also if documents may not name them."""
    grants = where.grants
    named = (*grants.ca_files, escape(str(where.base / ca_file)))
    return msgspec.structs.replace(where, grants=msgspec.structs.replace(grants, ca_files=named))


# -- what to look at ---------------------------------------------------------------------------------------------------


class _Search:
    """One look through the addresses that were asked for."""

    def __init__(
        self,
        connections: Connections,
        request: DiscoverRequest,
        partitions: list[Partition],
        known: Declared,
        remark: Remark,
        probed: ObservedSoFar,
    ) -> None:
        self._ways, self._request, self._known = connections, request, known
        self._partitions, self._remark, self._probed = partitions, remark, probed
        self._cards: dict[str, str] = {}
        """The MAC address of each address of the leases."""

    def run(self) -> tuple[list[FoundSystem], list[UnreadableBmc]]:
        """The systems that were read, and the BMCs that could not be."""
        request, skipped = self._request, list[str]()
        ranges = [*self._ranges(), *self._leased()]
        total = _refuse_amount(ranges, request)
        manner = Manner(request.rate, request.concurrency, request.timeout, request.tls)
        todo = candidates(ranges, self._partitions, self._known, skipped, request.tls)
        self._probed(0, total)
        try:
            found, silent = list[tuple[ProbeTarget, FoundBmc]](), list[UnreadableBmc]()
            for number, (target, bmc) in enumerate(probe_addresses(self._ways, todo, manner, self._remark), 1):
                self._probed(number, total)
                if isinstance(bmc, UnreadableBmc):
                    silent.append(bmc)
                elif bmc is not None:
                    found.append((target, bmc))
        except NoPartition as error:
            raise OperationError(str(error), FailureReason.NOT_FOUND) from error
        self._few(skipped, "more that are declared already")
        systems, unreadable = read_found(self._ways, found, self._partitions, manner)
        for one in (*silent, *unreadable):
            vendor = mac_vendor(self._cards.get(host_of(one.url), ""))
            self._remark(f"{one}{f' (its network card is of {vendor})' if vendor else ''}")
        self._remark(f"{count(len(found), 'BMC')} found, {count(len(systems), 'system')} read")
        return systems, unreadable

    def _few(self, texts: list[str], more: str) -> None:
        for text in texts[:_NAMED]:
            self._remark(text)
        if len(texts) > _NAMED:
            self._remark(f"and {len(texts) - _NAMED:,} {more}")

    def _chosen(self) -> list[Partition]:
        return [one for one in self._partitions if self._request.partition in (None, one.key.name)]

    def _ranges(self) -> list[ScanRange]:
        request = self._request
        try:
            if request.ranges:
                return [parse_scan_range(text, request.port, request.partition) for text in request.ranges]
            if request.leases:
                return []
            return [
                parse_scan_range(text, request.port, one.key.name)
                for one in self._chosen()
                for text in one.spec.bmc_networks
            ]
        except ValueError as error:
            raise OperationError(str(error)) from error

    def _leased(self) -> Iterator[ScanRange]:
        """Leases outside of the declared bmcNetworks are left out. Those of machines' systems stand in the same file,
        and a host there could request the BMCs' login."""
        request = self._request
        networks = [parse_scan_range(text) for one in self._chosen() for text in one.spec.bmc_networks]
        for path in request.leases:
            try:
                leases = read_leases(path.read_text("utf-8", "replace"), now())
            except OSError as error:
                why = f"{path}: cannot be read: {error.strerror}"
                raise OperationError(why, FailureReason.UNAVAILABLE) from error
            problems = [f"{path}:{line}: this lease is left out: {why}" for line, why in leases.problems]
            self._few(problems, f"more unreadable lines of {path}")
            self._remark(f"{path}: {len(leases.found):,} active leases, {leases.expired:,} expired")
            self._cards |= {lease.address: lease.mac for lease in leases.found}
            found = [
                parse_scan_range(_bracketed(lease.address), request.port, request.partition) for lease in leases.found
            ]
            meant = [one for one in found if not networks or any(one.within(network) for network in networks)]
            if len(meant) < len(found):
                left_out = count(len(found) - len(meant), "lease")
                self._remark(f"{path}: {left_out} left out, because no Partition has the address in its bmcNetworks")
            yield from meant


def _refuse_amount(ranges: list[ScanRange], request: DiscoverRequest) -> int:
    """How many addresses there are. Raises OperationError for none, and for more than are meant."""
    total = sum(one.size for one in ranges)
    if total > MOST_ADDRESSES and not request.many:
        raise OperationError(
            f"the ranges have {total:,} addresses, more than 65,536; name smaller ranges, or pass --yes to "
            "probe all addresses"
        )
    if not ranges:
        raise OperationError("no address to scan; name a RANGE, --leases, or declare bmcNetworks in a Partition")
    return total


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


# -- what is known already --------------------------------------------------------------------------------------------


def _known(at: Workspace, observations: Any, delivery: Delivery) -> tuple[list[Partition], Declared]:
    """The partitions; and what stands in git, in the files that an earlier run wrote, and on the branch that it
    made."""
    desired = at.read(at.source())
    machines = list(machines_among(desired.resources.values()))
    if delivery.branch is not None:
        machines = [*machines, *_on_branch(at.where, delivery.branch)]
    elif delivery.out is not None and Path(delivery.out).is_dir():
        machines = [*machines, *_in_folder(Path(delivery.out))]
    return partitions_of(desired), declared_systems(machines, {one.key: one.value for one in observations})


def _on_branch(where: Where, branch: str) -> Iterator[Resource[Any]]:
    from reconciler.desired.git.branches.commit_branch import branch_exists
    from reconciler.desired.load import load_state

    if branch_exists(Path(where.repo), branch):
        source = open_desired_source(msgspec.structs.replace(where, ref=f"refs/heads/{branch}", work_tree=False))
        loaded = load_state(source.snapshot(), cache=where.cache).known
        yield from machines_among(one for found in loaded.values() for one in found)


def _in_folder(folder: Path) -> Iterator[Resource[Any]]:
    from reconciler.desired.manifest.manifests import parse_manifest

    for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
        yield from machines_among(parse_manifest(str(path), path.read_bytes()).resources)

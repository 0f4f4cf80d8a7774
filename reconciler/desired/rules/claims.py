"""Rules between claims and what they name. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.desired.rules.findings import Finding
from reconciler.kinds import DELIVERED_TO
from reconciler.kinds.claim.renamed_from import RENAMABLE
from reconciler.kinds.claim.spec import ClaimConsole, MachineClaimSpec, host_names
from reconciler.kinds.common.consoles.ssh_keys import check_console_keys
from reconciler.model.resource import DesiredState, Resource, ResourceKey


def check_claims(state: DesiredState) -> Iterator[Finding]:
    """Everything that is wrong between claims, networks and machines. What is not declared is found elsewhere."""
    for claim in state.of_kind("MachineClaim"):
        yield from _networks(claim, state)
        yield from _machines(claim, state)
        yield from _console_keys(claim, state)
    yield from _hostnames(state.of_kind("MachineClaim"))
    for kind in (*RENAMABLE, *DELIVERED_TO):
        yield from _renames(kind, state)


def _renames(kind: str, state: DesiredState) -> Iterator[Finding]:
    """A former name belongs to no document any more, and went to one other name."""
    owners: dict[str, Resource[Any]] = {}
    for resource in state.of_kind(kind):
        given = isinstance(resource.spec.renamed_from, str)
        for index, name in enumerate(resource.spec.former):
            path = ("spec", "renamedFrom", *(() if given else (index,)))
            declared = state.resources.get(ResourceKey(kind, name))
            other = owners.setdefault(name, resource)
            if declared is resource:
                hint = "remove spec.renamedFrom, or write the former name of the document there"
                yield Finding(
                    "renamed-from", resource, path, (f"{resource.key} names itself in spec.renamedFrom"), hint=hint
                )
            elif declared is not None:
                what = f"{resource.key} names {declared.key} in spec.renamedFrom, but {declared.key} is still declared"
                hint = f"if this is a rename, remove the document {declared.key}; if not, remove spec.renamedFrom"
                yield Finding("renamed-from", resource, path, what, f"{declared.key} is at {declared.source}", hint)
            elif other is not resource:
                what = f"{other.key} also names {kind}/{name} in spec.renamedFrom"
                hint = "keep spec.renamedFrom in only one of the two documents"
                yield Finding("renamed-from", resource, path, what, f"{other.key} is at {other.source}", hint)


def _hostnames(claims: list[Resource[MachineClaimSpec]]) -> Iterator[Finding]:
    """A host name is one machine's in a project: DNS, monitoring and people know machines by it. A claim is informed of
    the first claim before it with which it has one in common."""
    owners: dict[tuple[str, str], Resource[MachineClaimSpec]] = {}
    for claim in claims:
        shared: dict[ResourceKey, tuple[Resource[MachineClaimSpec], list[str]]] = {}
        for name in host_names(claim):
            other = owners.setdefault((claim.spec.project, name), claim)
            if other is not claim:
                shared.setdefault(other.key, (other, []))[1].append(name)
        for other, names in shared.values():
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            what = (
                f"the host name {names[0]}{more} would also be a host name of {other.key} in project "
                f"{claim.spec.project}"
            )
            hint = "change spec.hostname of one of the two claims"
            yield Finding(
                "duplicate-hostname", claim, ("spec", "hostname"), what, f"{other.key} is at {other.source}", hint
            )


def _networks(claim: Resource[MachineClaimSpec], state: DesiredState) -> Iterator[Finding]:
    """A network of one partition is of no use to a machine in another."""
    for index, one in enumerate(claim.spec.networks):
        network = state.resources.get(ResourceKey("Network", one.network))
        where = network.spec.partition if network is not None else None
        elsewhere = [name for name in claim.spec.partitions if where is not None and name != where]
        if network is not None and elsewhere:
            what = (
                f"Network/{one.network} is in Partition/{where}, but spec.partitions also allows machines in "
                f"{elsewhere[0]}"
            )
            hint = f"leave only {where} in spec.partitions, or name a network without a partition"
            path = ("spec", "networks", index, "network")
            yield Finding("other-partition", claim, path, what, f"the network is at {network.source}", hint)


def _machines(claim: Resource[MachineClaimSpec], state: DesiredState) -> Iterator[Finding]:
    for index, name in enumerate(claim.spec.machines):
        machine = state.resources.get(ResourceKey("Machine", name))
        if machine is not None and machine.spec.partition not in claim.spec.partitions:
            what = f"Machine/{name} is in Partition/{machine.spec.partition}, which is not in spec.partitions"
            hint = "add the partition to spec.partitions, or remove the machine from the list"
            path = ("spec", "machines", index)
            yield Finding("other-partition", claim, path, what, f"the machine is at {machine.source}", hint)


def _console_keys(claim: Resource[MachineClaimSpec], state: DesiredState) -> Iterator[Finding]:
    """Keys that the consoles of the claim's machines could not let in as they are meant."""
    partitions = (state.resources.get(ResourceKey("Partition", name)) for name in claim.spec.partitions)
    if claim.spec.console is ClaimConsole.NONE or not any(one and one.spec.console for one in partitions):
        return
    for found in check_console_keys("spec.sshKeys", claim.spec.ssh_keys):
        index = int(found.path.rpartition(".")[2])
        hint = f"{found.hint}; or set spec.console: None"
        yield Finding(found.code, claim, ("spec", "sshKeys", index), found.summary, hint=hint)

"""Rules between networks, the pools that their numbers come from, and the machines that addresses are for. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import Any

from reconciler.desired.rules.findings import Finding, FindingPath
from reconciler.kinds.ipam.ipaddress import AddressType, IPAddressSpec, machine_gone, project_of_address
from reconciler.kinds.ipam.network import (
    NetworkSpec,
    NetworkType,
    chosen_lengths,
    families,
    family_and_length,
    family_of,
    is_prefix_within,
    parent_of,
)
from reconciler.kinds.ipam.pool import parse_number_range
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.diagnostic import Severity
from reconciler.model.resource import DesiredState, Resource, ResourceKey


def check_networks(state: DesiredState, claimed: Collection[ResourceKey] = ()) -> Iterator[Finding]:
    """Everything that is wrong between networks, pools, numbers and what addresses are for. `state`: the documents
    without errors of their own; `claimed`: the keys of documents with errors."""
    networks = state.of_kind("Network")
    for network in networks:
        yield from _child(network, state)
        yield from _vrf(network, state, claimed)
    yield from _one_a_partition(networks)
    yield from _numbers(state)
    for address in state.of_kind("IPAddress"):
        yield from _address(address, state, claimed)


def _child(network: Resource[NetworkSpec], state: DesiredState) -> Iterator[Finding]:
    spec, parent = network.spec, parent_of(network.spec, state)
    if spec.parent is None or parent is None:
        yield from _destinations(network, families(spec, None))
        return
    above = state.resources[ResourceKey("Network", spec.parent)]
    where = f"{above.key} is at {above.source}"
    if parent.type is not NetworkType.SUPER:
        what = f"Network/{spec.parent} has the type {parent.type}, but a parent needs the type Super"
        yield Finding("network-parent", network, ("spec", "parent"), what, where, "name a network of type Super")
        return
    if spec.project is None:
        what = "a child network needs a project"
        yield Finding("network-parent", network, ("spec", "parent"), what, hint="add spec.project")
    for field, mine, theirs in (
        ("partition", spec.partition, parent.partition),
        ("namespace", spec.namespace, parent.namespace),
    ):
        if (mine is not None or field == "partition") and theirs is not None and mine != theirs:
            what = f"{field} is {mine or 'not given'}, but the {field} of the parent network is {theirs}"
            yield Finding("network-parent", network, ("spec", field), what, where, f"set {field}: {theirs}")
    if parent.project is not None and spec.project not in (None, parent.project):
        what = f"the parent Network/{spec.parent} is only for project {parent.project}"
        yield Finding("network-parent", network, ("spec", "project"), what, where, "name another parent")
    for index, prefix in enumerate(spec.prefixes):
        if not any(is_prefix_within(prefix.cidr, outer.cidr) for outer in parent.prefixes):
            listed = ", ".join(outer.cidr for outer in parent.prefixes[:4])
            what = f"{prefix.cidr} is not in Network/{spec.parent}"
            path = ("spec", "prefixes", index, "cidr")
            yield Finding("outside-parent", network, path, what, where, f"write a prefix that is part of {listed}")
    for family, length in chosen_lengths(spec, parent).items():
        above_it = [p.cidr for p in parent.prefixes if family_of(p.cidr) == family]
        if not any(family_and_length(cidr)[1] < length for cidr in above_it):
            what = f"Network/{spec.parent} has no IPv{family} prefix that is large enough for a /{length}"
            hint = f"{above.key} has {', '.join(above_it) or f'no IPv{family} prefix at all'}"
            yield Finding("outside-parent", network, ("spec", "prefixLength", f"IPv{family}"), what, where, hint)
    yield from _destinations(network, families(spec, parent))


def _destinations(network: Resource[NetworkSpec], own: set[int]) -> Iterator[Finding]:
    """The families of destination prefixes are among those of the prefixes (metal-api, network-service.go)."""
    for index, cidr in enumerate(network.spec.destination_prefixes):
        if family_of(cidr) not in own:
            what = f"{cidr} is IPv{family_of(cidr)}, but the network has no IPv{family_of(cidr)} prefix"
            yield Finding(
                "network-type", network, ("spec", "destinationPrefixes", index), what, hint="remove the prefix"
            )


def _one_a_partition(networks: list[Resource[NetworkSpec]]) -> Iterator[Finding]:
    first: dict[tuple[object, ...], Resource[NetworkSpec]] = {}
    for network in networks:
        spec = network.spec
        if spec.type not in (NetworkType.SUPER, NetworkType.UNDERLAY) or spec.partition is None:
            continue
        # A project's own Super, and one of another namespace, stand beside the common one.
        place = (spec.type, spec.partition, spec.namespace, spec.project)
        other = first.setdefault(place, network)
        if other is not network:
            what = f"Partition/{spec.partition} already has the network {other.key.name} of type {spec.type}"
            hint = "add the prefixes to that network, and remove this document"
            yield Finding("second-network", network, ("spec", "type"), what, f"{other.key} is at {other.source}", hint)


def _vrf(network: Resource[NetworkSpec], state: DesiredState, claimed: Collection[ResourceKey]) -> Iterator[Finding]:
    vrf = network.spec.vrf
    if vrf is None:
        return
    if vrf.pool is not None:
        yield from _named(ResourceKey("Pool", vrf.pool), network, ("spec", "vrf", "pool"), state, claimed)
        return
    path = ("spec", "vrf", "network")
    name = vrf.network or ""
    other = state.resources.get(ResourceKey("Network", name))
    if other is None:
        yield from _named(ResourceKey("Network", name), network, path, state, claimed)
    elif other.spec.vrf is None or other.spec.vrf.pool is None:
        what = f"Network/{name} has no VRF number of its own"
        hint = "name a network that has its own VRF number, or set spec.vrf.pool instead"
        yield Finding("network-vrf", network, path, what, f"{other.key} is at {other.source}", hint)


def _named(
    wanted: ResourceKey,
    resource: Resource[Any],
    path: FindingPath,
    state: DesiredState,
    claimed: Collection[ResourceKey],
) -> Iterator[Finding]:
    if wanted not in state.resources and wanted not in claimed:
        names = [key.name for key in state.resources if key.kind == wanted.kind]
        near = difflib.get_close_matches(wanted.name, names, 1, 0.6)
        hint = f"did you mean {near[0]}?" if near else f"declare the {wanted.kind}, or correct the name"
        yield Finding("dangling-reference", resource, path, f"{wanted.kind} {wanted.name!r} is not declared", "", hint)


def _numbers(state: DesiredState) -> Iterator[Finding]:
    """A number that is named is in its pool, and is named once."""
    owners: dict[tuple[str, int], Resource[Any]] = {}
    for resource in [*state.of_kind("Network"), *state.of_kind("Number")]:
        inline = isinstance(resource.spec, NetworkSpec)
        source = resource.spec.vrf if inline else resource.spec
        if source is None or source.pool is None or source.number is None:
            continue
        path = ("spec", "vrf", "number") if inline else ("spec", "number")
        pool = state.resources.get(ResourceKey("Pool", source.pool))
        spans = [] if pool is None else [parse_number_range(text) for text in pool.spec.ranges]
        if pool is not None and not any(one.first <= source.number <= one.last for one in spans):
            what = f"{source.number} is not in Pool/{source.pool}"
            hint = f"request a number in {', '.join(pool.spec.ranges[:4])}"
            yield Finding("outside-pool", resource, path, what, f"the pool is at {pool.source}", hint)
        other = owners.setdefault((source.pool, source.number), resource)
        if other is not resource:
            what = f"{source.number} of Pool/{source.pool} is already requested by {other.key}"
            hint = "request another number; to share the VRF of another network, write vrf: {network: NAME}"
            yield Finding("duplicate-number", resource, path, what, f"{other.key} is at {other.source}", hint)


def _address(
    address: Resource[IPAddressSpec], state: DesiredState, claimed: Collection[ResourceKey]
) -> Iterator[Finding]:
    spec = address.spec
    found = state.resources.get(ResourceKey("Network", spec.network))
    if found is None:
        return
    network: NetworkSpec = found.spec
    where = f"the network is at {found.source}"
    if network.type is NetworkType.SUPER:
        what = f"Network/{spec.network} has the type Super, so it gives prefixes to child networks, but no addresses"
        yield Finding(
            "network-type", address, ("spec", "network"), what, where, f"name a child network of Network/{spec.network}"
        )
    if network.type is NetworkType.UNDERLAY and spec.project is not None:
        what = "addresses of a network of type Underlay belong to no project"
        yield Finding("other-project", address, ("spec", "project"), what, where, "remove spec.project")
    if network.type is NetworkType.PRIVATE and network.project and spec.project not in (None, network.project):
        what = f"Network/{spec.network} is private to project {network.project}"
        hint = "choose a network of the same project, or a shared or external network"
        yield Finding("other-project", address, ("spec", "project"), what, where, hint)
    if spec.machine is None:
        return
    if not machine_gone(spec, state):
        yield from _machine(address, spec.machine, network, state)
    elif ResourceKey("Machine", spec.machine) not in claimed:
        yield _machine_gone(address, spec.machine, state)


def _machine_gone(address: Resource[IPAddressSpec], name: str, state: DesiredState) -> Finding:
    near = difflib.get_close_matches(name, [key.name for key in state.resources if key.kind == "Machine"], 1, 0.8)
    what, path = f"Machine {name!r} is not declared", ("spec", "machine")
    if address.spec.type is AddressType.STATIC:
        why, hint = "the address is static, so it stays allocated", "remove spec.machine"
    else:
        why, hint = (
            ("the address is ephemeral, so without the machine groundstate releases it, or does not acquire it"),
            "remove the document",
        )
    return Finding(
        "machine-gone", address, path, what, why, f"did you mean {near[0]}?" if near else hint, Severity.WARNING
    )


def _machine(
    address: Resource[IPAddressSpec], name: str, network: NetworkSpec, state: DesiredState
) -> Iterator[Finding]:
    machine: Resource[MachineSpec] = state.resources[ResourceKey("Machine", name)]
    path, where, hint = ("spec", "machine"), f"the machine is at {machine.source}", "correct one of the two documents"
    if network.partition is not None and machine.spec.partition != network.partition:
        what = (
            f"Machine/{name} is in Partition/{machine.spec.partition}, but the network is in "
            f"Partition/{network.partition}"
        )
        yield Finding("other-partition", address, path, what, where, hint)
    owner, user = project_of_address(address.spec, state), getattr(machine.spec, "project", None)
    if owner is not None and user is not None and owner != user:
        what = f"Machine/{name} belongs to project {user}, but the address belongs to project {owner}"
        yield Finding("other-project", address, path, what, where, hint)

"""What documents imply without saying it: each machine of a claim has an address in each of the claim's networks. Pure.

These are IPAddresses like any other, so that quotas, the plan, leaks and release hold for them too. They belong to a
slot of the claim and not to the machine in it, and can be acquired before there is one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import msgspec

from reconciler.desired.rules.findings import Finding, FindingPath
from reconciler.kinds.claim.spec import ClaimNetwork, MachineClaimSpec, OfClaim, of_claim
from reconciler.kinds.common.field_types.fields import FAMILIES
from reconciler.kinds.ipam.ipaddress import IPAddressSpec
from reconciler.kinds.ipam.network import families, parent_of
from reconciler.model.resource import DesiredState, Resource, ResourceKey

_WORDS = {number: word for word, number in FAMILIES.items()}


def addresses(state: DesiredState) -> Iterator[Resource[IPAddressSpec]]:
    """The addresses of all claims. A network that is not declared has none."""
    for claim in state.of_kind("MachineClaim"):
        for one in claim.spec.networks:
            network = state.resources.get(ResourceKey("Network", one.network))
            if network is None:
                continue
            there = families(network.spec, parent_of(network.spec, state))
            given = {ipaddress.ip_address(address).version for address in one.addresses}
            for slot in range(claim.spec.count):
                # One of a family that the network has not got is found to be outside of it.
                yield from (_address(claim, one, slot, family) for family in sorted(there | given))


def with_implied(state: DesiredState) -> DesiredState:
    """The state with all that its documents imply."""
    found = {one.key: one for one in addresses(state)}
    return DesiredState(state.revision, {**state.resources, **found}) if found else state


def at_the_claim(finding: Finding, state: DesiredState) -> Finding:
    """The finding; one about an implied address at the place of the claim that it comes from."""
    meant = of_claim(finding.resource.key)
    claim = state.resources.get(ResourceKey("MachineClaim", meant.claim)) if meant else None
    if meant is None or claim is None:
        return finding
    path = _path(claim.spec, meant, finding.path)
    return msgspec.structs.replace(finding, resource=claim, path=path)


def _path(spec: MachineClaimSpec, meant: OfClaim, path: FindingPath) -> FindingPath:
    index = next(index for index, one in enumerate(spec.networks) if one.network == meant.network)
    given = path == ("spec", "address") and spec.networks[index].addresses
    return ("spec", "networks", index, *(("addresses", meant.slot) if given else ("network",)))


def _address(
    claim: Resource[MachineClaimSpec], network: ClaimNetwork, slot: int, family: int
) -> Resource[IPAddressSpec]:
    key = ResourceKey("IPAddress", OfClaim(claim.key.name, slot, network.network, family).name)
    given = network.addresses[slot] if slot < len(network.addresses) else None
    if given is not None and ipaddress.ip_address(given).version != family:
        given = None
    spec = IPAddressSpec(
        network=network.network,
        address=given,
        family=None if given is not None else _WORDS[family],
        project=claim.spec.project,
        renamed_from=tuple(OfClaim(name, slot, network.network, family).name for name in claim.spec.former) or None,
    )
    return Resource(key, spec, {}, {}, claim.source)

"""Rules between networks and addresses. Pure.

Prefixes and addresses are canonical here (see formats), so that equal text is an equal address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from reconciler.desired.rules.findings import Finding, FindingPath
from reconciler.kinds.claim.spec import display_key
from reconciler.kinds.common.field_types.fields import FAMILIES
from reconciler.kinds.ipam.ipaddress import IPAddressSpec
from reconciler.kinds.ipam.network import NetworkSpec, PrefixSpec, families, parent_of, wanted_network
from reconciler.model.resource import DesiredState, Resource
from reconciler.model.values.address_range import address_range

if TYPE_CHECKING:
    from netaddr import IPRange


class _Prefix(msgspec.Struct, frozen=True):
    span: IPRange
    text: str
    network: Resource[NetworkSpec]
    path: FindingPath
    kept: tuple[tuple[IPRange, str], ...]
    """What is reserved and never allocated, with what it is."""


def check_addressing(state: DesiredState) -> list[Finding]:
    """Everything that is wrong with prefixes, what they keep back, and the addresses that are asked for."""
    networks, addresses = state.of_kind("Network"), state.of_kind("IPAddress")
    prefixes = {network.key.name: _prefixes(network) for network in networks}
    every = [prefix for found in prefixes.values() for prefix in found]
    apart: dict[tuple[str, str | None], list[_Prefix]] = {}
    for prefix in every:
        spec = prefix.network.spec
        apart.setdefault((wanted_network(spec, parent_of(spec, state)).namespace, spec.parent), []).append(prefix)
    overlaps = [finding for found in apart.values() for finding in _overlapping(found)]
    return [*_outside(every), *overlaps, *_asked_for(addresses, prefixes, state), *_duplicates(addresses, state)]


def _prefixes(network: Resource[NetworkSpec]) -> list[_Prefix]:
    spans = [(spec, address_range(spec.cidr)) for spec in network.spec.prefixes]
    return [
        _Prefix(span, spec.cidr, network, ("spec", "prefixes", index), tuple(_kept(spec, span)))
        for index, (spec, span) in enumerate(spans)
    ]


def _kept(spec: PrefixSpec, span: IPRange) -> Iterator[tuple[IPRange, str]]:
    """In a /31 and a /32 (RFC 3021), and a /127 and a /128 (RFC 6164), every address can be used."""
    if span.size > 2:
        first = "the network's own address" if span.version == 4 else "the subnet-router anycast address"
        yield address_range(str(span[0])), first
        if span.version == 4:
            yield address_range(str(span[-1])), "the broadcast address"
    if spec.gateway:
        yield address_range(spec.gateway), "the gateway"
    for text in spec.reserved:
        yield address_range(text), f"reserved ({text})"


def _outside(prefixes: list[_Prefix]) -> Iterator[Finding]:
    for prefix in prefixes:
        spec = prefix.network.spec.prefixes[int(prefix.path[-1])]
        if spec.gateway and address_range(spec.gateway) not in prefix.span:
            what = f"the gateway {spec.gateway} is not in {prefix.text}"
            yield Finding(
                "outside-prefix",
                prefix.network,
                (*prefix.path, "gateway"),
                what,
                hint=("correct the gateway or the prefix"),
            )
        for index, text in enumerate(spec.reserved):
            if address_range(text) not in prefix.span:
                what, path = f"{text} is not in {prefix.text}", (*prefix.path, "reserved", index)
                yield Finding(
                    "outside-prefix",
                    prefix.network,
                    path,
                    what,
                    hint="correct the value, or move it to the prefix that contains it",
                )


def _overlapping(prefixes: list[_Prefix]) -> Iterator[Finding]:
    """Among those of one namespace that have the same parent, or none. Prefixes nest or are apart, so in order of
    address only the one that reaches furthest can be overlapped."""
    widest: _Prefix | None = None
    for prefix in sorted(prefixes, key=lambda p: (p.span.version, p.span.first, -p.span.last)):
        span = prefix.span
        if widest and widest.span.version == span.version and span.first <= widest.span.last:
            where = "the same network" if widest.network is prefix.network else str(widest.network.key)
            what = f"{prefix.text} overlaps {widest.text} of {where}"
            why = f"{widest.network.key} is at {widest.network.source}"
            yield Finding(
                "overlapping-prefixes",
                prefix.network,
                (*prefix.path, "cidr"),
                what,
                why,
                ("change one of the two, so that they have no address in common"),
            )
        else:
            widest = prefix


def _asked_for(
    addresses: list[Resource[IPAddressSpec]], prefixes: dict[str, list[_Prefix]], state: DesiredState
) -> Iterator[Finding]:
    networks = {network.key.name: network for network in state.of_kind("Network")}
    for resource in addresses:
        spec = resource.spec
        network = networks.get(spec.network)
        if network is None or not (spec.family or spec.address):
            continue
        parent = parent_of(network.spec, state)
        there, chosen = prefixes[spec.network], families(network.spec, parent)
        listed = ", ".join(prefix.text for prefix in there[:4])
        if spec.family and FAMILIES[spec.family] not in chosen:
            what = f"Network/{spec.network} has no {spec.family} prefix"
            why = f"the network has {listed}" if listed else ""
            yield Finding("no-such-family", resource, ("spec", "family"), what, why, "remove spec.family")
        if spec.address:
            span, path = address_range(spec.address), ("spec", "address")
            holder = next((prefix for prefix in there if span in prefix.span), None)
            if holder is None and not _may_be_chosen(span, there, chosen, prefixes.get(network.spec.parent or "", [])):
                above = prefixes.get(network.spec.parent or "", [])
                what = f"{spec.address} is not in Network/{spec.network}"
                hint = f"request an address in {listed or ', '.join(prefix.text for prefix in above[:4])}"
                yield Finding("outside-network", resource, path, what, f"the network is at {network.source}", hint)
            elif holder and (why := next((why for kept, why in holder.kept if span in kept), "")):
                what = f"{spec.address} is reserved and never allocated"
                yield Finding(
                    "reserved-address",
                    resource,
                    path,
                    what,
                    (f"the address is {why} of {holder.text}"),
                    "request another address",
                )


def _may_be_chosen(span: IPRange, there: list[_Prefix], chosen: set[int], above: Iterable[_Prefix]) -> bool:
    """Whether it may be in a prefix that the IPAM has yet to choose for a child."""
    if span.version not in chosen - {prefix.span.version for prefix in there}:
        return False
    return any(span in prefix.span for prefix in above)


def _duplicates(addresses: list[Resource[IPAddressSpec]], state: DesiredState) -> Iterator[Finding]:
    """Within a namespace: in two of them one address is two."""
    owners: dict[tuple[str, str], Resource[IPAddressSpec]] = {}
    spaces = {n.key.name: wanted_network(n.spec, parent_of(n.spec, state)).namespace for n in state.of_kind("Network")}
    for resource in addresses:
        if address := resource.spec.address:
            other = owners.setdefault((spaces.get(resource.spec.network, ""), address), resource)
            if other is not resource:
                what = f"{address} is already requested by {display_key(other.key)}"
                yield Finding(
                    "duplicate-address",
                    resource,
                    ("spec", "address"),
                    what,
                    f"{display_key(other.key)} is at {other.source}",
                    ("request another address"),
                )

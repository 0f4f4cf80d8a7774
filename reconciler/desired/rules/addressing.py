"""Rules between networks and addresses. Pure.

Prefixes and addresses are canonical by now (see formats), so that equal text is an equal address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

import msgspec

from reconciler.desired.rules.findings import Finding, FindingPath
from reconciler.kinds.claim.spec import display_key
from reconciler.kinds.common.fields import FAMILIES
from reconciler.kinds.ipam.ipaddress import IPAddressSpec
from reconciler.kinds.ipam.network import NetworkSpec, PrefixSpec, families, parent_of, wanted
from reconciler.model.resource import DesiredState, Resource


class _Span(msgspec.Struct, frozen=True, order=True):
    """All addresses from first to last, of one family (4 or 6)."""

    family: int
    first: int
    last: int

    def holds(self, other: _Span) -> bool:
        return self.family == other.family and self.first <= other.first and other.last <= self.last


class _Prefix(msgspec.Struct, frozen=True):
    span: _Span
    text: str
    network: Resource[NetworkSpec]
    path: FindingPath
    kept: tuple[tuple[_Span, str], ...]
    """What is reserved and never allocated, with what it is."""


def check_addressing(state: DesiredState) -> list[Finding]:
    """Everything that is wrong with prefixes, what they keep back, and the addresses that are asked for."""
    networks, addresses = state.of_kind("Network"), state.of_kind("IPAddress")
    prefixes = {network.key.name: _prefixes(network) for network in networks}
    every = [prefix for found in prefixes.values() for prefix in found]
    apart: dict[tuple[str, str | None], list[_Prefix]] = {}
    for prefix in every:
        spec = prefix.network.spec
        apart.setdefault((wanted(spec, parent_of(spec, state)).namespace, spec.parent), []).append(prefix)
    overlaps = [finding for found in apart.values() for finding in _overlapping(found)]
    return [*_outside(every), *overlaps, *_asked_for(addresses, prefixes, state), *_duplicates(addresses, state)]


def _prefixes(network: Resource[NetworkSpec]) -> list[_Prefix]:
    return [
        _Prefix(span := _span(spec.cidr), spec.cidr, network, ("spec", "prefixes", index), tuple(_kept(spec, span)))
        for index, spec in enumerate(network.spec.prefixes)
    ]


def _span(text: str) -> _Span:
    """An address, prefix or range as its first and last address."""
    if "/" in text:
        network = ipaddress.ip_network(text)
        return _Span(network.version, int(network.network_address), int(network.broadcast_address))
    first, _, last = text.partition("-")
    address = ipaddress.ip_address(first)
    return _Span(address.version, int(address), int(ipaddress.ip_address(last)) if last else int(address))


def _kept(spec: PrefixSpec, span: _Span) -> Iterator[tuple[_Span, str]]:
    """In a /31 and a /32 (RFC 3021), and a /127 and a /128 (RFC 6164), every address can be used."""
    if span.last - span.first > 1:
        first = "the network's own address" if span.family == 4 else "the subnet-router anycast address"
        yield _Span(span.family, span.first, span.first), first
        if span.family == 4:
            yield _Span(span.family, span.last, span.last), "the broadcast address"
    if spec.gateway:
        yield _span(spec.gateway), "the gateway"
    for text in spec.reserved:
        yield _span(text), f"reserved ({text})"


def _outside(prefixes: list[_Prefix]) -> Iterator[Finding]:
    for prefix in prefixes:
        spec = prefix.network.spec.prefixes[int(prefix.path[-1])]
        if spec.gateway and not prefix.span.holds(_span(spec.gateway)):
            what = f"the gateway {spec.gateway} is not in {prefix.text}"
            yield Finding("outside-prefix", prefix.network, (*prefix.path, "gateway"), what, hint="correct one of them")
        for index, text in enumerate(spec.reserved):
            if not prefix.span.holds(_span(text)):
                what, path = f"{text} is not in {prefix.text}", (*prefix.path, "reserved", index)
                yield Finding("outside-prefix", prefix.network, path, what, hint="correct it, or move it to its prefix")


def _overlapping(prefixes: list[_Prefix]) -> Iterator[Finding]:
    """Among those of one namespace that have the same parent, or none. Prefixes nest or are apart, so in order of
    address only the one that reaches furthest can be overlapped."""
    widest: _Prefix | None = None
    for prefix in sorted(prefixes, key=lambda p: (p.span.family, p.span.first, -p.span.last)):
        span = prefix.span
        if widest and widest.span.family == span.family and span.first <= widest.span.last:
            where = "it" if widest.network is prefix.network else str(widest.network.key)
            what = f"{prefix.text} overlaps {widest.text} of {where}"
            why = f"which is at {widest.network.source}"
            yield Finding(
                "overlapping-prefixes", prefix.network, (*prefix.path, "cidr"), what, why, "make them disjoint"
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
            why = f"it has {listed}" if listed else ""
            yield Finding("no-such-family", resource, ("spec", "family"), what, why, "remove family")
        if spec.address:
            span, path = _span(spec.address), ("spec", "address")
            holder = next((prefix for prefix in there if prefix.span.holds(span)), None)
            if holder is None and not _may_be_chosen(span, there, chosen, prefixes.get(network.spec.parent or "", [])):
                above = prefixes.get(network.spec.parent or "", [])
                what = f"{spec.address} is not in Network/{spec.network}"
                hint = f"take one of {listed or ', '.join(prefix.text for prefix in above[:4])}"
                yield Finding("outside-network", resource, path, what, f"the network is at {network.source}", hint)
            elif holder and (why := next((why for kept, why in holder.kept if kept.holds(span)), "")):
                what = f"{spec.address} is reserved and never allocated"
                yield Finding("reserved-address", resource, path, what, f"it is {why} of {holder.text}", "take another")


def _may_be_chosen(span: _Span, there: list[_Prefix], chosen: set[int], above: Iterable[_Prefix]) -> bool:
    """Whether it may lie in a prefix that the IPAM has yet to choose for a child."""
    if span.family not in chosen - {prefix.span.family for prefix in there}:
        return False
    return any(prefix.span.holds(span) for prefix in above)


def _duplicates(addresses: list[Resource[IPAddressSpec]], state: DesiredState) -> Iterator[Finding]:
    """Within a namespace: in two of them one address is two."""
    owners: dict[tuple[str, str], Resource[IPAddressSpec]] = {}
    spaces = {n.key.name: wanted(n.spec, parent_of(n.spec, state)).namespace for n in state.of_kind("Network")}
    for resource in addresses:
        if address := resource.spec.address:
            other = owners.setdefault((spaces.get(resource.spec.network, ""), address), resource)
            if other is not resource:
                what = f"{address} is already requested by {display_key(other.key)}"
                yield Finding(
                    "duplicate-address", resource, ("spec", "address"), what, f"at {other.source}", "take another"
                )

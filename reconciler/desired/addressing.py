"""Rules between networks and addresses. Pure.

Prefixes and addresses are canonical by now (see formats), so that equal text is an equal address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import msgspec

from reconciler.kinds.ipaddress import Family, IPAddressSpec
from reconciler.kinds.network import NetworkSpec, PrefixSpec
from reconciler.model.resource import Resource

Path = tuple[str | int, ...]


class Finding(msgspec.Struct, frozen=True):
    """What is wrong with the value at `path` of a resource, seen beside the other resources."""

    code: str
    resource: Resource[Any]
    path: Path
    summary: str
    detail: str = ""
    hint: str = ""


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
    path: Path
    kept: tuple[tuple[_Span, str], ...]
    """What is never handed out, with what it is."""


def check(networks: list[Resource[NetworkSpec]], addresses: list[Resource[IPAddressSpec]]) -> list[Finding]:
    """Everything that is wrong with prefixes, what they keep back, and the addresses that are asked for."""
    prefixes = {network.key.name: _prefixes(network) for network in networks}
    every = [prefix for found in prefixes.values() for prefix in found]
    return [*_outside(every), *_overlapping(every), *_asked_for(addresses, prefixes), *_duplicates(addresses)]


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
    """Prefixes nest or are apart, so in order of address only the one that reaches furthest can be overlapped."""
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


def _asked_for(addresses: list[Resource[IPAddressSpec]], prefixes: dict[str, list[_Prefix]]) -> Iterator[Finding]:
    for resource in addresses:
        spec = resource.spec
        there = prefixes.get(spec.network)
        if there is None:
            continue
        listed = ", ".join(prefix.text for prefix in there[:4])
        if spec.family and not any(prefix.span.family == _FAMILIES[spec.family] for prefix in there):
            what = f"Network/{spec.network} has no {spec.family} prefix"
            yield Finding("no-such-family", resource, ("spec", "family"), what, f"it has {listed}", "remove family")
        if spec.address:
            span, path = _span(spec.address), ("spec", "address")
            holder = next((prefix for prefix in there if prefix.span.holds(span)), None)
            if holder is None:
                what, hint = f"{spec.address} is not in Network/{spec.network}", f"take one of {listed}"
                yield Finding(
                    "outside-network", resource, path, what, f"the network is at {there[0].network.source}", hint
                )
            elif why := next((why for kept, why in holder.kept if kept.holds(span)), None):
                what = f"{spec.address} is never handed out"
                yield Finding("reserved-address", resource, path, what, f"it is {why} of {holder.text}", "take another")


def _duplicates(addresses: list[Resource[IPAddressSpec]]) -> Iterator[Finding]:
    owners: dict[str, Resource[IPAddressSpec]] = {}
    for resource in addresses:
        if address := resource.spec.address:
            other = owners.setdefault(address, resource)
            if other is not resource:
                what = f"{address} is already asked for by {other.key}"
                yield Finding(
                    "duplicate-address", resource, ("spec", "address"), what, f"at {other.source}", "take another"
                )


_FAMILIES = {Family.IPV4: 4, Family.IPV6: 6}

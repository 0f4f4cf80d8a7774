"""Intervals of addresses, both ends within, and the aligned blocks that make them up. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address, ip_network

from drivers.base import Prefix

Span = tuple[int, int]
"""First and last address of one family, as numbers."""

_BITS = {4: 32, 6: 128}


@lru_cache(2**16)
def parse_span(text: str) -> Span:
    """An address, a prefix, or a range `first-last`."""
    if "/" in text:
        network = ip_network(text)
        return int(network.network_address), int(network.broadcast_address)
    first, _, last = text.partition("-")
    return int(ip_address(first)), int(ip_address(last or first))


def overlap(one: str, other: str) -> bool:
    """Whether two prefixes, addresses or ranges have addresses in common."""
    if (":" in one) != (":" in other):
        return False
    (low, high), (lowest, highest) = parse_span(one), parse_span(other)
    return low <= highest and lowest <= high


def without(spans: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """What is left of `spans`, which are apart, when `taken` is gone; ascending."""
    left: list[Span] = []
    gone = sorted(taken)
    at = 0
    for low, high in sorted(spans):
        while at < len(gone) and gone[at][1] < low:
            at += 1
        index, start = at, low
        while index < len(gone) and gone[index][0] <= high:
            if gone[index][0] > start:
                left.append((start, gone[index][0] - 1))
            start = max(start, gone[index][1] + 1)
            index += 1
        if start <= high:
            left.append((start, high))
    return left


def usable_spans(prefix: Prefix) -> list[Span]:
    """What of a prefix can be handed out: see drivers.base.Prefix."""
    low, high = parse_span(prefix.cidr)
    kept = [parse_span(part) for part in prefix.reserved]
    if high - low > 1:
        kept.append((low, low))
        if ":" not in prefix.cidr:
            kept.append((high, high))
    return without([(low, high)], kept)


def joined_spans(spans: Iterable[Span]) -> list[Span]:
    """The same, with neighbours made one."""
    found: list[Span] = []
    for low, high in sorted(spans):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def blocks(spans: Iterable[Span], family: int) -> dict[int, int]:
    """How many of the largest aligned blocks of each prefix length make these up."""
    found: dict[int, int] = {}
    for low, high in spans:
        at = low
        while at <= high:
            aligned = (at & -at).bit_length() - 1 if at else _BITS[family]
            bits = min(aligned, (high - at + 1).bit_length() - 1)
            found[_BITS[family] - bits] = found.get(_BITS[family] - bits, 0) + 1
            at += 1 << bits
    return found

"""Addresses and prefixes as numbers: strict reading of what people write, and the arithmetic of intervals.

Both families are one line of 128-bit numbers. An IPv4 address stands at its IPv4-mapped place (RFC 4291 2.5.5.2), which
no IPv6 prefix here may touch. As 16 big-endian bytes the order of the numbers is the order of the bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import inet_ntoa

import msgspec

from drivers.base import Prefix, Rejected

Interval = tuple[int, int]
"""From and to, both within."""

_MAPPED = int(IPv6Address("::ffff:0:0"))
_MAPPED_END = _MAPPED + 2**32 - 1
BITS = {4: 32, 6: 128}
"""The families, and how long their addresses are."""

_LENGTH = re.compile(r"/(0|[1-9][0-9]{0,2})\Z", re.ASCII)


class Block(msgspec.Struct, frozen=True):
    """A prefix, read. `usable` is what may be handed out: ascending, and no two intervals touch.

    A pool's numbers have this shape too; their family is 0.
    """

    prefix: Prefix
    cidr: str
    family: int
    lo: int
    hi: int
    usable: tuple[Interval, ...]


def parse_address(text: object) -> int:
    """An address. Raises Rejected for anything but its plain form."""
    return _number(_address(text))


def text_of(number: int) -> str:
    """The address, in its canonical form (RFC 5952)."""
    if _MAPPED <= number <= _MAPPED_END:
        return inet_ntoa((number - _MAPPED).to_bytes(4))
    return str(IPv6Address(number))


def family_of_number(number: int) -> int:
    """4 or 6."""
    return 4 if _MAPPED <= number <= _MAPPED_END else 6


def parse_prefix(prefix: Prefix, *, container: bool = False) -> Block:
    """A prefix and what in it is kept back; of a container only what is named, as its ends are its children's.

    Raises Rejected, saying which text is at fault and why.
    """
    network = _network(prefix.cidr)
    lo, hi = _number(network.network_address), _number(network.broadcast_address)
    kept = [_reserved(part, prefix.cidr, (lo, hi)) for part in prefix.reserved]
    if not container and network.prefixlen < network.max_prefixlen - 1:
        kept.append((lo, lo))
        if network.version == 4:
            kept.append((hi, hi))
    usable = tuple(subtract([(lo, hi)], joined(kept)))
    return Block(prefix, str(network), network.version, lo, hi, usable)


def prefix_length(lo: int, hi: int) -> int:
    """The length of the prefix that goes from lo to hi."""
    return BITS[family_of_number(lo)] - (hi - lo).bit_length()


def cidr_of(lo: int, hi: int) -> str:
    """The prefix that goes from lo to hi, in its canonical form."""
    return f"{text_of(lo)}/{prefix_length(lo, hi)}"


def aligned(intervals: Iterable[Interval]) -> list[Interval]:
    """The same numbers as the fewest prefixes, in order."""
    result: list[Interval] = []
    for start, end in intervals:
        lo = start
        while lo <= end:
            most = (end - lo + 1).bit_length() - 1
            low_bit = (lo & -lo).bit_length() - 1 if lo else most
            hi = lo + (1 << min(most, low_bit)) - 1
            result.append((lo, hi))
            lo = hi + 1
    return result


def joined(intervals: Iterable[Interval]) -> list[Interval]:
    """The same numbers in ascending intervals of which no two touch."""
    result: list[Interval] = []
    for lo, hi in sorted(intervals):
        if result and lo <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(hi, result[-1][1]))
        else:
            result.append((lo, hi))
    return result


def subtract(whole: Iterable[Interval], parts: Iterable[Interval]) -> list[Interval]:
    """What of `whole` is in none of `parts`; each ascending and without overlap. Linear."""
    result: list[Interval] = []
    cuts = iter(parts)
    cut = next(cuts, None)
    for start, end in whole:
        lo = start
        while cut is not None and cut[1] < lo:
            cut = next(cuts, None)
        while cut is not None and cut[0] <= end:
            if lo < cut[0]:
                result.append((lo, cut[0] - 1))
            lo = cut[1] + 1
            if cut[1] >= end:
                break
            cut = next(cuts, None)
        if lo <= end:
            result.append((lo, end))
    return result


def size(intervals: Iterable[Interval]) -> int:
    """How many numbers are in them."""
    return sum(hi - lo + 1 for lo, hi in intervals)


def _number(address: IPv4Address | IPv6Address) -> int:
    return int(address) + (_MAPPED if address.version == 4 else 0)


def _address(text: object) -> IPv4Address | IPv6Address:
    # The ipaddress module would make an address of a number: 1 is 0.0.0.1 to it.
    if not isinstance(text, str):
        raise Rejected(f"{text!r} is not an address: the value is not text; write the address in quotes")
    if "%" in text:
        raise Rejected(f"{text!r} is not an address: zone ids are not allowed")
    try:
        address = ip_address(text)
    except ValueError as error:
        raise Rejected(f"{text!r} is not an IPv4 or IPv6 address") from error
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise Rejected(f"{text!r} is an IPv4-mapped address; write {address.ipv4_mapped}")
    return address


def _network(text: object) -> IPv4Network | IPv6Network:
    # And 10.0.0.0/0.0.0.255, a wildcard mask, is a /24 to it.
    if not isinstance(text, str) or "%" in text or not _LENGTH.search(text):
        raise Rejected(f"{text!r} is not a prefix; write ADDRESS/LENGTH, such as 10.0.0.0/24 or 2001:db8::/64")
    try:
        network = ip_network(text, strict=False)
    except ValueError as error:
        raise Rejected(f"{text!r} is not a prefix: {error}") from error
    if str(network.network_address) != str(ip_address(text.partition("/")[0])):
        raise Rejected(f"{text!r} has host bits set; the prefix is {network}")
    if network.version == 6 and int(network[0]) <= _MAPPED_END and int(network[-1]) >= _MAPPED:
        raise Rejected(f"{text!r} holds IPv4-mapped addresses (::ffff:0:0/96); write IPv4 prefixes as IPv4")
    return network


def _reserved(text: str, cidr: str, within: Interval) -> Interval:
    lo, hi = _range(text)
    if lo > hi:
        raise Rejected(f"the reserved range {text!r} of {cidr} ends before it begins; exchange the two addresses")
    if lo < within[0] or within[1] < hi:
        raise Rejected(f"the reserved part {text!r} is not within {cidr}")
    return lo, hi


def _range(text: object) -> Interval:
    if not isinstance(text, str):
        raise Rejected(f"{text!r} is not reserved space: the value is not text; write the value in quotes")
    if "/" in text:
        network = _network(text)
        return _number(network[0]), _number(network[-1])
    first, dash, last = text.partition("-")
    return parse_address(first.strip()), parse_address((last if dash else first).strip())

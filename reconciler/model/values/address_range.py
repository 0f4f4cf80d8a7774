"""Ranges of addresses at the edges: settings, documents, command lines, leases. Pure.

netaddr reads them and puts them together. What it takes beyond the forms here is refused. Masks, which it turns over
(`10.0.0.0/0.0.0.255` is a /24 to it), signs and blanks in a length, and host bits, which it keeps. It is imported when
it is needed first. Inner loops over addresses, in the IPAM, are over numbers (decision 0057)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netaddr import IPAddress, IPRange, IPSet

_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")


@lru_cache(2**14)
def address_range(text: str) -> IPRange:
    """An address, a prefix or `first-last`, by its first and its last address. Raises ValueError with the reason."""
    base, slash, length = text.partition("/")
    if slash:
        return _prefix(text, base, length)
    first, dash, last = text.partition("-")
    low, high = _address(first), _address(last if dash else first)
    if low.version != high.version:
        raise ValueError("one address is IPv4 and the other is IPv6")
    if low > high:
        raise ValueError("the last address comes before the first")
    from netaddr import IPRange

    return IPRange(low, high)


def is_within(address: IPv4Address | IPv6Address, ranges: Iterable[str]) -> bool:
    """Whether the address is in one of the ranges. Raises ValueError for a range that is none."""
    return _is_within(address, tuple(ranges))


# A BMC's is asked for several times on the way to one connection.
@lru_cache(2**14)
def _is_within(address: IPv4Address | IPv6Address, ranges: tuple[str, ...]) -> bool:
    from netaddr import IPAddress

    return IPAddress(int(address), address.version) in _together(ranges)


@lru_cache(256)
def _together(ranges: tuple[str, ...]) -> IPSet:
    from netaddr import IPSet

    found = IPSet()
    for text in ranges:
        found.add(address_range(text))
    return found


def _prefix(text: str, base: str, length: str) -> IPRange:
    from netaddr import IPAddress, IPNetwork, IPRange

    at = _address(base)
    if not _LENGTH.fullmatch(length) or int(length) > (32 if at.version == 4 else 128):
        raise ValueError(f"{length[:64]!r} is not the length of an IPv{at.version} prefix")
    network = IPNetwork(text)
    if network.first != int(at):
        raise ValueError(f"{text} has host bits set; the prefix is {network.cidr}")
    return IPRange(IPAddress(network.first, at.version), IPAddress(network.last, at.version))


def _address(text: str) -> IPAddress:
    from netaddr import INET_PTON, AddrFormatError, IPAddress

    try:
        return IPAddress(text, flags=INET_PTON)
    except (AddrFormatError, ValueError):
        raise ValueError(f"{text[:64]!r} is not an IPv4 or IPv6 address") from None

"""Reading addresses and prefixes strictly, and the arithmetic of intervals."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Prefix, Rejected
from drivers.ipam.addresses import (
    aligned,
    cidr_of,
    family_of_number,
    joined,
    parse_address,
    parse_prefix,
    size,
    subtract,
    text_of,
)


@pytest.mark.parametrize(
    ("text", "canonical", "family"),
    [
        ("10.0.0.1", "10.0.0.1", 4),
        ("0.0.0.0", "0.0.0.0", 4),
        ("255.255.255.255", "255.255.255.255", 4),
        ("2001:DB8:0::1", "2001:db8::1", 6),
        ("::", "::", 6),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 6),
    ],
)
def test_an_address_is_read_and_written_canonically(text: str, canonical: str, family: int) -> None:
    number = parse_address(text)
    assert (text_of(number), family_of_number(number)) == (canonical, family)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (1, "the value is not text; write the address in quotes"),
        ("fe80::1%eth0", "zone ids"),
        ("::ffff:10.0.0.1", r"IPv4-mapped address; write 10\.0\.0\.1"),
        ("10.0.0.01", "not an IPv4 or IPv6 address"),
        ("10.0.0", "not an IPv4 or IPv6 address"),
        ("10.0.0.0/24", "not an IPv4 or IPv6 address"),
        (" 10.0.0.1", "not an IPv4 or IPv6 address"),
        ("١٠.0.0.1", "not an IPv4 or IPv6 address"),
        ("", "not an IPv4 or IPv6 address"),
    ],
)
def test_anything_but_a_plain_address_is_refused(text: Any, why: str) -> None:
    with pytest.raises(Rejected, match=why):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10.0.0.0/0.0.0.255", "write ADDRESS/LENGTH"),
        ("10.0.0.0/255.255.255.0", "write ADDRESS/LENGTH"),
        ("10.0.0.0", "write ADDRESS/LENGTH"),
        ("10.0.0.0/024", "write ADDRESS/LENGTH"),
        ("10.0.0.0/33", "not a prefix"),
        ("10.0.0.1/24", r"host bits set; the prefix is 10\.0\.0\.0/24"),
        ("2001:db8::1/64", r"the prefix is 2001:db8::/64"),
        ("fe80::%eth0/64", "write ADDRESS/LENGTH"),
        ("::ffff:10.0.0.0/120", "write IPv4 prefixes as IPv4"),
        ("::/0", "write IPv4 prefixes as IPv4"),
        (24, "write ADDRESS/LENGTH"),
    ],
)
def test_anything_but_a_plain_prefix_is_refused(text: Any, why: str) -> None:
    with pytest.raises(Rejected, match=why):
        parse_prefix(Prefix(text))


@pytest.mark.parametrize(
    ("reserved", "why"),
    [
        ("10.0.1.1", r"'10\.0\.1\.1' is not within 10\.0\.0\.0/24"),
        ("10.0.0.9-10.0.0.2", "ends before it begins"),
        ("10.0.0.250-10.0.1.5", "not within"),
        ("2001:db8::1", "not within"),
        ("10.0.0.0/23", "not within"),
        ("gateway", "not an IPv4 or IPv6 address"),
        (7, "not text"),
    ],
)
def test_what_is_reserved_stands_within_the_prefix(reserved: Any, why: str) -> None:
    with pytest.raises(Rejected, match=why):
        parse_prefix(Prefix("10.0.0.0/24", (reserved,)))


@pytest.mark.parametrize(
    ("prefix", "usable"),
    [
        (Prefix("10.0.0.0/29"), ["10.0.0.1-10.0.0.6"]),
        (Prefix("10.0.0.0/30"), ["10.0.0.1-10.0.0.2"]),
        (Prefix("10.0.0.0/31"), ["10.0.0.0-10.0.0.1"]),
        (Prefix("10.0.0.7/32"), ["10.0.0.7-10.0.0.7"]),
        (Prefix("2001:db8::/126"), ["2001:db8::1-2001:db8::3"]),
        (Prefix("2001:db8::/127"), ["2001:db8::-2001:db8::1"]),
        (Prefix("2001:db8::1/128"), ["2001:db8::1-2001:db8::1"]),
        (Prefix("10.0.0.0/29", ("10.0.0.1", "10.0.0.4 - 10.0.0.5")), ["10.0.0.2-10.0.0.3", "10.0.0.6-10.0.0.6"]),
        (Prefix("10.0.0.0/29", ("10.0.0.4/30", "10.0.0.6")), ["10.0.0.1-10.0.0.3"]),
        (Prefix("10.0.0.0/29", ("10.0.0.0/29",)), []),
    ],
)
def test_network_broadcast_anycast_and_reserved_are_not_usable(prefix: Prefix, usable: list[str]) -> None:
    block = parse_prefix(prefix)
    assert [f"{text_of(lo)}-{text_of(hi)}" for lo, hi in block.usable] == usable


INTERVALS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 8)).map(lambda pair: (pair[0], sum(pair))), max_size=8
)


def members(intervals: list[tuple[int, int]]) -> set[int]:
    return {number for lo, hi in intervals for number in range(lo, hi + 1)}


@given(INTERVALS)
def test_joined_keeps_the_members_and_leaves_nothing_that_touches(intervals: list[tuple[int, int]]) -> None:
    result = joined(intervals)
    assert members(result) == members(intervals)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(result))
    assert size(result) == len(members(intervals))


@given(INTERVALS, INTERVALS)
def test_subtract_is_the_difference_of_the_members(whole: list[tuple[int, int]], parts: list[tuple[int, int]]) -> None:
    result = subtract(joined(whole), joined(parts))
    assert members(result) == members(whole) - members(parts)
    assert joined(result) == result


@given(INTERVALS)
def test_aligned_is_the_same_members_in_the_fewest_prefixes(intervals: list[tuple[int, int]]) -> None:
    parts = aligned(joined(intervals))
    assert members(parts) == members(intervals)
    assert sum(hi - lo + 1 for lo, hi in parts) == len(members(intervals))
    sizes = {lo: hi - lo + 1 for lo, hi in parts}
    for lo, length in sizes.items():
        assert length.bit_count() == 1
        assert lo % length == 0
        assert sizes.get(lo ^ length) != length, "it and its buddy are one"


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.7/32", "2001:db8::/32", "2001:db8::1/128"])
def test_a_prefix_is_known_by_its_ends(cidr: str) -> None:
    block = parse_prefix(Prefix(cidr))
    assert cidr_of(block.lo, block.hi) == cidr


def test_of_a_container_only_what_is_named_is_reserved() -> None:
    block = parse_prefix(Prefix("10.0.0.0/29", ("10.0.0.1",)), container=True)
    assert [f"{text_of(lo)}-{text_of(hi)}" for lo, hi in block.usable] == ["10.0.0.0-10.0.0.0", "10.0.0.2-10.0.0.7"]


@given(st.ip_addresses())
def test_every_plain_address_survives_the_round_trip(address: Any) -> None:
    if address.version == 6 and address in ip_network("::ffff:0:0/96"):
        return
    assert ip_address(text_of(parse_address(str(address)))) == address


@given(st.ip_addresses(v=6), st.ip_addresses(v=6))
def test_order_of_the_bytes_is_the_order_of_the_addresses(one: Any, other: Any) -> None:
    if one in ip_network("::ffff:0:0/96") or other in ip_network("::ffff:0:0/96"):
        return
    a, b = (parse_address(str(address)).to_bytes(16) for address in (one, other))
    assert (a < b) == (one < other)

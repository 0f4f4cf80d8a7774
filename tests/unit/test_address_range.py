"""Ranges of addresses as people write them: three forms, and nothing that a library would make up."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.values.address_range import address_range, is_within

GOOD = {
    "10.0.0.7": ("10.0.0.7", "10.0.0.7"),
    "10.0.0.10-10.0.0.50": ("10.0.0.10", "10.0.0.50"),
    "10.0.0.0/24": ("10.0.0.0", "10.0.0.255"),
    "10.0.0.0/31": ("10.0.0.0", "10.0.0.1"),
    "0.0.0.0/0": ("0.0.0.0", "255.255.255.255"),
    "2001:DB8::7": ("2001:db8::7", "2001:db8::7"),
    "2001:db8::/127": ("2001:db8::", "2001:db8::1"),
    "::1-::9": ("::1", "::9"),
}
BAD = {
    "": "not an IPv4 or IPv6 address",
    "10": "not an IPv4 or IPv6 address",
    "10.0": "not an IPv4 or IPv6 address",
    "10/8": "not an IPv4 or IPv6 address",
    "010.0.0.1": "not an IPv4 or IPv6 address",
    "0x0a.0.0.1": "not an IPv4 or IPv6 address",
    "10.0.0.1 ": "not an IPv4 or IPv6 address",
    "10.0.0.1-": "not an IPv4 or IPv6 address",
    "10.0.0.1-9": "not an IPv4 or IPv6 address",
    "10.0.0.1-10.0.0.2-10.0.0.3": "not an IPv4 or IPv6 address",
    "fe80::1%eth0": "not an IPv4 or IPv6 address",
    "10.0.0.9-10.0.0.1": "the last address comes before the first",
    "10.0.0.1-::1": "one address is IPv4 and the other is IPv6",
    "10.0.0.1/24": "the prefix is 10.0.0.0/24",
    "10.0.0.0/33": "not the length of an IPv4 prefix",
    "10.0.0.0/": "not the length of an IPv4 prefix",
    "10.0.0.0/+8": "not the length of an IPv4 prefix",
    "10.0.0.0/08": "not the length of an IPv4 prefix",
    "10.0.0.0/255.0.0.0": "not the length of an IPv4 prefix",
    "10.0.0.0/0.0.0.255": "not the length of an IPv4 prefix",
    "::/129": "not the length of an IPv6 prefix",
}


@pytest.mark.parametrize(("text", "ends"), GOOD.items())
def test_a_range_goes_from_its_first_to_its_last_address(text: str, ends: tuple[str, str]) -> None:
    found = address_range(text)
    assert (found.first, found.last) == tuple(int(ip_address(end)) for end in ends)


@pytest.mark.parametrize(("text", "why"), BAD.items())
def test_what_is_no_range_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        address_range(text)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 32))
def test_an_address_is_within_as_the_standard_library_says(at: object, base: object, length: int) -> None:
    where, network = ip_address(str(at)), ip_network(f"{base}/{length}", strict=False)
    assert is_within(where, [str(network)]) is (where in network)
    ends = f"{network.network_address}-{network.broadcast_address}"
    assert is_within(where, [ends]) is (where in network)


def test_ranges_are_taken_together_and_families_apart() -> None:
    ranges = ["10.0.0.0-10.0.0.9", "10.0.0.10-10.0.0.50", "2001:db8::/64"]
    assert is_within(ip_address("10.0.0.9"), ranges)
    assert is_within(ip_address("10.0.0.50"), ranges)
    assert not is_within(ip_address("10.0.0.51"), ranges)
    assert not is_within(ip_address("::a00:9"), ranges)
    assert not is_within(ip_address("10.0.0.9"), [])

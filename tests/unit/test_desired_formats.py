"""Addresses, prefixes, ranges and days have one spelling each; MAC addresses any."""

from __future__ import annotations

import pytest

from reconciler.desired.manifest.formats import FORMATS

GOOD = {
    "ip": ["10.0.0.1", "0.0.0.0", "2001:db8::1", "::", "fe80::1"],
    "cidr": ["10.0.0.0/8", "10.0.0.1/32", "0.0.0.0/0", "2001:db8::/32", "::/0"],
    "ip-range": ["10.0.0.1", "10.0.0.0/28", "10.0.0.1-10.0.0.1", "10.0.0.1-10.0.0.9", "2001:db8::1-2001:db8::f"],
    "date": ["2027-01-31", "2028-02-29"],
    "mac": ["52:54:00:12:34:56", "52-54-00-12-34-56", "5254.0012.3456"],
}
BAD = {
    "ip": {
        "": "not an",
        "1": "not an",
        "10.0.0": "not an",
        "010.0.0.1": "not an",
        "999.1.1.1": "not an",
        "10.0.0.1/32": "not an",
        "10.0.0.1 ": "not an",
        "10.0.0.1\n": "not an",
        "fe80::1%eth0": "zone",
        "2001:DB8::1": "2001:db8::1",
        "2001:db8:0:0:0:0:0:1": "2001:db8::1",
        "::ffff:10.0.0.1": "10.0.0.1",
    },
    "cidr": {
        "10.0.0.0": "ends with a length",
        "10.0.0.1/24": "10.0.0.0/24",
        "10.0.0.0/0.0.0.255": "must be a number",
        "10.0.0.0/255.255.255.0": "must be a number",
        "10.0.0.0/08": "must be a number",
        "10.0.0.0/33": "too long",
        "2001:db8::/129": "too long",
        "2001:DB8::/32": "2001:db8::",
        "10.0.0.0/24/24": "must be a number",
        "10/8": "not an",
    },
    "ip-range": {
        "10.0.0.9-10.0.0.1": "the first address comes after the last; exchange the two",
        "10.0.0.1-2001:db8::1": "must both be IPv4 or both be IPv6",
        "10.0.0.1-9": "not an",
        "10.0.0.1-": "not an",
        "10.0.0.1/24": "host bits",
        "10.0.0.1 - 10.0.0.2": "not an",
    },
    "mac": {"52:54:00:12:34": "6 bytes", "52:54:00:ff:fe:ab:cd:ef": "EUI-64", "ff:ff:ff:ff:ff:ff": "group"},
    "date": {"2024-13-45": "no such day", "2027-02-29": "no such day", "20270131": "YYYY", "2027-1-31": "YYYY"},
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in GOOD.items() for text in texts])
def test_what_is_well_spelled_is_accepted(name: str, text: str) -> None:
    assert FORMATS[name](text) == ""


@pytest.mark.parametrize(
    ("name", "text", "why"), [(n, text, why) for n, bad in BAD.items() for text, why in bad.items()]
)
def test_any_other_is_refused_with_its_reason(name: str, text: str, why: str) -> None:
    assert why in FORMATS[name](text)

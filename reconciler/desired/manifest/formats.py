"""The formats that the schemas name, asserted; all but MAC addresses in one canonical spelling.

Addresses are compared as text by the IPAM and in plans, so each has one form here. That is RFC 5952 for IPv6, no zone,
no IPv4-mapped address, no leading zeros. Prefixes as `/n` alone, because `10.0.0.0/0.0.0.255` is read as /24 by every
address library and hardly ever meant."""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Callable

from drivers.base import mac_fault

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")


def ip_fault(text: str) -> str:
    """Why `text` is no address in canonical form; empty when it is one."""
    if "%" in text:
        return "a zone (%...) is local to one host and cannot be declared"
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "the text is not an IPv4 or IPv6 address"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return f"an IPv4-mapped address is written as IPv4: {address.ipv4_mapped}"
    return "" if str(address) == text else f"the canonical form is {address}"


def cidr_fault(text: str) -> str:
    """Why `text` is no prefix in canonical form; empty when it is one."""
    base, slash, length = text.partition("/")
    if not slash:
        return "a prefix ends with a length, such as /24"
    if not _LENGTH.fullmatch(length):
        return "the length must be a number such as /24, not a mask"
    if fault := ip_fault(base):
        return fault
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return f"the length /{length} is too long for the address"
    return "" if str(network) == text else f"the address has host bits set; the prefix is {network}"


def range_fault(text: str) -> str:
    """Why `text` is no address, prefix or range `first-last`; empty when it is one."""
    if "/" in text:
        return cidr_fault(text)
    first, dash, last = text.partition("-")
    if fault := ip_fault(first) or (ip_fault(last) if dash else ""):
        return fault
    if not dash:
        return ""
    low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
    if low.version != high.version:
        return "the first and the last address of a range must both be IPv4 or both be IPv6"
    return "" if int(low) <= int(high) else "the first address comes after the last; exchange the two"


def date_fault(text: str) -> str:
    """Why `text` is no day as YYYY-MM-DD; empty when it is one."""
    if not _DATE.fullmatch(text):
        return "write a day as YYYY-MM-DD"
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return "the calendar has no such day"
    return ""


FORMATS: dict[str, Callable[[str], str]] = {
    "cidr": cidr_fault,
    "ip": ip_fault,
    "ip-range": range_fault,
    "date": date_fault,
    "mac": mac_fault,
}
"""By the name that a schema's `format` gives."""

"""DHCP leases, as dnsmasq and Kea write them. Pure, and forgiving: a line that makes no sense is reported and left
out."""

from __future__ import annotations

import csv
import ipaddress
from collections.abc import Iterator
from datetime import datetime

import msgspec

from drivers.base import mac_address
from reconciler.model.counting import count

KEA_HEADER = "address,"
_KEA_DEFAULT = "0"
"""The state of a lease that is in use; 1 is declined, 2 is expired and taken back."""
_LONGEST = 40


class Lease(msgspec.Struct, frozen=True):
    """A leased address, and what the server knows of its holder; `mac` in the one form, or empty."""

    address: str
    mac: str = ""
    hostname: str = ""


class Leases(msgspec.Struct, frozen=True):
    """What a file holds: the leases in force, how many have run out, and (line, why) of what could not be read."""

    found: tuple[Lease, ...]
    expired: int = 0
    problems: tuple[tuple[int, str], ...] = ()


class _Unreadable(ValueError):
    pass


def read_leases(text: str, now: datetime) -> Leases:
    """The leases of a file, dnsmasq's or Kea's by its first line. Of several for one address the last one counts."""
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    by_address: dict[str, Lease | None] = {}
    problems: list[tuple[int, str]] = []
    for number, read in _kea(lines) if first.startswith(KEA_HEADER) else _dnsmasq(lines):
        if isinstance(read, str):
            problems.append((number, read))
            continue
        lease, expires = read
        is_over = expires is not None and expires <= now.timestamp()
        by_address[lease.address] = None if is_over else lease
    found = tuple(lease for lease in by_address.values() if lease is not None)
    return Leases(found, sum(1 for lease in by_address.values() if lease is None), tuple(problems))


_Read = tuple[Lease, float | None] | str


def _dnsmasq(lines: list[str]) -> Iterator[tuple[int, _Read]]:
    """`EXPIRY MAC ADDRESS HOSTNAME CLIENT-ID`; EXPIRY 0 is never. The line `duid ...` begins the IPv6 ones."""
    for number, line in enumerate(lines, 1):
        parts = line.split()
        if not parts or parts[0] == "duid":
            continue
        try:
            if len(parts) < 4:
                raise _Unreadable(f"the line has {count(len(parts), 'word')}, but a lease has at least 4 words")
            expires = _time(parts[0])
            # The IAID for IPv6; where it is no Ethernet, a type and another address, as in `20-80:00:...`.
            mac = mac_address(parts[1]) or ""
            yield number, (Lease(_address(parts[2]), mac, _name(parts[3])), expires or None)
        except _Unreadable as error:
            yield number, str(error)


def _kea(lines: list[str]) -> Iterator[tuple[int, _Read]]:
    """Kea's memfile: CSV with a header. A row with a lifetime of 0 takes the lease back."""
    head = next(number for number, line in enumerate(lines) if line.strip())
    names = next(csv.reader([lines[head]]))
    for number, line in enumerate(lines[head + 1 :], head + 2):
        if not line.strip():
            continue
        try:
            try:
                row = dict(zip(names, next(csv.reader([line])), strict=False))
            except (csv.Error, StopIteration):
                raise _Unreadable("the file is not CSV") from None
            address, expires = _address(row.get("address", "")), _time(row.get("expire", ""))
            lifetime = _time(row.get("valid_lifetime", ""))
            is_over = not lifetime or row.get("state", _KEA_DEFAULT) not in (_KEA_DEFAULT, "")
            lease = Lease(address, mac_address(row.get("hwaddr", "")) or "", _name(row.get("hostname", "")))
            yield number, (lease, 0.0 if is_over else expires)
        except _Unreadable as error:
            yield number, str(error)


def _address(text: str) -> str:
    try:
        if "%" in text:
            # What is behind an interface of the DHCP server cannot be reached by others.
            raise ValueError
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise _Unreadable(f"{text[:_LONGEST]!r} is not an address") from None


def _time(text: str) -> float:
    """Seconds since 1970."""
    if not (text.isascii() and text.isdecimal() and len(text) < 12):
        raise _Unreadable(f"{text[:_LONGEST]!r} is not a time")
    return float(text)


def _name(text: str) -> str:
    return "" if text == "*" or not text.isprintable() else text[:253]

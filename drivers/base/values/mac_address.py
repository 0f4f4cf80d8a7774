"""MAC addresses (EUI-48) in one form, however firmware, DHCP servers, switches, agents and people write them. Pure."""

from __future__ import annotations

import re

_CANONICAL = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_UNICAST = re.compile(r"[0-9a-f][02468ace](?::[0-9a-f]{2}){5}")
_ZERO = "00:00:00:00:00:00"
_WORD = re.compile(r"[0-9A-Fa-f]+")
_LONGEST = 32
_GROUP_BIT = 1 << 40
"""The lowest bit of the first byte, which comes first on the wire (IEEE 802-2014, 8.2.2)."""


def mac_address(text: str) -> str | None:
    """`52-54-00-AB-CD-EF`, `5254.00ab.cdef`, `525400ABCDEF`, `52:54:0:ab:cd:ef` as `52:54:00:ab:cd:ef`. None for what
    `mac_fault` gives a reason for."""
    if _UNICAST.fullmatch(text) and text != _ZERO:
        return text  # As nearly all of a fleet's documents have them, in every plan.
    return None if mac_fault(text) else _canonical(text)


def mac_fault(text: str) -> str:
    """Why `text` cannot be the MAC address of one network card; empty when it can."""
    mac = _canonical(text)
    if mac is None:
        is_long = len(text) <= _LONGEST and len("".join(_WORD.findall(text))) == 16
        return "this is an EUI-64 of 8 bytes; a MAC address has 6" if is_long else "a MAC address has 6 bytes"
    value = int(mac.replace(":", ""), 16)
    if not value:
        return "the zero address is not the address of a network card"
    return "this is a group address; a network card has an individual address" if value & _GROUP_BIT else ""


def _canonical(text: str) -> str | None:
    if _CANONICAL.fullmatch(text):
        return text  # As nearly all are that were read before: a tenth of the time.
    from netaddr import EUI, AddrFormatError, mac_unix_expanded

    parts = text.split() if len(text) <= _LONGEST else []
    bare = "-".join(parts)
    words = _WORD.findall(bare)
    # netaddr fills up whatever is short, and would make an address of `1.2.3` and of one that lost a digit. Single
    # bytes are written without their zero by some; anything else is whole.
    if not bare.isascii() or (len(words) != 6 and len("".join(words)) != 12):
        return None
    try:
        return str(EUI(bare, version=48, dialect=mac_unix_expanded))
    except AddrFormatError:
        return None

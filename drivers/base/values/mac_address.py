"""MAC addresses (EUI-48), and the EUI-64 of InfiniBand ports, in one form, however firmware, DHCP servers, switches,
agents and people write them. Pure."""

from __future__ import annotations

import re

_CANONICAL = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_UNICAST = re.compile(r"[0-9a-f][02468ace](?::[0-9a-f]{2}){5}")
_ZERO = "00:00:00:00:00:00"
_WORD = re.compile(r"[0-9A-Fa-f]+")
_LONGEST = 32
_GROUP_BIT = 1 << 40
"""The lowest bit of the first byte, which comes first on the wire (IEEE 802-2014, 8.2.2)."""
_EUI_64, _IPOIB = 16, 40
"""Hexadecimal digits. An IPoIB hardware address has flags, a queue pair and the subnet's prefix before the EUI-64 of
the port (RFC 4391, 9.1.1). These change with the driver and the subnet, so the EUI-64 alone names the port."""
_LONGEST_IPOIB = 64
_PAIRS = "(?:[0-9A-Fa-f]{2})+"
_EVEN = re.compile(rf"{_PAIRS}(?:(?P<separator>[-:. ]){_PAIRS}(?:(?P=separator){_PAIRS})*)?")


def mac_address(text: str) -> str | None:
    """`52-54-00-AB-CD-EF`, `5254.00ab.cdef`, `525400ABCDEF`, `52:54:0:ab:cd:ef` as `52:54:00:ab:cd:ef`. None for what
    `mac_fault` gives a reason for."""
    if _UNICAST.fullmatch(text) and text != _ZERO:
        return text  # As nearly all of a fleet's documents have them, in every plan.
    return None if mac_fault(text) else _canonical(text)


def canonical_macs(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Each as `mac_address` writes it. A text that is no MAC address is not changed."""
    if all(map(_UNICAST.fullmatch, texts)):
        return texts
    return tuple([mac_address(one) or one for one in texts])


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


def hardware_address(text: str) -> str | None:
    """The address of any network port: a MAC address, as `mac_address` gives it, or the EUI-64 of an InfiniBand port.
    The latter is `24:8a:07:03:00:a1:b2:c3`, also from the 20 bytes of an IPoIB interface. None for all else."""
    mac = mac_address(text)
    if mac is not None or len(text) > _LONGEST_IPOIB or not text.isascii():
        return mac
    if (written := _EVEN.fullmatch(text.strip())) is None:
        return None
    digits = written[0].replace(written["separator"] or " ", "").lower()
    if len(digits) not in (_EUI_64, _IPOIB):
        return None
    pairs = [digits[at : at + 2] for at in range(len(digits) - _EUI_64, len(digits), 2)]
    return ":".join(pairs) if any(int(one, 16) for one in pairs) and not int(pairs[0], 16) & 1 else None


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

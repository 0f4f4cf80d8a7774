"""Who made a network card, by its MAC address or EUI-64: the IEEE's list as netaddr ships it. Pure: the list is a part
of netaddr, and is read when it is needed first (85 ms, 13 MB)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from drivers.base import clean, hardware_address

_LOCAL_BIT = 2
"""The second bit of the first byte: the operator of the network chose the address (IEEE 802-2014, 8.4)."""
_SMALLEST_BLOCK = 12
"""Bits of a MAC address that its owner assigns, in the smallest blocks that netaddr knows; all others have 24. Of the
blocks of 28 and 36 bits netaddr has the IABs alone (00-50-C2, 40-D8-55), and no list of MA-M and MA-S."""
_MAC_DIGITS = 12
_NO_VENDOR = frozenset({"IEEE Registration Authority", "Private"})
"""What stands where a block is divided among many, or its owner wants no name there."""


def mac_vendor(text: str) -> str:
    """`Super Micro Computer, Inc.`; empty if the list has no entry: cards of virtual machines, and texts that are not a
    hardware address."""
    mac = hardware_address(text)
    if mac is None or int(mac[:2], 16) & _LOCAL_BIT:
        return ""
    # A longer address begins with the block as well; there are no IABs for it.
    return _registered(int(mac.replace(":", "")[:_MAC_DIGITS], 16) >> _SMALLEST_BLOCK)


def mac_vendors(macs: Iterable[str]) -> str:
    """Each that is known, once, in order: `Dell Inc.; Mellanox Technologies, Inc.`."""
    return "; ".join(dict.fromkeys(filter(None, map(mac_vendor, macs))))


@lru_cache(maxsize=4096)
def _registered(block: int) -> str:
    from netaddr import EUI, IAB, OUI, NotRegisteredError

    address = EUI(block << _SMALLEST_BLOCK, version=48)
    try:
        said = IAB(int(address)).record["org"] if address.is_iab() else OUI(int(address) >> 24).records[0]["org"]
    except (NotRegisteredError, OSError):  # Some distributions leave the list out.
        return ""
    name = " ".join(clean(str(said)).split())
    return "" if name in _NO_VENDOR else name

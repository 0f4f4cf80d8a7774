"""MAC addresses and UUIDs in one form, however firmware, boot program, agent and people write them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from drivers.base import mac_address
from reconciler.model.values.system_uuid import byte_swapped_uuid, same_uuid

__all__ = ["NO_UUID", "byte_swapped_uuid", "macs", "same_uuid", "uuid"]

_HEX = re.compile(r"[0-9a-f]+")

NO_UUID = {
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    # What AMI's firmware has where the board's maker filled in nothing; very many boards share it.
    "03000200-0400-0500-0006-000700080009",
}


def macs(texts: Iterable[str]) -> tuple[str, ...]:
    """Those that are MAC addresses, each once, in the order given."""
    return tuple(dict.fromkeys(found for text in texts if (found := mac_address(text)) is not None))


def uuid(text: str) -> str | None:
    """A UUID in lower case with dashes; None for anything else, and for those that firmware has in place of one."""
    digits = _digits(text, 32)
    if digits is None:
        return None
    found = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return None if found in NO_UUID else found


def _digits(text: str, count: int) -> str | None:
    bare = re.sub(r"[-:. {}]", "", text.lower()) if len(text) <= 2 * count else ""
    return bare if len(bare) == count and _HEX.fullmatch(bare) else None

"""MAC addresses and UUIDs in one form, however firmware, boot program, agent and people write them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from reconciler.onboarding.system_uuid import same_uuid, turned

__all__ = ["NO_UUID", "mac", "macs", "same_uuid", "turned", "uuid"]

_HEX = re.compile(r"[0-9a-f]+")

NO_UUID = {
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    # What AMI's firmware has where the board's maker filled in nothing; very many boards share it.
    "03000200-0400-0500-0006-000700080009",
}


def mac(text: str) -> str | None:
    """`52-54-00-AB-CD-EF`, `5254.00ab.cdef`, `525400ABCDEF` and the like as `52:54:00:ab:cd:ef`; None for anything
    else, for none at all (zeros) and for group addresses, which are nobody's own."""
    digits = _digits(text, 12)
    if digits is None or digits == "0" * 12 or int(digits[:2], 16) & 1:
        return None
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def macs(texts: Iterable[str]) -> tuple[str, ...]:
    """Those that are MAC addresses, each once, in the order given."""
    return tuple(dict.fromkeys(found for text in texts if (found := mac(text)) is not None))


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

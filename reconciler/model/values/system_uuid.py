"""When two ways of writing a UUID name one machine. Pure."""

from __future__ import annotations


def byte_swapped_uuid(found: str) -> str:
    """The UUID as the other half of the world reads it. SMBIOS 2.6 stores its first three fields with the low byte
    first, and some BMCs and boot programs show them so (DMTF DSP0134, 7.2.1)."""
    fields = found.split("-")
    return "-".join([*(_swapped(field) for field in fields[:3]), *fields[3:]])


def same_uuid(one: str, other: str) -> bool:
    """Whether two UUIDs, in lower case with dashes, are of one machine."""
    return one in (other, byte_swapped_uuid(other))


def either_order(uuid: str) -> str:
    """The same word for both ways of writing the UUID of one machine."""
    known = uuid.lower()
    return min(known, byte_swapped_uuid(known))


def _swapped(field: str) -> str:
    return "".join(reversed([field[at : at + 2] for at in range(0, len(field), 2)]))

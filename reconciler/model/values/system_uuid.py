"""When two ways of writing a UUID name one machine. Pure."""

from __future__ import annotations

_LENGTH = len("00112233-4455-6677-8899-aabbccddeeff")


def byte_swapped_uuid(found: str) -> str:
    """The UUID as the other half of the world reads it. SMBIOS 2.6 stores its first three fields with the low byte
    first, and some BMCs and boot programs show them so (DMTF DSP0134, 7.2.1)."""
    if len(found) == _LENGTH and found.count("-") == 4 and found[8] == found[13] == found[18] == "-":
        # Each look at a machine asks for it, and the general form takes ten times as long.
        first = found[6:8] + found[4:6] + found[2:4] + found[0:2]
        return f"{first}-{found[11:13]}{found[9:11]}-{found[16:18]}{found[14:16]}{found[18:]}"
    fields = found.split("-")
    return "-".join([*(_swapped(field) for field in fields[:3]), *fields[3:]])


def same_uuid(one: str, other: str) -> bool:
    """Whether two UUIDs, in lower case with dashes, are of one machine."""
    return one == other or one == byte_swapped_uuid(other)


def either_order(uuid: str) -> str:
    """The same word for both ways of writing the UUID of one machine."""
    known = uuid.lower()
    return min(known, byte_swapped_uuid(known))


def _swapped(field: str) -> str:
    return "".join(reversed([field[at : at + 2] for at in range(0, len(field), 2)]))

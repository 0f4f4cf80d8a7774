"""What is free in a container, as a buddy list: the largest aligned blocks that make it up.

Taking one splits the smallest block that fits in halves, down to the length. Giving one back joins it with its buddy,
the block that it was split from, as long as that is free too. Each is a few look-ups a bit of the length, however many
blocks and children there are. Both run inside the caller's transaction. For the commonest case, a new child with one
chosen prefix, PostgreSQL has the same steps as a function (`ipam_choose`, made by the migrations)."""

from __future__ import annotations

from drivers.ipam.addresses import BITS, Interval, family_of_number, prefix_length
from drivers.ipam.statements import Run

_FoundBlock = tuple[int, int, bytes]
"""The prefix that a free block is in, the block's length, and where it begins."""

# Best fit over the container's prefixes; among equals their order, then the lowest.
_BEST = """
    SELECT within, length, (SELECT lo FROM ipam_block WHERE prefix = within AND length = fit.length ORDER BY lo LIMIT 1)
    FROM (
        SELECT p.id AS within, p.position AS position,
            (SELECT max(length) FROM ipam_block WHERE prefix = p.id AND length <= ?) AS length
        FROM ipam_prefix p WHERE p.network = ? AND p.family = ?
    ) fit WHERE length IS NOT NULL ORDER BY length DESC, position LIMIT 1
"""

_AROUND = """
    SELECT p.id, b.length, b.lo FROM ipam_prefix p JOIN ipam_block b ON b.prefix = p.id
    WHERE p.network = ? AND p.lo <= ? AND p.hi >= ?
        AND b.lo = (SELECT lo FROM ipam_block WHERE prefix = p.id AND lo <= ? ORDER BY lo DESC LIMIT 1)
"""


def choose_block(run: Run, container: str, family: int, length: int) -> Interval | None:
    """Take a free block of this length, best fit; None when none is left."""
    found = run(_BEST, length, container, family).fetchone()
    if found is None:
        return None
    lo = int.from_bytes(found[2])
    part = (lo, lo + (1 << BITS[family] - length) - 1)
    _split(run, found, part)
    return part


def cut(run: Run, container: str, part: Interval) -> bool:
    """Take this very block; whether it was free."""
    lo, hi = part[0].to_bytes(16), part[1].to_bytes(16)
    found = run(_AROUND, container, lo, hi, lo).fetchone()
    if found is None or int.from_bytes(found[2]) + _size(part, found[1]) - 1 < part[1]:
        return False
    _split(run, found, part)
    return True


def release_block(run: Run, container: str, part: Interval) -> None:
    """Make the block free again. A block that is in no prefix of the container (`check` reports that) is only
    deleted."""
    lo, length = part[0], prefix_length(*part)
    statement = "SELECT id FROM ipam_prefix WHERE network = ? AND lo <= ? AND hi >= ?"
    found = run(statement, container, lo.to_bytes(16), part[1].to_bytes(16)).fetchone()
    if found is None:
        return
    within = found[0]
    statement = "DELETE FROM ipam_block WHERE prefix = ? AND length = ? AND lo = ? RETURNING lo"
    while length and run(statement, within, length, (lo ^ _size(part, length)).to_bytes(16)).fetchall():
        lo &= ~_size(part, length)
        length -= 1
    run("INSERT INTO ipam_block (prefix, length, lo) VALUES (?, ?, ?)", within, length, lo.to_bytes(16))


def _split(run: Run, found: _FoundBlock, part: Interval) -> None:
    """Take the part out of a free block around it: of every halving, the half without it stays free."""
    within, was, start = found
    lo, wanted = int.from_bytes(start), prefix_length(*part)
    run("DELETE FROM ipam_block WHERE prefix = ? AND length = ? AND lo = ?", within, was, start)
    for length in range(was + 1, wanted + 1):
        upper = lo + _size(part, length)
        other, lo = (lo, upper) if part[0] >= upper else (upper, lo)
        run("INSERT INTO ipam_block (prefix, length, lo) VALUES (?, ?, ?)", within, length, other.to_bytes(16))


def _size(part: Interval, length: int) -> int:
    """How many addresses a prefix of this length has, in the part's family."""
    return 1 << BITS[family_of_number(part[0])] - length

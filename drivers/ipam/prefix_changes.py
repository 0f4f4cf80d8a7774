"""How a network's prefixes change while they contain held addresses or child prefixes.

Runs inside the caller's transaction, in which no other process changes any network, or acquires or releases in this
one.
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers.base import Conflict, IpamNetwork
from drivers.ipam.addresses import Block, Interval, cidr_of, joined, size, subtract
from drivers.ipam.hints import RELEASE_ADDRESSES
from drivers.ipam.rows import (
    MAX_NAMED,
    NetworkRows,
    StoredPrefix,
    all_children,
    free_intervals,
    holders_within,
    kept_block,
    listed,
    named_holders,
    refill,
    scope_of,
)
from drivers.ipam.statements import Run


def rewrite(run: Run, name: str, before: NetworkRows | None, network: IpamNetwork, blocks: Sequence[Block]) -> None:
    """Make the prefixes be exactly these. Raises Conflict when what is held, or a child, would lose its place."""
    rows = before.rows if before else []
    was_container = bool(before and before.network.container)
    flips = was_container != network.container
    shapes = {_shape(block) for block in blocks}
    changed = [row for row in rows if flips or _shape(row.block) not in shapes]
    same = {_shape(row.block): row for row in rows if row not in changed}
    new = [block for block in blocks if _shape(block) not in same]
    taken = _children(run, name, changed, new) if was_container else _held(run, name, changed, new, flips=flips)
    reused = _pair(new, changed)
    for position, block in enumerate(blocks):
        row = same.get(_shape(block)) or reused.get(block.cidr)
        id_ = _write(run, name, network, position, block, row)
        if block in new:
            refill(run, id_, block, taken, container=network.container)
            _adopt(run, id_, block, [old for old in changed if old.id != id_])
    kept = {row.id for row in reused.values()}
    for row in changed:
        if row.id not in kept:
            run("DELETE FROM ipam_prefix WHERE id = ?", row.id)


def held_intervals(run: Run, rows: Sequence[StoredPrefix]) -> list[Interval]:
    """What is held in these prefixes: what may be handed out and is not free. No allocation need be read."""
    held: list[Interval] = []
    for row in rows:
        held += subtract(row.block.usable, free_intervals(run, row.id))
    return joined(held)


def _shape(block: Block) -> tuple[str, tuple[Interval, ...]]:
    return block.cidr, block.usable


def _held(run: Run, name: str, changed: Sequence[StoredPrefix], new: Sequence[Block], *, flips: bool) -> list[Interval]:
    """What is held in the prefixes that change. Raises Conflict when it would be in none of the new ones, or in a
    container (`flips`)."""
    held = held_intervals(run, changed)
    if held and flips:
        raise Conflict(
            f"network {name} cannot become a container, because it still holds addresses: "
            f"{named_holders(holders_within(run, name), size(held))}; {RELEASE_ADDRESSES}"
        )
    lost = subtract(held, joined(part for block in new for part in block.usable))
    if lost:
        words = named_holders(holders_within(run, name, lost), size(lost))
        raise Conflict(
            f"network {name}: {words} would be reserved or outside of its prefixes; keep the prefix unchanged, or "
            f"{RELEASE_ADDRESSES}"
        )
    return held


def _children(run: Run, name: str, changed: Sequence[StoredPrefix], new: Sequence[Block]) -> list[Interval]:
    """Where children lie in the prefixes that change. Raises Conflict when one would not be whole in a new one."""
    if not changed:
        return []
    within = [(row.block.lo, row.block.hi) for row in changed]
    found = [(child, part) for child, part in all_children(run, name) if _in_one(part, within)]
    places = sorted(part for block in new for part in block.usable)
    lost = [f"{cidr_of(*part)} of {child}" for child, part in found if not _in_one(part, places)]
    if lost:
        raise Conflict(
            f"network {name}: after this change, {listed(lost[:MAX_NAMED], len(lost))} would be reserved or outside of "
            "its prefixes; delete these child networks first, or keep the prefix unchanged"
        )
    return joined(part for _, part in found)


def _in_one(part: Interval, places: Sequence[Interval]) -> bool:
    return any(lo <= part[0] and part[1] <= hi for lo, hi in places)


def _pair(new: Sequence[Block], changed: Sequence[StoredPrefix]) -> dict[str, StoredPrefix]:
    """For each new prefix the row of an old one that it overlaps, so that a network which grows moves no allocation."""
    unclaimed = list(changed)
    pairs: dict[str, StoredPrefix] = {}
    for block in new:
        row = next((row for row in unclaimed if row.block.lo <= block.hi and block.lo <= row.block.hi), None)
        if row is not None:
            unclaimed.remove(row)
            pairs[block.cidr] = row
    return pairs


def _write(run: Run, name: str, network: IpamNetwork, position: int, block: Block, row: StoredPrefix | None) -> int:
    lo, hi = block.lo.to_bytes(16), block.hi.to_bytes(16)
    said = kept_block(block.prefix, block)
    values = (name, position, block.family, scope_of(network), block.cidr, lo, hi, said)
    if row is None:
        statement = """
            INSERT INTO ipam_prefix (network, position, family, scope, cidr, lo, hi, declared)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
        """
        return int(run(statement, *values).fetchone()[0])
    statement = """
        UPDATE ipam_prefix SET network = ?, position = ?, family = ?, scope = ?, cidr = ?, lo = ?, hi = ?, declared = ?
        WHERE id = ?
    """
    run(statement, *values, row.id)
    return row.id


def _adopt(run: Run, id_: int, block: Block, others: Sequence[StoredPrefix]) -> None:
    """Take over what is held within the prefix from those that it replaces."""
    for old in others:
        if old.block.lo <= block.hi and block.lo <= old.block.hi:
            run(
                "UPDATE ipam_allocation SET prefix = ? WHERE prefix = ? AND address BETWEEN ? AND ?",
                id_,
                old.id,
                block.lo.to_bytes(16),
                block.hi.to_bytes(16),
            )

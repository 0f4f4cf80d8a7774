"""How a network's prefixes change under the addresses that are held in it. Runs inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from drivers.base import Conflict, Prefix
from drivers.ipam.addresses import Block, Interval, joined, parse_prefix, size, subtract, text_of
from drivers.ipam.database import Run

NAMED = 3
"""How many owners a refusal names."""

Held = tuple[str, int]
"""Owner and address."""


class Row(msgspec.Struct, frozen=True):
    """A prefix as it stands in the database."""

    id: int
    block: Block


def rows(run: Run, network: str) -> list[Row]:
    """The network's prefixes in order."""
    found = run("SELECT id, declared FROM ipam_prefix WHERE network = ? ORDER BY position", network).fetchall()
    return [Row(id_, parse_prefix(msgspec.json.decode(text, type=Prefix))) for id_, text in found]


def put(run: Run, network: str, blocks: Sequence[Block]) -> None:
    """Make the network's prefixes be exactly these. Raises Conflict; see Ipam.put_network."""
    before = rows(run, network)
    if before and [row.block for row in before] == list(blocks):
        return
    _refuse_overlap(run, network, blocks)
    run("INSERT INTO ipam_network (name) VALUES (?) ON CONFLICT (name) DO NOTHING", network)
    same = {(row.block.cidr, row.block.usable): row for row in before}
    changed = [row for row in before if all(_shape(row.block) != _shape(block) for block in blocks)]
    held = _held_intervals(run, changed)
    new = [block for block in blocks if _shape(block) not in same]
    _refuse_loss(run, network, subtract(held, joined(part for block in new for part in block.usable)))
    reused = _pair(new, changed)
    for position, block in enumerate(blocks):
        row = same.get(_shape(block)) or reused.get(block.cidr)
        id_ = _write(run, network, position, block, row)
        if block in new:
            _fill(run, id_, block, held)
            _adopt(run, id_, block, [old for old in changed if old.id != id_])
    kept = {row.id for row in reused.values()}
    for row in changed:
        if row.id not in kept:
            run("DELETE FROM ipam_prefix WHERE id = ?", row.id)


def holders(run: Run, network: str, within: Iterable[Interval] | None = None) -> list[Held]:
    """A few who hold an address of the network, in these intervals where given."""
    statement = """
        SELECT a.owner, a.address FROM ipam_allocation a JOIN ipam_prefix p ON p.id = a.prefix
        WHERE p.network = ? AND a.address BETWEEN ? AND ? LIMIT ?
    """
    found: list[Held] = []
    for lo, hi in within if within is not None else [(0, 2**128 - 1)]:
        more = run(statement, network, lo.to_bytes(16), hi.to_bytes(16), NAMED - len(found)).fetchall()
        found += [(owner, int.from_bytes(address)) for owner, address in more]
        if len(found) >= NAMED:
            break
    return found


def named(held: Sequence[Held], total: int) -> str:
    """Who holds what, in words; `total` there are in all."""
    words = ", ".join(f"{text_of(address)} by {owner}" for owner, address in held)
    return f"{words} and {total - len(held)} more" if total > len(held) else words


def refuse_own_overlap(network: str, blocks: Sequence[Block]) -> None:
    """Raise Conflict when two of the prefixes overlap."""
    ordered = sorted(blocks, key=lambda block: block.lo)
    for one, other in pairwise(ordered):
        if other.lo <= one.hi:
            raise Conflict(f"network {network}: its prefixes {one.cidr} and {other.cidr} overlap")


def _shape(block: Block) -> tuple[str, tuple[Interval, ...]]:
    return block.cidr, block.usable


def _refuse_overlap(run: Run, network: str, blocks: Sequence[Block]) -> None:
    statement = "SELECT network, cidr FROM ipam_prefix WHERE network <> ? AND lo <= ? AND hi >= ? LIMIT 1"
    for block in blocks:
        other = run(statement, network, block.hi.to_bytes(16), block.lo.to_bytes(16)).fetchone()
        if other:
            raise Conflict(f"network {network}: prefix {block.cidr} overlaps {other[1]} of network {other[0]}")


def _held_intervals(run: Run, changed: Sequence[Row]) -> list[Interval]:
    """What is held in these prefixes: what may be handed out and is not free. No allocation need be read."""
    held: list[Interval] = []
    for row in changed:
        free = run("SELECT lo, hi FROM ipam_free WHERE prefix = ? ORDER BY lo", row.id).fetchall()
        held += subtract(row.block.usable, [(int.from_bytes(lo), int.from_bytes(hi)) for lo, hi in free])
    return joined(held)


def _refuse_loss(run: Run, network: str, lost: list[Interval]) -> None:
    if lost:
        words = named(holders(run, network, lost), size(lost))
        raise Conflict(
            f"network {network}: {words} would be outside of its prefixes or reserved; release that first, or keep the "
            "prefix as it is"
        )


def _pair(new: Sequence[Block], changed: Sequence[Row]) -> dict[str, Row]:
    """For each new prefix the row of an old one that it overlaps, so that a network which grows moves no allocation."""
    unclaimed = list(changed)
    pairs: dict[str, Row] = {}
    for block in new:
        row = next((row for row in unclaimed if row.block.lo <= block.hi and block.lo <= row.block.hi), None)
        if row is not None:
            unclaimed.remove(row)
            pairs[block.cidr] = row
    return pairs


def _write(run: Run, network: str, position: int, block: Block, row: Row | None) -> int:
    lo, hi = block.lo.to_bytes(16), block.hi.to_bytes(16)
    values = (network, position, block.family, block.cidr, lo, hi, msgspec.json.encode(block.prefix).decode())
    if row is None:
        statement = """
            INSERT INTO ipam_prefix (network, position, family, cidr, lo, hi, declared) VALUES (?, ?, ?, ?, ?, ?, ?)
            RETURNING id
        """
        return int(run(statement, *values).fetchone()[0])
    statement = """
        UPDATE ipam_prefix SET network = ?, position = ?, family = ?, cidr = ?, lo = ?, hi = ?, declared = ?
        WHERE id = ?
    """
    run(statement, *values, row.id)
    return row.id


def _fill(run: Run, id_: int, block: Block, held: Sequence[Interval]) -> None:
    """Write what is free in a prefix."""
    run("DELETE FROM ipam_free WHERE prefix = ?", id_)
    for lo, hi in subtract(block.usable, held):
        run("INSERT INTO ipam_free (prefix, lo, hi) VALUES (?, ?, ?)", id_, lo.to_bytes(16), hi.to_bytes(16))


def _adopt(run: Run, id_: int, block: Block, others: Sequence[Row]) -> None:
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

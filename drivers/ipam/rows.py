"""Networks as they stand in the database, and who holds what in them. Runs inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec

from drivers.base import IpamNetwork, Prefix
from drivers.ipam.addresses import Block, Interval, aligned, cidr_of, parse_prefix, prefix_length, subtract, text_of
from drivers.ipam.statements import Run

MAX_NAMED = 3
"""How many owners or children a refusal names."""

_PREFIX = msgspec.json.Decoder(Prefix)
"""Made while one thread loads the module: msgspec 0.22 crashes where several make the first one of a type."""

Held = tuple[str, int]
"""Owner and address."""

_NETWORKS = """
    SELECT n.name, n.parent, n.namespace, n.container, n.shared, n.project, p.id, p.scope, p.lo, p.hi, p.declared
    FROM ipam_network n LEFT JOIN ipam_prefix p ON p.network = n.name
"""


class StoredPrefix(msgspec.Struct, frozen=True):
    """A prefix as it stands in the database."""

    id: int
    scope: str
    block: Block


class NetworkRows(msgspec.Struct, frozen=True):
    """A network as it stands in the database, with the rows of its prefixes in the same order."""

    network: IpamNetwork
    rows: list[StoredPrefix]


def find_network(run: Run, network: str) -> NetworkRows | None:
    """The network with its rows, or None."""
    records = run(f"{_NETWORKS} WHERE n.name = ? ORDER BY p.position", network).fetchall()
    if not records:
        return None
    found = _network(records)
    prefixes = zip([record for record in records if record[6] is not None], found.prefixes, strict=True)
    return NetworkRows(
        found,
        [StoredPrefix(record[6], record[7], parse_prefix(one, container=found.container)) for record, one in prefixes],
    )


def networks(run: Run, only: str | None = None) -> dict[str, IpamNetwork]:
    """Every network, or one, by name; pools are none."""
    if only is None:
        records = run(f"{_NETWORKS} WHERE substr(n.name, 1, 1) <> '#' ORDER BY n.name, p.position")
    else:
        records = run(f"{_NETWORKS} WHERE n.name = ? ORDER BY p.position", only)
    found = {name: _network(list(group)) for name, group in groupby(records, key=lambda record: record[0])}
    return dict(sorted(found.items()))


def scope_of(network: IpamNetwork) -> str:
    """The scope in which prefixes must not overlap: the parent, or the namespace for a network without a parent."""
    return f"/{network.parent}" if network.parent is not None else f":{network.namespace}"


def kept_block(prefix: Prefix, block: Block) -> str | None:
    """What of a prefix must be kept beside its two ends; None when nothing."""
    return None if prefix == Prefix(cidr_of(block.lo, block.hi)) else msgspec.json.encode(prefix).decode()


def prefix_of(lo: bytes, hi: bytes, text: str | None) -> Prefix:
    """The other way round."""
    if text is None:
        return Prefix(cidr_of(int.from_bytes(lo), int.from_bytes(hi)))
    return _PREFIX.decode(text)


def holders_within(run: Run, network: str, within: Iterable[Interval] | None = None) -> list[Held]:
    """A few who hold an address of the network, in these intervals where given."""
    statement = """
        SELECT a.owner, a.address FROM ipam_allocation a JOIN ipam_prefix p ON p.id = a.prefix
        WHERE p.network = ? AND a.address BETWEEN ? AND ? LIMIT ?
    """
    found: list[Held] = []
    for lo, hi in within if within is not None else [(0, 2**128 - 1)]:
        more = run(statement, network, lo.to_bytes(16), hi.to_bytes(16), MAX_NAMED - len(found)).fetchall()
        found += [(owner, int.from_bytes(address)) for owner, address in more]
        if len(found) >= MAX_NAMED:
            break
    return found


def named_holders(held: Sequence[Held], total: int) -> str:
    """Who holds what, in words; `total` there are in all."""
    return listed([f"{text_of(address)} by {owner}" for owner, address in held], total)


def listed(words: Sequence[str], total: int) -> str:
    """The words, and how many more there are."""
    text = ", ".join(words)
    return f"{text} and {total - len(words)} more" if total > len(words) else text


def free_intervals(run: Run, prefix: int) -> list[Interval]:
    """What is free in a prefix, ascending."""
    found = run("SELECT lo, hi FROM ipam_free WHERE prefix = ? ORDER BY lo", prefix).fetchall()
    return [(int.from_bytes(lo), int.from_bytes(hi)) for lo, hi in found]


def refill(run: Run, prefix: int, block: Block, held: Sequence[Interval], *, container: bool) -> None:
    """Compute the free space of a prefix again: all usable addresses except those that are held, or in children."""
    run("DELETE FROM ipam_free WHERE prefix = ?", prefix)
    run("DELETE FROM ipam_block WHERE prefix = ?", prefix)
    free = subtract(block.usable, held)
    if not container:
        for lo, hi in free:
            run("INSERT INTO ipam_free (prefix, lo, hi) VALUES (?, ?, ?)", prefix, lo.to_bytes(16), hi.to_bytes(16))
        return
    for lo, hi in aligned(free):
        values = (prefix, prefix_length(lo, hi), lo.to_bytes(16))
        run("INSERT INTO ipam_block (prefix, length, lo) VALUES (?, ?, ?)", *values)


def all_children(run: Run, network: str) -> Iterator[tuple[str, Interval]]:
    """Each child's name with each of its prefixes, ascending."""
    statement = "SELECT network, lo, hi FROM ipam_prefix WHERE scope = ? ORDER BY lo"
    for name, lo, hi in run(statement, f"/{network}"):
        yield name, (int.from_bytes(lo), int.from_bytes(hi))


def _network(records: Sequence[Any]) -> IpamNetwork:
    _, parent, namespace, container, shared, project = records[0][:6]
    return IpamNetwork(
        prefixes=tuple(prefix_of(*record[8:]) for record in records if record[6] is not None),
        parent=parent,
        namespace=namespace,
        container=bool(container),
        shared=bool(shared),
        project=project,
    )

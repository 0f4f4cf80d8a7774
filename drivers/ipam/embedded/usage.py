"""How full prefixes are: counted by the database, and never by reading what is held. Runs inside the caller's
transaction, in which nothing changes."""

from __future__ import annotations

from collections import defaultdict

from drivers.base import Usage
from drivers.ipam.addresses import BITS, parse_prefix, size
from drivers.ipam.rows import prefix_of
from drivers.ipam.statements import Run


def embedded_usage(run: Run, network: str | None) -> list[Usage]:
    """See Ipam.usage."""
    only, values = ("", ()) if network is None else ("AND p.network = ?", (network,))
    held = run(
        f"""SELECT a.prefix, count(*) FROM ipam_allocation a JOIN ipam_prefix p ON p.id = a.prefix
            WHERE p.family <> 0 {only} GROUP BY a.prefix""",  # noqa: S608  one of two texts of ours
        *values,
    )
    allocations = dict(held.fetchall())
    free: dict[int, list[tuple[int, int]]] = defaultdict(list)
    counted = run(
        f"""SELECT b.prefix, b.length, count(*) FROM ipam_block b JOIN ipam_prefix p ON p.id = b.prefix
            WHERE p.family <> 0 {only} GROUP BY b.prefix, b.length ORDER BY b.length""",  # noqa: S608
        *values,
    )
    for prefix, length, count in counted.fetchall():
        free[prefix].append((length, count))
    rows = run(
        f"""SELECT p.id, p.network, p.position, n.container, p.family, p.lo, p.hi, p.declared
            FROM ipam_prefix p JOIN ipam_network n ON n.name = p.network WHERE p.family <> 0 {only}""",  # noqa: S608
        *values,
    ).fetchall()
    found = []
    for id_, name, _, container, family, lo, hi, text in sorted(rows, key=lambda row: row[1:3]):
        block = parse_prefix(prefix_of(lo, hi, text), container=bool(container))
        whole = size(block.usable)
        unused = sum(count << BITS[family] - length for length, count in free[id_])
        used = whole - unused if container else allocations.get(id_, 0)
        found.append(Usage(name, block.prefix.cidr, whole, used, tuple(free[id_])))
    return found

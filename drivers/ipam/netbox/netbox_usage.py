"""How full a fleet's prefixes are in NetBox, including addresses that people created: these are not free either."""

from __future__ import annotations

from drivers.base import Prefix, Usage
from drivers.ipam.addresses import Interval, aligned, joined, parse_prefix, prefix_length, size, subtract
from drivers.ipam.netbox.netbox_records import ADDRESSES, PREFIXES, Records
from drivers.ipam.netbox.netbox_rows import PrefixRow, null
from drivers.ipam.netbox.netbox_view import NetboxView


def netbox_usage(records: Records, view: NetboxView, network: str | None) -> list[Usage]:
    """See Ipam.usage. One or two requests a prefix."""
    rows = [row for row in view.rows if network in (None, row.network)]
    return [_container(records, row) if row.container else _plain(records, view, row) for row in rows]


def _plain(records: Records, view: NetboxView, row: PrefixRow) -> Usage:
    whole = size(row.block.usable)
    held = records.wire.count(ADDRESSES, parent=row.block.cidr, vrf_id=null(row.vrf))
    # Ranges that people marked as populated: NetBox gives nothing of them.
    ranges = joined(one.interval for one in view.ranges if one.vrf == row.vrf and one.owner is None)
    blocked = whole - size(subtract(row.block.usable, ranges))
    return Usage(row.network, row.block.prefix.cidr, whole, min(whole, held + blocked))


def _container(records: Records, row: PrefixRow) -> Usage:
    within: list[Interval] = []
    for record in records.wire.all(PREFIXES, within=row.block.cidr, vrf_id=null(row.vrf)):
        block = parse_prefix(Prefix(str(record["prefix"])))
        within.append((block.lo, block.hi))
    free = subtract(row.block.usable, joined(within))
    counts: dict[int, int] = {}
    for part in aligned(free):
        counts[prefix_length(*part)] = counts.get(prefix_length(*part), 0) + 1
    whole = size(row.block.usable)
    return Usage(row.network, row.block.prefix.cidr, whole, whole - size(free), tuple(sorted(counts.items())))

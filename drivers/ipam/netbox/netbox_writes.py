"""How a network is written to NetBox: reserved ranges ahead of the prefixes, and a second look at what was written.

NetBox lets prefixes overlap, and has no transaction around several requests. So what was written is read again, and
deleted when another process wrote something that overlaps it meanwhile: of two, at most one stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from drivers.base import Busy, Conflict, IpamNetwork, Rejected
from drivers.ipam.addresses import Block, Interval, joined, prefix_length, size, subtract, text_of
from drivers.ipam.netbox.netbox_records import ADDRESSES, LARGEST_RANGE, NETWORK, PREFIXES, RANGES, Records
from drivers.ipam.netbox.netbox_rows import PrefixRow, RangeRow, null, reserved_in
from drivers.ipam.netbox.netbox_view import NetboxView, intervals_overlap, overlapping
from drivers.ipam.netbox.netbox_wire import NetboxRefused, Record


class NetworkWrites:
    """Writes networks that were judged to be free."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def write(
        self,
        view: NetboxView,
        name: str,
        network: IpamNetwork,
        blocks: Sequence[Block],
        vrf: int | None,
        moved: Sequence[PrefixRow],
    ) -> None:
        """Make the network be these blocks in this VRF. `moved`: the prefixes below it, which go to the VRF with it.
        Raises Conflict for what people's objects are in the way of, Busy for what another process wrote meanwhile."""
        before = {row.block.cidr: row for row in view.of(name)}
        tenant = self._records.tenants([network.project])[network.project]
        bodies = {
            block.cidr: self._body(name, network, place, block, vrf, tenant) for place, block in enumerate(blocks)
        }
        stale = self._write_ranges(view, name, network, blocks, vrf)
        new = [body for cidr, body in bodies.items() if cidr not in before]
        changed = [{"id": row.id, **bodies[cidr]} for cidr, row in before.items() if cidr in bodies]
        gone = [{"id": row.id} for cidr, row in before.items() if cidr not in bodies]
        made = self._make(name, new) if new else []
        if changed:
            self._records.wire.patch(PREFIXES, changed)
        if moved or (before and next(iter(before.values())).vrf != vrf):
            self._move(name, moved, vrf)
        if gone:
            self._records.wire.delete(PREFIXES, gone)
        if stale:
            self._records.wire.delete(RANGES, [{"id": one.id} for one in stale])
        self._observe_again(
            name, network, [one["id"] for one in made], [b for b in blocks if b.cidr not in before], vrf
        )

    def _body(
        self, name: str, network: IpamNetwork, position: int, block: Block, vrf: int | None, tenant: int | None
    ) -> Record:
        data: dict[str, object] = {"position": position, "cidr": block.prefix.cidr}
        if block.prefix.reserved:
            data["reserved"] = list(block.prefix.reserved)
        if network.parent is not None:
            data["parent"] = network.parent
        if network.shared:
            data["shared"] = True
        return {
            "prefix": block.cidr,
            "vrf": vrf,
            "tenant": tenant,
            "status": "container" if network.container else "active",
            "is_pool": False,
            **self._records.marks(f"{name} {block.cidr}", name, data),
        }

    def _make(self, name: str, bodies: list[Record]) -> list[Record]:
        try:
            made = self._records.wire.post(PREFIXES, bodies)
        except NetboxRefused as refused:
            # Mostly: somebody has made the same prefix by hand.
            raise Conflict(
                f"network {name}: {refused}; the prefix may exist already, created by hand or by another "
                "fleet; delete that prefix in NetBox, or declare another one"
            ) from None
        return list(made)

    def _write_ranges(
        self, view: NetboxView, name: str, network: IpamNetwork, blocks: Sequence[Block], vrf: int | None
    ) -> list[RangeRow]:
        """Make what is reserved be kept back; return the ranges that may go once the prefixes say so."""
        own = [one for one in view.ranges if one.owner is not None and one.network == name]
        others = joined(one.interval for one in view.ranges if one.vrf == vrf and one not in own)
        wanted = {
            part: block
            for block in blocks
            for part in _in_sizes(subtract(reserved_in(block, container=network.container), others))
        }
        there = {one.interval: one for one in own}
        stale = [one for one in own if one.interval not in wanted]
        # NetBox lets no two ranges of a VRF overlap.
        in_the_way = [
            one for one in stale if one.vrf == vrf and any(intervals_overlap(one.interval, part) for part in wanted)
        ]
        if in_the_way:
            self._records.wire.delete(RANGES, [{"id": one.id} for one in in_the_way])
        if moving := [one for part, one in there.items() if part in wanted and one.vrf != vrf]:
            self._records.wire.patch(RANGES, [{"id": one.id, "vrf": vrf} for one in moving])
        bodies = [self._range(name, part, block, vrf) for part, block in wanted.items() if part not in there]
        if bodies:
            try:
                self._records.wire.post(RANGES, bodies)
            except NetboxRefused as refused:
                raise Conflict(
                    f"network {name}: {refused}; an IP range that was created by hand in NetBox may "
                    f"overlap; in NetBox, set 'Mark Populated' on that range, or delete the range"
                ) from None
        return [one for one in stale if one not in in_the_way]

    def _range(self, name: str, part: Interval, block: Block, vrf: int | None) -> Record:
        length = prefix_length(block.lo, block.hi)
        first, last = (f"{text_of(end)}/{length}" for end in part)
        return {
            "start_address": first,
            "end_address": last,
            "vrf": vrf,
            "status": "reserved",
            "mark_populated": True,
            **self._records.marks(f"{name} {text_of(part[0])}-{text_of(part[1])}", name, {}),
        }

    def _move(self, name: str, below: Sequence[PrefixRow], vrf: int | None) -> None:
        """Take what is in the network, and the networks below it, into its VRF."""
        wire, records = self._records.wire, self._records
        for row in below:
            wire.patch(f"{PREFIXES}{row.id}/", {"vrf": vrf})
        for network in sorted({name, *(row.network for row in below)}):
            held = [row for row in records.addresses(**{f"cf_{NETWORK}": network}) if row.vrf != vrf]
            if held:
                wire.patch(ADDRESSES, [{"id": row.id, "vrf": vrf} for row in held])
            if network != name:
                ranges = [one for one in records.ranges() if one.owner is not None and one.network == network]
                for one in ranges:
                    wire.patch(f"{RANGES}{one.id}/", {"vrf": vrf})

    def _observe_again(
        self, name: str, network: IpamNetwork, made: list[int], blocks: Sequence[Block], vrf: int | None
    ) -> None:
        """Take back what overlaps something that another process made in the meantime. Raises Busy."""
        for block in blocks:
            around = self._records.prefixes((), contains=block.cidr, vrf_id=null(vrf))
            within = self._records.prefixes((), within_include=block.cidr, vrf_id=null(vrf))
            other = overlapping(NetboxView([*around, *within], []), name, network, block)
            if other is not None:
                if made:
                    self._records.wire.delete(PREFIXES, [{"id": id_} for id_ in made])
                raise Busy(
                    f"network {name}: network {other.network} acquired {other.block.cidr} at the same time, and "
                    f"the prefixes overlap. {block.cidr} was released; groundstate tries again"
                )


def _in_sizes(parts: Iterable[Interval]) -> Iterator[Interval]:
    """The intervals, in parts that NetBox can keep. Raises Rejected where these would be too many."""
    for lo, hi in parts:
        if size([(lo, hi)]) > 16 * LARGEST_RANGE:
            raise Rejected(
                f"{text_of(lo)}-{text_of(hi)} cannot be reserved in NetBox, whose ranges have at most {LARGEST_RANGE} "
                "addresses; reserve less, or declare a smaller prefix"
            )
        start = lo
        while start <= hi:
            yield start, min(hi, start + LARGEST_RANGE - 1)
            start += LARGEST_RANGE

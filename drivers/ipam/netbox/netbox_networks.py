"""How a network of NetBox becomes what it is to be: read, judged, then written (`netbox_writes`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from drivers.base import Conflict, Exhausted, IpamNetwork, Prefix, Rejected
from drivers.base.support import scheduling
from drivers.ipam.addresses import (
    BITS,
    Block,
    Interval,
    aligned,
    cidr_of,
    joined,
    parse_prefix,
    prefix_length,
    subtract,
    text_of,
)
from drivers.ipam.hints import RELEASE_ADDRESSES
from drivers.ipam.netbox.netbox_records import NETWORK, PREFIXES, RANGES, Records
from drivers.ipam.netbox.netbox_rows import AddressRow, PrefixRow, network_of, null
from drivers.ipam.netbox.netbox_view import NetboxView, intervals_overlap, overlapping, refuse_children, twin_of
from drivers.ipam.netbox.netbox_writes import NetworkWrites
from drivers.ipam.network_changes import check_wanted
from drivers.ipam.rows import MAX_NAMED, listed


class Networks:
    """Puts and drops networks, one at a time in this process."""

    def __init__(self, records: Records) -> None:
        self._records, self._lock = records, scheduling.lock()
        self._writes = NetworkWrites(records)

    def view(self) -> NetboxView:
        """What there is."""
        ranges = self._records.ranges()
        return NetboxView(self._records.prefixes(ranges), ranges)

    def put(self, name: str, wanted: IpamNetwork, lengths: Mapping[int, int]) -> IpamNetwork:
        """See Ipam.put_network."""
        blocks = check_wanted(name, wanted, lengths)
        with self._lock:
            self._records.set_up()
            view = self.view()
            network = _below(view, name, wanted)
            before = view.of(name)
            kept = _kept(before, blocks, lengths, container=network.container)
            if before and network_of(before) == _with(network, [*blocks, *kept.values()]) and len(kept) == len(lengths):
                return network_of(before)
            vrf = self._records.vrf(network.namespace, make=True)
            self._judge(view, name, network, blocks, vrf)
            chosen = [
                kept[family]
                if family in kept and self._is_free(view, name, network, kept[family], vrf)
                else self._choose(view, name, network, family, length, [*blocks, *kept.values()], vrf)
                for family, length in sorted(lengths.items())
            ]
            network = _with(network, [*blocks, *chosen])
            moved = [] if not before or before[0].vrf == vrf else view.below(name)
            self._refuse_loss(view, name, network, [*blocks, *chosen])
            self._writes.write(view, name, network, [*blocks, *chosen], vrf, moved)
            return network

    def drop(self, name: str) -> None:
        """See Ipam.drop_network."""
        with self._lock:
            view = self.view()
            before = view.of(name)
            ranges = [one for one in view.ranges if one.owner is not None and one.network == name]
            refuse_children(view, name, "cannot be deleted")
            held = self._records.addresses(**{f"cf_{NETWORK}": name}) if before else []
            if held := [row for row in held if row.network == name]:
                raise Conflict(f"network {name} is in use: {_named(held)}; {RELEASE_ADDRESSES}")
            if before:
                self._records.wire.delete(PREFIXES, [{"id": row.id} for row in before])
            if ranges:
                self._records.wire.delete(RANGES, [{"id": one.id} for one in ranges])

    # Judging

    def _judge(
        self, view: NetboxView, name: str, network: IpamNetwork, blocks: Sequence[Block], vrf: int | None
    ) -> None:
        """Raise Conflict unless every prefix is free in its parent, or in its namespace."""
        before = view.of(name)
        if before and before[0].container and not network.container:
            refuse_children(view, name, "cannot stop being a container")
        for block in blocks:
            if other := overlapping(view, name, network, block):
                also = f", also a child of {network.parent}" if network.parent is not None else ""
                raise Conflict(
                    f"network {name}: prefix {block.cidr} overlaps {other.block.cidr} of network "
                    f"{other.network}{also}; declare another prefix"
                )
            if twin := twin_of(view, name, network, block):
                raise Conflict(
                    f"network {name}: {block.cidr} is also the prefix of network {twin.network} "
                    f"({twin.url}); in NetBox a prefix can exist only once, so declare another prefix"
                )
            if network.parent is not None:
                self._refuse_outside(view, name, network.parent, block)
                taken = self._peoples(view, network.parent, vrf)
                if hit := next((url for part, url in taken if intervals_overlap(part, (block.lo, block.hi))), None):
                    raise Conflict(
                        f"network {name}: prefix {block.cidr} overlaps a prefix in NetBox that groundstate "
                        f"does not manage ({hit}); declare another prefix, or delete that prefix in NetBox"
                    )
        for row in view.below(name) if network.namespace != (before[0].namespace if before else "") else ():
            if twin := twin_of(view, row.network, network, row.block):
                raise Conflict(
                    f"network {name} cannot move to namespace {network.namespace!r}: prefix {row.block.cidr} of its "
                    f"child network {row.network} already belongs to network {twin.network} in that namespace "
                    f"({twin.url})"
                )

    def _refuse_outside(self, view: NetboxView, name: str, parent: str, block: Block) -> None:
        above = [row.block for row in view.of(parent)]
        what = f"network {name}: prefix {block.cidr}"
        around = next((one for one in above if one.lo <= block.lo and block.hi <= one.hi), None)
        if around is None:
            prefixes = ", ".join(one.cidr for one in above) or "none"
            raise Conflict(f"{what} is not within its parent {parent} (prefixes: {prefixes}); declare another prefix")
        if subtract([(block.lo, block.hi)], around.usable):
            raise Conflict(f"{what} has a part that is reserved in its parent {parent}; declare another prefix")

    def _peoples(self, view: NetboxView, parent: str, vrf: int | None) -> list[tuple[Interval, str]]:
        """Prefixes in a container that people made, and where to find each."""
        ours = {row.id for row in view.rows}
        found = []
        for row in view.of(parent):
            for record in self._records.wire.all(PREFIXES, within=row.block.cidr, vrf_id=null(vrf)):
                if record["id"] not in ours:
                    block = parse_prefix(Prefix(str(record["prefix"])))
                    found.append(((block.lo, block.hi), str(record.get("display_url") or record.get("url"))))
        return found

    def _is_free(self, view: NetboxView, name: str, network: IpamNetwork, block: Block, vrf: int | None) -> bool:
        try:
            self._judge(view, name, network, [block], vrf)
        except Conflict:
            return False
        return True

    def _choose(
        self,
        view: NetboxView,
        name: str,
        network: IpamNetwork,
        family: int,
        length: int,
        beside: Sequence[Block],
        vrf: int | None,
    ) -> Block:
        """The smallest free block of the parent that fits, of these the first prefix's, of these the lowest."""
        parent = str(network.parent)
        others = [(row.block.lo, row.block.hi) for row in view.children(parent) if row.network != name]
        taken = joined(
            [*others, *((b.lo, b.hi) for b in beside), *(part for part, _ in self._peoples(view, parent, vrf))]
        )
        above = [row.block for row in view.of(parent) if row.block.family == family]
        free = [(one, part) for one in above for part in aligned(subtract(one.usable, taken))]
        fitting = [
            (-prefix_length(*part), part)
            for one, part in free
            if prefix_length(*part) <= length and not (prefix_length(*part) == length and part == (one.lo, one.hi))
        ]
        if not fitting:
            raise _none_free(parent, family, length, [part for _, part in free])
        # min is stable: among equals the order of the prefixes, in which the parts are ascending.
        _, (lo, _) = min(fitting, key=lambda one: one[0])
        part = (lo, lo + (1 << BITS[family] - length) - 1)
        if any(part == (one.lo, one.hi) for one in above):
            raise _none_free(parent, family, length, [])
        return parse_prefix(Prefix(cidr_of(*part)), container=network.container)

    def _refuse_loss(self, view: NetboxView, name: str, network: IpamNetwork, blocks: Sequence[Block]) -> None:
        held = [row for row in self._records.addresses(**{f"cf_{NETWORK}": name}) if row.network == name]
        if network.container and held:
            raise Conflict(
                f"network {name} cannot become a container, because it still holds addresses: {_named(held)}; "
                f"{RELEASE_ADDRESSES}"
            )
        usable = joined(part for block in blocks for part in block.usable)
        if lost := [row for row in held if subtract([(row.number, row.number)], usable)]:
            raise Conflict(
                f"network {name}: {_named(lost)} would be reserved or outside of its prefixes; keep the prefix "
                f"unchanged, or {RELEASE_ADDRESSES}"
            )
        parts = [part for block in blocks for part in block.usable]
        gone = [
            row
            for row in view.children(name)
            if not any(lo <= row.block.lo and row.block.hi <= hi for lo, hi in parts)
            or not any(b.lo <= row.block.lo and row.block.hi <= b.hi for b in blocks)
        ]
        if gone:
            words = listed([f"{row.block.cidr} of {row.network}" for row in gone[:MAX_NAMED]], len(gone))
            raise Conflict(
                f"network {name}: after this change, {words} would be reserved or outside of its prefixes; delete "
                "these child networks first, or keep the prefix unchanged"
            )
        if not blocks:
            raise Rejected(
                f"network {name}: a network is stored in NetBox as its prefixes, but this network has none; "
                f"declare a prefix"
            )


def _below(view: NetboxView, name: str, wanted: IpamNetwork) -> IpamNetwork:
    """What is wanted, in its parent's namespace. Raises Rejected for a parent that cannot be one."""
    if wanted.parent is None:
        return wanted
    above = view.of(wanted.parent)
    if not above:
        raise Rejected(
            f"network {name}: its parent {wanted.parent} is not in the IPAM; apply the document of the parent first"
        )
    if wanted.parent == name or wanted.parent in {row.network for row in view.below(name)}:
        raise Rejected(f"network {name}: its parent {wanted.parent} is {name} or below {name}; choose another parent")
    if not above[0].container:
        raise Rejected(
            f"network {name}: its parent {wanted.parent} is not a container: it has addresses, not child networks; "
            "choose another parent"
        )
    namespace = above[0].namespace
    if wanted.namespace not in ("", namespace):
        raise Rejected(
            f"network {name} is declared in namespace {wanted.namespace!r}, but its parent {wanted.parent} is in "
            f"{namespace!r}; remove the namespace, or choose a parent in that namespace"
        )
    return msgspec.structs.replace(wanted, namespace=namespace)


def _kept(
    before: Sequence[PrefixRow], blocks: Sequence[Block], lengths: Mapping[int, int], *, container: bool
) -> dict[int, Block]:
    """By family, the prefix of the wanted length that the network has already beside those that are declared."""
    kept: dict[int, Block] = {}
    for row in before:
        old = row.block
        fits = lengths.get(old.family) == prefix_length(old.lo, old.hi) and old.family not in kept
        if fits and not any(intervals_overlap((one.lo, one.hi), (old.lo, old.hi)) for one in blocks):
            kept[old.family] = parse_prefix(Prefix(old.cidr), container=container)
    return dict(sorted(kept.items()))


def _with(network: IpamNetwork, blocks: Sequence[Block]) -> IpamNetwork:
    return msgspec.structs.replace(network, prefixes=tuple(block.prefix for block in blocks))


def _none_free(parent: str, family: int, length: int, parts: Sequence[Interval]) -> Exhausted:
    counts: dict[int, int] = {}
    for part in parts:
        counts[prefix_length(*part)] = counts.get(prefix_length(*part), 0) + 1
    free = ", ".join(f"{count} of /{size}" for size, count in sorted(counts.items()))
    return Exhausted(
        f"network {parent} has no free IPv{family} block of /{length} for a child; free blocks: "
        f"{free or 'none'}; delete a child network, request a smaller prefix (spec.prefixLength), or add a prefix to "
        f"{parent}"
    )


def _named(held: Sequence[AddressRow]) -> str:
    ordered = sorted(held, key=lambda row: row.number)
    return listed([f"{text_of(row.number)} by {row.owner}" for row in ordered[:MAX_NAMED]], len(ordered))

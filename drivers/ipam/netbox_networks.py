"""How a network becomes what it is to be: looked at, judged, then written; reserved ranges ahead of the prefixes.

NetBox lets prefixes overlap, and has no transaction around several requests. So what was written is looked at again,
and taken back when another process wrote something that overlaps it meanwhile: of two, at most one stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from drivers.base import Busy, Conflict, Exhausted, IpamNetwork, Prefix, Rejected, scheduling
from drivers.ipam.addresses import (
    BITS,
    Block,
    Interval,
    aligned,
    cidr_of,
    joined,
    parse_prefix,
    prefix_length,
    size,
    subtract,
    text_of,
)
from drivers.ipam.netbox_records import (
    ADDRESSES,
    LARGEST_RANGE,
    NETWORK,
    PREFIXES,
    RANGES,
    AddressRow,
    PrefixRow,
    RangeRow,
    Records,
    network_of,
    null,
    reserved_in,
)
from drivers.ipam.netbox_wire import NetboxRefused, Record
from drivers.ipam.network_changes import check_wanted
from drivers.ipam.rows import MAX_NAMED, listed


class NetboxView(msgspec.Struct, frozen=True):
    """The fleet's prefixes and the populated ranges, read at one time."""

    rows: list[PrefixRow]
    ranges: list[RangeRow]

    def of(self, network: str) -> list[PrefixRow]:
        """A network's prefixes, in order."""
        return [row for row in self.rows if row.network == network]

    def children(self, network: str) -> list[PrefixRow]:
        """The prefixes of a network's children."""
        return [row for row in self.rows if row.parent == network]

    def below(self, network: str) -> list[PrefixRow]:
        """The prefixes of a network's children, theirs, and so on."""
        found, next_ = dict[int, PrefixRow](), {network}
        while next_:
            rows = [row for row in self.rows if row.parent in next_ and row.id not in found]
            found |= {row.id: row for row in rows}
            next_ = {row.network for row in rows}
        return list(found.values())


class Networks:
    """Puts and drops networks, one at a time in this process."""

    def __init__(self, records: Records) -> None:
        self._records, self._lock = records, scheduling.lock()

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
            self._write(view, name, network, [*blocks, *chosen], vrf, moved)
            return network

    def drop(self, name: str) -> None:
        """See Ipam.drop_network."""
        with self._lock:
            view = self.view()
            before = view.of(name)
            ranges = [one for one in view.ranges if one.owner is not None and one.network == name]
            _refuse_children(view, name, "cannot be dropped")
            held = self._records.addresses(**{f"cf_{NETWORK}": name}) if before else []
            if held := [row for row in held if row.network == name]:
                raise Conflict(f"network {name} is in use: {_named(held)}; release that first")
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
            _refuse_children(view, name, "cannot stop being a container")
        for block in blocks:
            if other := _overlapping(view, name, network, block):
                also = f", also a child of {network.parent}" if network.parent is not None else ""
                raise Conflict(
                    f"network {name}: prefix {block.cidr} overlaps {other.block.cidr} of network {other.network}{also}"
                )
            if twin := _twin(view, name, network, block):
                raise Conflict(
                    f"network {name}: {block.cidr} is the prefix of network {twin.network} ({twin.url}); NetBox keeps "
                    "no two that are the same"
                )
            if network.parent is not None:
                self._refuse_outside(view, name, network.parent, block)
                taken = self._peoples(view, network.parent, vrf)
                if hit := next((url for part, url in taken if _touch(part, (block.lo, block.hi))), None):
                    raise Conflict(
                        f"network {name}: prefix {block.cidr} overlaps a prefix that is NetBox's own ({hit})"
                    )
        for row in view.below(name) if network.namespace != (before[0].namespace if before else "") else ():
            if twin := _twin(view, row.network, network, row.block):
                raise Conflict(
                    f"network {name}: {row.block.cidr} of {row.network}, below it, is in namespace "
                    f"{network.namespace!r} already, of network {twin.network} ({twin.url})"
                )

    def _refuse_outside(self, view: NetboxView, name: str, parent: str, block: Block) -> None:
        above = [row.block for row in view.of(parent)]
        what = f"network {name}: prefix {block.cidr}"
        around = next((one for one in above if one.lo <= block.lo and block.hi <= one.hi), None)
        if around is None:
            prefixes = ", ".join(one.cidr for one in above) or "none"
            raise Conflict(f"{what} is not within its parent {parent}, whose prefixes are: {prefixes}")
        if subtract([(block.lo, block.hi)], around.usable):
            raise Conflict(f"{what} has a part that is reserved in its parent {parent}")

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
                f"network {name} cannot become a container, which holds no addresses: {_named(held)}; release that "
                "first"
            )
        usable = joined(part for block in blocks for part in block.usable)
        if lost := [row for row in held if subtract([(row.number, row.number)], usable)]:
            raise Conflict(
                f"network {name}: {_named(lost)} would be outside of its prefixes or reserved; release that first, or "
                "keep the prefix as it is"
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
                f"network {name}: {words} would not be whole in one of its prefixes, or reserved; drop that child "
                "first, or keep the prefix as it is"
            )
        if not blocks:
            raise Rejected(f"network {name}: NetBox keeps a network as its prefixes, and this has none; declare one")

    # Writing

    def _write(
        self,
        view: NetboxView,
        name: str,
        network: IpamNetwork,
        blocks: Sequence[Block],
        vrf: int | None,
        moved: Sequence[PrefixRow],
    ) -> None:
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
                f"network {name}: {refused}; it may be there already, made by hand or by another fleet"
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
        in_the_way = [one for one in stale if one.vrf == vrf and any(_touch(one.interval, part) for part in wanted)]
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
                    f"network {name}: {refused}; a range made by hand may be in the way: mark it as populated, or take "
                    "it away"
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
            other = _overlapping(NetboxView([*around, *within], []), name, network, block)
            if other is not None:
                if made:
                    self._records.wire.delete(PREFIXES, [{"id": id_} for id_ in made])
                raise Busy(
                    f"network {name}: {other.network} took {other.block.cidr} at the same time, which overlaps "
                    f"{block.cidr}; nothing of it was kept"
                )


def _below(view: NetboxView, name: str, wanted: IpamNetwork) -> IpamNetwork:
    """What is wanted, in its parent's namespace. Raises Rejected for a parent that cannot be one."""
    if wanted.parent is None:
        return wanted
    above = view.of(wanted.parent)
    if not above:
        raise Rejected(f"network {name}: its parent {wanted.parent} is not in the IPAM; put it there first")
    if wanted.parent == name or wanted.parent in {row.network for row in view.below(name)}:
        raise Rejected(f"network {name}: its parent {wanted.parent} is itself within it")
    if not above[0].container:
        raise Rejected(f"network {name}: its parent {wanted.parent} is no container, as addresses are taken from it")
    namespace = above[0].namespace
    if wanted.namespace not in ("", namespace):
        raise Rejected(
            f"network {name}: it is to be in namespace {wanted.namespace!r}, and its parent {wanted.parent} is in "
            f"{namespace!r}; leave the namespace out, or take a parent in it"
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
        if fits and not any(_touch((one.lo, one.hi), (old.lo, old.hi)) for one in blocks):
            kept[old.family] = parse_prefix(Prefix(old.cidr), container=container)
    return dict(sorted(kept.items()))


def _with(network: IpamNetwork, blocks: Sequence[Block]) -> IpamNetwork:
    return msgspec.structs.replace(network, prefixes=tuple(block.prefix for block in blocks))


def _overlapping(view: NetboxView, name: str, network: IpamNetwork, block: Block) -> PrefixRow | None:
    """Another network's prefix that the block overlaps: a sibling's, or one of the same namespace."""
    for row in view.rows:
        same = row.parent == network.parent and (network.parent is not None or row.namespace == network.namespace)
        if same and row.network != name and _touch((row.block.lo, row.block.hi), (block.lo, block.hi)):
            return row
    return None


def _twin(view: NetboxView, name: str, network: IpamNetwork, block: Block) -> PrefixRow | None:
    """The prefix of another network that is the same, of which NetBox keeps one a VRF, however far apart they are."""
    others = (row for row in view.rows if row.network != name and row.namespace == network.namespace)
    return next((row for row in others if row.block.cidr == block.cidr), None)


def _refuse_children(view: NetboxView, name: str, what: str) -> None:
    children = sorted({row.network for row in view.children(name)})
    if children:
        words = listed(children[:MAX_NAMED], len(children))
        raise Conflict(
            f"network {name} {what}: {words} are children of it; drop them first, or give them another parent"
        )


def _none_free(parent: str, family: int, length: int, parts: Sequence[Interval]) -> Exhausted:
    counts: dict[int, int] = {}
    for part in parts:
        counts[prefix_length(*part)] = counts.get(prefix_length(*part), 0) + 1
    free = ", ".join(f"{count} of /{size}" for size, count in sorted(counts.items()))
    return Exhausted(
        f"network {parent} has no free IPv{family} block of /{length} for a child; free are: {free or 'none'}; drop a "
        "child, ask for a smaller prefix, or add a prefix"
    )


def _named(held: Sequence[AddressRow]) -> str:
    ordered = sorted(held, key=lambda row: row.number)
    return listed([f"{text_of(row.number)} by {row.owner}" for row in ordered[:MAX_NAMED]], len(ordered))


def _touch(one: Interval, other: Interval) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


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

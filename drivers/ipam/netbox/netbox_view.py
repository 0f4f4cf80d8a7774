"""The fleet's networks in NetBox as of one moment, and what in them would be in the way of a change. Pure."""

from __future__ import annotations

import msgspec

from drivers.base import Conflict, IpamNetwork
from drivers.ipam.addresses import Block, Interval
from drivers.ipam.netbox.netbox_rows import PrefixRow, RangeRow
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


def overlapping(view: NetboxView, name: str, network: IpamNetwork, block: Block) -> PrefixRow | None:
    """Another network's prefix that the block overlaps: a sibling's, or one of the same namespace."""
    for row in view.rows:
        same = row.parent == network.parent and (network.parent is not None or row.namespace == network.namespace)
        if same and row.network != name and intervals_overlap((row.block.lo, row.block.hi), (block.lo, block.hi)):
            return row
    return None


def twin_of(view: NetboxView, name: str, network: IpamNetwork, block: Block) -> PrefixRow | None:
    """The prefix of another network that is the same, of which NetBox keeps one a VRF, however far apart they are."""
    others = (row for row in view.rows if row.network != name and row.namespace == network.namespace)
    return next((row for row in others if row.block.cidr == block.cidr), None)


def refuse_children(view: NetboxView, name: str, what: str) -> None:
    """Raise Conflict, naming them, where the network has children. `what`: what it cannot do with them."""
    children = sorted({row.network for row in view.children(name)})
    if children:
        words = listed(children[:MAX_NAMED], len(children))
        raise Conflict(
            f"network {name} {what}: {words} are its child networks; delete these networks first, or give these "
            "networks another parent"
        )


def intervals_overlap(one: Interval, other: Interval) -> bool:
    """Whether two intervals have an address in common."""
    return one[0] <= other[1] and other[0] <= one[1]

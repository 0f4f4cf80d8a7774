"""What must hold of a fleet's objects in NetBox, which people may edit, and which NetBox does not keep consistent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

from drivers.ipam.addresses import subtract, text_of
from drivers.ipam.hints import RELEASE_ADDRESS, apply_again
from drivers.ipam.netbox.netbox_records import ADDRESSES, DATA, OWNER, PREFIXES, RANGES, Records
from drivers.ipam.netbox.netbox_rows import AddressRow, PrefixRow
from drivers.ipam.netbox.netbox_view import NetboxView
from drivers.ipam.netbox.netbox_wire import NetboxRefused


def check_netbox(records: Records, view: NetboxView) -> list[str]:
    """See Ipam.check."""
    held = records.addresses()
    return [
        *_half_marked(records),
        *_of_prefixes(view.rows),
        *_of_networks(view),
        *_of_addresses(view, held),
    ]


def _half_marked(records: Records) -> Iterator[str]:
    """The tag without an owner, and the other way round."""
    for path in (PREFIXES, RANGES, ADDRESSES):
        try:
            tagged = records.wire.all(path, tag=records.fleet)
        except NetboxRefused:
            # There is no such tag, so it is on nothing.
            tagged = []
        for record in tagged:
            if records.owner_of(record) is None:
                yield (
                    f"{_named(record)} has the tag {records.fleet}, but no owner of that fleet in {OWNER}; "
                    "groundstate ignores the object. Remove the tag"
                )
        for record in records.wire.all(path, **{f"cf_{OWNER}__isw": f"{records.fleet}:"}):
            if records.owner_of(record) is not None and not records.is_tagged(record):
                yield (
                    f"{_named(record)} has the owner {records.owner_of(record)}, but not the tag "
                    f"{records.fleet}; groundstate ignores the object. Add the tag, or clear {OWNER}"
                )


def _of_prefixes(rows: Sequence[PrefixRow]) -> Iterator[str]:
    places: dict[tuple[str, str | None], list[PrefixRow]] = defaultdict(list)
    for row in rows:
        places["" if row.parent else row.namespace, row.parent].append(row)
    for siblings in places.values():
        ordered = sorted(siblings, key=lambda row: row.block.lo)
        for one, other in pairwise(ordered):
            if other.block.lo <= one.block.hi:
                yield (
                    f"{one.block.cidr} of network {one.network} ({one.url}) and {other.block.cidr} of network "
                    f"{other.network} ({other.url}) overlap; in git, give one of the networks "
                    "other prefixes, or remove it if none of its addresses is in use"
                )
    for row in rows:
        missing = set(row.declared.prefix.reserved) - set(row.block.prefix.reserved)
        if missing:
            yield (
                f"{', '.join(sorted(missing))} of {row.block.cidr} is reserved in network {row.network}, and NetBox "
                "has no IP range there on which 'Mark Populated' is set; "
                f"{apply_again('network', row.network)}"
            )


def _of_networks(view: NetboxView) -> Iterator[str]:
    networks: dict[str, list[PrefixRow]] = defaultdict(list)
    for row in view.rows:
        networks[row.network].append(row)
    for name, rows in networks.items():
        for one, other in combinations(rows[:1] + rows[-1:], 2):
            said = [(r.parent, r.vrf, r.container, r.shared, r.project) for r in (one, other)]
            if said[0] != said[1]:
                yield (
                    f"the prefixes of network {name} ({one.url}, {other.url}) do not agree; in NetBox, "
                    f"make VRF, status, tenant and {DATA} of the prefixes equal, as the document declares"
                )
        yield from _of_child(view, name, rows)


def _of_child(view: NetboxView, name: str, rows: Sequence[PrefixRow]) -> Iterator[str]:
    parent = rows[0].parent
    if parent is None:
        return
    above = view.of(parent)
    for row in rows:
        if not any(a.vrf == row.vrf and a.block.lo <= row.block.lo and row.block.hi <= a.block.hi for a in above):
            yield (
                f"{row.block.cidr} of network {name} ({row.url}) is not within its parent {parent}; change the "
                "parent back, or give the network another prefix"
            )


def _of_addresses(view: NetboxView, held: Sequence[AddressRow]) -> Iterator[str]:
    owners: dict[str, AddressRow] = {}
    places: dict[tuple[int | None, int], AddressRow] = {}
    for row in held:
        owner = str(row.owner)
        what = f"{text_of(row.number)} of {owner} ({row.url})"
        if (twin := owners.setdefault(owner, row)) is not row:
            also = f"the same owner also has {text_of(twin.number)} ({twin.url})"
            yield f"{what}: {also}; delete one of the two objects in NetBox"
        if (twin := places.setdefault((row.vrf, row.number), row)) is not row:
            yield f"{what}: {twin.owner} has the same address ({twin.url}); delete one of the two objects in NetBox"
        mine = view.of(row.network)
        around = next((p for p in mine if p.vrf == row.vrf and p.block.lo <= row.number <= p.block.hi), None)
        if around is None:
            yield (
                f"{what} is outside of network {row.network or '(none)'}, to which the address is assigned; "
                f"{RELEASE_ADDRESS}"
            )
        elif around.container:
            yield (
                f"{what} is in network {row.network}, which is a container and must hold no addresses; "
                f"{RELEASE_ADDRESS}"
            )
        elif subtract([(row.number, row.number)], around.declared.usable):
            yield f"{what} is reserved in network {row.network}; {RELEASE_ADDRESS}, or reserve fewer addresses"


def _named(record: dict[str, object]) -> str:
    return f"{record.get('display') or 'an object'} ({record.get('display_url') or record.get('url')})"

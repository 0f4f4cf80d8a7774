"""Every rule of the embedded IPAM's tables, verified from what is declared and held.

The free space is computed from the rest, so an error in it is corrected by computing it again (`rebuild`). One in what
is declared or held needs a person. Runs inside the caller's transaction, in which nothing changes. It reads all there
is: half a minute for a million addresses and a hundred thousand children."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any

import msgspec

from drivers.base import About, IpamNetwork, Rejected
from drivers.ipam.addresses import (
    BITS,
    Block,
    Interval,
    aligned,
    cidr_of,
    joined,
    parse_prefix,
    size,
    subtract,
    text_of,
)
from drivers.ipam.embedded.embedded_pools import pool_block, pool_usable
from drivers.ipam.hints import RELEASE_ADDRESS, apply_again
from drivers.ipam.rows import MAX_NAMED, listed, prefix_of, refill, scope_of
from drivers.ipam.statements import Run

REBUILD = "rebuild the free space: `groundstate ipam check --rebuild`"

_NETWORKS = "SELECT name, parent, namespace, container FROM ipam_network ORDER BY name"
_PREFIXES = "SELECT id, network, family, scope, cidr, lo, hi, declared FROM ipam_prefix ORDER BY network, position, id"

_Span = tuple[int, int, str]
"""From, to, and who has it."""


class Stored(msgspec.Struct):
    """A prefix, and all the rows that hang on it."""

    id: int
    network: str
    family: int
    scope: str
    block: Block
    free: list[Interval] = []
    blocks: list[tuple[int, int]] = []
    """Length, and where it begins."""
    held: list[tuple[int, str]] = []
    """Address and owner."""

    @property
    def name(self) -> str:
        """For people."""
        if self.family == 0:
            return f"pool {self.network[1:]}"
        return f"prefix {self.block.cidr} of network {self.network}"


def verify_tables(run: Run) -> list[str]:
    """All errors, each in a sentence with a hint."""
    networks = _networks(run)
    wrong = list(_tree(networks))
    prefixes = _read(run, networks, wrong)
    children: dict[str, list[_Span]] = defaultdict(list)
    for one in prefixes:
        if one.scope.startswith("/"):
            children[one.scope[1:]].append((one.block.lo, one.block.hi, one.network))
    wrong += _scopes(networks, prefixes)
    wrong += _inside(networks, prefixes)
    for one in prefixes:
        container = one.network in networks and networks[one.network].container
        wrong += _container(one, children[one.network]) if container else _plain(one)
    return wrong


def rebuild(run: Run) -> None:
    """Compute the free space again, and the scope of each prefix. Rows that cannot be read are left unchanged."""
    networks = _networks(run)
    for one in _read(run, networks, []):
        network = networks.get(one.network)
        if network is None:
            continue
        if one.family != 0:
            run("UPDATE ipam_prefix SET scope = ? WHERE id = ?", scope_of(network), one.id)
        if network.container:
            statement = """
                SELECT p.lo, p.hi FROM ipam_prefix p JOIN ipam_network n ON n.name = p.network
                WHERE n.parent = ? AND p.lo >= ? AND p.hi <= ?
            """
            found = run(statement, one.network, one.block.lo.to_bytes(16), one.block.hi.to_bytes(16)).fetchall()
            taken = [(int.from_bytes(lo), int.from_bytes(hi)) for lo, hi in found]
        else:
            taken = [(address, address) for address, _ in one.held]
        refill(run, one.id, one.block, joined(taken), container=network.container)


def _networks(run: Run) -> dict[str, IpamNetwork]:
    return {
        name: IpamNetwork(parent=parent, namespace=namespace, container=bool(container))
        for name, parent, namespace, container in run(_NETWORKS).fetchall()
    }


def _tree(networks: dict[str, IpamNetwork]) -> Iterator[str]:
    """Parents are containers, in the same namespace, and no network is its own ancestor."""
    for name, network in networks.items():
        if network.parent is None:
            continue
        parent = networks.get(network.parent)
        if parent is None:
            yield (
                f"network {name} is a child of {network.parent}, which does not exist; declare "
                f"Network/{network.parent}, or give the network another parent"
            )
            continue
        if not parent.container:
            yield (
                f"network {name} is a child of {network.parent}, which is not a container; delete the network, "
                "or give the network another parent"
            )
        if parent.namespace != network.namespace:
            yield (
                f"network {name} is in namespace {network.namespace!r}, and its parent {network.parent} in "
                f"{parent.namespace!r}; {apply_again('network', name)}"
            )
        above, seen = network, {name}
        while above.parent in networks and above.parent not in seen:
            seen.add(above.parent)
            above = networks[above.parent]
        if above.parent == name:
            yield (
                f"network {name} is below itself in the tree, through its parent {network.parent}; give the "
                "network another parent"
            )


def _read(run: Run, networks: dict[str, IpamNetwork], wrong: list[str]) -> list[Stored]:
    """All prefixes with their rows. What cannot be read, or hangs on nothing, is reported in `wrong`."""
    found: dict[int, Stored] = {}
    unread: set[int] = set()
    for record in run(_PREFIXES).fetchall():
        try:
            found[record[0]] = _stored(networks, wrong, *record)
        except (Rejected, msgspec.MsgspecError, ValueError) as error:
            unread.add(record[0])
            wrong.append(f"a prefix of network {record[1]} cannot be read ({error}); restore the store from a backup")
    lost: dict[tuple[str, int], int] = defaultdict(int)

    def of(what: str, prefix: int) -> Stored | None:
        if prefix not in found and prefix not in unread:
            lost[what, prefix] += 1
        return found.get(prefix)

    for prefix, lo, hi in run("SELECT prefix, lo, hi FROM ipam_free"):
        if one := of("free intervals", prefix):
            one.free.append((int.from_bytes(lo), int.from_bytes(hi)))
    for prefix, length, lo in run("SELECT prefix, length, lo FROM ipam_block"):
        if one := of("free blocks", prefix):
            one.blocks.append((length, int.from_bytes(lo)))
    for prefix, address, owner, about in run("SELECT prefix, address, owner, about FROM ipam_allocation"):
        if one := of("allocations", prefix):
            one.held.append((int.from_bytes(address), owner))
        if about is not None and not _readable(about):
            wrong.append(
                f"the description of the address of {owner} cannot be read ({about!r}); restore the store from a backup"
            )
    for (what, prefix), count in sorted(lost.items()):
        wrong.append(
            f"{count} {what} refer to prefix row {prefix}, which does not exist; restore the store from a backup"
        )
    return list(found.values())


def _stored(
    networks: dict[str, IpamNetwork],
    wrong: list[str],
    id_: int,
    network: str,
    family: int,
    scope: str,
    cidr: str,
    lo: bytes,
    hi: bytes,
    text: str | None,
) -> Stored:
    if family == 0:
        return Stored(id_, network, family, scope, pool_block(pool_usable(str(text))))
    container = network in networks and networks[network].container
    block = parse_prefix(prefix_of(lo, hi, text), container=container)
    stands = (int.from_bytes(lo), int.from_bytes(hi), family, block.cidr)
    said = (block.lo, block.hi, block.family, parse_prefix(prefix_of(lo, hi, None)).cidr)
    if stands != said or parse_prefix(msgspec.structs.replace(block.prefix, cidr=cidr, reserved=())).cidr != block.cidr:
        wrong.append(
            f"prefix {block.cidr} of network {network} is stored as {cidr} in IPv{family}, "
            f"{cidr_of(*stands[:2])} by its ends; restore the store from a backup"
        )
    return Stored(id_, network, family, scope, block)


def _readable(about: str) -> bool:
    try:
        msgspec.json.decode(about, type=About)
    except msgspec.MsgspecError:
        return False
    return True


def _scopes(networks: dict[str, IpamNetwork], prefixes: Sequence[Stored]) -> Iterator[str]:
    """Each prefix is in its network's scope, and no two of one overlap."""
    spans: dict[str, list[_Span]] = defaultdict(list)
    pools = [one.network for one in prefixes if one.family == 0]
    for one in prefixes:
        if one.network not in networks:
            yield f"{one.name} belongs to a network that does not exist; restore the store from a backup"
        elif one.family == 0:
            if one.scope != one.network or not one.network.startswith("#") or pools.count(one.network) > 1:
                yield f"{one.name} is stored in more than one row; restore the store from a backup"
        elif one.scope != scope_of(networks[one.network]):
            yield f"{one.name} is in scope {one.scope!r}, not {scope_of(networks[one.network])!r}; {REBUILD}"
        if one.family != 0:
            spans[one.scope].append((one.block.lo, one.block.hi, one.name))
    for scope in sorted(spans):
        for one, other in _overlapping(spans[scope]):
            yield (
                f"{one} overlaps {other} in the same namespace; delete one of the two networks, or change its prefixes"
            )
    yield from (
        f"pool {name[1:]} has no row of numbers; {apply_again('pool', name[1:])}"
        for name in networks
        if name.startswith("#") and name not in pools
    )


def _inside(networks: dict[str, IpamNetwork], prefixes: Sequence[Stored]) -> Iterator[str]:
    """Each child is whole within a prefix of its parent."""
    places: dict[str, list[Interval]] = defaultdict(list)
    for one in prefixes:
        places[one.network] += one.block.usable
    for one in prefixes:
        parent = networks[one.network].parent if one.network in networks else None
        if parent is not None and not any(
            lo <= one.block.lo and one.block.hi <= hi for lo, hi in _near(places[parent], one.block.lo)
        ):
            yield (
                f"{one.name} is not completely inside a prefix of its parent {parent}, or is reserved "
                f"there; delete the network, or change the prefixes of its parent"
            )


def _near(places: Sequence[Interval], lo: int) -> Iterable[Interval]:
    return (place for place in places if place[0] <= lo <= place[1])


def _plain(one: Stored) -> Iterator[str]:
    """What is free and held is together what may be handed out, and each address is there once."""
    if one.blocks:
        yield f"{one.name} is not a container, but has free blocks as if it were one; {REBUILD}"
    held = sorted((address, address, f"held by {_owner(one, owner)}") for address, owner in one.held)
    free = sorted((lo, hi, "free") for lo, hi in one.free)
    yield from _free(one, free, joined((lo, hi) for lo, hi in one.free))
    for (lo, _, first), (_, _, second) in _overlapping([*held, *free], whole=True):
        if (first, second) != ("free", "free"):
            yield f"{_text(one, lo)} of {one.name} is {first} and {second}; {REBUILD}"
    for lo, hi, who in held:
        if subtract([(lo, hi)], one.block.usable):
            yield f"{_text(one, lo)} is {who}, but is outside of {one.name}, or is reserved there; {RELEASE_ADDRESS}"
    yield from _lost(one, [*held, *free])


def _container(one: Stored, children: Sequence[_Span]) -> Iterator[str]:
    """Free blocks and children make up the container, and no two free blocks are one."""
    if one.free:
        yield f"{one.name} is a container, but has free intervals as if it had addresses; {REBUILD}"
    for address, owner in sorted(one.held)[:MAX_NAMED]:
        yield (
            f"{_text(one, address)} is held by {_owner(one, owner)} in {one.name}, which is a container and "
            f"must hold no addresses; {RELEASE_ADDRESS}"
        )
    bits = BITS[one.family]
    odd = [(length, lo) for length, lo in one.blocks if not 0 <= length <= bits or lo % (1 << bits - length)]
    for length, lo in sorted(odd)[:MAX_NAMED]:
        yield (
            f"the free block {_text(one, lo)}/{length} of {one.name} does not begin where a block of this length can; "
            f"{REBUILD}"
        )
    sound = [block for block in one.blocks if block not in odd]
    free = sorted((lo, lo + (1 << bits - length) - 1, "free") for length, lo in sound)
    parts = joined((lo, hi) for lo, hi, _ in free)
    yield from _free(one, [], parts)
    for length, lo in sorted(sound):
        buddy = lo ^ (1 << bits - length)
        if lo < buddy and (length, buddy) in set(sound) and length > bits - (one.block.hi - one.block.lo).bit_length():
            halves = f"{_text(one, lo)}/{length} of {one.name} and the block beside this block"
            yield f"{halves} are free as two blocks, not one; {REBUILD}"
    here = [(lo, hi, f"in {child}") for lo, hi, child in children if one.block.lo <= lo and hi <= one.block.hi]
    for (lo, _, first), (_, _, second) in _overlapping([*here, *free], whole=True):
        if "free" in (first, second):
            yield f"{_text(one, lo)} of {one.name} is {first} and {second}; {REBUILD}"
    yield from _lost(one, [*here, *free])


def _free(one: Stored, free: Sequence[_Span], parts: Sequence[Interval]) -> Iterator[str]:
    """What is free is in runs that do not touch, and within what may be handed out."""
    for (lo, hi, _), (after, _, _) in pairwise(free):
        if lo <= after <= hi + 1:
            yield f"free intervals of {one.name} touch or overlap at {_text(one, after)}; {REBUILD}"
    for lo, hi in subtract(parts, one.block.usable)[:MAX_NAMED]:
        yield f"{_part(one, lo, hi)} is stored as free, but is outside of {one.name}, or is reserved there; {REBUILD}"


def _lost(one: Stored, spans: Iterable[_Span]) -> Iterator[str]:
    lost = subtract(one.block.usable, joined((lo, hi) for lo, hi, _ in spans))
    if lost:
        words = listed([_part(one, lo, hi) for lo, hi in lost[:MAX_NAMED]], len(lost))
        yield f"{size(lost)} of {one.name} are neither free nor held: {words}; {REBUILD}"


def _overlapping(spans: Sequence[_Span], *, whole: bool = False) -> Iterator[tuple[Any, Any]]:
    """Neighbours that overlap: their names, or the spans."""
    ordered = sorted(spans, key=itemgetter(0))
    reach: _Span | None = None
    for span in ordered:
        if reach is not None and span[0] <= reach[1]:
            yield ((span[0], span[1], reach[2]), span) if whole else (reach[2], span[2])
        if reach is None or span[1] > reach[1]:
            reach = span


def _owner(one: Stored, owner: str) -> str:
    return owner[1:] if one.family == 0 else owner


def _text(one: Stored, number: int) -> str:
    return str(number) if one.family == 0 else text_of(number)


def _part(one: Stored, lo: int, hi: int) -> str:
    if lo == hi or one.family == 0:
        return _text(one, lo) if lo == hi else f"{lo}-{hi}"
    return (
        ", ".join(cidr_of(*part) for part in aligned([(lo, hi)])[:1])
        if len(aligned([(lo, hi)])) == 1
        else (f"{text_of(lo)}-{text_of(hi)}")
    )

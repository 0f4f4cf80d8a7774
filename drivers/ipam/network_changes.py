"""How a network changes: its attributes, its place below a parent, and its prefixes under what is held in them.

Runs inside the caller's transaction, in which no other process changes any network. A refusal raises, and the
transaction is rolled back with all earlier changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec

from drivers.base import Conflict, Exhausted, IpamNetwork, Prefix, Rejected
from drivers.ipam import blocks as buddies
from drivers.ipam.addresses import BITS, Block, Interval, cidr_of, parse_prefix, prefix_length
from drivers.ipam.hints import RELEASE_ADDRESSES
from drivers.ipam.prefix_changes import rewrite
from drivers.ipam.rows import MAX_NAMED, NetworkRows, find_network, holders_within, listed, named_holders, scope_of
from drivers.ipam.statements import Run, plain_name

_MOVE_ALL_BELOW = """
    WITH RECURSIVE below (name) AS (
        SELECT name FROM ipam_network WHERE parent = ?
        UNION ALL SELECT n.name FROM ipam_network n JOIN below b ON n.parent = b.name)
    UPDATE ipam_network SET namespace = ? WHERE name IN (SELECT name FROM below)
"""


def put_network(
    run: Run, name: str, wanted: IpamNetwork, blocks: Sequence[Block], lengths: Mapping[int, int]
) -> IpamNetwork:
    """See Ipam.put_network; `blocks` are those of the prefixes that are wanted."""
    before = find_network(run, name)
    network = _below(run, name, wanted)
    if before and before.network.container and not network.container:
        _refuse_children(run, name, "cannot stop being a container")
    kept = _kept(before, blocks, lengths, container=network.container)
    have = before.network if before else None
    if have == _with(network, [*blocks, *kept.values()]) and len(kept) == len(lengths):
        return have
    _write_network(run, name, network, have)
    staying = _leave(run, before, network, {block.cidr for block in [*blocks, *kept.values()]})
    for block in blocks:
        if block.cidr not in staying:
            _claim(run, name, network, block)
    chosen = [_chosen(run, network, f, length, kept.get(f), staying) for f, length in sorted(lengths.items())]
    network = _with(network, [*blocks, *chosen])
    rewrite(run, name, before, network, [*blocks, *chosen])
    return network


def drop(run: Run, name: str) -> None:
    """See Ipam.drop_network."""
    before = find_network(run, name)
    if before is None:
        return
    _refuse_children(run, name, "cannot be deleted")
    held = holders_within(run, name)
    if held:
        total = run(
            "SELECT count(*) FROM ipam_allocation a JOIN ipam_prefix p ON p.id = a.prefix WHERE p.network = ?", name
        ).fetchone()[0]
        raise Conflict(f"network {name} is in use: {named_holders(held, total)}; {RELEASE_ADDRESSES}")
    run("DELETE FROM ipam_network WHERE name = ?", name)
    for row in before.rows if before.network.parent is not None else ():
        buddies.release_block(run, str(before.network.parent), (row.block.lo, row.block.hi))


def check_wanted(name: str, wanted: IpamNetwork, lengths: Mapping[int, int]) -> list[Block]:
    """The blocks of the prefixes. Raises Rejected for what cannot be, and Conflict when two of them overlap."""
    plain_name("a network", name)
    if wanted.parent is not None:
        plain_name("a parent", wanted.parent)
    for text in (wanted.namespace, wanted.project):
        if not text.isprintable():
            raise Rejected(
                f"network {name}: {text!r} is not a valid name for a namespace or a project; write printable text"
            )
    if lengths and wanted.parent is None:
        raise Rejected(
            f"network {name} has no prefix, and no parent from which to choose a prefix; set spec.parent or "
            "spec.prefixes"
        )
    for family, length in lengths.items():
        if family not in BITS or isinstance(length, bool) or not isinstance(length, int):
            raise Rejected(
                f"network {name}: the prefix length {length!r} for IPv{family} cannot be used; write a whole number, "
                "for IPv4 or IPv6"
            )
        if not 0 < length <= BITS[family]:
            raise Rejected(f"network {name}: an IPv{family} prefix has a length of 1 to {BITS[family]}, not {length}")
    blocks = [parse_prefix(prefix, container=wanted.container) for prefix in wanted.prefixes]
    ordered = sorted(blocks, key=lambda block: block.lo)
    for one, other in pairwise(ordered):
        if other.lo <= one.hi:
            raise Conflict(f"network {name}: its prefixes {one.cidr} and {other.cidr} overlap; change one of the two")
    return blocks


def _below(run: Run, name: str, wanted: IpamNetwork) -> IpamNetwork:
    """What is wanted, in its parent's namespace. Raises Rejected for a parent that cannot be one."""
    if wanted.parent is None:
        return wanted
    above = run("SELECT container, namespace FROM ipam_network WHERE name = ?", wanted.parent).fetchone()
    if above is None:
        raise Rejected(
            f"network {name}: its parent {wanted.parent} is not in the IPAM; apply the document of the parent first"
        )
    if name in (wanted.parent, *_above(run, wanted.parent)):
        raise Rejected(f"network {name}: its parent {wanted.parent} is {name} or below {name}; choose another parent")
    if not above[0]:
        raise Rejected(
            f"network {name}: its parent {wanted.parent} is not a container: it has addresses, not child networks; "
            "choose another parent"
        )
    if wanted.namespace not in ("", above[1]):
        raise Rejected(
            f"network {name} is declared in namespace {wanted.namespace!r}, but its parent {wanted.parent} is in "
            f"{above[1]!r}; remove the namespace, or choose a parent in that namespace"
        )
    return msgspec.structs.replace(wanted, namespace=above[1])


def _above(run: Run, name: str) -> Iterator[str]:
    """The network's parent, its parent's, and so on."""
    at: str | None = name
    while at is not None:
        found = run("SELECT parent FROM ipam_network WHERE name = ?", at).fetchone()
        at = found[0] if found else None
        if at is not None:
            yield at


def _refuse_children(run: Run, name: str, what: str) -> None:
    found = run("SELECT name FROM ipam_network WHERE parent = ? ORDER BY name LIMIT ?", name, MAX_NAMED).fetchall()
    if found:
        total = run("SELECT count(*) FROM ipam_network WHERE parent = ?", name).fetchone()[0]
        words = listed([child for (child,) in found], total)
        raise Conflict(
            f"network {name} {what}: {words} are its child networks; delete these networks first, or give these "
            "networks another parent"
        )


def _kept(
    before: NetworkRows | None, blocks: Sequence[Block], lengths: Mapping[int, int], *, container: bool
) -> dict[int, Block]:
    """By family, the prefix of the wanted length that the network has already beside those that are declared."""
    kept: dict[int, Block] = {}
    for row in before.rows if before else ():
        old = row.block
        fits = lengths.get(old.family) == prefix_length(old.lo, old.hi) and old.family not in kept
        if fits and all(block.hi < old.lo or old.hi < block.lo for block in blocks):
            kept[old.family] = parse_prefix(Prefix(old.cidr), container=container)
    return dict(sorted(kept.items()))


def _with(network: IpamNetwork, blocks: Sequence[Block]) -> IpamNetwork:
    return msgspec.structs.replace(network, prefixes=tuple(block.prefix for block in blocks))


def _write_network(run: Run, name: str, network: IpamNetwork, before: IpamNetwork | None) -> None:
    values = (network.parent, network.namespace, int(network.container), int(network.shared), network.project)
    if before is None:
        statement = """
            INSERT INTO ipam_network (parent, namespace, container, shared, project, name) VALUES (?, ?, ?, ?, ?, ?)
        """
        run(statement, *values, name)
        return
    statement = """
        UPDATE ipam_network SET parent = ?, namespace = ?, container = ?, shared = ?, project = ? WHERE name = ?
    """
    run(statement, *values, name)
    if before.namespace != network.namespace:
        run(_MOVE_ALL_BELOW, name, network.namespace)


def _leave(run: Run, before: NetworkRows | None, network: IpamNetwork, wanted: set[str]) -> set[str]:
    """Give the former parent back what is not to stay; return what stays, in its parent or in its namespace."""
    if before is None:
        return set()
    same = scope_of(before.network) == scope_of(network)
    staying = {row.block.cidr for row in before.rows if same and row.block.cidr in wanted}
    for row in before.rows:
        if before.network.parent is not None and row.block.cidr not in staying:
            buddies.release_block(run, before.network.parent, (row.block.lo, row.block.hi))
    return staying


def _claim(run: Run, name: str, network: IpamNetwork, block: Block) -> None:
    """Take a declared prefix. Raises Conflict if another network has it, or a part of it."""
    part = (block.lo, block.hi)
    if network.parent is not None:
        if not buddies.cut(run, network.parent, part):
            raise _not_free(run, name, network, block)
    elif other := _overlapping(run, name, network, part):
        raise Conflict(f"network {name}: prefix {block.cidr} overlaps {other}; declare another prefix")


def _overlapping(run: Run, name: str, network: IpamNetwork, part: Interval) -> str | None:
    """The other network's prefix that overlaps it. As no two of a scope do, only the last that begins before its end
    can: one look-up."""
    statement = """
        SELECT network, lo, hi FROM ipam_prefix WHERE scope = ? AND lo <= ? AND network <> ? ORDER BY lo DESC LIMIT 1
    """
    found = run(statement, scope_of(network), part[1].to_bytes(16), name).fetchone()
    if found is None or int.from_bytes(found[2]) < part[0]:
        return None
    return f"{cidr_of(int.from_bytes(found[1]), int.from_bytes(found[2]))} of network {found[0]}"


def _not_free(run: Run, name: str, network: IpamNetwork, block: Block) -> Conflict:
    what, parent = f"network {name}: prefix {block.cidr}", str(network.parent)
    other = _overlapping(run, name, network, (block.lo, block.hi))
    if other:
        return Conflict(f"{what} overlaps {other}, also a child of {parent}; declare another prefix")
    above = find_network(run, parent)
    own = [row.block for row in above.rows] if above else []
    if any(one.lo <= block.lo and block.hi <= one.hi for one in own):
        return Conflict(f"{what} has a part that is reserved in its parent {parent}; declare another prefix")
    prefixes = ", ".join(one.cidr for one in own) or "none"
    return Conflict(f"{what} is not within its parent {parent} (prefixes: {prefixes}); declare another prefix")


def _chosen(run: Run, network: IpamNetwork, family: int, length: int, kept: Block | None, staying: set[str]) -> Block:
    """The prefix kept, if it stays or is free in the parent, or else one that is chosen. Raises Exhausted."""
    parent = str(network.parent)
    if kept is not None and (kept.cidr in staying or buddies.cut(run, parent, (kept.lo, kept.hi))):
        return kept
    part = buddies.choose_block(run, parent, family, length)
    if part is None:
        raise _none_free(run, parent, family, length)
    return parse_prefix(Prefix(cidr_of(*part)), container=network.container)


def _none_free(run: Run, parent: str, family: int, length: int) -> Exhausted:
    statement = """
        SELECT b.length, count(*) FROM ipam_block b JOIN ipam_prefix p ON p.id = b.prefix
        WHERE p.network = ? AND p.family = ? GROUP BY b.length ORDER BY b.length
    """
    free = ", ".join(f"{count} of /{size}" for size, count in run(statement, parent, family).fetchall())
    return Exhausted(
        f"network {parent} has no free IPv{family} block of /{length} for a child; free blocks: "
        f"{free or 'none'}; delete a child network, request a smaller prefix (spec.prefixLength), or add a prefix to "
        f"{parent}"
    )

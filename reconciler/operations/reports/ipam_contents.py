"""What the IPAM and the pools of numbers hold: how full they are, who holds what, whether they are sound, and copies.

Needs no git.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import msgspec

from drivers.base import Allocation, DriverError, IpamNetwork, IpamSettings, Number, Pool, Usage
from reconciler.kinds import find_kind
from reconciler.model.counting import count
from reconciler.model.event import Event, EventReason, EventType
from reconciler.observed.connections import Connections
from reconciler.operations.ipam_in_use import note_ipam_in_use
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.runtime import now
from reconciler.services.ipam_export import Copy, export_ipam, import_ipam
from reconciler.store import Store


class IpamUsage(msgspec.Struct, frozen=True):
    """Networks by name with their prefixes' usage, in order of address; pools, where all was asked for."""

    networks: dict[str, IpamNetwork]
    usage: tuple[Usage, ...]
    pools: dict[str, Pool]
    notes: tuple[str, ...] = ()


class Allocations(msgspec.Struct, frozen=True):
    """Addresses and numbers with their owners."""

    addresses: tuple[Allocation, ...]
    numbers: tuple[Number, ...]
    notes: tuple[str, ...] = ()


class IpamCheck(msgspec.Struct, frozen=True):
    """What is wrong, each in a sentence that says how to proceed; and how much was checked."""

    wrong: tuple[str, ...]
    networks: int
    addresses: int
    notes: tuple[str, ...] = ()


class IpamExport(msgspec.Struct, frozen=True):
    """A copy of everything."""

    copy: Copy
    notes: tuple[str, ...] = ()


class IpamImport(msgspec.Struct, frozen=True):
    """What was refused when it was tried, each in a sentence. Where anything was, nothing was changed."""

    refused: tuple[str, ...]
    notes: tuple[str, ...] = ()


@contextmanager
def _opened(at: Workspace, *, change: bool = False, create: bool = False) -> Iterator[tuple[Connections, Store]]:
    """IPAM and pools, and the store, whose ledger is to have what is changed."""
    with at.changing(create=create) if change else at.store() as store:
        try:
            yield at.connections(store), store
        except DriverError as error:
            raise OperationError(str(error), FailureReason.UNAVAILABLE) from error


def ipam_usage(where: Where, networks: Collection[str] = ()) -> IpamUsage:
    """How full prefixes and pools are: all, or these networks with their children. Raises OperationError."""
    with Workspace(where) as at, _opened(at) as (ways, _):
        known = ways.ipam.networks()
        if missing := [name for name in networks if name not in known]:
            why = f"the IPAM has no network {missing[0]!r}; `groundstate ipam usage` lists the networks"
            raise OperationError(why, FailureReason.NOT_FOUND)
        wanted = {n: one for n, one in known.items() if not networks or n in networks or one.parent in networks}
        usage = tuple(one for one in ways.ipam.usage() if one.network in wanted)
        return IpamUsage(wanted, usage, {} if networks else ways.pools.pools(), at.notes)


def ipam_allocations(where: Where, wanted: Collection[str] = ()) -> Allocations:
    """All that is held, or what is held in a network or pool, by an owner, or is the address or number that is named.

    A resource is named as everywhere: `ip/shop-front`, `network/shop`. Raises OperationError for what means nothing
    that is held.
    """
    with Workspace(where) as at, _opened(at) as (ways, _):
        addresses, numbers = ways.ipam.list(), ways.pools.numbers()
        if wanted:
            _refuse_unknown(wanted, addresses, numbers)
            words = {*map(_as_held, wanted)}
            addresses = [one for one in addresses if _words_of_address(one) & words]
            numbers = [one for one in numbers if _words_of_number(one) & words]
        return Allocations(tuple(addresses), tuple(numbers), at.notes)


def _as_held(word: str) -> str:
    """The word as owners and addresses are written in the IPAM: the kind's full name, the address in short form."""
    kind, slash, name = word.partition("/")
    if slash and (found := find_kind(kind)) is not None:
        return f"{found.name}/{name}"
    try:
        return str(ip_address(word))
    except ValueError:
        return word


def _words_of_address(one: Allocation) -> set[str]:
    return {one.owner, one.network, f"Network/{one.network}", one.address}


def _words_of_number(one: Number) -> set[str]:
    return {one.owner, one.pool, f"Pool/{one.pool}", str(one.number)}


def _refuse_unknown(wanted: Collection[str], addresses: Collection[Allocation], numbers: Collection[Number]) -> None:
    known = {text for one in addresses for text in _words_of_address(one)}
    known |= {text for one in numbers for text in _words_of_number(one)}
    if missing := [text for text in wanted if _as_held(text) not in known]:
        why = (
            f"{' or '.join(missing)} is not allocated; `groundstate ipam get` lists all allocations, and "
            "`groundstate ipam tree` lists the networks"
        )
        raise OperationError(why, FailureReason.NOT_FOUND)


def check_ipam(where: Where, *, rebuild: bool = False) -> IpamCheck:
    """Every rule of the IPAM verified; `rebuild`: the free space is computed again first. Raises OperationError."""
    with Workspace(where) as at, _opened(at, change=rebuild) as (ways, store):
        if rebuild:
            ways.ipam.rebuild()
            _record(where, store, EventReason.IPAM_REBUILT, "the free space was computed again")
        wrong = tuple(ways.ipam.check())
        return IpamCheck(wrong, len(ways.ipam.networks()), len(ways.ipam.list()), at.notes)


def copy_ipam(where: Where) -> IpamExport:
    """Networks, addresses, pools and numbers with their owners. Raises OperationError."""
    with Workspace(where) as at, _opened(at) as (ways, _):
        return IpamExport(export_ipam(ways.ipam, ways.pools), at.notes)


def merge_ipam(where: Where, copy: Copy, origin: str, *, dry_run: bool = False) -> IpamImport:
    """Add a copy, which came from `origin`, to the present contents, if all of it can be added. Raises OperationError.

    It is tried on a copy in memory first. Existing entries stay, so that the import can be repeated.
    """
    with Workspace(where) as at, _opened(at, change=not dry_run, create=True) as (ways, store):
        refused = _rehearse(copy, export_ipam(ways.ipam, ways.pools))
        if not refused and not dry_run:
            _record(where, store, EventReason.IPAM_IMPORTED, f"{counts_of(copy)} of {origin}")
            refused = import_ipam(copy, ways.ipam, ways.pools)
            note_ipam_in_use(where.ipam, store)
        return IpamImport(tuple(refused), at.notes)


def counts_of(copy: Copy) -> str:
    """How much is in it."""
    addresses = count(len(copy.addresses), "address", "addresses")
    return f"{count(len(copy.networks), 'network')}, {addresses}, {count(len(copy.numbers), 'number')}"


def _record(where: Where, store: Store, reason: EventReason, message: str) -> None:
    store.append([Event(at=now(), type=EventType.NORMAL, reason=reason, message=message, by=where.by("ipam"))])


def _rehearse(copy: Copy, present: Copy) -> list[str]:
    """What would be refused, found on an IPAM in memory with the present contents."""
    from drivers.registry import Registry
    from reconciler.store import Store

    store = Store.open("sqlite://")
    try:
        registry = Registry()
        ipam, pools = registry.open_ipam(IpamSettings(), store.engine), registry.open_pools(store.engine)
        return import_ipam(present, ipam, pools) or import_ipam(copy, ipam, pools)
    finally:
        store.close()

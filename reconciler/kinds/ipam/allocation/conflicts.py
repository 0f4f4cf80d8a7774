"""Which owner holds the address, number or prefix that a document requests, and whether it will be released. Pure.

An IPAM gives nothing to two, and refuses the second. All that the IPAM holds was read for the plan. So the plan reports
the conflict beforehand, names the holder, and waits only for a holder that releases the value."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import msgspec

from drivers.base import IpamNetwork, Prefix
from reconciler.kinds.claim.spec import display_key, of_claim
from reconciler.kinds.common.field_types.fields import FAMILIES, DeletionPolicy
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.ipam.intervals import overlap
from reconciler.kinds.ipam.ipaddress import AddressState, AddressType, IPAddressSpec, machine_gone
from reconciler.kinds.ipam.network import (
    NetworkSpec,
    NetworkState,
    chosen_lengths,
    family_and_length,
    family_of,
    is_prefix_within,
    parent_of,
    wanted_network,
)
from reconciler.kinds.ipam.pool import NumberState
from reconciler.kinds.ipam.renamed_addresses import goes_to
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import ResourceKey

_TAKEN = "taken"

_Item = Hashable
"""An address in a namespace, or a number of a pool."""


class ConflictVerdict(msgspec.Struct, frozen=True):
    """Who holds what is asked for. `goes`: the holder releases it; `swaps`: as soon as the requesting resource releases
    its own value."""

    holder: ResourceKey
    goes: bool = False
    swaps: bool = False


class Room(msgspec.Struct, frozen=True):
    """Who holds which item. Who asks for another than it holds, and for which (None: for any). The resources that
    release their value and request none."""

    owners: Mapping[Any, ResourceKey]
    wants: Mapping[ResourceKey, _Item | None]
    leaves: frozenset[ResourceKey]

    def verdict(self, key: ResourceKey, item: _Item) -> ConflictVerdict | None:
        """Who holds the item that the key asks for; None when it is free. A holder that moves releases its value if its
        new value is free, or will be released in turn."""
        first = self.owners.get(item)
        if first is None or first == key:
            return None
        passed, at = [key], first
        while at not in self.leaves:
            if at in passed:  # All of these move: each lets go of its own before it asks for the next.
                return ConflictVerdict(first, goes=True, swaps=at == key)
            if at not in self.wants:
                return ConflictVerdict(first)
            passed.append(at)
            after = self.wants[at]
            holder = self.owners.get(after) if after is not None else None
            if holder is None or holder == at:
                break
            at = holder
        return ConflictVerdict(first, goes=True)


def waited_for(verdict: ConflictVerdict | None, view: KindView) -> bool:
    """Whether who takes any waits for one that names what it wants and has this verdict. Not for a resource that will
    not get the value, nor for one whose holder moves: such a holder may wait for the first one."""
    return verdict is None or (
        verdict.goes and view.desired is not None and verdict.holder not in view.desired.resources
    )


# -- addresses and numbers ---------------------------------------------------------------------------------------------


def address_holder(
    address: str, network: str, view: KindView, key: ResourceKey | None = None
) -> ConflictVerdict | None:
    """Who else than the key, or the look's own, holds the address, in the network's namespace."""
    return address_room(view).verdict(key or view.key, (_namespace(network, view), _plain(address)))


def address_room(view: KindView) -> Room:
    """All addresses that are held."""
    return view.once("room of addresses", lambda: _addresses(view))


def number_holder(number: int, pool: str, view: KindView, key: ResourceKey | None = None) -> ConflictVerdict | None:
    """Who else than the key, or the look's own, holds the number of the pool."""
    return number_room(view).verdict(key or view.key, (pool, number))


def is_free(number: int, pool: str, view: KindView, key: ResourceKey) -> bool:
    """Whether no other owner holds the number of the pool."""
    return number_holder(number, pool, view, key) is None


def number_room(view: KindView) -> Room:
    """All numbers that are held."""
    return view.once("room of numbers", lambda: _numbers(view))


def releases(key: ResourceKey, view: KindView, *, ephemeral: bool) -> bool:
    """Whether an undeclared allocation will be released, as far as this view shows."""
    if view.desired is None or key in view.desired.resources:
        return False
    facts = view.remembered.get(key)
    return ephemeral if facts is None else facts.deletion_policy == DeletionPolicy.RELEASE


def moves_away(key: ResourceKey, state: AddressState, view: KindView) -> bool:
    """Whether a declared address goes with its machine, or is to be another one, in a network that is there."""
    resource = view.desired.resources.get(key) if view.desired is not None else None
    spec = resource.spec if resource is not None else None
    if not isinstance(spec, IPAddressSpec) or state.address is None:
        return False
    if spec.type is AddressType.EPHEMERAL and machine_gone(spec, view.desired):
        return True
    return not _as_asked(spec, state) and _is_there(spec.network, view)


def _as_asked(spec: IPAddressSpec, state: AddressState) -> bool:
    if state.network != spec.network or state.address is None:
        return False
    if spec.address is not None:
        return _plain(spec.address) == _plain(state.address)
    return spec.family is None or family_of(state.address) == FAMILIES[spec.family]


def _addresses(view: KindView) -> Room:
    owners: dict[_Item, ResourceKey] = {}
    wants: dict[ResourceKey, _Item | None] = {}
    leaves = set()
    for holder, seen in view.observed.items():
        state = seen.value
        if not isinstance(state, AddressState) or state.address is None or state.network is None:
            continue
        key = goes_to(holder, view) or holder
        owners[_namespace(state.network, view), _plain(state.address)] = key
        if releases(key, view, ephemeral=state.about.ephemeral):
            leaves.add(key)
        elif moves_away(key, state, view) and view.desired is not None:
            spec: IPAddressSpec = view.desired.resources[key].spec
            if spec.type is AddressType.EPHEMERAL and machine_gone(spec, view.desired):
                leaves.add(key)
            else:
                to = None if spec.address is None else (_namespace(spec.network, view), _plain(spec.address))
                wants[key] = to
    return Room(owners, wants, frozenset(leaves))


def _numbers(view: KindView) -> Room:
    owners: dict[_Item, ResourceKey] = {}
    wants: dict[ResourceKey, _Item | None] = {}
    leaves = set()
    for key, seen in view.observed.items():
        match seen.value:
            case NumberState(pool=str() as pool, number=int() as number, ephemeral=ephemeral):
                there = True
            case NetworkState(network=network, vrf=vrf) if vrf is not None:
                pool, number, ephemeral, there = vrf.pool, vrf.number, network is None, network is not None
            case _:
                continue
        owners[pool, number] = key
        resource = view.desired.resources.get(key) if view.desired is not None else None
        if resource is None:
            if releases(key, view, ephemeral=ephemeral):
                leaves.add(key)
            continue
        asks = resource.spec.vrf if isinstance(resource.spec, NetworkSpec) else resource.spec
        if asks is None or asks.pool is None:
            if there:
                leaves.add(key)
        elif asks.pool != pool or asks.number not in (None, number):
            wants[key] = None if asks.number is None else (asks.pool, asks.number)
    return Room(owners, wants, frozenset(leaves))


def _namespace(network: str, view: KindView) -> str:
    seen = view.observed.get(ResourceKey("Network", network))
    if seen is not None and isinstance(seen.value, NetworkState) and seen.value.network is not None:
        return seen.value.network.namespace
    resource = view.desired.resources.get(ResourceKey("Network", network)) if view.desired is not None else None
    return (
        wanted_network(resource.spec, parent_of(resource.spec, view.desired)).namespace if resource is not None else ""
    )


def _is_there(network: str, view: KindView) -> bool:
    seen = view.observed.get(ResourceKey("Network", network))
    return seen is not None and isinstance(seen.value, NetworkState) and seen.value.network is not None


@lru_cache(2**16)
def _plain(address: str) -> str:
    return str(ip_address(address))


# -- prefixes ----------------------------------------------------------------------------------------------------------


class Overlap(msgspec.Struct, frozen=True):
    """A prefix that is asked for, and whose prefix it has addresses in common with."""

    cidr: str
    theirs: str
    holder: ResourceKey


def prefix_holders(key: ResourceKey, want: IpamNetwork, view: KindView) -> Iterator[tuple[Overlap, ConflictVerdict]]:
    """The prefixes that the network asks for and others have, of the same parent, or of none in the namespace."""
    for found in _overlaps(key, want, view):
        if not _declared_too(found, view):
            yield found, _let_go(found, view, (key,))


def _declared_too(found: Overlap, view: KindView) -> bool:
    """Whether the documents overlap: such a state is refused, and none of them is informed of the other here."""
    resource = view.desired.resources.get(found.holder) if view.desired is not None else None
    return resource is not None and any(overlap(found.cidr, prefix.cidr) for prefix in resource.spec.prefixes)


def _overlaps(key: ResourceKey, want: IpamNetwork, view: KindView) -> Iterator[Overlap]:
    within = view.once("prefixes by scope", lambda: _by_scope(view)).get(_scope(want), ())
    for prefix in want.prefixes:
        for holder, cidr in within:
            if holder != key and overlap(prefix.cidr, cidr):
                yield Overlap(prefix.cidr, cidr, holder)


def _by_scope(view: KindView) -> dict[tuple[bool, str], list[tuple[ResourceKey, str]]]:
    found: dict[tuple[bool, str], list[tuple[ResourceKey, str]]] = {}
    for key in sorted(view.observed):
        value = view.observed[key].value
        if isinstance(value, NetworkState) and value.network is not None:
            there = found.setdefault(_scope(value.network), [])
            there += [(key, prefix.cidr) for prefix in value.network.prefixes]
    return found


def _scope(network: IpamNetwork) -> tuple[bool, str]:
    """Within which prefixes may not overlap: the parent, or, without a parent, the namespace."""
    return (True, network.parent) if network.parent is not None else (False, network.namespace)


def _let_go(found: Overlap, view: KindView, passed: tuple[ResourceKey, ...]) -> ConflictVerdict:
    """A network gives up a prefix with its document, when it is empty, or when it is written again without the prefix.
    An IPAM does that whole or not at all. Two that would change places wait for each other for ever."""
    holder = found.holder
    if holder in passed:
        return ConflictVerdict(holder, swaps=True)
    resource = view.desired.resources.get(holder) if view.desired is not None else None
    if resource is None:
        stays = _stay_in(found, view, ())
        return ConflictVerdict(holder, goes=not stays and releases(holder, view, ephemeral=False))
    spec: NetworkSpec = resource.spec
    parent = parent_of(spec, view.desired)
    theirs, lengths = wanted_network(spec, parent), chosen_lengths(spec, parent)
    if _stay_in(found, view, theirs.prefixes):
        return ConflictVerdict(holder)
    same = any(overlap(found.cidr, prefix.cidr) for prefix in theirs.prefixes)
    family, length = family_and_length(found.theirs)
    declared = {prefix.cidr for prefix in theirs.prefixes}
    if same or (found.theirs not in declared and lengths.get(family) == length):
        return ConflictVerdict(holder)
    after = (_let_go(one, view, (*passed, holder)) for one in _overlaps(holder, theirs, view))
    stuck = next((one for one in after if not one.goes), None)
    return ConflictVerdict(holder, goes=stuck is None, swaps=stuck is not None and stuck.swaps)


def _stay_in(found: Overlap, view: KindView, kept: tuple[Prefix, ...]) -> bool:
    """Whether an address or a child stays in what the holder would have to give up, and not in what it keeps of it."""
    for key, seen in view.observed.items():
        value = seen.value
        if isinstance(value, AddressState) and value.address is not None and value.network == found.holder.name:
            if not _within(value.address, found.theirs) or any(_within(value.address, one.cidr) for one in kept):
                continue
            if not (releases(key, view, ephemeral=value.about.ephemeral) or moves_away(key, value, view)):
                return True
        elif isinstance(value, NetworkState) and value.network and value.network.parent == found.holder.name:
            inside = any(
                overlap(prefix.cidr, found.theirs) and not any(is_prefix_within(prefix.cidr, one.cidr) for one in kept)
                for prefix in value.network.prefixes
            )
            if inside and not releases(key, view, ephemeral=False):
                return True
    return False


def _within(address: str, cidr: str) -> bool:
    length = 32 if family_of(address) == 4 else 128
    return overlap(f"{_plain(address)}/{length}", cidr)


# -- in words ----------------------------------------------------------------------------------------------------------


def _may_say_so(key: ResourceKey) -> bool:
    return key.kind == "IPAddress" and of_claim(key) is None


def conflict_hold(what: str, verdict: ConflictVerdict, path: str, view: KindView) -> Hold:
    """The hold: the change waits for a holder that releases the value, and is held by a guard if the holder stays."""
    holder = verdict.holder
    who = display_key(holder)
    if verdict.goes:
        reason, hint = (
            f"{who} still holds {what} now, and releases the value first",
            f"continues automatically when {who} has released the value",
        )
        return Hold(HoldKind.BLOCKED, str(holder), reason, hint)
    resource = view.desired.resources.get(holder) if view.desired is not None else None
    if verdict.swaps:
        reason = f"{who} holds {what}; {who} and {display_key(view.key)} wait for each other to release first"
        hint = (
            f"make two commits. In the first, declare another value, which is free, for {who}. In the second, "
            "declare the final values of both"
        )
    elif resource is not None:
        reason = f"{who} ({resource.source.file}:{resource.source.line}) already holds {what}"
        hint = f"declare another value in {display_key(view.key)}, or first change or remove {who}"
    else:
        reason = f"{who} is no longer declared but still holds {what} (deletionPolicy Orphan)"
        if holder not in view.remembered:
            reason = f"{who} is not declared but holds {what}"
        hint = (
            f"to keep the old name, declare {holder} again; to use the new name, declare {holder} with "
            f"deletionPolicy: Release, apply that, then remove {holder.name} and declare {view.key.name}"
        )
        if _may_say_so(holder) and _may_say_so(view.key):
            hint = (
                f"if {view.key} is {holder} renamed, set spec.renamedFrom: {holder.name} in {view.key}; "
                f"to keep the old name, declare {holder} again"
            )
    return Hold(HoldKind.GUARD, _TAKEN, reason, hint, path)

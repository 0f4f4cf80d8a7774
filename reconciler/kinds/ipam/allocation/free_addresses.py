"""Addresses of a network: how many are free, who asks for one, and who is beyond them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reconciler.kinds.claim.spec import display_key
from reconciler.kinds.common.field_types.fields import FAMILIES
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.ipam.allocation.conflicts import (
    Room,
    address_holder,
    address_room,
)
from reconciler.kinds.ipam.allocation.occupancy import HOW_TO_RELEASE
from reconciler.kinds.ipam.exhaustion import (
    NOBODY,
    Short,
    growing_prefix,
    in_order,
    place_words,
    short_holds,
    usage_of,
)
from reconciler.kinds.ipam.intervals import usable_spans
from reconciler.kinds.ipam.ipaddress import AddressState, AddressType, IPAddressSpec, machine_gone
from reconciler.kinds.ipam.network import (
    NetworkState,
    family_of,
)
from reconciler.model.plans.plan import Hold
from reconciler.model.resource import DesiredState, ResourceKey

Asking = tuple[ResourceKey, str | None, int | None]
"""Who asks for an address, and the address or the family that it wants."""


def short_of_addresses(network: str, path: str, view: KindView) -> Iterator[Hold]:
    """A hold when the look's resource is beyond the free addresses of its network."""
    found = view.once(f"addresses of {network}", lambda: _beyond_addresses(network, view))
    hint = (
        f"release an address that is not needed ({HOW_TO_RELEASE}), "
        f"or add a prefix to {place_words('Network', network, view.desired)}"
    )
    yield from short_holds(found, hint, path, view)


def _beyond_addresses(network: str, view: KindView) -> Short:
    if view.desired is None:
        return NOBODY
    free = _free_addresses(network, view)
    grows = growing_prefix(network, view)
    if free is None or (grows and usage_of(network, view) is None):
        return NOBODY
    takers = view.desired.derived("takers of addresses", _address_takers).get(network, ())
    if all(free[family] >= len(takers) for family in _families_of(network, view)):
        return NOBODY  # Enough for all of them, without a look at each.
    asking = _asking_for_addresses(network, view, view.desired)
    left = _left_over(network, asking, free, view)
    return _later_or_never(network, asking, left, free, view) if left else NOBODY


def _left_over(network: str, asking: Sequence[Asking], free: Mapping[int, int], view: KindView) -> list[Asking]:
    """Those for whom none is left when each before them has got one."""
    room, left = dict(free), []
    for key, address, family in asking:
        if address is not None and address_holder(address, network, view, key) is not None:
            continue  # It gets that one or none, whatever is free.
        # Without a family the IPAM goes through the prefixes in order; any that has room will do.
        given = family if family is not None else next((f for f, count in room.items() if count), 4)
        if room[given] > 0:
            room[given] -= 1
        else:
            left.append((key, address, family))
    return left


def _later_or_never(
    network: str, asking: Sequence[Asking], left: Sequence[Asking], free: Mapping[int, int], view: KindView
) -> Short:
    """Each remaining resource waits for one that will release its value, while there are such, or for a prefix to be
    added."""
    coming = _let_go_of(network, view, {address for _, address, _ in asking if address is not None})
    grows = growing_prefix(network, view)
    beyond, later = dict[ResourceKey, str](), dict[ResourceKey, str]()
    for key, _, family in left:
        there_is = _there_is(network, family, free)
        leaver = next((one for one, of in coming.items() if family in (None, of)), None)
        if leaver is not None:
            del coming[leaver]
            later[key] = f"{there_is} until {display_key(leaver)} is released"
        elif grows:
            later[key] = f"{there_is} until the prefix {grows} is added"
        else:
            beyond[key] = f"{there_is}; {sum(family in (None, other) for _, _, other in asking)} are requested"
    return Short(beyond, later)


def _there_is(network: str, family: int | None, free: Mapping[int, int]) -> str:
    count = free[family] if family is not None else sum(free.values())
    kind = f"IPv{family} address" if family is not None else "address"
    return f"Network/{network} has {count or 'no'} free {kind}{'' if count == 1 else 'es'}"


def _families_of(network: str, view: KindView) -> set[int]:
    state = view.observed[ResourceKey("Network", network)].value
    return {family_of(prefix.cidr) for prefix in state.prefixes or ()}


def _free_addresses(network: str, view: KindView) -> dict[int, int] | None:
    """How many are free of each family: as the IPAM said, or else by who was seen to hold one. None: not known."""
    seen = view.observed.get(ResourceKey("Network", network))
    state = seen.value if seen is not None else None
    if not isinstance(state, NetworkState) or state.prefixes is None:
        return None
    if state.usage is not None:
        return {f: sum(one.size - one.used for one in state.usage if family_of(one.cidr) == f) for f in (4, 6)}
    room = dict.fromkeys((4, 6), 0)
    for prefix in state.prefixes:
        room[family_of(prefix.cidr)] += sum(high - low + 1 for low, high in usable_spans(prefix))
    for other in view.observed.values():
        held = other.value
        if isinstance(held, AddressState) and held.network == network and held.address is not None:
            room[family_of(held.address)] -= 1
    return {family: max(0, free) for family, free in room.items()}


def _let_go_of(network: str, view: KindView, named: set[str]) -> dict[ResourceKey, int]:
    """The resources that will release an address of the network, each with its family; no other resource requests these
    addresses. They are removed ones, and those that move to another network with a free address. Two that would
    exchange networks are held."""
    room, found = address_room(view), {}
    for key in sorted([*room.leaves, *room.wants]):
        state = view.observed[key].value
        free_for_all = state.network == network and state.address not in named
        if free_for_all and (key in room.leaves or _has_room(network, key, room, view)):
            found[key] = family_of(state.address)
    return found


def _has_room(network: str, key: ResourceKey, room: Room, view: KindView) -> bool:
    spec: IPAddressSpec | None = view.desired.resources[key].spec if view.desired is not None else None
    if spec is None or spec.network == network:
        return False
    if room.wants[key] is not None:
        return room.wants[key] not in room.owners
    return sum((_free_addresses(spec.network, view) or {}).values()) > 0


def _asking_for_addresses(network: str, view: KindView, desired: DesiredState) -> list[Asking]:
    found: list[Asking] = []
    for key in desired.derived("takers of addresses", _address_takers).get(network, ()):
        spec: IPAddressSpec = desired.resources[key].spec
        seen = view.observed.get(key)
        state = seen.value if seen is not None else None
        if not isinstance(state, AddressState) or state.network == network:
            continue
        family = family_of(spec.address) if spec.address else FAMILIES[spec.family] if spec.family else None
        found.append((key, spec.address, family))
    return sorted(found, key=lambda one: (one[1] is None, in_order(one[0])))


def _address_takers(desired: DesiredState) -> dict[str, list[ResourceKey]]:
    found: dict[str, list[ResourceKey]] = {}
    for resource in desired.of_kind("IPAddress"):
        spec = resource.spec
        if spec.type is not AddressType.EPHEMERAL or not machine_gone(spec, desired):
            found.setdefault(spec.network, []).append(resource.key)
    return found

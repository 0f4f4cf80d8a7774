"""What occupies a network: the addresses that are held in it, and the child networks whose prefixes are parts of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from reconciler.kinds.claim.spec import display_key
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.ipam.allocation.conflicts import moves_away, releases
from reconciler.kinds.ipam.ipaddress import AddressState
from reconciler.kinds.ipam.network import NetworkState, family_of
from reconciler.kinds.ipam.pool import NumberState
from reconciler.kinds.ipam.renamed_addresses import goes_to
from reconciler.model.resource import ResourceKey

_NAMED = 5
"""How many a refusal names."""


class Occupant(msgspec.Struct, frozen=True, order=True):
    """Something that is in a network: who has it, and its address or prefix in CIDR form. `leaves`: it is not declared
    any more, and is to be released."""

    owner: str
    cidr: str
    leaves: bool = False


def occupants(network: str, view: KindView) -> list[Occupant]:
    """All of which it was seen that they are in the network, by owner."""
    return view.once("living", lambda: _by_network(view)).get(network, [])


HOW_TO_RELEASE = "set deletionPolicy: Release, apply that, then remove the document"
"""How to proceed when an address or a network must become free."""


def named_tenants(tenants: Sequence[Occupant]) -> str:
    """`IPAddress/web (10.0.0.7), IPAddress/db (10.0.0.8) and 3 more`."""
    words = ", ".join(f"{one.owner} ({_short(one.cidr)})" for one in tenants[:_NAMED])
    return f"{words} and {len(tenants) - _NAMED} more" if len(tenants) > _NAMED else words


def is_held(value: Any) -> bool:
    """Whether the observation of an IPAM resource shows that it exists: a network, an address, a number."""
    match value:
        case NetworkState(network=network, vrf=vrf):
            return network is not None or vrf is not None
        case AddressState(address=address):
            return address is not None
        case NumberState(number=number):
            return number is not None
        case _:
            return False


def leaks(value: Any) -> bool:
    """Whether the allocation would be a leak if its owner were neither declared nor recorded."""
    match value:
        case NetworkState(network=network, vrf=vrf):
            return network is None and vrf is not None
        case AddressState(address=address, about=about):
            return address is not None and about.ephemeral
        case NumberState(number=number, ephemeral=ephemeral):
            return number is not None and ephemeral
        case _:
            return False


def _by_network(view: KindView) -> dict[str, list[Occupant]]:
    found: dict[str, list[Occupant]] = {}
    for key in sorted(view.observed):
        value = view.observed[key].value
        if isinstance(value, AddressState) and value.address is not None and value.network is not None:
            length = 32 if family_of(value.address) == 4 else 128
            owner = goes_to(key, view) or key
            leaves = _leaves(owner, view, ephemeral=value.about.ephemeral) or moves_away(owner, value, view)
            found.setdefault(value.network, []).append(
                Occupant(display_key(owner), f"{value.address}/{length}", leaves)
            )
        elif isinstance(value, NetworkState) and value.network is not None and value.network.parent is not None:
            leaves = _leaves(key, view, ephemeral=False)
            inside = found.setdefault(value.network.parent, [])
            inside += [Occupant(str(key), prefix.cidr, leaves) for prefix in value.network.prefixes]
    return found


def _leaves(key: ResourceKey, view: KindView, *, ephemeral: bool) -> bool:
    """Whether it will be released, as far as this view shows."""
    if view.desired is None or key in view.desired.resources:
        return False
    if key == view.key:
        return True
    return releases(key, view, ephemeral=ephemeral)


def _short(cidr: str) -> str:
    address, _, length = cidr.partition("/")
    return address if length == ("128" if ":" in address else "32") else cidr

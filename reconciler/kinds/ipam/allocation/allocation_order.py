"""The order of resources that leave the choice to the IPAM: the order of their names, independent of the order of
observations. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.kinds.common.turn_order import TurnOrder
from reconciler.kinds.ipam.exhaustion import in_order
from reconciler.kinds.ipam.ipaddress import AddressState, IPAddressSpec
from reconciler.kinds.ipam.network import NetworkSpec, NetworkState, chosen_lengths, family_and_length, parent_of
from reconciler.kinds.ipam.pool import NumberSpec, NumberState
from reconciler.model.actions.action import Action
from reconciler.model.actions.ipam_actions import Acquire, AcquireNumber, PutNetwork
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, ResourceKey

_NetworkFamily = tuple[str, str]
"""What something is taken from: `addresses`, `prefixes` or `numbers`, and of which network or pool."""


def ahead_in_order(action: Action, desired: DesiredState, observed: ObservedState) -> Iterator[ResourceKey]:
    """Earlier resources that lack a value of the same parent, the nearest first. None for a resource with a fixed
    value, because no other resource gets that value."""
    match action:
        case Acquire(network=network, address=None):
            place = ("addresses", network)
        case AcquireNumber(pool=pool, number=None):
            place = ("numbers", pool)
        case PutNetwork(network=network, lengths=lengths) if lengths and network.parent is not None:
            place = ("prefixes", network.parent)
        case _:
            return
    line, at = desired.derived("turns", _turns).get(place, ([], {}))
    for index in range(at.get(action.key, 0) - 1, -1, -1):
        if not _has(line[index], place, desired, observed):
            yield line[index]


def is_automatic(actions: Iterable[Action]) -> bool:
    """Whether something is taken of which others wait for the next."""
    return any(isinstance(action, Acquire | AcquireNumber | PutNetwork) for action in actions)


ALLOCATION_TURNS = TurnOrder(ahead_in_order, is_automatic, "acquires its address, prefix or number first")
"""Of addresses, prefixes and numbers."""


def _turns(desired: DesiredState) -> dict[_NetworkFamily, tuple[list[ResourceKey], dict[ResourceKey, int]]]:
    found: dict[_NetworkFamily, list[ResourceKey]] = {}
    for key, resource in desired.resources.items():
        for place in _places(resource.spec, desired):
            found.setdefault(place, []).append(key)
    lines = {place: sorted(keys, key=lambda key: (key.kind, in_order(key))) for place, keys in found.items()}
    return {place: (line, {key: index for index, key in enumerate(line)}) for place, line in lines.items()}


def _places(spec: object, desired: DesiredState) -> Iterator[_NetworkFamily]:
    match spec:
        case IPAddressSpec(address=None, network=network):
            yield "addresses", network
        case NumberSpec(number=None, pool=pool):
            yield "numbers", pool
        case NetworkSpec(vrf=vrf, parent=parent):
            if vrf is not None and vrf.pool is not None and vrf.number is None:
                yield "numbers", vrf.pool
            if parent is not None and chosen_lengths(spec, parent_of(spec, desired)):
                yield "prefixes", parent
        case _:
            pass


def _has(key: ResourceKey, place: _NetworkFamily, desired: DesiredState, observed: ObservedState) -> bool:
    """Whether it has been given one; not, where it was not observed yet."""
    seen = observed.get(key)
    what, of = place
    match seen.value if seen is not None else None:
        case AddressState(network=network):
            return network == of
        case NumberState(pool=pool):
            return pool == of
        case NetworkState() as state if what == "numbers":
            return state.vrf is not None and state.vrf.pool == of
        case NetworkState() as state:
            spec = desired.resources[key].spec
            have = {family_and_length(prefix.cidr) for prefix in state.prefixes or ()}
            return all(one in have for one in chosen_lengths(spec, parent_of(spec, desired)).items())
        case _:
            return False

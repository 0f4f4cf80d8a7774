"""Which VRF the networks of a claim are in, and what is announced there. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.kinds.ipam.network import NetworkSpec, NetworkState
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, Resource, ResourceKey

LARGEST_VNI = 2**24 - 1
"""RFC 7348, section 5."""
_DEPTH = 8


def vrf_holder(desired: DesiredState, network: str) -> str | None:
    """The network whose VRF number is the VRF of this network: itself, the network that its `vrf` names, or its
    parent. None: it is in no VRF."""
    for _ in range(_DEPTH):
        found = desired.resources.get(ResourceKey("Network", network))
        spec = found.spec if found is not None else None
        if not isinstance(spec, NetworkSpec):
            return None
        if spec.vrf is not None and spec.vrf.pool is not None:
            return network
        above = spec.vrf.network if spec.vrf is not None else spec.parent
        if above is None:
            return None
        network = above
    return None


def vrf_holders(desired: DesiredState, networks: Iterable[str]) -> tuple[str, ...]:
    """The same of several networks, each once, in order."""
    found = (vrf_holder(desired, network) for network in networks)
    return tuple(dict.fromkeys(one for one in found if one is not None))


def vrf_number(observed: ObservedState, holder: str) -> int | None:
    """The number of the VRF; None: none is acquired yet, or it was not observed."""
    seen = observed.get(ResourceKey("Network", holder))
    value = seen.value if seen is not None else None
    return value.vrf.number if isinstance(value, NetworkState) and value.vrf is not None else None


def vrf_name(number: int) -> str:
    """The name of the VRF on a switch. It fits the 15 characters of a Linux interface."""
    return f"Vrf{number}"


def known_vrfs(desired: DesiredState, observed: ObservedState) -> dict[int, tuple[str, ...]]:
    """The prefixes of each VRF of a declared network, by the number of the VRF."""
    found: dict[int, set[str]] = {}
    for network in desired.of_kind("Network"):
        holder = vrf_holder(desired, network.key.name)
        number = vrf_number(observed, holder) if holder is not None else None
        if number is not None and number <= LARGEST_VNI:
            found.setdefault(number, set()).update(_prefixes(network, observed))
    return {number: tuple(sorted(prefixes)) for number, prefixes in sorted(found.items())}


def _prefixes(network: Resource[NetworkSpec], observed: ObservedState) -> Iterable[str]:
    seen = observed.get(network.key)
    value = seen.value if seen is not None else None
    known = value.prefixes if isinstance(value, NetworkState) else None
    return [one.cidr for one in known] if known is not None else [one.cidr for one in network.spec.prefixes]

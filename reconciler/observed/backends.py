"""The backends by name: which one observes a resource and carries out its actions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from drivers.base import Inventory, Rejected, Unsupported
from reconciler.kinds import KINDS
from reconciler.kinds.common.kind import BMC, IPAM, NO_BACKEND, SWITCH
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.observed.backend import Backend, NoBackend, ReadsInventory
from reconciler.observed.bmc_backend import BmcBackend
from reconciler.observed.connections import Connections
from reconciler.observed.ipam_backend import IpamBackend
from reconciler.observed.switch_backend import SwitchBackend


class Backends:
    """Every backend that there is. May be shared by threads."""

    def __init__(self, connections: Connections, now: Callable[[], datetime]) -> None:
        """Raises Rejected where a kind names a backend that there is not, so that nothing begins without it."""
        # In the order in which many are observed: what is written down needs no request, and BMCs take longest.
        self._by_name: Mapping[str, Backend] = {
            NO_BACKEND: NoBackend(now),
            IPAM: IpamBackend(connections.ipam, connections.pools, now),
            **connections.more_backends,
            **_others(connections, now),
            SWITCH: connections.reach(SwitchBackend(connections, now), now),
            BMC: connections.reach(BmcBackend(connections, now), now),
        }

    def of(self, key: ResourceKey) -> Backend:
        """The backend of the key's kind; that of a kind that is not known observes nothing."""
        return self._by_name[_name(key)]

    def grouped(self, keys: Iterable[ResourceKey]) -> Iterator[tuple[Backend, list[ResourceKey]]]:
        """The keys, each with its backend."""
        asked: dict[str, list[ResourceKey]] = {}
        for key in keys:
            asked.setdefault(_name(key), []).append(key)
        return ((backend, asked[name]) for name, backend in self._by_name.items() if name in asked)

    def inventory(self, key: ResourceKey, desired: DesiredState) -> Inventory:
        """What is in the declared resource now. Raises DriverError; Unsupported where the backend cannot read that."""
        backend = self.of(key)
        if not isinstance(backend, ReadsInventory):
            raise Unsupported(f"the backend {_name(key)} reads no inventory of a {key.kind}")
        return backend.inventory(key, desired)

    def holdings(self) -> dict[ResourceKey, Any]:
        """All that the backends hold for resources that groundstate makes. Raises DriverError."""
        return {key: value for backend in self._by_name.values() for key, value in backend.holdings().items()}


def _others(connections: Connections, now: Callable[[], datetime]) -> dict[str, Backend]:
    """The backends that kinds name beside those that are known. Raises Rejected for all that there are not."""
    known = {NO_BACKEND, IPAM, BMC, SWITCH, *connections.more_backends}
    found: dict[str, Backend] = {}
    refused = []
    for kind in KINDS.values():
        if kind.rules is None or kind.backend in known or kind.backend in found:
            continue
        try:
            found[kind.backend] = connections.backend(kind.backend, now)
        except Rejected as error:
            refused.append(f"the kind {kind.name} cannot be observed or changed: {error}")
    if refused:
        raise Rejected("; ".join(refused))
    return found


def _name(key: ResourceKey) -> str:
    return KINDS[key.kind].backend if key.kind in KINDS else NO_BACKEND

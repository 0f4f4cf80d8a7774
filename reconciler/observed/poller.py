"""Looks at resources: one at a time for the loop, all of them for a plan. A look that fails is an observation too."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime
from typing import Any, Self

import msgspec

from drivers.base import Allocation, DriverError, Ipam, IpamNetwork, Number, Pool, Pools, Usage
from reconciler.kinds.ipaddress import AddressState
from reconciler.kinds.network import NetworkState
from reconciler.kinds.pool import NumberState, PoolState
from reconciler.model.observation import Observation, ReadError
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.observed.connections import Connections, way_to


class Poller:
    """Reads what is there. Never raises for what it finds."""

    def __init__(self, connections: Connections, now: Callable[[], datetime]) -> None:
        self._connections = connections
        self._now = now

    def look(self, key: ResourceKey, desired: DesiredState) -> Observation:
        """One look. A driver's error, or a defect in a driver, makes it an unknown."""
        try:
            value = self._read(key, desired)
        except DriverError as error:
            return Observation(key, self._now(), error=ReadError(type(error).__name__, str(error)))
        except Exception as error:  # noqa: BLE001  a defect in one driver must not stop the others
            message = f"the driver failed in a way it should not: {type(error).__name__}: {error}"
            return Observation(key, self._now(), error=ReadError("Internal", message))
        return Observation(key, self._now(), value=value)

    def look_all(
        self, keys: Iterable[ResourceKey], desired: DesiredState, concurrency: int = 64
    ) -> Iterator[Observation]:
        """Look at all, BMCs side by side, each observation as it comes. The IPAM is looked at whole, and what it holds
        beside those that were asked for comes too."""
        machines = [key for key in keys if key.kind == "Machine"]
        yield from self._look_ipam([key for key in keys if key.kind != "Machine"])
        if not machines:
            return
        with ThreadPoolExecutor(min(concurrency, len(machines)), thread_name_prefix="look") as pool:
            waiting = [pool.submit(self.look, key, desired) for key in machines]
            try:
                for done in as_completed(waiting):
                    yield done.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def strays(self, known: Collection[ResourceKey]) -> list[Observation]:
        """What the IPAM holds for owners of which nothing is known. Raises DriverError."""
        everything = _Everything.read(self._connections.ipam, self._connections.pools)
        return [Observation(key, self._now(), value=everything.of(key)) for key in everything.keys() - set(known)]

    def _look_ipam(self, keys: list[ResourceKey]) -> Iterator[Observation]:
        if not keys:
            return
        try:
            everything = _Everything.read(self._connections.ipam, self._connections.pools)
        except DriverError as error:
            failure = ReadError(type(error).__name__, str(error))
            yield from (Observation(key, self._now(), error=failure) for key in keys)
            return
        for key in [*keys, *sorted(everything.keys() - set(keys))]:
            yield Observation(key, self._now(), value=everything.of(key))

    def _read(self, key: ResourceKey, desired: DesiredState) -> Any:
        ipam, pools = self._connections.ipam, self._connections.pools
        match key.kind:
            case "Network":
                return NetworkState(ipam.network(key.name), pools.number(str(key)))
            case "IPAddress":
                return AddressState.of(ipam.holding(str(key)))
            case "Pool":
                return PoolState(pools.pools().get(key.name))
            case "Number":
                return NumberState.of(pools.number(str(key)))
            case _:
                resource = desired.resources.get(key)
                return None if resource is None else self._connections.bmc(key, way_to(resource, desired)).read()


class _Everything(msgspec.Struct, frozen=True):
    """All that IPAM and pools hold, by name or owner."""

    networks: dict[str, IpamNetwork]
    usage: dict[str, list[Usage]]
    allocations: dict[str, Allocation]
    pools: dict[str, Pool]
    numbers: dict[str, Number]

    @classmethod
    def read(cls, ipam: Ipam, pools: Pools) -> Self:
        usage: dict[str, list[Usage]] = {}
        for one in ipam.usage():
            usage.setdefault(one.network, []).append(one)
        return cls(
            ipam.networks(),
            usage,
            {one.owner: one for one in ipam.list()},
            pools.pools(),
            {one.owner: one for one in pools.numbers()},
        )

    def keys(self) -> set[ResourceKey]:
        """Of everything that has one; owners in other forms are not ours to judge."""
        found = {ResourceKey("Network", name) for name in self.networks}
        found |= {ResourceKey("Pool", name) for name in self.pools}
        for owner in (*self.allocations, *self.numbers):
            kind, slash, name = owner.partition("/")
            if slash and name and kind in _OWNERS:
                found.add(ResourceKey(kind, name))
        return found

    def of(self, key: ResourceKey) -> Any:
        """What is observed of one."""
        match key.kind:
            case "Network":
                network = self.networks.get(key.name)
                usage = tuple(self.usage.get(key.name, ())) if network is not None else None
                return NetworkState(network, self.numbers.get(str(key)), usage)
            case "IPAddress":
                return AddressState.of(self.allocations.get(str(key)))
            case "Pool":
                return PoolState(self.pools.get(key.name))
            case _:
                return NumberState.of(self.numbers.get(str(key)))


_OWNERS = ("Network", "IPAddress", "Number")

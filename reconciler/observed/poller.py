"""Looks at resources: one at a time for the loop, all of them for a plan. A look that fails is an observation too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime
from typing import Any

from drivers.base import DriverError
from reconciler.kinds.ipaddress import AddressState
from reconciler.kinds.network import NetworkState
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
        """Look at all, BMCs side by side, each observation as it comes."""
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

    def _look_ipam(self, keys: list[ResourceKey]) -> Iterator[Observation]:
        if not keys:
            return
        try:
            networks = self._connections.ipam.networks()
            held = {one.owner: one for one in self._connections.ipam.list()}
        except DriverError as error:
            failure = ReadError(type(error).__name__, str(error))
            yield from (Observation(key, self._now(), error=failure) for key in keys)
            return
        for key in keys:
            if key.kind == "Network":
                yield Observation(key, self._now(), value=NetworkState(networks.get(key.name)))
            elif one := held.get(str(key)):
                yield Observation(key, self._now(), value=AddressState(one.network, one.address))
            else:
                yield Observation(key, self._now(), value=AddressState())

    def _read(self, key: ResourceKey, desired: DesiredState) -> Any:
        if key.kind == "Network":
            return NetworkState(self._connections.ipam.network(key.name))
        if key.kind == "IPAddress":
            one = self._connections.ipam.holding(str(key))
            return AddressState(one.network, one.address) if one else AddressState()
        resource = desired.resources.get(key)
        if resource is None:
            return None
        return self._connections.bmc(key, way_to(resource, desired)).read()

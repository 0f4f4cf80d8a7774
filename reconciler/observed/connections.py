"""The systems and the IPAM that are spoken to, opened once and kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from drivers.base import Bmc, BmcDriver, Credential, Endpoint, Finder, Ipam, Pools, Tls
from reconciler.kinds.access import CredentialRef
from reconciler.kinds.machine import Access, MachineSpec, access
from reconciler.kinds.partition import PartitionSpec
from reconciler.model.resource import DesiredState, Resource, ResourceKey


class Drivers(msgspec.Struct, frozen=True):
    """What the front door wires in: BMC drivers by name, the resolver of references, the IPAM and the pools."""

    bmc: Callable[[str], BmcDriver]
    secret: Callable[[object], Credential]
    ipam: Ipam
    pools: Pools


class Connections:
    """Hands out the Bmc of a machine. Relative paths in documents are taken from `base`. May be shared by threads."""

    def __init__(self, drivers: Drivers, base: Path) -> None:
        self._drivers = drivers
        self._base = base
        self._lock = threading.Lock()
        self._open: dict[ResourceKey, tuple[Access, Bmc]] = {}

    @property
    def ipam(self) -> Ipam:
        """The IPAM."""
        return self._drivers.ipam

    @property
    def pools(self) -> Pools:
        """The pools of numbers."""
        return self._drivers.pools

    def bmc(self, key: ResourceKey, way: Access) -> Bmc:
        """The machine's system; opened anew when the way to it changed. Raises DriverError for an unknown driver."""
        with self._lock:
            held = self._open.get(key)
            if held is None or held[0] != way:
                held = (way, self._drivers.bmc(way.driver).open(self.endpoint(way)))
                self._open[key] = held
            return held[1]

    def finder(self, driver: str) -> Finder | None:
        """The driver of that name, if it can look for BMCs. Raises Rejected for an unknown one."""
        found = self._drivers.bmc(driver)
        return found if isinstance(found, Finder) else None

    def endpoint(self, way: Access) -> Endpoint:
        """The way in the driver's form: paths from the base, and a credential that is resolved when it is needed."""
        reference = way.credential_ref
        resolve = None if reference is None else lambda: self._drivers.secret(self._located(reference))
        ca_file = str(self._base / way.tls.ca_file) if way.tls.ca_file else None
        return Endpoint(
            driver=way.driver,
            address=way.address,
            system_id=way.system_id,
            tls=Tls(ca_file, way.tls.fingerprint, way.tls.insecure),
            credential=resolve,
        )

    def _located(self, reference: CredentialRef) -> object:
        found = msgspec.to_builtins(reference)
        if reference.file is not None:
            found["file"] = str(self._base / Path(reference.file).expanduser())
        return found


def way_to(resource: Resource[MachineSpec], desired: DesiredState) -> Access:
    """How the machine is reached, with what its partition says for all of its machines."""
    partition = desired.resources.get(ResourceKey("Partition", resource.spec.partition))
    spec = partition.spec if partition is not None else None
    return access(resource.spec, spec.bmc if isinstance(spec, PartitionSpec) else None)

"""What a BMC driver promises."""

from __future__ import annotations

from functools import cache
from typing import Protocol, runtime_checkable

import msgspec

from drivers.base.protocols.endpoint import Endpoint, Tls
from drivers.base.support.errors import Unsupported
from drivers.base.values.hardware import Inventory
from drivers.base.values.system_state import BootOverride, IndicatorLED, ResetType, SystemState
from drivers.base.values.task import Accepted, Task


@runtime_checkable
class System(Protocol):
    """One ComputerSystem behind a BMC: the one thing that every driver gives. The methods of the system show what else
    the BMC can do. These are those of `Power`, `Boot`, `Indicator`, `VirtualMedia`, `InventorySource` and `Tasks`, each
    all or none.

    A write returns `Accepted` when the BMC took it, not when it is done. May be shared between threads; requests to one
    BMC go one at a time. Every method raises DriverError and no other.
    """

    def read(self) -> SystemState:
        """Read the system once. What the BMC does not say is None."""


@runtime_checkable
class Power(Protocol):
    """A system that can be switched on and off."""

    def reset(self, reset_type: ResetType) -> Accepted:
        """Send one Reset, never twice. Raises Unsupported, naming the ResetType, for one that the BMC does not have."""


@runtime_checkable
class Boot(Protocol):
    """A system whose boot source can be overridden."""

    def set_boot(self, override: BootOverride) -> Accepted:
        """Send the override once. The caller looks again: not all BMCs keep what they accept."""


@runtime_checkable
class Indicator(Protocol):
    """A system with an LED by which it can be found in its rack."""

    def set_indicator(self, led: IndicatorLED) -> Accepted:
        """Set the indicator LED once."""


@runtime_checkable
class VirtualMedia(Protocol):
    """A system that can start from an image that its BMC fetches."""

    def read(self, *, media: bool = False) -> SystemState:
        """As System.read; with `media`, what is in its virtual drives too, at a few requests more."""

    def insert_media(self, url: str) -> Accepted:
        """Put the CD image at this URL into a free virtual drive, once. Raises Rejected when none is free, saying what
        is in them; Unsupported when there is none."""

    def eject_media(self, url: str) -> Accepted:
        """Take the image out of whichever virtual drive it is in, once. In none is success."""


@runtime_checkable
class InventorySource(Protocol):
    """A system that reports its hardware."""

    def inventory(self) -> Inventory:
        """Read what is in the machine, part by part; a part that is not offered is named missing. Raises only when the
        system itself cannot be read."""


@runtime_checkable
class Tasks(Protocol):
    """A system whose BMC says how a write is getting on."""

    def task(self, handle: str) -> Task:
        """Read the Task of an earlier write once; `handle`: as `Accepted` had it, maybe of another process. Raises
        NoSuchTask for a Task that the BMC does not know (any more). The result of the write is then unknown, and only
        an observation of the system shows it."""


@runtime_checkable
class Bmc(Power, Boot, Indicator, VirtualMedia, InventorySource, Tasks, Protocol):
    """All of it, for those who use a driver: what a system cannot do raises Unsupported (`with_all`)."""


def with_all(system: System, driver: str) -> Bmc:
    """The system as a Bmc: the very same one where it has every capability. `driver`: its name, for the message."""
    return system if _has_all(type(system)) or isinstance(system, Bmc) else _Partial(system, driver)  # type: ignore[return-value]


@cache
def _has_all(kind: type[System]) -> bool:
    """Kept for each class, as to compare a system with a Protocol takes longer than to open it."""
    return issubclass(kind, Bmc)


class _Partial:
    """A system that lacks a capability, and refuses what it would need, so that nothing is sent."""

    def __init__(self, system: System, driver: str) -> None:
        self._system, self._driver = system, driver

    def read(self, *, media: bool = False) -> SystemState:
        if media and isinstance(self._system, VirtualMedia):
            return self._system.read(media=True)
        return self._system.read()

    def reset(self, reset_type: ResetType) -> Accepted:
        if not isinstance(self._system, Power):
            raise self._lacks("power control")
        return self._system.reset(reset_type)

    def set_boot(self, override: BootOverride) -> Accepted:
        if not isinstance(self._system, Boot):
            raise self._lacks("boot override")
        return self._system.set_boot(override)

    def set_indicator(self, led: IndicatorLED) -> Accepted:
        if not isinstance(self._system, Indicator):
            raise self._lacks("indicator LED")
        return self._system.set_indicator(led)

    def insert_media(self, url: str) -> Accepted:
        if not isinstance(self._system, VirtualMedia):
            raise self._lacks("virtual media")
        return self._system.insert_media(url)

    def eject_media(self, url: str) -> Accepted:
        if not isinstance(self._system, VirtualMedia):
            raise self._lacks("virtual media")
        return self._system.eject_media(url)

    def inventory(self) -> Inventory:
        if not isinstance(self._system, InventorySource):
            raise self._lacks("inventory")
        return self._system.inventory()

    def task(self, handle: str) -> Task:
        if not isinstance(self._system, Tasks):
            raise self._lacks("tasks")
        return self._system.task(handle)

    def _lacks(self, what: str) -> Unsupported:
        return Unsupported(
            f"driver {self._driver} does not support {what}; use another driver, or remove from the document "
            f"the fields that need {what}"
        )


@runtime_checkable
class BmcDriver(Protocol):
    """Opens systems and owns the connections to their BMCs: one connection and one session a BMC and credential.

    One that reaches no network, whatever an address says, has an attribute `offline` that is true: the settings need
    not name a network then.
    """

    def open(self, endpoint: Endpoint) -> System:
        """Return the system, without touching the network."""

    def close(self) -> None:
        """Delete sessions and close connections. Later calls on its systems raise Unreachable."""


class FoundBmc(msgspec.Struct, frozen=True):
    """That something at an address may be a BMC. `sure`: it said so itself, before any login. `fingerprint`: of its
    certificate, as `Tls.fingerprint` has it; `trusted`: the trust that was asked for holds for it."""

    address: str
    sure: bool
    trusted: bool
    fingerprint: str | None = None
    product: str = ""


class ListedSystems(msgspec.Struct, frozen=True):
    """The ids of a BMC's systems, by name. `unread`: why there may be more; None: these are all."""

    ids: tuple[str, ...]
    unread: str | None = None


@runtime_checkable
class BmcFinder(Protocol):
    """A BmcDriver that can distinguish BMCs from other hosts."""

    def probe(self, address: str, tls: Tls, seconds: float) -> FoundBmc | None:
        """Ask, without a login, whether this is a BMC; None: no host listens, or another service does. `seconds`: how
        long a connection may take; an answer may take longer. Raises Rejected for a malformed address, and Unreachable
        for what listens and cannot be read, which may be a BMC that hangs or starts."""

    def systems(self, endpoint: Endpoint) -> ListedSystems:
        """The ids of the systems behind the BMC. Logs in. Raises DriverError."""

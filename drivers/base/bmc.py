"""What a BMC driver promises."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from drivers.base.endpoint import Endpoint, Tls
from drivers.base.hardware import Inventory
from drivers.base.system_state import BootOverride, IndicatorLED, ResetType, SystemState


class Bmc(Protocol):
    """One ComputerSystem behind a BMC. May be shared between threads; requests to one BMC go one at a time."""

    def read(self, *, media: bool = False) -> SystemState:
        """Read the system once; with `media`, what is in its virtual drives too, at a few requests more. Raises
        DriverError."""

    def reset(self, reset_type: ResetType) -> None:
        """Send one Reset, never twice; return when the BMC accepted it, not when it is done. Raises DriverError."""

    def set_boot(self, override: BootOverride) -> None:
        """Send the override once. The caller looks again: not all BMCs keep what they accept. Raises DriverError."""

    def set_indicator(self, led: IndicatorLED) -> None:
        """Set the indicator LED once. Raises DriverError."""

    def insert_media(self, url: str) -> None:
        """Put the CD image at this URL into a free virtual drive, once. Raises Rejected when none is free, saying what
        is in them; Unsupported when there is none; DriverError."""

    def eject_media(self, url: str) -> None:
        """Take the image out of whichever virtual drive it is in, once. In none is success. Raises DriverError."""

    def inventory(self) -> Inventory:
        """Read what is in the machine, part by part; a part that is not offered is named missing. Raises DriverError
        when the system itself cannot be read."""


class BmcDriver(Protocol):
    """Opens systems and owns the connections to their BMCs: one connection and one session a BMC and credential."""

    def open(self, endpoint: Endpoint) -> Bmc:
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


@runtime_checkable
class BmcFinder(Protocol):
    """A BmcDriver that can tell BMCs from other hosts."""

    def probe(self, address: str, tls: Tls, seconds: float) -> FoundBmc | None:
        """Ask, without a login, whether this is a BMC; None: nobody listens, or something else does. `seconds`: how
        long a connection may take. Never raises for what it finds. Raises Rejected for a malformed address."""

    def systems(self, endpoint: Endpoint) -> tuple[str, ...]:
        """The ids of the systems behind the BMC. Logs in. Raises DriverError."""

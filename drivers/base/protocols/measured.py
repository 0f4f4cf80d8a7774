"""A BMC whose requests are measured: how long each took, and why it failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from drivers.base.protocols.bmc import Bmc
from drivers.base.support.errors import DriverError, ErrorReason
from drivers.base.support.scheduling import monotonic
from drivers.base.values.hardware import Inventory
from drivers.base.values.system_state import BootOverride, IndicatorLED, ResetType, SystemState
from drivers.base.values.task import Accepted, Task

T = TypeVar("T")


class BmcRequest(msgspec.Struct, frozen=True):
    """One call of a driver, with all that it asked of the BMC. `operation`: `read`, `inventory`, `task`, or which write
    it was. `seconds`: also the wait for another request to the same BMC. `error`: None, it succeeded."""

    driver: str
    operation: str
    seconds: float
    error: ErrorReason | None = None


class MeasuredBmc:
    """Implements Bmc. `report` is reported of every request, on the thread that made it."""

    __slots__ = ("_bmc", "_driver", "_report")

    def __init__(self, bmc: Bmc, driver: str, report: Callable[[BmcRequest], None]) -> None:
        self._bmc, self._driver, self._report = bmc, driver, report

    def read(self, *, media: bool = False) -> SystemState:
        """As of Bmc."""
        return self._measured("read", lambda: self._bmc.read(media=media))

    def inventory(self) -> Inventory:
        """As of Bmc."""
        return self._measured("inventory", self._bmc.inventory)

    def task(self, handle: str) -> Task:
        """As of Bmc."""
        return self._measured("task", lambda: self._bmc.task(handle))

    def reset(self, reset_type: ResetType) -> Accepted:
        """As of Bmc."""
        return self._measured("reset", lambda: self._bmc.reset(reset_type))

    def set_boot(self, override: BootOverride) -> Accepted:
        """As of Bmc."""
        return self._measured("set-boot", lambda: self._bmc.set_boot(override))

    def set_indicator(self, led: IndicatorLED) -> Accepted:
        """As of Bmc."""
        return self._measured("set-indicator", lambda: self._bmc.set_indicator(led))

    def insert_media(self, url: str) -> Accepted:
        """As of Bmc."""
        return self._measured("insert-media", lambda: self._bmc.insert_media(url))

    def eject_media(self, url: str) -> Accepted:
        """As of Bmc."""
        return self._measured("eject-media", lambda: self._bmc.eject_media(url))

    def _measured(self, operation: str, request: Callable[[], T]) -> T:
        begun = monotonic()
        error: ErrorReason | None = ErrorReason.INTERNAL
        try:
            found = request()
            error = None
        except DriverError as failure:
            error = failure.reason
            raise
        finally:
            self._report(BmcRequest(self._driver, operation, monotonic() - begun, error))
        return found

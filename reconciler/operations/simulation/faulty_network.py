"""The way from the daemon to simulated BMCs: requests and answers take their time, and writes are reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from drivers.base import Bmc, Endpoint
from drivers.bmc.fake.fake import FakeFleet
from reconciler import runtime

_WRITES = frozenset({"reset", "set_boot", "set_indicator", "insert_media", "eject_media"})
_READS = frozenset({"read", "task", "inventory"})


class FaultyNetwork:
    """A BmcDriver. `wrote` is called with the place and the value of each write when it leaves for a BMC."""

    offline = True

    def __init__(self, fleet: FakeFleet, wrote: Callable[[Endpoint, object], None]) -> None:
        self._fleet, self._wrote = fleet, wrote

    def open(self, endpoint: Endpoint) -> Bmc:
        """See BmcDriver."""
        return cast("Bmc", _Far(self._fleet.open(endpoint), endpoint, self._wrote))

    def close(self) -> None:
        """See BmcDriver."""


class _Far:
    """A BMC at the other end."""

    def __init__(self, bmc: Bmc, endpoint: Endpoint, wrote: Callable[[Endpoint, object], None]) -> None:
        self._bmc, self._endpoint, self._wrote = bmc, endpoint, wrote

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._bmc, name)
        if name not in _WRITES | _READS:
            return method

        def far(*values: Any, **named: Any) -> Any:
            _travel()
            if name in _WRITES:
                self._wrote(self._endpoint, values[0])
            try:
                return method(*values, **named)
            finally:
                _travel()

        return far


def _travel() -> None:
    drawn = runtime.random()
    runtime.sleep(0.02 if drawn < 0.7 else 0.2 if drawn < 0.95 else 2.0)

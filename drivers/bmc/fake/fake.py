"""BMCs in memory: for trying groundstate without hardware, and for tests that need a BMC to misbehave to order.

Machines come into being when first spoken of. Time is a function that is handed in, so a test decides when a power
change has taken effect. What a machine should do wrong is a `Fault` (`drivers.bmc.fake.fake_faults`).
"""

from __future__ import annotations

from collections.abc import Callable

from drivers.base import (
    Accepted,
    AuthenticationFailed,
    Bmc,
    BmcDriver,
    BootOverride,
    Endpoint,
    IndicatorLED,
    Inventory,
    Peer,
    Rejected,
    ResetType,
    SystemState,
    Task,
    Unreachable,
)
from drivers.base.support import scheduling
from drivers.bmc.fake.fake_faults import Call, Eject, Insert, Write, WriteLog
from drivers.bmc.fake.fake_machine import FakeMachine

ONLY_SYSTEM = "1"
"""The id of a BMC's system where the endpoint names none and none is known."""


class FakeBmc:
    """One system as a driver shows it; the machine is found at each call, as `open` must not ask the BMC."""

    def __init__(self, fleet: FakeFleet, endpoint: Endpoint, closed: scheduling.Flag) -> None:
        self._fleet = fleet
        self._endpoint = endpoint
        self._closed = closed

    def read(self, *, media: bool = False) -> SystemState:
        """See Bmc."""
        return self._machine().read(media=media)

    def reset(self, reset_type: ResetType) -> Accepted:
        """See Bmc."""
        return self._machine().write(Call.RESET, reset_type)

    def set_boot(self, override: BootOverride) -> Accepted:
        """See Bmc."""
        return self._machine().write(Call.SET_BOOT, override)

    def set_indicator(self, led: IndicatorLED) -> Accepted:
        """See Bmc."""
        return self._machine().write(Call.SET_INDICATOR, led)

    def insert_media(self, url: str) -> Accepted:
        """See Bmc."""
        return self._machine().write(Call.INSERT_MEDIA, Insert(url))

    def eject_media(self, url: str) -> Accepted:
        """See Bmc."""
        return self._machine().write(Call.EJECT_MEDIA, Eject(url))

    def task(self, handle: str) -> Task:
        """See Bmc."""
        return self._machine().read_task(handle)

    def inventory(self) -> Inventory:
        """See Bmc."""
        return self._machine().read_inventory()

    def _machine(self) -> FakeMachine:
        if self._closed.is_set():
            raise Unreachable(f"the connection to {self._endpoint.address} is closed")
        machine = self._fleet.machine(self._endpoint.address, self._endpoint.system_id)
        wanted, resolve = machine.credential, self._endpoint.credential
        if wanted is not None and (resolve is None or resolve(Peer(None)) != wanted):
            raise AuthenticationFailed(f"the fake BMC {machine.address} does not accept the login; check credentialRef")
        return machine


class FakeFleet:
    """Machines by (address, system id). `now`: seconds, never going back. `on_after`, `off_after`: of new machines.

    A BmcDriver, and what tests hold on to. After `close` it can be opened again and its machines are still there, as
    BMCs outlive the connections to them.
    """

    offline = True

    def __init__(self, now: Callable[[], float], *, on_after: float = 0.0, off_after: float = 0.0) -> None:
        self.log = WriteLog(now)
        self.on_after = on_after
        self.off_after = off_after
        self._machines: dict[str, dict[str, FakeMachine]] = {}
        self._connection = FakeConnection(self)

    @property
    def writes(self) -> list[Write]:
        """Every write that left for a machine, in order; an unreachable machine's never left."""
        return self.log.writes

    def machine(self, address: str, system_id: str | None = None) -> FakeMachine:
        """The machine, made now if need be. Without an id, the BMC's only one. Raises Rejected where it has several."""
        with self.log.lock:
            systems = self._machines.setdefault(address, {})
            if system_id is None and len(systems) > 1:
                raise Rejected(
                    f"{address} has the systems {', '.join(sorted(systems))}; set bmc.systemId to one of these names"
                )
            found = system_id or next(iter(systems), ONLY_SYSTEM)
            if found not in systems:
                systems[found] = FakeMachine(self.log, address, found, self.on_after, self.off_after)
            return systems[found]

    def open(self, endpoint: Endpoint) -> Bmc:
        """See BmcDriver."""
        return self._connection.open(endpoint)

    def close(self) -> None:
        """Close the systems that were opened so far."""
        with self.log.lock:
            self._connection.close()
            self._connection = FakeConnection(self)


class FakeConnection:
    """A BmcDriver to a fleet that others use too: closing it leaves theirs open."""

    offline = True

    def __init__(self, fleet: FakeFleet) -> None:
        self._fleet = fleet
        self._closed = scheduling.flag()

    def open(self, endpoint: Endpoint) -> Bmc:
        """See BmcDriver."""
        return FakeBmc(self._fleet, endpoint, self._closed)

    def close(self) -> None:
        """See BmcDriver."""
        self._closed.set()


DEFAULT_FLEET = FakeFleet(scheduling.monotonic)
"""The fleet of this process; it forgets everything when the process ends."""


def open_driver() -> BmcDriver:
    """The driver named `fake`: the fleet of this process."""
    return FakeConnection(DEFAULT_FLEET)

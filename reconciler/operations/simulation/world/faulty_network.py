"""The way from the daemon to simulated BMCs: requests and answers take their time, and writes are reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import msgspec

from drivers.base import Bmc, DriverError, Endpoint, PowerState, Unreachable
from drivers.bmc.fake.fake import FakeFleet
from drivers.bmc.fake.fake_faults import FaultKind
from drivers.bmc.fake.fake_machine import FakeMachine
from reconciler import runtime
from reconciler.operations.simulation.scenarios.incidents import Incident
from reconciler.operations.simulation.verdict.record import Sometimes

T = TypeVar("T")
_WRITES = frozenset({"reset", "set_boot", "set_indicator", "insert_media", "eject_media"})
_READS = frozenset({"read", "task", "inventory"})

BMC_FAULTS = {
    Incident.BMC_UNREACHABLE: FaultKind.UNREACHABLE,
    Incident.BMC_BUSY: FaultKind.BUSY,
    Incident.REPLY_LOST: FaultKind.REPLY_LOST,
    Incident.REQUEST_LOST: FaultKind.REQUEST_LOST,
    Incident.LOGIN_REFUSED: FaultKind.AUTHENTICATION_FAILED,
    Incident.SHUTDOWN_IGNORED: FaultKind.SHUTDOWN_IGNORED,
    Incident.BOOT_NOT_KEPT: FaultKind.BOOT_NOT_KEPT,
}
"""How a BMC of the fleet shows each incident."""
_LOST = {FaultKind.REPLY_LOST: Sometimes.REPLY_LOST, FaultKind.REQUEST_LOST: Sometimes.REQUEST_LOST}


def press_power_button(machine: FakeMachine) -> None:
    """As a person does at the machine."""
    is_on = machine.state.power is PowerState.ON
    machine.state = msgspec.structs.replace(machine.state, power=PowerState.OFF if is_on else PowerState.ON)
    if not is_on:
        machine.booted_from.append(None)


def lost_writes(fleet: FakeFleet) -> Counter[Sometimes]:
    """How many writes, or answers to writes, were lost."""
    return Counter(_LOST[one.fault] for one in fleet.writes if one.fault in _LOST)


class WriteObserver(Protocol):
    """Who is informed of writes."""

    def leaves(self, endpoint: Endpoint, value: object) -> int:
        """A write leaves for a BMC; returns a number by which it is known."""
        ...

    def is_refused(self, number: int) -> None:
        """The BMC said that it did nothing."""
        ...


class FaultyNetwork:
    """A BmcDriver."""

    offline = True

    def __init__(self, fleet: FakeFleet, observer: WriteObserver) -> None:
        self._fleet, self._observer = fleet, observer

    def open(self, endpoint: Endpoint) -> Bmc:
        """See BmcDriver."""
        return cast("Bmc", _Far(self._fleet.open(endpoint), endpoint, self._observer))

    def close(self) -> None:
        """See BmcDriver."""


class _Far:
    """A BMC at the other end."""

    def __init__(self, bmc: Bmc, endpoint: Endpoint, observer: WriteObserver) -> None:
        self._bmc, self._endpoint, self._observer = bmc, endpoint, observer

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._bmc, name)
        if name in _READS:
            return partial(_there_and_back, method)
        return partial(self._write, method) if name in _WRITES else method

    def _write(self, method: Callable[[object], T], value: object) -> T:
        _travel()
        number = self._observer.leaves(self._endpoint, value)
        try:
            return method(value)
        except DriverError as error:
            if not (isinstance(error, Unreachable) and error.maybe_sent):
                self._observer.is_refused(number)
            raise
        finally:
            _travel()


def _there_and_back(method: Callable[..., T], *values: Any, **named: Any) -> T:
    _travel()
    try:
        return method(*values, **named)
    finally:
        _travel()


def _travel() -> None:
    drawn = runtime.random()
    runtime.sleep(0.02 if drawn < 0.7 else 0.2 if drawn < 0.95 else 2.0)

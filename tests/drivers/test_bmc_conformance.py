"""What every Bmc driver does, the fake included; sushy-tools' emulator over HTTPS stands for Redfish."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from drivers.base import (
    Bmc,
    BmcDriver,
    BootEnabled,
    BootOverride,
    BootTarget,
    Credential,
    Endpoint,
    IndicatorLED,
    PowerState,
    Rejected,
    ResetType,
    SystemState,
    Tls,
    Unreachable,
    Unsupported,
)
from drivers.bmc.emulator import EmulatorFleet
from drivers.bmc.fake import FakeFleet
from drivers.bmc.redfish import RedfishDriver

FIRST = "5a1f0000-0000-4000-8000-00000000000a"
SECOND = "5a1f0000-0000-4000-8000-00000000000b"
DEADLINE = 30.0
POLL_SECONDS = 0.25


class Subject(NamedTuple):
    """A driver, its one BMC with the systems FIRST and SECOND, both off, and how to let time pass there."""

    connect: Callable[[], BmcDriver]
    endpoint: Endpoint
    wait: Callable[[], None]

    def at(self, system_id: str | None) -> Endpoint:
        return replace(self.endpoint, system_id=system_id)


@pytest.fixture(scope="module", params=["fake", "redfish"])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    if request.param == "fake":
        yield _fake()
        return
    directory = tmp_path_factory.mktemp("conformance")
    with EmulatorFleet(directory, [[FIRST, SECOND]], seconds=(1, 2)) as fleet:
        login = Credential(fleet.username, fleet.password)
        at = Endpoint("redfish", fleet.addresses[0], None, Tls(ca_file=str(fleet.ca_file)), lambda _: login)
        yield Subject(RedfishDriver, at, lambda: time.sleep(POLL_SECONDS))


def _fake() -> Subject:
    now = [0.0]

    def wait() -> None:
        now[0] += POLL_SECONDS

    fleet = FakeFleet(lambda: now[0], on_after=4.0, off_after=2.0)
    for system_id in (FIRST, SECOND):
        machine = fleet.machine("bmc-1", system_id)
        listed = tuple(one for one in ResetType if one is not ResetType.POWER_CYCLE)
        machine.state = replace(machine.state, allowed_resets=listed, uuid=system_id)
    return Subject(lambda: fleet, Endpoint("fake", "bmc-1"), wait)


@pytest.fixture
def driver(subject: Subject) -> Iterator[BmcDriver]:
    connected = subject.connect()
    yield connected
    connected.close()


@pytest.fixture
def bmc(subject: Subject, driver: BmcDriver) -> Bmc:
    return driver.open(subject.at(FIRST))


def read_until(subject: Subject, bmc: Bmc, power: PowerState) -> SystemState:
    deadline = time.monotonic() + DEADLINE
    while (state := bmc.read()).power is not power:
        assert time.monotonic() < deadline, f"it is still {state.power}"
        subject.wait()
    return state


def test_a_read_tells_power_and_what_can_be_asked_for(bmc: Bmc) -> None:
    state = bmc.read()
    assert isinstance(state.power, PowerState)
    assert state.allowed_resets is not None
    assert {ResetType.ON, ResetType.FORCE_OFF, ResetType.GRACEFUL_SHUTDOWN} <= set(state.allowed_resets)
    assert state.boot is not None
    assert isinstance(state.indicator, IndicatorLED)


def test_a_system_is_powered_on_and_off(subject: Subject, bmc: Bmc) -> None:
    read_until(subject, bmc, PowerState.OFF)
    bmc.reset(ResetType.ON)
    read_until(subject, bmc, PowerState.ON)
    bmc.reset(ResetType.FORCE_OFF)
    read_until(subject, bmc, PowerState.OFF)


@pytest.mark.parametrize(
    ("override", "kept"),
    [
        # The emulator tells no Once from Continuous.
        (BootOverride(BootTarget.PXE, BootEnabled.ONCE), {BootEnabled.ONCE, BootEnabled.CONTINUOUS}),
        (BootOverride(BootTarget.HDD, BootEnabled.CONTINUOUS), {BootEnabled.CONTINUOUS}),
    ],
    ids=["once", "continuous"],
)
def test_a_boot_override_is_read_back(bmc: Bmc, override: BootOverride, kept: set[BootEnabled]) -> None:
    before = bmc.read().boot
    bmc.set_boot(override)
    boot = bmc.read().boot
    assert boot is not None
    assert boot.target is override.target
    assert boot.enabled in kept
    assert before is None or boot.mode is before.mode


def test_the_led_is_lit_and_put_out(bmc: Bmc) -> None:
    for led in (IndicatorLED.LIT, IndicatorLED.OFF):
        bmc.set_indicator(led)
        assert bmc.read().indicator is led


def test_what_is_in_a_machine_is_told_or_named_missing(bmc: Bmc) -> None:
    inventory = bmc.inventory()
    told = {
        "processors": bool(inventory.processors),
        "memory": inventory.memory > 0,
        "disks": bool(inventory.disks),
        "gpus": bool(inventory.gpus),
    }
    assert set(inventory.missing) <= {name for name, is_told in told.items() if not is_told}
    assert told["processors"] or "processors" in inventory.missing
    assert told["memory"] or "memory" in inventory.missing


def test_two_looks_into_a_machine_are_equal(bmc: Bmc) -> None:
    assert bmc.inventory() == bmc.inventory()


def test_systems_of_one_bmc_are_told_apart(subject: Subject, driver: BmcDriver) -> None:
    first, second = driver.open(subject.at(FIRST)), driver.open(subject.at(SECOND))
    first.set_indicator(IndicatorLED.LIT)
    second.set_indicator(IndicatorLED.OFF)
    states = first.read(), second.read()
    assert [state.uuid for state in states] == [FIRST, SECOND]
    assert [state.indicator for state in states] == [IndicatorLED.LIT, IndicatorLED.OFF]


def test_one_of_several_systems_must_be_named(subject: Subject, driver: BmcDriver) -> None:
    bmc = driver.open(subject.at(None))
    with pytest.raises(Rejected, match=rf"{FIRST}.*{SECOND}"):
        bmc.read()


def test_a_system_that_is_not_there_is_rejected_with_those_that_are(subject: Subject, driver: BmcDriver) -> None:
    if subject.endpoint.driver == "fake":
        pytest.skip("the fake makes every system that it is asked for")
    with pytest.raises(Rejected, match=rf"elsewhere.*{FIRST}.*{SECOND}"):
        driver.open(subject.at("elsewhere")).read()


def test_a_reset_type_that_is_not_listed_is_unsupported(bmc: Bmc) -> None:
    listed = bmc.read().allowed_resets or ()
    missing = next(one for one in ResetType if one not in listed)
    with pytest.raises(Unsupported, match=missing):
        bmc.reset(missing)


def test_open_does_not_ask_the_bmc(subject: Subject, driver: BmcDriver) -> None:
    driver.open(replace(subject.endpoint, address="127.0.0.1:1"))


def test_a_closed_driver_is_unreachable_and_may_be_closed_again(subject: Subject, driver: BmcDriver, bmc: Bmc) -> None:
    bmc.read()
    driver.close()
    driver.close()
    with pytest.raises(Unreachable, match="closed"):
        bmc.read()
    with pytest.raises(Unreachable, match="closed"):
        bmc.inventory()

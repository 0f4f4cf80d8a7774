"""The fake BMC fleet: what it does when nothing is ordered, and each fault that can be ordered."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from drivers.base import (
    AuthenticationFailed,
    Bmc,
    BootEnabled,
    BootMode,
    BootOverride,
    BootTarget,
    Busy,
    Credential,
    DriverError,
    Endpoint,
    IndicatorLED,
    PowerState,
    Rejected,
    ResetType,
    Unreachable,
    Unsupported,
    with_all,
)
from drivers.bmc.fake.fake import DEFAULT_FLEET, FakeFleet, open_driver
from drivers.bmc.fake.fake_faults import READS, WRITES, Fault, FaultKind

BMC = "bmc-1"
PXE_ONCE = BootOverride(BootTarget.PXE, BootEnabled.ONCE)


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fleet(clock: Clock) -> FakeFleet:
    return FakeFleet(clock)


@pytest.fixture
def bmc(fleet: FakeFleet) -> Bmc:
    return fleet.open(Endpoint("fake", BMC, "1"))


def test_a_new_machine_is_off_and_dark_and_boots_as_it_likes(bmc: Bmc) -> None:
    state = bmc.read()
    assert (state.power, state.indicator) == (PowerState.OFF, IndicatorLED.OFF)
    assert state.boot == BootOverride(BootTarget.NONE, BootEnabled.DISABLED, BootMode.UEFI)
    assert state.allowed_resets == tuple(ResetType)


@pytest.mark.parametrize(
    ("before", "reset_type", "after"),
    [
        (PowerState.OFF, ResetType.ON, PowerState.ON),
        (PowerState.OFF, ResetType.FORCE_ON, PowerState.ON),
        (PowerState.OFF, ResetType.PUSH_POWER_BUTTON, PowerState.ON),
        (PowerState.ON, ResetType.PUSH_POWER_BUTTON, PowerState.OFF),
        (PowerState.ON, ResetType.GRACEFUL_SHUTDOWN, PowerState.OFF),
        (PowerState.ON, ResetType.FORCE_OFF, PowerState.OFF),
        (PowerState.ON, ResetType.FORCE_RESTART, PowerState.ON),
        (PowerState.ON, ResetType.NMI, PowerState.ON),
    ],
)
def test_a_reset_has_its_effect(
    fleet: FakeFleet, bmc: Bmc, before: PowerState, reset_type: ResetType, after: PowerState
) -> None:
    machine = fleet.machine(BMC, "1")
    machine.state = replace(machine.state, power=before)
    bmc.reset(reset_type)
    assert bmc.read().power is after


@pytest.mark.parametrize("reset_type", [ResetType.FORCE_RESTART, ResetType.GRACEFUL_RESTART, ResetType.POWER_CYCLE])
def test_what_is_off_cannot_be_restarted(bmc: Bmc, reset_type: ResetType) -> None:
    with pytest.raises(Rejected, match="off"):
        bmc.reset(reset_type)


def test_a_power_change_takes_its_time_in_each_direction(fleet: FakeFleet, bmc: Bmc, clock: Clock) -> None:
    machine = fleet.machine(BMC, "1")
    machine.on_after, machine.off_after = 46.0, 6.0
    seen = []
    bmc.reset(ResetType.ON)
    for clock.time in (45.9, 46.0):
        seen.append(bmc.read().power)
    bmc.reset(ResetType.FORCE_RESTART)
    for clock.time in (51.9, 52.0, 97.9, 98.0):
        seen.append(bmc.read().power)
    on, off = PowerState.ON, PowerState.OFF
    assert seen == [off, on, on, off, off, on]


def test_the_last_reset_counts(fleet: FakeFleet, bmc: Bmc, clock: Clock) -> None:
    fleet.machine(BMC, "1").on_after = 10.0
    bmc.reset(ResetType.ON)
    bmc.reset(ResetType.FORCE_OFF)
    clock.time = 100.0
    assert bmc.read().power is PowerState.OFF


def test_an_override_once_is_used_up_when_the_machine_powers_on(bmc: Bmc) -> None:
    bmc.set_boot(PXE_ONCE)
    assert bmc.read().boot == BootOverride(BootTarget.PXE, BootEnabled.ONCE, BootMode.UEFI)
    bmc.reset(ResetType.ON)
    assert bmc.read().boot == BootOverride(BootTarget.NONE, BootEnabled.DISABLED, BootMode.UEFI)


def test_an_override_once_outlives_an_on_that_changes_nothing(bmc: Bmc) -> None:
    bmc.reset(ResetType.ON)
    bmc.set_boot(PXE_ONCE)
    bmc.reset(ResetType.ON)
    boot = bmc.read().boot
    assert boot is not None
    assert boot.enabled is BootEnabled.ONCE


def test_a_continuous_override_stays(bmc: Bmc) -> None:
    override = BootOverride(BootTarget.HDD, BootEnabled.CONTINUOUS, BootMode.LEGACY)
    bmc.set_boot(override)
    bmc.reset(ResetType.ON)
    assert bmc.read().boot == override


def test_the_led_is_set(bmc: Bmc) -> None:
    bmc.set_indicator(IndicatorLED.BLINKING)
    assert bmc.read().indicator is IndicatorLED.BLINKING


def test_what_a_machine_lacks_is_unsupported(fleet: FakeFleet, bmc: Bmc) -> None:
    machine = fleet.machine(BMC, "1")
    machine.state = replace(machine.state, boot=None, indicator=None)
    with pytest.raises(Unsupported):
        bmc.set_boot(PXE_ONCE)
    with pytest.raises(Unsupported):
        bmc.set_indicator(IndicatorLED.LIT)


def test_what_is_not_offered_is_unsupported(fleet: FakeFleet, bmc: Bmc) -> None:
    machine = fleet.machine(BMC, "1")
    machine.state = replace(
        machine.state, allowed_resets=(ResetType.FORCE_OFF,), allowed_boot_targets=(BootTarget.HDD,)
    )
    with pytest.raises(Unsupported, match="ForceOff"):
        bmc.reset(ResetType.ON)
    with pytest.raises(Unsupported, match="Hdd"):
        bmc.set_boot(PXE_ONCE)


def test_every_write_is_recorded_with_its_time(fleet: FakeFleet, bmc: Bmc, clock: Clock) -> None:
    clock.time = 7.0
    bmc.reset(ResetType.ON)
    clock.time = 8.0
    fleet.open(Endpoint("fake", "bmc-2", "1")).set_indicator(IndicatorLED.LIT)
    assert [(one.at, one.address, one.value) for one in fleet.writes] == [
        (7.0, BMC, ResetType.ON),
        (8.0, "bmc-2", IndicatorLED.LIT),
    ]
    assert [one.value for one in fleet.machine(BMC, "1").writes] == [ResetType.ON]


@pytest.mark.parametrize(
    ("kind", "error", "maybe_sent", "power", "left"),
    [
        (FaultKind.UNREACHABLE, Unreachable, False, PowerState.OFF, 0),
        (FaultKind.REQUEST_LOST, Unreachable, True, PowerState.OFF, 1),
        (FaultKind.REPLY_LOST, Unreachable, True, PowerState.ON, 1),
        (FaultKind.BUSY, Busy, False, PowerState.OFF, 1),
        (FaultKind.REJECTED, Rejected, False, PowerState.OFF, 1),
        (FaultKind.AUTHENTICATION_FAILED, AuthenticationFailed, False, PowerState.OFF, 1),
    ],
)
def test_a_write_that_fails(
    fleet: FakeFleet,
    bmc: Bmc,
    kind: FaultKind,
    error: type[DriverError],
    maybe_sent: bool,
    power: PowerState,
    left: int,
) -> None:
    machine = fleet.machine(BMC, "1")
    machine.faults.add(Fault(kind, on=WRITES))
    with pytest.raises(error) as caught:
        bmc.reset(ResetType.ON)
    assert getattr(caught.value, "maybe_sent", False) is maybe_sent
    assert bmc.read().power is power
    assert [one.fault for one in machine.writes] == [kind] * left


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.UNREACHABLE, Unreachable),
        (FaultKind.BUSY, Busy),
        (FaultKind.REJECTED, Rejected),
        (FaultKind.AUTHENTICATION_FAILED, AuthenticationFailed),
    ],
)
def test_a_read_that_fails(fleet: FakeFleet, bmc: Bmc, kind: FaultKind, error: type[DriverError]) -> None:
    fleet.machine(BMC, "1").faults.add(Fault(kind, on=READS))
    bmc.reset(ResetType.ON)
    with pytest.raises(error):
        bmc.read()
    assert bmc.read().power is PowerState.ON


def fails(call: Callable[[], object]) -> bool:
    try:
        call()
    except DriverError:
        return True
    return False


def test_a_fault_strikes_as_often_as_ordered(fleet: FakeFleet, bmc: Bmc) -> None:
    fleet.machine(BMC, "1").faults.add(Fault(FaultKind.UNREACHABLE, times=2))
    assert [fails(bmc.read) for _ in range(4)] == [True, True, False, False]


def test_a_fault_without_number_strikes_until_cleared(fleet: FakeFleet, bmc: Bmc) -> None:
    faults = fleet.machine(BMC, "1").faults
    faults.add(Fault(FaultKind.BUSY, times=None))
    assert [fails(bmc.read) for _ in range(5)] == [True] * 5
    faults.clear()
    assert not fails(bmc.read)


def test_a_fault_strikes_its_own_machine_only(fleet: FakeFleet, bmc: Bmc) -> None:
    fleet.machine(BMC, "2").faults.add(Fault(FaultKind.UNREACHABLE))
    assert not fails(bmc.read)


def test_a_lost_reply_does_not_strike_reads(fleet: FakeFleet, bmc: Bmc) -> None:
    fleet.machine(BMC, "1").faults.add(Fault(FaultKind.REPLY_LOST))
    assert not fails(bmc.read)


def test_a_graceful_shutdown_can_be_ignored_where_force_is_not(fleet: FakeFleet, bmc: Bmc) -> None:
    fleet.machine(BMC, "1").faults.add(Fault(FaultKind.SHUTDOWN_IGNORED, times=None))
    bmc.reset(ResetType.ON)
    bmc.reset(ResetType.GRACEFUL_SHUTDOWN)
    assert bmc.read().power is PowerState.ON
    bmc.reset(ResetType.FORCE_OFF)
    assert bmc.read().power is PowerState.OFF


def test_an_override_can_be_accepted_and_not_kept(fleet: FakeFleet, bmc: Bmc) -> None:
    fleet.machine(BMC, "1").faults.add(Fault(FaultKind.BOOT_NOT_KEPT))
    before = bmc.read().boot
    bmc.set_boot(PXE_ONCE)
    assert bmc.read().boot == before


def test_once_can_read_back_as_continuous_and_is_used_up_all_the_same(fleet: FakeFleet, bmc: Bmc) -> None:
    fleet.machine(BMC, "1").faults.add(Fault(FaultKind.ONCE_READS_CONTINUOUS, times=None))
    bmc.set_boot(PXE_ONCE)
    told = bmc.read().boot
    bmc.reset(ResetType.ON)
    after = bmc.read().boot
    assert told is not None
    assert after is not None
    assert (told.enabled, after.enabled) == (BootEnabled.CONTINUOUS, BootEnabled.DISABLED)


@pytest.mark.parametrize(
    ("given", "refused"), [(None, True), (Credential("ada", "wrong"), True), (Credential("ada", "right"), False)]
)
def test_a_machine_can_want_a_login(fleet: FakeFleet, given: Credential | None, refused: bool) -> None:
    fleet.machine(BMC, "1").credential = Credential("ada", "right")
    bmc = fleet.open(Endpoint("fake", BMC, "1", credential=None if given is None else lambda _: given))
    if refused:
        with pytest.raises(AuthenticationFailed):
            bmc.read()
    else:
        assert bmc.read().power is PowerState.OFF


def test_without_an_id_the_only_system_is_meant(fleet: FakeFleet) -> None:
    machine = fleet.machine(BMC, "7")
    fleet.open(Endpoint("fake", BMC)).reset(ResetType.ON)
    assert machine.state.power is PowerState.ON


def test_without_an_id_several_systems_are_too_many(fleet: FakeFleet) -> None:
    fleet.machine(BMC, "7")
    fleet.machine(BMC, "8")
    with pytest.raises(Rejected, match="7, 8"):
        fleet.open(Endpoint("fake", BMC)).read()


def test_a_closed_fleet_keeps_its_machines_for_who_opens_it_again(fleet: FakeFleet, bmc: Bmc) -> None:
    bmc.reset(ResetType.ON)
    fleet.close()
    with pytest.raises(Unreachable):
        bmc.read()
    assert fleet.open(Endpoint("fake", BMC, "1")).read().power is PowerState.ON


def test_drivers_of_one_process_share_machines_but_not_their_end() -> None:
    endpoint = Endpoint("fake", "shared-between-drivers", "1")
    one, other = open_driver(), open_driver()
    with_all(one.open(endpoint), "fake").set_indicator(IndicatorLED.LIT)
    one.close()
    assert other.open(endpoint).read().indicator is IndicatorLED.LIT
    assert DEFAULT_FLEET.machine("shared-between-drivers", "1").state.indicator is IndicatorLED.LIT


def test_many_threads_may_write_at_once(fleet: FakeFleet) -> None:
    fleet.machine(BMC, "1").faults.add(Fault(FaultKind.BUSY, times=50))
    bmc, failed = fleet.open(Endpoint("fake", BMC, "1")), []

    def work() -> None:
        failed.extend([fails(lambda: bmc.reset(ResetType.ON)) for _ in range(50)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(fleet.writes), sum(failed)) == (400, 50)

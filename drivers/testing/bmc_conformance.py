"""What every BMC driver does: inherit from BmcConformance, say how a BMC is had, and run pytest.

    class TestMine(BmcConformance):
        @classmethod
        def start(cls, directory: Path) -> AbstractContextManager[BmcSubject]:
            return a_bmc_to_test_with()

What a system cannot do (`drivers.base.protocols.bmc`) is skipped: a driver without virtual media is a whole driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from drivers.base import (
    Accepted,
    AuthenticationFailed,
    BmcDriver,
    Boot,
    BootEnabled,
    BootOverride,
    BootTarget,
    Credential,
    DriverError,
    Endpoint,
    Indicator,
    IndicatorLED,
    Inventory,
    InventorySource,
    LeaseEnded,
    NoSuchTask,
    Peer,
    Power,
    PowerState,
    Rejected,
    ResetType,
    System,
    SystemState,
    Task,
    Tasks,
    Unreachable,
    Unsupported,
    VirtualMedia,
    options_type,
    permitted_by,
    with_all,
)
from drivers.base.support import scheduling

DEADLINE = 30.0
"""Seconds of the host's clock that a machine under test may take for a change of its power."""


class BmcSubject(msgspec.Struct, frozen=True):
    """A BMC to test a driver with. Every test opens the driver anew, and finds the machines as the last one left them.

    `connect`: opens the driver, as its entry point does. `endpoint`: the BMC, without a system id. `systems`: the ids
    of its systems, off at the beginning; with one alone, the tests of several are skipped. `wait`: lets time pass there
    for a moment. `silent`: an address at which nothing answers; None for a driver that never asks anybody.
    `makes_systems`: it goes by no system id, or has whatever system it is asked for. `image`: the URL of a CD image
    that the BMC can fetch; None for a BMC that can fetch none in a test.
    """

    connect: Callable[[], BmcDriver]
    endpoint: Endpoint
    systems: tuple[str, ...]
    wait: Callable[[], None] = lambda: scheduling.sleep(0.25)
    silent: str | None = "127.0.0.1:1"
    makes_systems: bool = False
    image: str | None = "https://images.example/agent.iso"

    def at(self, system_id: str | None) -> Endpoint:
        """The way to one of its systems."""
        return msgspec.structs.replace(self.endpoint, system_id=system_id)


class BmcConformance:
    """The suite. A subclass whose name begins with Test is run."""

    @classmethod
    def start(cls, directory: Path) -> AbstractContextManager[BmcSubject]:
        """A BMC to test with, for all tests of the class. `directory`: an empty one for its files."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BmcSubject]:
        """What `start` gave."""
        with cls.start(tmp_path_factory.mktemp("conformance")) as started:
            yield started

    @pytest.fixture
    def driver(self, subject: BmcSubject) -> Iterator[BmcDriver]:
        """The driver, closed after the test."""
        connected = subject.connect()
        yield connected
        connected.close()

    @pytest.fixture
    def system(self, subject: BmcSubject, driver: BmcDriver) -> System:
        """The first system, as the driver gives it."""
        return driver.open(subject.at(subject.systems[0]))

    @pytest.fixture
    def power(self, system: System) -> Power:
        """It, if it has power control."""
        return system if isinstance(system, Power) else _skipped("power control")

    @pytest.fixture
    def boot(self, system: System) -> Boot:
        """It, if it has a boot override."""
        return system if isinstance(system, Boot) else _skipped("boot override")

    @pytest.fixture
    def indicator(self, system: System) -> Indicator:
        """It, if it has an indicator LED."""
        return system if isinstance(system, Indicator) else _skipped("indicator LED")

    @pytest.fixture
    def media(self, system: System) -> VirtualMedia:
        """It, if it has virtual media."""
        return system if isinstance(system, VirtualMedia) else _skipped("virtual media")

    @pytest.fixture
    def source(self, system: System) -> InventorySource:
        """It, if it tells what is in it."""
        return system if isinstance(system, InventorySource) else _skipped("inventory")

    def test_a_driver_is_opened_and_closed(self, driver: BmcDriver, system: System) -> None:
        """A class without `open`, `close` or `read` is no driver."""
        assert isinstance(driver, BmcDriver)
        assert isinstance(system, System)

    def test_the_options_are_a_struct_that_documents_are_checked_against(
        self, subject: BmcSubject, driver: BmcDriver
    ) -> None:
        """Of another class they would be taken for none, and each document with options would be refused."""
        said, given = getattr(driver, "options_type", None), subject.endpoint.options
        assert said is options_type(driver), "options_type inherits from DriverOptions"
        assert given is None or (said is not None and isinstance(given, said))

    def test_virtual_media_is_whole_or_not_there(self, system: System) -> None:
        """One method of its three would be taken for none."""
        has_any = hasattr(system, "insert_media") or hasattr(system, "eject_media")
        assert isinstance(system, VirtualMedia) == has_any

    def test_a_read_says_the_power_state(self, subject: BmcSubject, system: System) -> None:
        assert isinstance(system.read().power, PowerState)
        assert with_all(system, subject.endpoint.driver).read(media=True).power is not None

    def test_what_is_read_has_the_types_of_its_struct(self, system: System) -> None:
        """A text in the place of a number or of a ResetType is compared, stored and shown as another value."""
        state = system.read()
        assert repr(msgspec.convert(msgspec.to_builtins(state), SystemState)) == repr(state)

    def test_an_inventory_has_the_types_of_its_struct(self, source: InventorySource) -> None:
        inventory = source.inventory()
        assert repr(msgspec.convert(msgspec.to_builtins(inventory), Inventory)) == repr(inventory)

    def test_a_read_says_what_can_be_asked_for(self, system: System) -> None:
        state = system.read()
        if isinstance(system, Power) and state.allowed_resets is not None:
            assert {ResetType.ON, ResetType.FORCE_OFF} <= set(state.allowed_resets)
        assert not isinstance(system, Boot) or state.boot is not None
        assert not isinstance(system, Indicator) or isinstance(state.indicator, IndicatorLED)

    def test_a_system_is_powered_on_and_off(self, subject: BmcSubject, system: System, power: Power) -> None:
        _read_until(subject, system, PowerState.OFF)
        power.reset(ResetType.ON)
        _read_until(subject, system, PowerState.ON)
        power.reset(ResetType.FORCE_OFF)
        _read_until(subject, system, PowerState.OFF)

    def test_every_write_returns_that_it_was_accepted(
        self, subject: BmcSubject, system: System, driver: BmcDriver
    ) -> None:
        """The machine is off before and after."""
        for accepted in _writes(subject, system):
            assert isinstance(accepted, Accepted)
            assert accepted.handle is None or isinstance(system, Tasks), "a handle, and no `task` to ask for it"

    def test_a_write_is_not_sent_when_the_permit_ends_just_before(
        self, subject: BmcSubject, system: System, power: Power
    ) -> None:
        """Call `drivers.base.require_permit` after connecting and logging in."""
        _read_until(subject, system, PowerState.OFF)
        with pytest.raises(LeaseEnded), permitted_by(_no_more):
            power.reset(ResetType.ON)
        subject.wait()
        assert system.read().power is PowerState.OFF

    def test_the_task_of_a_write_is_read_by_its_handle(
        self, subject: BmcSubject, system: System, driver: BmcDriver
    ) -> None:
        """Also by another object: the process that sent the write may be gone."""
        again = driver.open(subject.at(subject.systems[0]))
        handles = [accepted.handle for accepted in _writes(subject, system) if accepted.handle is not None]
        if not handles or not isinstance(again, Tasks):
            pytest.skip("its writes have no Tasks")
        for handle in handles:
            assert isinstance(again.task(handle), Task)

    def test_a_task_that_is_not_known_is_told_from_one_that_cannot_be_read(self, system: System) -> None:
        if not isinstance(system, Tasks):
            _skipped("Tasks")
        with pytest.raises(NoSuchTask):
            system.task("/redfish/v1/TaskService/Tasks/no-such-task")

    def test_a_reset_type_that_is_not_listed_is_unsupported(self, system: System, power: Power) -> None:
        listed = system.read().allowed_resets
        missing = [one for one in ResetType if one not in (listed or tuple(ResetType))]
        if not missing:
            pytest.skip("it lists none, or all of them")
        with pytest.raises(Unsupported, match=missing[0]):
            power.reset(missing[0])

    @pytest.mark.parametrize(
        ("override", "kept"),
        [
            # Some BMCs show Once as Continuous until the next start.
            (BootOverride(BootTarget.PXE, BootEnabled.ONCE), {BootEnabled.ONCE, BootEnabled.CONTINUOUS}),
            (BootOverride(BootTarget.HDD, BootEnabled.CONTINUOUS), {BootEnabled.CONTINUOUS}),
        ],
        ids=["once", "continuous"],
    )
    def test_a_boot_override_is_read_back(
        self, system: System, boot: Boot, override: BootOverride, kept: set[BootEnabled]
    ) -> None:
        before = system.read().boot
        boot.set_boot(override)
        after = system.read().boot
        assert after is not None
        assert after.target is override.target
        assert after.enabled in kept
        assert before is None or after.mode is before.mode

    def test_the_led_is_lit_and_put_out(self, system: System, indicator: Indicator) -> None:
        for led in (IndicatorLED.LIT, IndicatorLED.OFF):
            indicator.set_indicator(led)
            assert system.read().indicator is led

    def test_an_image_is_inserted_and_ejected(self, subject: BmcSubject, media: VirtualMedia) -> None:
        """An image that is in no drive is ejected too."""
        if subject.image is None:
            pytest.skip("its BMC can fetch no image here")
        if media.read(media=True).media is None:
            pytest.skip("its BMC has no virtual drive, or does not say what is in it")
        for change, is_there in ((media.eject_media, False), (media.insert_media, True), (media.eject_media, False)):
            assert isinstance(change(subject.image), Accepted)
            _read_media_until(subject, media, subject.image, is_there=is_there)

    def test_an_inventory_says_each_part_or_names_it_missing(self, source: InventorySource) -> None:
        inventory = source.inventory()
        said = {
            "processors": bool(inventory.processors),
            "memory": inventory.memory > 0,
            "disks": bool(inventory.disks),
            "gpus": bool(inventory.gpus),
        }
        assert set(inventory.missing) <= {name for name, is_said in said.items() if not is_said}
        assert said["processors"] or "processors" in inventory.missing
        assert said["memory"] or "memory" in inventory.missing

    def test_two_inventories_of_a_machine_are_equal(self, source: InventorySource) -> None:
        assert source.inventory() == source.inventory()

    def test_what_a_system_cannot_do_is_unsupported(self, subject: BmcSubject, system: System) -> None:
        whole = with_all(system, subject.endpoint.driver)
        calls: dict[type[object], Callable[[], object]] = {
            Power: lambda: whole.reset(ResetType.ON),
            Boot: lambda: whole.set_boot(BootOverride(BootTarget.PXE, BootEnabled.ONCE)),
            Indicator: lambda: whole.set_indicator(IndicatorLED.LIT),
            InventorySource: whole.inventory,
            Tasks: lambda: whole.task("/redfish/v1/TaskService/Tasks/1"),
            VirtualMedia: lambda: whole.eject_media("https://images.example/agent.iso"),
        }
        for call in (call for capability, call in calls.items() if not isinstance(system, capability)):
            with pytest.raises(Unsupported):
                call()

    def test_systems_of_one_bmc_are_told_apart(self, subject: BmcSubject, driver: BmcDriver) -> None:
        first, second = (driver.open(subject.at(one)) for one in _several(subject))
        if not isinstance(first, Indicator) or not isinstance(second, Indicator):
            _skipped("indicator LED")
        first.set_indicator(IndicatorLED.LIT)
        second.set_indicator(IndicatorLED.OFF)
        states = first.read(), second.read()
        assert [state.indicator for state in states] == [IndicatorLED.LIT, IndicatorLED.OFF]
        assert len({state.uuid for state in states if state.uuid is not None}) != 1

    def test_one_of_several_systems_must_be_named(self, subject: BmcSubject, driver: BmcDriver) -> None:
        first, second = _several(subject)
        with pytest.raises(Rejected, match=rf"{first}.*{second}"):
            driver.open(subject.at(None)).read()

    def test_a_system_that_is_not_there_is_rejected_with_those_that_are(
        self, subject: BmcSubject, driver: BmcDriver
    ) -> None:
        if subject.makes_systems:
            pytest.skip("it has every system that it is asked for")
        with pytest.raises(Rejected, match="elsewhere.*" + ".*".join(subject.systems)):
            driver.open(subject.at("elsewhere")).read()

    def test_open_does_not_ask_the_bmc(self, subject: BmcSubject, driver: BmcDriver) -> None:
        driver.open(msgspec.structs.replace(subject.endpoint, address="127.0.0.1:1"))

    def test_a_bmc_that_is_not_there_raises_an_error_of_drivers(self, subject: BmcSubject, driver: BmcDriver) -> None:
        if subject.silent is None:
            pytest.skip("it asks nobody")
        silent = msgspec.structs.replace(subject.at(subject.systems[0]), address=subject.silent)
        with pytest.raises(DriverError):
            driver.open(silent).read()

    def test_an_address_that_is_refused_is_not_connected_to(self, subject: BmcSubject, driver: BmcDriver) -> None:
        """The settings name the networks of BMCs, and a name may stand for an address of another one."""
        if getattr(driver, "offline", False):
            pytest.skip("it reaches no network")

        def refuse(number: str) -> None:
            raise Rejected(f"{number} is in no network of BMCs")

        endpoint = msgspec.structs.replace(subject.at(subject.systems[0]), connects=refuse)
        with pytest.raises(Rejected, match="is in no network of BMCs"):
            driver.open(endpoint).read()

    def test_a_login_that_may_not_be_sent_is_an_authentication_error(
        self, subject: BmcSubject, driver: BmcDriver
    ) -> None:
        asked: list[Peer] = []

        def refuse(peer: Peer) -> Credential:
            asked.append(peer)
            raise AuthenticationFailed("this login may not be sent there")

        system = driver.open(msgspec.structs.replace(subject.at(subject.systems[0]), credential=refuse))
        try:
            system.read()
        except AuthenticationFailed:
            return
        assert not asked, "it went on without the login"
        pytest.skip("it needs no login to read")

    def test_a_closed_driver_is_unreachable_and_may_be_closed_again(
        self, subject: BmcSubject, driver: BmcDriver, system: System
    ) -> None:
        system.read()
        driver.close()
        driver.close()
        with pytest.raises(Unreachable, match="closed"):
            system.read()
        if isinstance(system, InventorySource):
            with pytest.raises(Unreachable, match="closed"):
                system.inventory()


def _skipped(what: str) -> NoReturn:
    pytest.skip(f"its systems have no {what}")


def _several(subject: BmcSubject) -> tuple[str, str]:
    if len(subject.systems) < 2:
        pytest.skip("its BMC has one system")
    return subject.systems[0], subject.systems[1]


def _no_more() -> None:
    raise LeaseEnded("nothing was sent: another process has taken over")


def _writes(subject: BmcSubject, system: System) -> Iterator[Accepted]:
    """Each write that it can do, one after the other. The machine is off before and after."""
    if isinstance(system, Indicator):
        yield system.set_indicator(IndicatorLED.LIT)
        yield system.set_indicator(IndicatorLED.OFF)
    if isinstance(system, Boot):
        yield system.set_boot(BootOverride(BootTarget.HDD, BootEnabled.CONTINUOUS))
    if isinstance(system, Power):
        _read_until(subject, system, PowerState.OFF)
        yield system.reset(ResetType.ON)
        _read_until(subject, system, PowerState.ON)
        yield system.reset(ResetType.FORCE_OFF)
        _read_until(subject, system, PowerState.OFF)


def _read_media_until(subject: BmcSubject, media: VirtualMedia, url: str, *, is_there: bool) -> None:
    deadline = scheduling.monotonic() + DEADLINE
    while (state := media.read(media=True)).holds(url) is not is_there:
        assert scheduling.monotonic() < deadline, f"in its virtual drives is still {state.media}"
        subject.wait()


def _read_until(subject: BmcSubject, system: System, power: PowerState) -> SystemState:
    deadline = scheduling.monotonic() + DEADLINE
    while (state := system.read()).power is not power:
        assert scheduling.monotonic() < deadline, f"it is still {state.power}"
        subject.wait()
    return state

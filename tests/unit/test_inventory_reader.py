"""Inventories are read when they are due; a change and a failure are told once, and stop nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from drivers.base import AuthenticationFailed, Disk, DriverError, Inventory, Unreachable
from reconciler.kinds.common.machine_inventory import Origin
from reconciler.model.event import Event, EventType
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.observed.inventory_reader import InventoryReader, keep_inventory
from reconciler.store import Store
from tests.unit.planning_worlds import desired, machine

TWO = Inventory(disks=(Disk("a", 1, serial="S1"), Disk("b", 1, serial="S2")))
ONE = Inventory(disks=TWO.disks[:1])
M1, M2 = ResourceKey("Machine", "m1"), ResourceKey("Machine", "m2")


class World:
    """Machines of which a test says what their BMCs answer; a clock that it moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
        self.answers: dict[str, Inventory | DriverError] = {}
        self.events: list[Event] = []
        self.store = Store.open("sqlite://")
        self.read: list[ResourceKey] = []

    def reader(
        self, begins: Callable[[], bool] = lambda: True, is_reachable: Callable[[ResourceKey], bool] = lambda _: True
    ) -> InventoryReader:
        return InventoryReader(
            self.inventory_of,
            self.store.inventories,
            self.events.append,
            lambda: self.now,
            lambda: 0.0,
            begins=begins,
            is_reachable=is_reachable,
        )

    def inventory_of(self, key: ResourceKey, _desired: DesiredState) -> Inventory:
        self.read.append(key)
        answer = self.answers[key.name]
        if isinstance(answer, DriverError):
            raise answer
        return answer

    def told(self) -> list[tuple[str, str]]:
        return [(one.reason, one.type) for one in self.events]


def fleet(*names: str) -> DesiredState:
    return desired(*(machine(name) for name in names))


@pytest.fixture
def world() -> World:
    return World()


def test_a_machine_whose_bmc_does_not_answer_is_read_when_it_answers_again(world: World) -> None:
    silent = {M1}
    reader = world.reader(is_reachable=lambda key: key not in silent)
    reader.set_desired(fleet("m1", "m2"))
    assert reader.due() == [M2]
    silent.clear()
    assert reader.due() == [M1, M2]


def test_a_machine_is_due_when_it_is_first_seen_and_then_a_day_later(world: World) -> None:
    reader = world.reader()
    world.answers["m1"] = TWO
    reader.set_desired(fleet("m1"))
    assert reader.due() == [M1]
    reader.read(M1)
    assert reader.due() == []
    world.now += timedelta(hours=24)
    assert reader.due() == [M1]


def test_what_was_read_before_a_restart_is_not_read_again_at_once(world: World) -> None:
    world.store.inventories.put(M1, Origin.OUT_OF_BAND, TWO, world.now)
    reader = world.reader()
    reader.set_desired(fleet("m1", "m2"))
    assert reader.due() == [M2]


def test_what_was_read_by_a_clock_that_has_been_put_back_since_is_read_again(world: World) -> None:
    reader, before = world.reader(), world.now
    world.answers["m1"] = TWO
    world.now += timedelta(days=400)
    reader.set_desired(fleet("m1"))
    reader.read(M1)
    world.now = before
    assert reader.due() == [M1]
    restarted = world.reader()
    restarted.set_desired(fleet("m1"))
    assert restarted.due() == [M1]


def test_who_asks_has_it_read_now(world: World) -> None:
    world.store.inventories.put(M1, Origin.OUT_OF_BAND, TWO, world.now)
    reader = world.reader()
    reader.set_desired(fleet("m1"))
    reader.request(M1)
    assert reader.due() == [M1]


def test_a_new_revision_changes_nothing_for_machines_that_wait(world: World) -> None:
    reader = world.reader()
    world.answers["m1"] = TWO
    reader.set_desired(fleet("m1"))
    reader.read(M1)
    reader.set_desired(fleet("m1", "m2"))
    assert reader.due() == [M2]


def test_a_machine_that_is_gone_is_not_read(world: World) -> None:
    reader = world.reader()
    reader.set_desired(fleet("m1"))
    reader.set_desired(fleet("m2"))
    reader.read(M1)
    assert world.read == []
    assert reader.due() == [M2]


def test_the_first_inventory_a_loss_and_a_gain_are_events(world: World) -> None:
    reader = world.reader()
    reader.set_desired(fleet("m1"))
    for answer in (TWO, TWO, ONE, TWO):
        world.answers["m1"] = answer
        reader.read(M1)
    assert world.told() == [
        ("InventoryTaken", EventType.NORMAL),
        ("InventoryChanged", EventType.WARNING),
        ("InventoryChanged", EventType.NORMAL),
    ]
    assert world.events[1].message == "out-of-band: disk b is missing; it was 1 bytes, S2"


@pytest.mark.parametrize(
    ("error", "waits"),
    [(Unreachable("no answer"), [10, 20, 40]), (AuthenticationFailed("refused"), [360, 360, 360])],
)
def test_a_failure_is_told_once_and_tried_again_later_and_later(
    world: World, error: DriverError, waits: list[int]
) -> None:
    reader = world.reader()
    reader.set_desired(fleet("m1"))
    world.answers["m1"] = error
    for minutes in waits:
        reader.read(M1)
        world.now += timedelta(minutes=minutes) - timedelta(seconds=1)
        assert reader.due() == []
        world.now += timedelta(seconds=1)
        assert reader.due() == [M1]
    assert world.told() == [("InventoryUnreadable", EventType.WARNING)]


def test_a_defect_in_a_driver_is_a_failure_like_another(world: World) -> None:
    reader = world.reader()
    reader.set_desired(fleet("m1"))
    reader.read(M1)
    kept = world.store.inventories.of(M1).out_of_band
    assert kept is not None
    assert kept.error is not None
    assert kept.error.reason == "Internal"


def test_a_run_reads_all_that_is_due_and_ends_when_it_is_told(world: World) -> None:
    reader, stop, names = world.reader(), threading.Event(), [f"m{n}" for n in range(12)]
    world.answers = dict.fromkeys(names, TWO)

    def tell(event: Event) -> None:
        world.events.append(event)
        if len(world.events) == len(names):
            stop.set()
            reader.wake()

    reader._report_event = tell
    reader.set_desired(fleet(*names))
    reader.run(stop)
    assert {key.name for key in world.store.inventories.all()} == set(names)


def test_nothing_is_read_before_bmcs_have_time_for_it(world: World) -> None:
    """An inventory is up to 200 requests; a first look at the whole fleet waits for none."""
    stop, asked = threading.Event(), list[int]()

    def begins() -> bool:
        asked.append(len(world.read))
        if len(asked) == 3:
            stop.set()
        return False

    world.answers["m1"] = TWO
    reader = world.reader(begins)
    reader.set_desired(fleet("m1"))
    reader.run(stop)
    assert asked == [0, 0, 0]
    assert world.read == []


def test_the_fleet_is_not_looked_through_after_each_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start with 10,000 machines would be the square of that."""
    names = [f"m{number}" for number in range(200)]
    world.answers = dict.fromkeys(names, TWO)
    reader, stop, times = world.reader(), threading.Event(), list[int]()
    due = reader.due

    def counted() -> list[ResourceKey]:
        found = due()
        times.append(len(found))
        if not found:
            stop.set()
        return found

    monkeypatch.setattr(reader, "due", counted)
    reader.set_desired(fleet(*names))
    reader.run(stop)
    assert sorted(world.read) == sorted(ResourceKey("Machine", name) for name in names)
    assert len(times) < 30


def test_a_run_that_is_told_to_end_keeps_what_it_is_reading_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.observed.inventory_reader._CHECK_SECONDS", 0.02)
    stop = threading.Event()
    told_late: list[bool] = []

    def slow(_key: ResourceKey, _desired: DesiredState) -> Inventory:
        stop.set()
        running.join(0.3)
        told_late.append(not running.is_alive())
        return TWO

    world.inventory_of = slow  # type: ignore[method-assign,assignment]
    reader = world.reader()
    running = threading.Thread(target=reader.run, args=(stop,))
    reader.set_desired(fleet("m1"))
    running.start()
    running.join()
    assert told_late == [False]
    assert world.told() == [("InventoryTaken", EventType.NORMAL)]


def test_what_the_agent_sends_is_kept_and_told_apart(world: World) -> None:
    keep_inventory(world.store.inventories, M1, Origin.OUT_OF_BAND, TWO, world.now)
    events = keep_inventory(world.store.inventories, M1, Origin.IN_BAND, ONE, world.now)
    assert [one.reason for one in events] == ["InventoryTaken"]
    assert world.store.inventories.of(M1).best == ONE

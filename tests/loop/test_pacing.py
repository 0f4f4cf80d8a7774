"""How often a BMC is written to when it will not have it: less and less often, and a few times an hour at most."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest

from drivers.base import PowerState
from drivers.bmc.fake.fake_faults import WRITES, Fault, FaultKind
from reconciler.planning.pacing import WRITES_AN_HOUR
from tests.loop.world import World, declare, machine

HOUR = 3600.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, on_after=11.0, off_after=6.0)


def writes(world: World) -> list[float]:
    return [write.at for write in world.bmc("m1").writes]


def tries(world: World) -> list[float]:
    """When a write was attempted, whether or not the BMC took it."""
    return [(event.at.timestamp()) for event in world.events if event.reason == "ActionSent"]


def most_in_an_hour(times: list[float]) -> int:
    return max(sum(1 for other in times if at <= other < at + HOUR) for at in times)


BOOT: dict[str, object] = {"boot": {"target": "Pxe", "enabled": "Continuous"}}
FAULTS = [kind for kind in FaultKind if kind not in (FaultKind.UNREACHABLE, FaultKind.ONCE_READS_CONTINUOUS)]


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("wanted", [{"power": "On"}, {"indicatorLED": "Lit"}, BOOT], ids=str)
def test_no_fault_makes_more_than_a_few_writes_an_hour(
    world: World, kind: FaultKind, wanted: dict[str, object]
) -> None:
    """A BMC that answered writes with 503 got 818 Resets in 15 minutes."""
    world.bmc("m1").faults.add(Fault(kind, on=WRITES, times=None))
    world.commit(declare(machine("m1", **wanted)))
    world.run(24 * HOUR)
    assert 1 <= most_in_an_hour(tries(world)) <= WRITES_AN_HOUR
    assert len(tries(world)) <= 2 * 24 + WRITES_AN_HOUR


def test_refused_writes_come_less_and_less_often(world: World) -> None:
    world.bmc("m1").faults.add(Fault(FaultKind.BUSY, on=WRITES, times=None))
    world.commit(declare(machine("m1", power="On")))
    world.run(2 * HOUR)
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries(world))]
    assert gaps[:5] == [5, 20, 80, 320, 1280]
    assert min(gaps[5:]) >= 1800


def test_a_restart_is_no_reason_to_write_again(world: World) -> None:
    world.bmc("m1").faults.add(Fault(FaultKind.BUSY, on=WRITES, times=None))
    world.commit(declare(machine("m1", power="On")))
    for _ in range(60):
        world.restart()
        world.run(60)
    assert most_in_an_hour(tries(world)) <= WRITES_AN_HOUR


def test_a_machine_that_goes_off_by_itself_is_not_started_for_ever(world: World) -> None:
    world.commit(declare(machine("m1", power="On")))
    for _ in range(120):
        world.run(60)
        bmc = world.bmc("m1")
        bmc.state = msgspec.structs.replace(bmc.state, power=PowerState.OFF)
    assert most_in_an_hour(writes(world)) == WRITES_AN_HOUR


def test_what_waits_says_when_it_goes_on(world: World) -> None:
    world.bmc("m1").faults.add(Fault(FaultKind.BUSY, on=WRITES, times=None))
    world.commit(declare(machine("m1", power="On")))
    world.run(300)
    (change,) = world.engine.plan().changes
    assert not change.goes
    (hold,) = change.held_by
    assert hold.by == "back-off"
    assert "wait until 00:" in hold.hint


def test_another_value_in_the_document_is_sent_at_once(world: World) -> None:
    world.bmc("m1").faults.add(Fault(FaultKind.BUSY, on=WRITES, times=4))
    world.commit(declare(machine("m1", indicatorLED="Lit")))
    world.run(300)
    world.commit(declare(machine("m1", indicatorLED="Blinking"), revision="b" * 40))
    world.run(5)
    assert writes(world)[-1] == 300.0


def test_a_bmc_that_could_not_be_reached_was_not_asked(world: World) -> None:
    world.bmc("m1").faults.add(Fault(FaultKind.UNREACHABLE, on=WRITES, times=3))
    world.commit(declare(machine("m1", power="On")))
    world.run(HOUR)
    (recent,) = [facts.recent_writes["spec.power"] for facts in world.facts().values()]
    assert len(recent.times) == 1


def test_the_repeats_of_a_refusal_are_one_event_each(world: World) -> None:
    world.bmc("m1").faults.add(Fault(FaultKind.BUSY, on=WRITES, times=None))
    world.commit(declare(machine("m1", power="On")))
    world.run(24 * HOUR)
    told = [entry.event for entry in world.store.events()]
    assert [event.reason for event in told] == ["ActionSent", "ActionRefused"]
    assert {event.count for event in told} == {len(tries(world))}
    assert all(event.last is not None and (event.last - event.at).total_seconds() > 20 * HOUR for event in told)


def test_the_end_of_the_story_is_an_event_of_its_own(world: World) -> None:
    world.bmc("m1").faults.add(Fault(FaultKind.BUSY, on=WRITES, times=3))
    world.commit(declare(machine("m1", power="On")))
    world.run(HOUR)
    told = [(entry.event.reason, entry.event.count) for entry in world.store.events()]
    assert told == [("ActionSent", 4), ("ActionRefused", 3), ("ActionConfirmed", 1)]

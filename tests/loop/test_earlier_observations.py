"""What the plan saw a moment ago serves for a first write that takes nothing down; every other write wants a look of
its own just before. Nothing is ever sent twice by one look."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.base import PowerState, ResetType
from drivers.bmc.fake.fake_faults import Call, Fault, FaultKind
from reconciler.applying.key_memory import MAX_AGE_SECONDS
from reconciler.model.observation import Observation
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.workqueue.loop import COMMIT
from tests.loop.world import World, declare, keys, machine

OFF, ON = PowerState.OFF, PowerState.ON


def watched(world: World, address: str, system_id: str | None = None, **state: Any) -> list[str]:
    """What a system is asked from now on, in order: `look`, or what is sent."""
    bmc = world.fleet.machine(address, system_id)
    bmc.state = msgspec.structs.replace(bmc.state, **state)
    calls: list[str] = []
    read, write = bmc.read, bmc.write

    def looking(*, media: bool) -> Any:
        calls.append("look")
        return read(media=media)

    def writing(call: Call, value: Any) -> Any:
        calls.append(str(getattr(value, "reset_type", value)))
        return write(call, value)

    bmc.read, bmc.write = looking, writing  # type: ignore[method-assign]  # the fake, watched
    return calls


def applied(
    world: World, desired: DesiredState, *names: str, own: Collection[ResourceKey] | None = None, age: float = 3.0
) -> None:
    """An apply looked at these for its plan so long ago, and begins."""
    found = []
    for key in keys(names):
        bmc = desired.resources[key].spec.bmc
        found.append(Observation(key, world.now(), world.fleet.machine(bmc.address, bmc.system_id).state))
    world.at += age
    world.engine.put_in_force(desired)
    world.engine.use_observations(found, {one.key for one in found} if own is None else own)
    world.loop.put(keys(names), COMMIT)


def test_a_power_on_goes_by_the_look_of_the_plan_and_is_confirmed_by_a_new_one(tmp_path: Path) -> None:
    world = World(tmp_path)
    calls = watched(world, "fake-m1", power=OFF)
    applied(world, declare(machine("m1", power="On")), "m1")
    world.run(0.2)
    assert calls == ["On"]
    world.run(30)
    assert calls[:2] == ["On", "look"]
    assert calls.count("On") == 1
    assert world.reasons("m1") == ["ActionSent", "ActionConfirmed"]


@pytest.mark.parametrize(
    ("state", "power"),
    [
        pytest.param({"power": ON}, "Off", id="what takes the machine down"),
        pytest.param(
            {"power": OFF, "allowed_resets": (ResetType.PUSH_POWER_BUTTON,)},
            "On",
            id="what does the opposite where somebody else was first",
        ),
    ],
)
def test_other_writes_want_a_look_just_before(tmp_path: Path, state: dict[str, Any], power: str) -> None:
    world = World(tmp_path)
    calls = watched(world, "fake-m1", **state)
    applied(world, declare(machine("m1", power=power)), "m1")
    world.run(0.2)
    assert calls[0] == "look"
    assert len([call for call in calls if call != "look"]) == 1


def test_somebody_who_was_faster_is_seen_before_the_power_is_cut(tmp_path: Path) -> None:
    world = World(tmp_path)
    calls = watched(world, "fake-m1", power=ON)
    applied(world, declare(machine("m1", power="Off")), "m1")
    world.bmc("m1").state = msgspec.structs.replace(world.bmc("m1").state, power=OFF)
    world.run(30)
    assert set(calls) == {"look"}


@pytest.mark.parametrize("age", [MAX_AGE_SECONDS, 3600.0, -1.0])
def test_an_old_look_and_one_of_a_clock_that_was_put_back_do_not_serve(tmp_path: Path, age: float) -> None:
    world = World(tmp_path)
    world.at = 10.0
    calls = watched(world, "fake-m1", power=OFF)
    applied(world, declare(machine("m1", power="On")), "m1", age=age)
    world.run(0.2)
    assert calls[0] == "look"


def test_a_look_that_another_process_took_does_not_serve(tmp_path: Path) -> None:
    world = World(tmp_path)
    calls = watched(world, "fake-m1", power=OFF)
    applied(world, declare(machine("m1", power="On")), "m1", own=())
    world.run(0.2)
    assert calls[0] == "look"


def test_what_was_refused_is_not_sent_again_without_a_look(tmp_path: Path) -> None:
    world = World(tmp_path)
    calls = watched(world, "fake-m1", power=OFF)
    world.bmc("m1").faults.add(Fault(FaultKind.BUSY, frozenset({Call.RESET})))
    applied(world, declare(machine("m1", power="On")), "m1")
    world.run(120)
    sent = [number for number, call in enumerate(calls) if call == "On"]
    assert len(sent) == 2
    assert "look" in calls[sent[0] : sent[1]]


def test_of_two_systems_behind_one_bmc_the_second_is_looked_at_again(tmp_path: Path) -> None:
    """An action for one may change the other: a shared chassis, a shared power supply."""
    world = World(tmp_path)
    first, second = (watched(world, "chassis", name, power=OFF) for name in ("m1", "m2"))
    both = [machine(name, address="chassis", power="On") for name in ("m1", "m2")]
    applied(world, declare(*both), "m1", "m2")
    world.run(30)
    assert sorted((first[0], second[0])) == ["On", "look"]


def test_an_action_in_flight_at_the_plan_s_look_is_settled_by_it_and_the_next_one_has_a_look_of_its_own(
    tmp_path: Path,
) -> None:
    """The look settles what an earlier process sent. Whether something more is to be sent, a new one says."""
    declared = declare(machine("m1", power="On", indicatorLED="Lit"))
    world = World(tmp_path)
    watched(world, "fake-m1", power=OFF)
    world.commit(declared)
    world.loop.turn()
    world.desired = None
    world.restart()
    world.at += 60
    calls = watched(world, "fake-m1")
    applied(world, declared, "m1")
    world.run(0.2)
    assert calls[0] == "look"

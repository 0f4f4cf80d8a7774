"""A machine's whole life under a virtual clock: inspected, claimed, installed, released, and whatever goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.base import PowerState
from reconciler.kinds.lifecycle import Phase, claim_spec, phase
from tests.loop.metal import Metal, live
from tests.loop.world import World, declare, machine

MANAGED = {"lifecycle": {"mode": "Managed"}}


def at(world: World, name: str) -> Phase:
    facts = world.engine.remembered(Metal(world, name).key)
    return phase(facts, claim_spec(facts.life, world.desired))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, on_after=2.0, off_after=2.0)


def test_a_managed_machine_is_inspected_once_and_off_afterwards(world: World) -> None:
    metal = Metal(world, "m1")
    world.commit(declare(machine("m1", **MANAGED)))
    assert at(world, "m1") is Phase.DISCOVERED
    live(world, [metal], 120)
    assert at(world, "m1") is Phase.AVAILABLE
    assert metal.bmc.state.power is PowerState.OFF
    assert metal.bmc.booted_from == ["Pxe"]
    live(world, [metal], 3600)
    assert metal.bmc.booted_from == ["Pxe"]
    assert world.engine.plan().changes == ()


def test_a_machine_that_runs_is_not_stopped_to_be_inspected(world: World) -> None:
    from msgspec.structs import replace

    metal = Metal(world, "m1")
    metal.bmc.state = replace(metal.bmc.state, power=PowerState.ON)
    world.commit(declare(machine("m1", **MANAGED)))
    live(world, [metal], 600)
    assert metal.bmc.writes == []
    assert "Held" in world.reasons("m1")
    world.commit(declare(machine("m1", lifecycle={"mode": "Managed", "request": "now"}), revision="b" * 40))
    live(world, [metal], 600)
    assert at(world, "m1") is Phase.AVAILABLE


def test_a_machine_from_which_no_agent_calls_is_tried_three_times_then_left_to_people(world: World) -> None:
    metal = Metal(world, "m1")
    metal.dead = True
    world.commit(declare(machine("m1", **MANAGED)))
    live(world, [metal], 3 * 3600)
    assert at(world, "m1") is Phase.ERROR
    assert metal.bmc.booted_from == ["Pxe"] * 3
    metal.dead = False
    world.commit(declare(machine("m1", lifecycle={"mode": "Managed", "request": "mended"}), revision="b" * 40))
    live(world, [metal], 900)
    assert at(world, "m1") is Phase.AVAILABLE

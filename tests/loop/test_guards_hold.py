"""What the guards hold stays held, by whatever way one would come around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.base import PowerState
from drivers.bmc.fake.fake_faults import Fault, FaultKind
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.planning.guards.guard_limits import GuardLimits
from tests.loop.world import World, declare, machine

NAMES = [f"m{n:02d}" for n in range(20)]


def fleet(path: Path, limits: GuardLimits = GuardLimits()) -> World:  # noqa: B008  a frozen value
    """Twenty machines that run, as declared."""
    world = World(path, limits, off_after=5.0, on_after=5.0)
    for name in NAMES:
        switch_on(world, name)
    world.commit(declare(*(machine(name, power="On") for name in NAMES)))
    world.run(60)
    return world


def switch_on(world: World, name: str) -> None:
    bmc = world.bmc(name)
    bmc.state = msgspec.structs.replace(bmc.state, power=PowerState.ON)


def off(world: World) -> list[str]:
    return [name for name in NAMES if world.bmc(name).state.power is PowerState.OFF]


def silent(world: World, names: list[str]) -> None:
    for name in names:
        world.bmc(name).faults.add(Fault(FaultKind.UNREACHABLE, times=None))


def slip(*, keep: int = 20, new: int = 0, **of_the_first: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """The first `keep` machines, the very first declared differently, and `new` others."""
    old = [machine(name, power="On") for name in NAMES[1:keep]]
    return [machine(NAMES[0], **of_the_first), *old, *(machine(f"new{n:02d}") for n in range(new))]


class TestMassRemoval:
    def test_new_machines_do_not_make_a_loss_look_small(self, tmp_path: Path) -> None:
        world = fleet(tmp_path)
        world.commit(declare(*slip(keep=15, new=60, power="Off"), revision="b" * 40))
        world.run(600)
        assert world.fleet.writes == []
        assert {key.name for key in world.facts()} >= set(NAMES)

    def test_nor_do_they_at_the_commit_after_that(self, tmp_path: Path) -> None:
        world = fleet(tmp_path)
        world.commit(declare(*slip(keep=15, new=60, power="On"), revision="b" * 40))
        world.run(60)
        world.restart()
        world.commit(declare(*slip(keep=15, new=61, power="Off"), revision="c" * 40))
        world.run(600)
        assert world.fleet.writes == []

    def test_machines_that_stayed_count_from_then_on(self, tmp_path: Path) -> None:
        world = fleet(tmp_path)
        world.commit(declare(*slip(keep=18, new=22, power="On"), revision="b" * 40))
        world.run(120)
        assert len(world.facts()) == 40
        world.commit(declare(*slip(keep=14, new=22, power="On"), revision="c" * 40))
        world.run(120)
        assert len(world.facts()) == 36, "four of forty may go"


class TestUnreachable:
    def test_a_restart_into_an_outage_takes_nothing_down_before_it_has_looked(self, tmp_path: Path) -> None:
        world = fleet(tmp_path)
        silent(world, NAMES[5:])
        world.desired = declare(*slip(power="Off"), revision="b" * 40)
        world.restart()
        world.run(600)
        assert off(world) == []

    def test_a_few_silent_ones_hold_nothing_up(self, tmp_path: Path) -> None:
        world = fleet(tmp_path)
        silent(world, NAMES[18:])
        world.desired = declare(*slip(power="Off"), revision="b" * 40)
        world.restart()
        world.run(20)
        assert off(world) == NAMES[:1]

    def test_a_clock_that_is_put_back_does_not_keep_an_old_survey(self, tmp_path: Path) -> None:
        world = fleet(tmp_path)
        world.engine.plan()
        silent(world, NAMES[5:])
        world.run(120)
        world.at -= 3600
        world.commit(declare(*slip(power="Off"), revision="b" * 40))
        world.run(600)
        assert off(world) == []


class TestBudget:
    @pytest.mark.parametrize("restarted", [False, True])
    def test_renaming_what_is_down_makes_no_room(self, tmp_path: Path, restarted: bool) -> None:
        world = fleet(tmp_path, GuardLimits(max_removed=FleetShare(percent=100)))
        down = [machine(name, power="Off") for name in NAMES[:2]]
        world.commit(declare(*down, *(machine(name, power="On") for name in NAMES[2:]), revision="b" * 40))
        world.run(60)
        renamed = [("Machine", f"x-{name}", spec) for _, name, spec in down]
        if restarted:
            world.desired = declare(*renamed, *(machine(n, power="Off") for n in NAMES[2:]), revision="c" * 40)
            world.restart()
        else:
            world.commit(declare(*renamed, *(machine(n, power="Off") for n in NAMES[2:]), revision="c" * 40))
        world.run(600)
        assert off(world) == NAMES[:2]

"""A restart that a person asked for: one power cycle by the guards, at most once, whatever crashes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.base import PowerState, ResetType
from drivers.bmc.fake.fake_faults import WRITES, Fault, FaultKind
from reconciler.model.plans.pause import ResourcePause
from reconciler.model.plans.restart import RestartRequest
from reconciler.model.resource import ResourceKey
from reconciler.store import StoreError
from reconciler.workqueue.loop import COMMIT
from tests.loop.test_crash import Killed, Reaper, arm
from tests.loop.world import World, declare, machine

KEY = ResourceKey("Machine", "m1")
OFFS = (ResetType.GRACEFUL_SHUTDOWN, ResetType.FORCE_OFF)


def start(path: Path, **spec: Any) -> World:
    """A world whose one machine is on, and has been so for an hour."""
    world = World(path, on_after=11.0, off_after=6.0)
    world.commit(declare(machine("m1", power="On", **spec)))
    world.run(3600)
    return world


def ask(world: World, name: str = "r1", within: float = 3600.0) -> None:
    until = world.now() + timedelta(seconds=within)
    world.store.restarts.add(RestartRequest(name, KEY, "INC-7", "ada", world.now(), until))


def run(world: World, seconds: float) -> None:
    """Let time pass, while what is asked for is taken up every few seconds, as the daemon does."""
    for _ in range(round(seconds / 2)):
        keys, results = world.engine.take_restarts(world.store.restarts.open())
        world.store.restarts.end(results, world.now())
        world.loop.put(keys, COMMIT)
        world.run(2)


def sent(world: World) -> Sequence[object]:
    """All that reached the BMC since it was powered on first."""
    return [write.value for write in world.bmc("m1").writes][1:]


def done(world: World) -> Sequence[object]:
    """The same without what was refused, or did not arrive."""
    failed = (FaultKind.BUSY, FaultKind.UNREACHABLE, FaultKind.REJECTED)
    return [write.value for write in world.bmc("m1").writes if write.fault not in failed][1:]


def told(world: World) -> list[str]:
    return [entry.event.reason for entry in world.store.events(key=KEY) if entry.event.reason.startswith("Restart")]


def failure(world: World) -> str:
    return next(e.event.message for e in world.store.events(key=KEY) if e.event.reason == "RestartFailed")


def test_it_is_off_once_and_on_again(tmp_path: Path) -> None:
    world = start(tmp_path)
    ask(world)
    run(world, 120)
    assert sent(world) == [ResetType.GRACEFUL_SHUTDOWN, ResetType.ON]
    assert told(world) == ["RestartRequested", "Restarted"]
    assert world.store.restarts.open() == ()
    assert world.bmc("m1").state.power is PowerState.ON
    causes = [one.event.message for one in world.store.events(key=KEY) if one.event.reason == "ActionSent"]
    assert causes[-2:] == [
        "power-off (GracefulShutdown), because of restart r1 by ada: INC-7",
        "power-on (On), because of restart r1 by ada: INC-7",
    ]
    assert "DriftDetected" not in world.reasons("m1")[-6:]
    run(world, 3600)
    assert len(sent(world)) == 2


def test_another_one_may_follow_and_not_before_the_first_has_ended(tmp_path: Path) -> None:
    world = start(tmp_path)
    ask(world)
    with pytest.raises(StoreError, match="restart r1 of Machine/m1 has not ended yet"):
        ask(world, "r2")
    run(world, 120)
    ask(world, "r2")
    run(world, 120)
    assert [value for value in sent(world) if value in OFFS] == [ResetType.GRACEFUL_SHUTDOWN] * 2


@pytest.mark.parametrize(
    ("escalate", "expected", "ends"),
    [
        ("Force", [ResetType.GRACEFUL_SHUTDOWN, ResetType.FORCE_OFF, ResetType.ON], "Restarted"),
        ("Never", [ResetType.GRACEFUL_SHUTDOWN], "RestartFailed"),
    ],
)
def test_an_ignored_shutdown_is_forced_only_where_declared(
    tmp_path: Path, escalate: str, expected: list[ResetType], ends: str
) -> None:
    world = start(tmp_path, shutdown={"timeoutSeconds": 60, "escalate": escalate})
    world.bmc("m1").faults.add(Fault(FaultKind.SHUTDOWN_IGNORED, WRITES))
    ask(world)
    run(world, 600)
    assert (sent(world), told(world)[-1]) == (expected, ends)
    assert world.engine.plan().changes == ()


def test_what_cannot_begin_in_time_is_given_up(tmp_path: Path) -> None:
    world = start(tmp_path)
    pause = ResourcePause("p1", "INC-8", "eve", world.now())
    world.standing = msgspec.structs.replace(world.standing, pauses=(pause,))
    ask(world, within=600)
    run(world, 900)
    assert (sent(world), told(world)) == ([], ["RestartRequested", "RestartFailed"])
    assert "could not begin in time" in failure(world)
    world.standing = msgspec.structs.replace(world.standing, pauses=())
    run(world, 900)
    assert sent(world) == []


def test_maintenance_that_begins_meanwhile_holds_it(tmp_path: Path) -> None:
    world = start(tmp_path)
    world.commit(declare(machine("m1", power="On", maintenance={"reason": "a DIMM"})))
    ask(world, within=600)
    run(world, 900)
    assert (sent(world), told(world)[-1]) == ([], "RestartFailed")


def test_a_machine_that_is_removed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    world = start(tmp_path)
    ask(world)
    world.commit(declare(machine("m2", power="On")))
    run(world, 60)
    assert sent(world) == []
    assert "no longer declared" in failure(world)


def test_one_that_is_off_already_has_only_to_be_powered_on(tmp_path: Path) -> None:
    world = start(tmp_path)
    bmc = world.bmc("m1")
    bmc.state = msgspec.structs.replace(bmc.state, power=PowerState.OFF)
    ask(world)
    run(world, 120)
    assert (sent(world), told(world)[-1]) == ([ResetType.ON], "Restarted")


def test_after_a_crash_in_which_the_machine_came_back_it_is_not_restarted_again(tmp_path: Path) -> None:
    """Killed after the power-off was sent; somebody had powered the machine on before the next process looked."""
    world = start(tmp_path, shutdown={"timeoutSeconds": 60, "escalate": "Force"})
    ask(world)
    keys, _ = world.engine.take_restarts(world.store.restarts.open())
    world.loop.put(keys, COMMIT)
    world.loop.turn()
    assert sent(world) == [ResetType.GRACEFUL_SHUTDOWN]
    bmc = world.bmc("m1")
    world.run(0)
    world.at += 300
    bmc.state = msgspec.structs.replace(bmc.state, power=PowerState.ON)
    world.restart()
    run(world, 900)
    assert [value for value in sent(world) if value in OFFS] == [ResetType.GRACEFUL_SHUTDOWN]
    assert told(world)[-1] in ("RestartFailed", "Restarted")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("ignored", [False, True], ids=["heeded", "ignored"])
def test_killed_at_every_write_it_is_never_done_twice(tmp_path: Path, after: bool, ignored: bool) -> None:
    """Wherever the process dies: each way to turn it off reaches the BMC once at most, the machine is on in the end,
    and the request has ended."""

    def prepared(path: Path) -> World:
        path.mkdir()
        world = start(path, shutdown={"timeoutSeconds": 60, "escalate": "Force"})
        if ignored:
            world.bmc("m1").faults.add(Fault(FaultKind.SHUTDOWN_IGNORED, WRITES))
        ask(world)
        return world

    counted, reaper = prepared(tmp_path / "count"), Reaper(0, after=False)
    arm(counted, reaper)
    run(counted, 400)
    assert reaper.calls >= 4
    for at in range(1, reaper.calls + 1):
        world, killer = prepared(tmp_path / f"{at}"), Reaper(at, after=after)
        arm(world, killer)
        with pytest.raises(Killed):
            run(world, 400)
        killer.at, killer.looked = 0, set()
        world.restart()
        run(world, 1200)
        offs = [value for value in sent(world) if value in OFFS]
        assert len(offs) == len(set(offs)), f"killed at {at}: {offs}"
        assert world.bmc("m1").state.power is PowerState.ON
        assert world.store.restarts.open() == ()
        assert world.store.in_flight() == {}
        assert told(world)[-1] in ("Restarted", "RestartFailed")
        assert len(told(world)) == 2


@pytest.mark.parametrize("kind", [FaultKind.BUSY, FaultKind.UNREACHABLE])
def test_a_power_off_that_was_not_taken_now_is_sent_again_in_time(tmp_path: Path, kind: FaultKind) -> None:
    world = start(tmp_path)
    world.bmc("m1").faults.add(Fault(kind, WRITES))
    ask(world)
    run(world, 600)
    assert (done(world), told(world)[-1]) == ([ResetType.GRACEFUL_SHUTDOWN, ResetType.ON], "Restarted")


def test_a_power_off_that_cannot_be_sent_ends_the_restart_when_its_time_is_over(tmp_path: Path) -> None:
    world = start(tmp_path)
    world.bmc("m1").faults.add(Fault(FaultKind.UNREACHABLE, WRITES, times=None))
    ask(world, within=600)
    run(world, 1800)
    assert (done(world), told(world)[-1]) == ([], "RestartFailed")
    assert "could not begin in time" in failure(world) or "the power-off was refused" in failure(world)


def test_a_power_cut_that_is_refused_ends_the_restart_and_names_the_refusal(tmp_path: Path) -> None:
    world = start(tmp_path, shutdown={"timeoutSeconds": 60, "escalate": "Force"})
    faults = world.bmc("m1").faults
    faults.add(Fault(FaultKind.SHUTDOWN_IGNORED, WRITES))
    ask(world)
    run(world, 4)
    faults.add(Fault(FaultKind.REJECTED, WRITES, times=None))
    run(world, 1200)
    assert (done(world), told(world)[-1]) == ([ResetType.GRACEFUL_SHUTDOWN], "RestartFailed")
    assert "the power-off was refused: " in failure(world)


def test_one_that_is_cancelled_before_its_power_off_is_not_done(tmp_path: Path) -> None:
    world = start(tmp_path)
    pause = ResourcePause("p1", "INC-8", "eve", world.now())
    world.standing = msgspec.structs.replace(world.standing, pauses=(pause,))
    ask(world)
    run(world, 60)
    world.store.restarts.cancel(KEY, "not needed", "eve", world.now())
    world.standing = msgspec.structs.replace(world.standing, pauses=())
    run(world, 600)
    assert (sent(world), told(world)) == ([], ["RestartRequested", "RestartCancelled"])
    ask(world, "r2")
    run(world, 120)
    assert (len(sent(world)), told(world)[-1]) == (2, "Restarted")


def test_one_that_is_cancelled_after_its_power_off_leaves_the_machine_on(tmp_path: Path) -> None:
    world = start(tmp_path)
    ask(world)
    run(world, 2)
    assert sent(world) == [ResetType.GRACEFUL_SHUTDOWN]
    world.store.restarts.cancel(KEY, "", "eve", world.now())
    run(world, 600)
    assert sent(world) == [ResetType.GRACEFUL_SHUTDOWN, ResetType.ON]
    assert world.bmc("m1").state.power is PowerState.ON

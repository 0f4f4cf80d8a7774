"""Writes that a BMC carries out by a Redfish Task: its progress is reported, its failure ends the action, and what is
observed decides all the same. A task that cannot be read is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.base import PowerState, TaskState
from drivers.bmc.fake.fake_faults import Call, Fault, FaultKind
from reconciler.model.event import EventReason, EventType
from reconciler.model.outcome import Failed, OutcomeReason
from reconciler.model.resource import ResourceKey
from tests.drivers.bmc_servers import DROP, ROOT, SYSTEM, reply
from tests.loop.test_crash import Killed, Reaper, arm
from tests.loop.test_refused_writes import Refusing, live
from tests.loop.world import World, declare, machine

M = ResourceKey("Machine", "m1")
TASK = f"{ROOT}/TaskService/TaskMonitors/1"
ONCE = {"target": "Pxe", "enabled": "Once", "request": "1"}
WISHES: dict[str, Mapping[str, Any]] = {
    "power": {"power": "On"},
    "boot": {"boot": {"target": "Pxe", "enabled": "Continuous"}},
    "indicator": {"indicatorLED": "Lit"},
}


def started(path: Path, **wanted: Any) -> World:
    """A world whose BMC carries out each write by a Task of 20 s, and shows power after 15 s."""
    world = World(path, on_after=15.0, off_after=15.0)
    world.bmc("m1").task_after = 20.0
    world.commit(declare(machine("m1", **wanted)))
    return world


def quick(path: Path) -> World:
    """The same in 2 s."""
    world = started(path, power="On")
    world.bmc("m1").on_after, world.bmc("m1").task_after = 2.0, 2.5
    return world


def messages(world: World, reason: EventReason) -> list[str]:
    return [event.message for event in world.events if event.reason == reason]


def test_the_progress_of_a_task_is_an_event_and_kept_with_the_action(tmp_path: Path) -> None:
    world = started(tmp_path, power="On")
    world.run(10)
    assert messages(world, EventReason.ACTION_PROGRESSED) == [
        "power-on (On): the Task of the action reports Running, 2 %: The task is running."
    ]
    (flight,) = world.store.in_flight().values()
    assert flight.accepted
    assert flight.task is not None
    assert flight.task.state is TaskState.RUNNING
    assert flight.task.percent is not None
    assert flight.task.percent > 20


def test_what_is_observed_confirms_before_its_task_ends(tmp_path: Path) -> None:
    world = started(tmp_path, power="On")
    world.run(19)
    assert world.reasons("m1")[-1] == "ActionConfirmed"
    assert world.store.in_flight() == {}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            FaultKind.TASK_FAILS,
            "the Task of the action reports Exception with TaskStatus Critical: The power supply is not ready.",
        ),
        (
            FaultKind.TASK_CRITICAL,
            "the Task of the action reports Completed with TaskStatus Critical: Unable to complete the job.",
        ),
    ],
)
@pytest.mark.parametrize("wish", WISHES)
def test_a_task_that_failed_ends_the_action_in_the_words_of_the_bmc(
    tmp_path: Path, wish: str, kind: FaultKind, words: str
) -> None:
    """F55: ironcore-dev/metal-operator#453."""
    world = started(tmp_path, **WISHES[wish])
    world.bmc("m1").task_after = 3.0
    world.bmc("m1").faults.add(Fault(kind))
    world.run(4)
    (event,) = [one for one in world.events if one.reason == EventReason.ACTION_FAILED]
    assert event.type is EventType.WARNING
    assert words in event.message
    assert world.store.in_flight() == {}
    outcome = world.outcomes[M]
    assert isinstance(outcome, Failed)
    assert outcome.reason is OutcomeReason.TASK_FAILED
    (failure,) = world.facts()[M].failures.values()
    assert failure.reason == "TaskFailed"
    assert words in failure.message


def test_what_failed_by_its_task_is_sent_again_after_a_while(tmp_path: Path) -> None:
    world = started(tmp_path, power="On")
    world.bmc("m1").task_after = None
    world.bmc("m1").faults.add(Fault(FaultKind.TASK_FAILS))
    world.run(60)
    assert [write.value for write in world.bmc("m1").writes] == ["On", "On"]
    assert world.bmc("m1").state.power is PowerState.ON
    assert world.facts()[M].failures == {}


def test_a_boot_override_for_one_boot_is_not_sent_again_after_its_task_failed(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.meet("m1")
    world.bmc("m1").faults.add(Fault(FaultKind.TASK_FAILS))
    world.commit(declare(machine("m1", boot=ONCE)))
    world.run(3600)
    assert len(world.bmc("m1").writes) == 1
    assert "change the text of spec.boot.request" in messages(world, EventReason.ACTION_FAILED)[0]


def test_what_is_observed_decides_against_a_task_that_failed(tmp_path: Path) -> None:
    """A Completed job may be Critical for something beside the power."""
    world = started(tmp_path, power="On")
    world.bmc("m1").task_after = None
    world.bmc("m1").faults.add(Fault(FaultKind.TASK_CRITICAL))
    world.loop.turn()
    world.bmc("m1").state = msgspec.structs.replace(world.bmc("m1").state, power=PowerState.ON)
    world.run(30)
    assert "ActionConfirmed" in world.reasons("m1")
    assert "ActionFailed" not in world.reasons("m1")


@pytest.mark.parametrize("kind", [FaultKind.TASK_FORGOTTEN, FaultKind.UNREACHABLE, FaultKind.BUSY, FaultKind.REJECTED])
def test_a_task_that_cannot_be_read_is_unknown_and_no_failure(tmp_path: Path, kind: FaultKind) -> None:
    """F52: iDRAC answers 404 for a job that was just made (sushy note fix-dell-bmc-404-race)."""
    world = started(tmp_path, power="On")
    world.bmc("m1").faults.add(Fault(kind, frozenset({Call.TASK}), times=None))
    world.run(60)
    assert world.reasons("m1") == ["ActionSent", "ActionConfirmed"]
    assert len(world.bmc("m1").writes) == 1


def test_a_graceful_shutdown_whose_task_failed_is_escalated_at_its_deadline(tmp_path: Path) -> None:
    """metal3-io/baremetal-operator#294: a BMC says at once that no agent would shut the machine down."""
    world = World(tmp_path)
    world.bmc("m1").state = msgspec.structs.replace(world.bmc("m1").state, power=PowerState.ON)
    world.bmc("m1").faults.add(Fault(FaultKind.TASK_FAILS))
    world.commit(declare(machine("m1", power="Off", shutdown={"escalate": "Force", "timeoutSeconds": 120})))
    world.run(300)
    writes = world.bmc("m1").writes
    assert [write.value for write in writes] == ["GracefulShutdown", "ForceOff"]
    assert writes[1].at >= 120
    assert len(messages(world, EventReason.ACTION_FAILED)) == 1
    (ignored,) = messages(world, EventReason.SHUTDOWN_IGNORED)
    assert "The power supply is not ready." in ignored


def test_a_graceful_shutdown_whose_task_failed_is_never_forced_where_the_document_forbids_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.bmc("m1").state = msgspec.structs.replace(world.bmc("m1").state, power=PowerState.ON)
    world.bmc("m1").faults.add(Fault(FaultKind.TASK_FAILS))
    world.commit(declare(machine("m1", power="Off", shutdown={"escalate": "Never", "timeoutSeconds": 120})))
    world.run(7200)
    assert {write.value for write in world.bmc("m1").writes} == {"GracefulShutdown"}
    assert "The power supply is not ready." in messages(world, EventReason.ACTION_FAILED)[0]


def test_after_a_restart_the_task_is_read_on(tmp_path: Path) -> None:
    world = started(tmp_path, power="On")
    world.bmc("m1").faults.add(Fault(FaultKind.TASK_FAILS))
    world.run(5)
    (before,) = world.store.in_flight().values()
    world.restart()
    (after,) = world.store.in_flight().values()
    assert (after.id, after.handle) == (before.id, before.handle)
    assert after.handle is not None
    world.run(19)
    assert "The power supply is not ready." in messages(world, EventReason.ACTION_FAILED)[0]
    assert len([write for write in world.bmc("m1").writes if write.at < 20]) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_every_write_of_an_action_with_a_task(tmp_path: Path, after: bool) -> None:
    """The handle is written down after the send: a process that dies between the two goes by what is observed."""
    (tmp_path / "count").mkdir()
    counted = Reaper(0, after=False)
    world = quick(tmp_path / "count")
    arm(world, counted)
    world.run(60)
    for at in range(1, counted.calls + 1):
        path = tmp_path / f"{at}"
        path.mkdir()
        world, reaper = quick(path), Reaper(at, after=after)
        arm(world, reaper)
        with pytest.raises(Killed):
            world.run(60)
        reaper.at = 0
        world.restart()
        world.run(60)
        assert [write.value for write in world.bmc("m1").writes] == ["On"]
        assert world.store.in_flight() == {}
        confirmed = [one for one in world.store.events(M) if one.event.reason == "ActionConfirmed"]
        assert len(confirmed) == 1
        assert world.crashes == []


FAILED = {"TaskState": "Exception", "TaskStatus": "Critical", "Messages": [{"Message": "The PSU is missing."}]}


@pytest.mark.parametrize(
    ("wanted", "shown", "action"),
    [
        ({"power": "On"}, {"PowerState": "Off"}, "power-on (On)"),
        ({"boot": {"target": "Pxe", "enabled": "Continuous"}}, {}, "set-boot (Pxe Continuous)"),
        ({"indicatorLED": "Lit"}, {}, "set-indicator (Lit)"),
    ],
)
def test_a_redfish_task_is_read_until_it_fails_also_by_the_next_process(
    tmp_path: Path, wanted: Mapping[str, Any], shown: Mapping[str, Any], action: str
) -> None:
    """Over HTTP: 202 and a Location, 404 at first (F52), at work, and then an Exception."""
    with Refusing(reply(202, None, f"Location: {TASK}"), shown) as server:
        world = live(tmp_path, server, wanted, lives=1, seconds=3)
        (flight,) = world.store.in_flight().values()
        assert flight.handle == TASK
        assert flight.task is None
        server.documents[TASK] = {"TaskState": "Running", "PercentComplete": 40}
        world.restart()
        world.run(12)
        assert messages(world, EventReason.ACTION_PROGRESSED) == [
            f"{action}: the Task of the action reports Running, 40 %"
        ]
        server.documents[TASK] = FAILED
        server.misbehave("GET", SYSTEM, DROP, times=1)  # A look that fails settles nothing.
        world.run(12)
        assert messages(world, EventReason.ACTION_FAILED)[0] == (
            f"{action} failed: the Task of the action reports Exception with TaskStatus Critical: The PSU is missing."
        )
        assert world.crashes == []


def test_a_task_that_vanishes_is_told_and_the_system_is_looked_at(tmp_path: Path) -> None:
    """Over HTTP: at work, and then 404. `Running, 10 %` would stand there until the deadline."""
    with Refusing(reply(202, None, f"Location: {TASK}"), {"PowerState": "Off"}) as server:
        server.documents[TASK] = {"TaskState": "Running", "PercentComplete": 10}
        world = live(tmp_path, server, {"power": "On"}, lives=1, seconds=3)
        del server.documents[TASK]
        before = len(server.requests)
        world.run(12)
        paths = [one.path for one in server.requests[before:] if one.path in (SYSTEM, TASK)]
        first, second, third = [at for at, path in enumerate(paths) if path == TASK][:3]
        assert paths[first + 1 : second] == [SYSTEM, SYSTEM], "the system is looked at at once, and in its turn"
        assert paths[second + 1 : third] == [SYSTEM]
        assert messages(world, EventReason.ACTION_PROGRESSED)[-1] == (
            "power-on (On): the BMC no longer has the Task of the action, which last reported Running, 10 %"
        )
        (flight,) = world.store.in_flight().values()
        assert flight.task_words == "; the BMC no longer has its Task, which last reported Running, 10 %"
        server.documents[TASK] = {"TaskState": "Running", "PercentComplete": 40}
        world.run(12)
        (flight,) = world.store.in_flight().values()
        assert flight.task_words == "; its Task reports Running, 40 %"
        assert world.crashes == []


def test_a_task_that_vanishes_after_its_end_is_no_news(tmp_path: Path) -> None:
    """BMCs delete Tasks that have ended."""
    with Refusing(reply(202, None, f"Location: {TASK}"), {"PowerState": "Off"}) as server:
        server.documents[TASK] = {"TaskState": "Completed"}
        world = live(tmp_path, server, {"power": "On"}, lives=1, seconds=3)
        del server.documents[TASK]
        world.run(12)
        assert len(messages(world, EventReason.ACTION_PROGRESSED)) == 1
        (flight,) = world.store.in_flight().values()
        assert flight.task_words == "; its Task reports Completed"

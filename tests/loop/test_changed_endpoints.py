"""Machines whose name or BMC changes in git: what was sent to one is never judged by looking at another."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from drivers.base import BootEnabled, BootMode, BootOverride, BootTarget, PowerState, ResetType
from drivers.bmc.fake.fake_faults import WRITES, Fault, FaultKind
from reconciler.model.resource import DesiredState
from tests.loop.world import World, declare, machine

FORCE = {"timeoutSeconds": 60, "escalate": "Force"}
ONCE = {"target": "Pxe", "enabled": "Once"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, on_after=11.0, off_after=6.0)


def running(world: World, *names: str) -> None:
    for name in names:
        bmc = world.bmc(name)
        bmc.state = msgspec.structs.replace(bmc.state, power=PowerState.ON)


def sent(world: World, name: str) -> list[object]:
    return [write.value for write in world.bmc(name).writes]


def moved(name: str, to: str, **spec: object) -> tuple[str, str, dict[str, object]]:
    """The machine, on the BMC of another."""
    kind, _, there = machine(to, **spec)
    return kind, name, there


class TestAnotherBmc:
    """bmc.address or bmc.systemId is another one from now on; the system is the same one."""

    @pytest.fixture(autouse=True)
    def one_system(self, world: World) -> None:
        for name in ("m1", "m2"):
            world.bmc(name).state = msgspec.structs.replace(world.bmc(name).state, serial="SYS-1")

    def off(self, world: World, *, ignored: bool) -> None:
        running(world, "m1", "m2")
        if ignored:
            world.bmc("m1").faults.add(Fault(FaultKind.SHUTDOWN_IGNORED, times=None))
        world.commit(declare(machine("m1", power="Off", shutdown=FORCE)))

    def test_is_asked_to_shut_down_before_its_power_is_cut(self, world: World) -> None:
        self.off(world, ignored=True)
        world.run(20)
        world.commit(declare(moved("m1", "m2", power="Off", shutdown=FORCE), revision="b" * 40))
        world.run(600)
        assert sent(world, "m2") == [ResetType.GRACEFUL_SHUTDOWN]

    def test_owes_nothing_for_what_the_old_one_ignored(self, world: World) -> None:
        self.off(world, ignored=True)
        never = declare(machine("m1", power="Off", shutdown={**FORCE, "escalate": "Never"}), revision="b" * 40)
        world.commit(never)
        world.run(120)
        world.desired = declare(moved("m1", "m2", power="Off", shutdown=FORCE), revision="c" * 40)
        world.restart()
        world.run(600)
        assert sent(world, "m2") == [ResetType.GRACEFUL_SHUTDOWN]

    def test_confirms_nothing_that_was_sent_to_the_old_one(self, world: World) -> None:
        world.bmc("m2").state = msgspec.structs.replace(world.bmc("m2").state, power=PowerState.OFF)
        running(world, "m1")
        world.bmc("m1").faults.add(Fault(FaultKind.SHUTDOWN_IGNORED, times=None))
        world.commit(declare(machine("m1", power="Off")))
        world.run(20)
        world.commit(declare(moved("m1", "m2", power="Off"), revision="b" * 40))
        world.run(600)
        assert world.reasons("m1") == ["ActionSent", "AccessChanged", "ActionAbandoned"]
        assert world.store.in_flight() == {}

    def test_is_tried_though_the_old_one_refused(self, world: World) -> None:
        world.bmc("m1").faults.add(Fault(FaultKind.REJECTED, on=WRITES, times=None))
        world.commit(declare(machine("m1", power="On")))
        world.run(60)
        world.commit(declare(moved("m1", "m2", power="On"), revision="b" * 40))
        world.run(60)
        assert sent(world, "m2") == [ResetType.ON]

    def test_waits_while_the_old_one_is_at_work(self, world: World) -> None:
        self.off(world, ignored=False)
        world.run(1)
        world.commit(declare(moved("m1", "m2", power="Off"), revision="b" * 40))
        world.run(30)
        assert sent(world, "m2") == []
        world.run(300)
        assert sent(world, "m2") == [ResetType.GRACEFUL_SHUTDOWN]


class TestAnotherName:
    """The same BMC under another name."""

    def declared(self, name: str, revision: str) -> DesiredState:
        return declare(moved(name, "m1", power="On", boot=ONCE), revision=revision * 40)

    @pytest.mark.parametrize("restarted", [False, True])
    def test_is_not_given_the_same_one_time_order_again(self, world: World, restarted: bool) -> None:
        world.commit(self.declared("m1", "a"))
        world.run(60)
        before = len(world.fleet.writes)
        world.desired = self.declared("renamed", "b")
        world.restart() if restarted else world.commit(world.desired)
        world.run(600)
        assert len(world.fleet.writes) == before
        assert {key.name for key in world.facts()} == {"renamed"}

    def test_waits_for_what_was_sent_under_the_old_one(self, world: World) -> None:
        running(world, "m1")
        world.commit(declare(machine("m1", power="Off", shutdown={"timeoutSeconds": 60})))
        world.run(1)
        world.commit(declare(moved("renamed", "m1", power="On"), revision="b" * 40))
        world.run(600)
        first, second = world.bmc("m1").writes
        assert (first.value, second.value) == (ResetType.GRACEFUL_SHUTDOWN, ResetType.ON)
        assert "ShutdownIgnored" not in world.reasons("m1"), "nobody looked"


class TestTheDocumentChangesMeanwhile:
    def test_a_longer_shutdown_timeout_counts_at_once(self, world: World) -> None:
        running(world, "m1")
        world.bmc("m1").faults.add(Fault(FaultKind.SHUTDOWN_IGNORED, times=None))
        world.commit(declare(machine("m1", power="Off", shutdown=FORCE)))
        world.run(30)
        longer = {**FORCE, "timeoutSeconds": 600}
        world.commit(declare(machine("m1", power="Off", shutdown=longer), revision="b" * 40))
        world.run(500)
        assert sent(world, "m1") == [ResetType.GRACEFUL_SHUTDOWN]
        world.run(200)
        assert sent(world, "m1") == [ResetType.GRACEFUL_SHUTDOWN, ResetType.FORCE_OFF]

    def test_after_a_maintenance_it_is_asked_again_before_power_is_cut(self, world: World) -> None:
        running(world, "m1")
        world.bmc("m1").faults.add(Fault(FaultKind.SHUTDOWN_IGNORED))
        world.commit(declare(machine("m1", power="Off", shutdown=FORCE)))
        world.run(30)
        pause = {"reason": "Ada changes a disk"}
        world.commit(declare(machine("m1", power="Off", shutdown=FORCE, maintenance=pause), revision="b" * 40))
        world.run(3600)
        world.commit(declare(machine("m1", power="Off", shutdown=FORCE), revision="c" * 40))
        world.run(60)
        assert sent(world, "m1") == [ResetType.GRACEFUL_SHUTDOWN, ResetType.GRACEFUL_SHUTDOWN]

    def test_what_was_refused_is_tried_again_when_the_document_changes(self, world: World) -> None:
        world.bmc("m1").faults.add(Fault(FaultKind.REJECTED, on=WRITES))
        world.commit(declare(machine("m1", power="On")))
        world.run(600)
        assert world.bmc("m1").state.power is PowerState.OFF
        world.commit(declare(machine("m1", power="On", shutdown=FORCE), revision="b" * 40))
        world.run(60)
        assert world.bmc("m1").state.power is PowerState.ON

    def test_a_one_time_order_is_not_given_again_because_something_else_changed(self, world: World) -> None:
        world.meet("m1")
        world.bmc("m1").faults.add(Fault(FaultKind.BOOT_NOT_KEPT))
        world.commit(declare(machine("m1", boot=ONCE)))
        world.run(600)
        world.commit(declare(machine("m1", boot=ONCE, indicatorLED="Lit"), revision="b" * 40))
        world.run(600)
        assert [type(value).__name__ for value in sent(world, "m1")] == ["BootOverride", "IndicatorLED"]

    def test_an_order_that_became_another_one_is_not_done_by_the_first(self, world: World) -> None:
        running(world, "m1")
        world.commit(declare(machine("m1", boot=ONCE)))
        world.loop.turn()
        world.commit(declare(machine("m1", boot={**ONCE, "mode": "Legacy"}), revision="b" * 40))
        world.run(60)
        assert world.bmc("m1").state.boot == BootOverride(BootTarget.PXE, BootEnabled.ONCE, BootMode.LEGACY)


class TestRemovalFollowsTheLastWord:
    def spec(self, policy: str) -> dict[str, str]:
        return {"network": "n", "deletionPolicy": policy}

    def test_though_it_came_just_before_the_removal(self, world: World) -> None:
        network = ("Network", "n", {"prefixes": [{"cidr": "10.0.0.0/29"}]})
        world.commit(declare(network, ("IPAddress", "a", self.spec("Release"))))
        world.run(60)
        world.commit(declare(network, ("IPAddress", "a", self.spec("Orphan")), revision="b" * 40))
        world.commit(declare(network, revision="c" * 40))
        world.run(60)
        assert [one.owner for one in world.ipam.list()] == ["IPAddress/a"]

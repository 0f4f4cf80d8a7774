"""Power under virtual time: sent once, confirmed by looking, escalated only as declared, drift repaired."""

from __future__ import annotations

import itertools
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from sqlalchemy import event

from drivers.base import BootEnabled, BootTarget, IndicatorLED, PowerState, ResetType
from drivers.bmc.fake.fake_faults import READS, WRITES, Fault, FaultKind
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.model.outcome import Done, Failed, Waiting
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.override import Override
from reconciler.model.resource import DesiredState
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.workqueue.loop import COMMIT
from tests.loop.world import World, declare, keys, machine


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, on_after=11.0, off_after=6.0)


def sent(world: World, name: str) -> list[object]:
    return [write.value for write in world.bmc(name).writes]


def power_by_hand(world: World, name: str, power: PowerState) -> None:
    bmc = world.bmc(name)
    bmc.state = msgspec.structs.replace(bmc.state, power=power)


def test_a_declared_machine_comes_up_with_one_reset(world: World) -> None:
    world.commit(declare(machine("m1", power="On")))
    world.run(60)
    assert world.bmc("m1").state.power is PowerState.ON
    assert sent(world, "m1") == [ResetType.ON]
    assert world.reasons("m1") == ["ActionSent", "ActionConfirmed"]


def test_a_second_hour_sends_nothing(world: World) -> None:
    world.meet("m1")
    world.commit(declare(machine("m1", power="On", indicatorLED="Lit", boot={"target": "Pxe", "enabled": "Once"})))
    world.run(60)
    before = len(world.fleet.writes)
    world.run(3600)
    assert len(world.fleet.writes) == before
    assert not world.engine.plan().changes


def test_the_database_is_not_asked_while_nothing_differs(world: World) -> None:
    world.commit(declare(machine("m1", power="On")))
    world.run(60)
    asked: list[str] = []
    event.listen(world.store.engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    steps = len(world.stepped)
    world.run(3600)
    assert len(world.stepped) > steps + 50
    assert asked == []


def test_boot_is_set_before_power(world: World) -> None:
    world.meet("m1")
    world.commit(declare(machine("m1", power="On", boot={"target": "Pxe", "enabled": "Once"})))
    world.run(60)
    kinds = [type(value).__name__ for value in sent(world, "m1")]
    assert kinds == ["BootOverride", "ResetType"]


def test_a_once_order_that_the_machine_used_up_is_not_given_again(world: World) -> None:
    world.meet("m1")
    world.commit(declare(machine("m1", power="On", boot={"target": "Pxe", "enabled": "Once"})))
    world.run(600)
    boot = world.bmc("m1").state.boot
    assert boot is not None
    assert boot.enabled is BootEnabled.DISABLED
    assert len(sent(world, "m1")) == 2


def test_an_order_of_unknown_age_is_not_given_to_a_machine_that_runs(world: World) -> None:
    power_by_hand(world, "m1", PowerState.ON)
    order = {"target": "Pxe", "enabled": "Once"}
    world.commit(declare(machine("m1", power="On", boot=order)))
    world.run(600)
    assert sent(world, "m1") == []
    assert "spec.boot.request" in next(event.message for event in world.events if event.reason == "Held")
    world.commit(declare(machine("m1", power="On", boot={**order, "request": "yes"}), revision="b" * 40))
    world.run(60)
    assert len(sent(world, "m1")) == 1


class TestAnOrderInADocumentOfWhichTheStoreKnowsNothing:
    """The order may have been carried out long ago: its age is unknown to a store that is new."""

    ORDER: ClassVar = {"target": "Pxe", "enabled": "Once"}

    def declared(self, *names: str, **boot: str) -> DesiredState:
        both = (machine(name, boot={**self.ORDER, **boot}) for name in names)
        return declare(*both, revision=f"{len(boot) + len(names):x}" * 40)

    def held(self, world: World) -> list[str]:
        return [c.key.name for c in world.engine.plan().changes for hold in c.held_by if hold.by == "first-sight"]

    @pytest.mark.parametrize("power", [PowerState.ON, PowerState.OFF])
    def test_is_held_by_a_new_store_whether_the_machine_runs_or_not(self, world: World, power: PowerState) -> None:
        power_by_hand(world, "m1", power)
        world.commit(self.declared("m1"))
        world.run(7200)
        assert sent(world, "m1") == []
        assert self.held(world) == ["m1"]

    @pytest.mark.parametrize(("power", "count"), [(PowerState.ON, 0), (PowerState.OFF, 1)])
    def test_is_given_to_one_that_is_off_by_the_first_store_of_a_new_repository(
        self, world: World, power: PowerState, count: int
    ) -> None:
        world.since_beginning = True
        world.restart()
        power_by_hand(world, "m1", power)
        world.commit(self.declared("m1"))
        world.run(60)
        assert len(sent(world, "m1")) == count

    def test_is_given_by_a_new_request(self, world: World) -> None:
        world.commit(self.declared("m1"))
        world.run(60)
        world.commit(self.declared("m1", request="install"))
        world.run(60)
        assert len(sent(world, "m1")) == 1

    def test_is_given_to_one_that_is_off_by_a_store_that_knows_the_fleet(self, world: World) -> None:
        world.meet("m1")
        power_by_hand(world, "m3", PowerState.ON)
        world.commit(self.declared("m1", "m2", "m3"))
        world.run(60)
        assert [len(sent(world, name)) for name in ("m1", "m2", "m3")] == [1, 1, 0]
        assert self.held(world) == ["m3"]

    def test_is_given_under_an_override_to_those_that_it_covers(self, world: World) -> None:
        until = world.now() + timedelta(hours=1)
        mine = Override("o1", "first-sight", "new machines", "ada", world.now(), until, ("machine/m1",))
        world.standing = msgspec.structs.replace(world.standing, overrides=(mine,))
        world.commit(self.declared("m1", "m2"))
        world.run(7200)
        assert [len(sent(world, name)) for name in ("m1", "m2")] == [1, 0]


def test_a_new_request_gives_the_same_once_order_again(world: World) -> None:
    world.meet("m1")
    spec = {"target": "Pxe", "enabled": "Once"}
    world.commit(declare(machine("m1", power="On", boot=spec)))
    world.run(60)
    world.commit(declare(machine("m1", power="On", boot={**spec, "request": "again"}), revision="b" * 40))
    world.run(60)
    boot = world.bmc("m1").state.boot
    assert boot is not None
    assert (boot.target, boot.enabled) == (BootTarget.PXE, BootEnabled.ONCE)


def test_once_that_reads_back_as_continuous_converges(world: World) -> None:
    world.meet("m1")
    world.bmc("m1").faults.add(Fault(FaultKind.ONCE_READS_CONTINUOUS, times=None))
    world.commit(declare(machine("m1", boot={"target": "Pxe", "enabled": "Once"})))
    world.run(600)
    assert len(sent(world, "m1")) == 1
    assert isinstance(world.outcomes[keys(["m1"])[0]], Done)


def test_an_override_that_is_not_kept_is_said_once_and_not_sent_again(world: World) -> None:
    world.bmc("m1").faults.add(Fault(FaultKind.BOOT_NOT_KEPT, times=None))
    world.commit(declare(machine("m1", power="On", boot={"target": "Pxe", "enabled": "Continuous"})))
    world.run(3600)
    assert len(sent(world, "m1")) == 1, "and it is not powered on either: it would boot from somewhere else"
    assert world.reasons("m1").count("ActionNotConfirmed") == 1
    outcome = world.outcomes[keys(["m1"])[0]]
    assert isinstance(outcome, Failed)
    assert outcome.terminal


def test_drift_is_attributed_and_repaired(world: World) -> None:
    world.commit(declare(machine("m1", power="On")))
    world.run(60)
    power_by_hand(world, "m1", PowerState.OFF)
    world.run(120)
    assert world.bmc("m1").state.power is PowerState.ON
    assert world.reasons("m1")[2:] == ["DriftDetected", "ActionSent", "ActionConfirmed"]
    assert "drift since" in world.events[-2].message


@pytest.mark.parametrize("part", ["power", "boot", "indicator"])
def test_what_is_not_reported_is_no_drift_and_nothing_is_sent(world: World, part: str) -> None:
    """ibm-openbmc/bmcweb#246, #306: PowerState is left off while the BMC starts."""
    boot = {"target": "Hdd", "enabled": "Continuous"}
    world.commit(declare(machine("m1", power="On", boot=boot, indicatorLED="Lit")))
    world.run(120)
    bmc, before = world.bmc("m1"), len(world.fleet.writes)
    whole = bmc.state
    bmc.state = msgspec.structs.replace(whole, **{part: None}, unreported=() if part == "power" else (part,))
    world.run(600)
    (change,) = world.engine.plan().changes
    assert [hold.by for hold in change.held_by] == [HoldName.UNREPORTED]
    assert "remove" not in change.held_by[0].hint
    assert len(world.fleet.writes) == before
    bmc.state = whole
    world.run(120)
    assert not world.engine.plan().changes
    assert "DriftDetected" not in world.reasons("m1")
    assert len(world.fleet.writes) == before


def test_shutdown_is_graceful_first(world: World) -> None:
    power_by_hand(world, "m1", PowerState.ON)
    world.commit(declare(machine("m1", power="Off")))
    world.run(60)
    assert sent(world, "m1") == [ResetType.GRACEFUL_SHUTDOWN]
    assert world.bmc("m1").state.power is PowerState.OFF


def test_an_ignored_shutdown_is_not_forced_by_itself(world: World) -> None:
    power_by_hand(world, "m1", PowerState.ON)
    world.bmc("m1").faults.add(Fault(FaultKind.SHUTDOWN_IGNORED, times=None))
    world.commit(declare(machine("m1", power="Off")))
    world.run(3600)
    assert sent(world, "m1") == [ResetType.GRACEFUL_SHUTDOWN]
    assert world.bmc("m1").state.power is PowerState.ON
    outcome = world.outcomes[keys(["m1"])[0]]
    assert isinstance(outcome, Failed)
    assert "escalate" in outcome.message or "ignored" in outcome.message


def test_an_ignored_shutdown_is_forced_where_declared(world: World) -> None:
    power_by_hand(world, "m1", PowerState.ON)
    world.bmc("m1").faults.add(Fault(FaultKind.SHUTDOWN_IGNORED, times=None))
    world.commit(declare(machine("m1", power="Off", shutdown={"timeoutSeconds": 60, "escalate": "Force"})))
    world.run(120)
    assert sent(world, "m1") == [ResetType.GRACEFUL_SHUTDOWN, ResetType.FORCE_OFF]
    assert world.bmc("m1").writes[1].at >= 60


def test_an_ignored_shutdown_is_noticed_by_a_clock_that_was_put_back(world: World) -> None:
    world.at = 86400.0
    power_by_hand(world, "m1", PowerState.ON)
    world.bmc("m1").faults.add(Fault(FaultKind.SHUTDOWN_IGNORED, times=None))
    world.commit(declare(machine("m1", power="Off", shutdown={"timeoutSeconds": 60, "escalate": "Force"})))
    world.run(5)
    world.at = 0.0
    world.loop.put(keys(["m1"]), COMMIT)
    world.run(120)
    assert sent(world, "m1") == [ResetType.GRACEFUL_SHUTDOWN, ResetType.FORCE_OFF]


def test_a_lost_reply_is_looked_into_and_not_sent_again(world: World) -> None:
    world.bmc("m1").faults.add(Fault(FaultKind.REPLY_LOST, on=WRITES))
    world.commit(declare(machine("m1", power="On")))
    world.run(600)
    assert sent(world, "m1") == [ResetType.ON]
    assert world.reasons("m1") == ["ActionSent", "ActionConfirmed"]


def test_a_lost_request_is_sent_again_after_a_while_and_looks_in_between(world: World) -> None:
    world.bmc("m1").faults.add(Fault(FaultKind.REQUEST_LOST, on=WRITES))
    world.commit(declare(machine("m1", power="On")))
    world.run(900)
    first, second = world.bmc("m1").writes
    assert 20 <= second.at - first.at <= 30
    assert world.bmc("m1").state.power is PowerState.ON


def test_a_refused_action_is_not_repeated_until_something_changes(world: World) -> None:
    world.bmc("m1").faults.add(Fault(FaultKind.REJECTED, on=WRITES, times=None))
    world.commit(declare(machine("m1", indicatorLED="Lit")))
    world.run(3600)
    assert len(sent(world, "m1")) == 1
    world.bmc("m1").faults.clear()
    world.commit(declare(machine("m1", indicatorLED="Blinking"), revision="b" * 40))
    world.run(60)
    assert world.bmc("m1").state.indicator is IndicatorLED.BLINKING


def test_a_busy_bmc_is_asked_again_later(world: World) -> None:
    world.bmc("m1").faults.add(Fault(FaultKind.BUSY, on=WRITES, times=2))
    world.commit(declare(machine("m1", power="On")))
    world.run(300)
    assert world.bmc("m1").state.power is PowerState.ON


class TestAGracefulShutdownOfABusyBmc:
    """A BMC that says "not now" twice within five seconds was not asked again: the shutdown counted as ignored, and the
    power stayed on for good, or was cut with `escalate: Force`, though no shutdown had ever reached the system."""

    @staticmethod
    def off(world: World, times: int | None, **shutdown: object) -> list[tuple[float, object]]:
        power_by_hand(world, "m1", PowerState.ON)
        world.bmc("m1").faults.add(Fault(FaultKind.BUSY, on=WRITES, times=times))
        world.commit(declare(machine("m1", power="Off", shutdown={"timeoutSeconds": 300, **shutdown})))
        world.run(3600)
        return [(write.at, write.value) for write in world.bmc("m1").writes]

    @pytest.mark.parametrize("escalate", ["Never", "Force"])
    @pytest.mark.parametrize("times", [1, 2, 3])
    def test_is_sent_again_until_the_bmc_has_time(self, world: World, times: int, escalate: str) -> None:
        sent_at = self.off(world, times, escalate=escalate)
        assert sent_at == [(at, ResetType.GRACEFUL_SHUTDOWN) for at in (0.0, 5.0, 25.0, 105.0)[: times + 1]]
        assert world.bmc("m1").state.power is PowerState.OFF
        assert isinstance(world.outcomes[keys(["m1"])[0]], Done)

    def test_comes_to_its_deadline_where_the_bmc_never_has_time(self, world: World) -> None:
        sent_at = self.off(world, None)
        assert [at for at, _ in sent_at] == [0.0, 5.0, 25.0, 105.0]
        assert world.reasons("m1")[-1] == "ShutdownIgnored"
        assert isinstance(world.outcomes[keys(["m1"])[0]], Failed)

    def test_has_all_its_attempts_whatever_was_refused_before(self, world: World) -> None:
        world.bmc("m1").faults.add(Fault(FaultKind.BUSY, on=WRITES, times=1))
        world.commit(declare(machine("m1", power="On"), revision="b" * 40))
        world.run(1)
        world.at = 1000.0
        sent_at = self.off(world, 2)
        assert [value for _, value in sent_at] == [ResetType.ON, *[ResetType.GRACEFUL_SHUTDOWN] * 3]
        assert world.bmc("m1").state.power is PowerState.OFF


def test_an_unreachable_bmc_is_unknown_and_comes_back(world: World) -> None:
    world.bmc("m1").faults.add(Fault(FaultKind.UNREACHABLE, times=None))
    world.commit(declare(machine("m1", power="On")))
    world.run(600)
    assert sent(world, "m1") == []
    assert [item.reason for item in world.engine.plan().unknown] == ["Unreachable"]
    assert world.reasons("m1") == ["Unreachable"], "said once, not at each try"
    world.bmc("m1").faults.clear()
    world.run(400)
    assert world.bmc("m1").state.power is PowerState.ON


def test_a_refused_login_is_tried_seldom(world: World) -> None:
    bmc = world.bmc("m1")
    bmc.faults.add(Fault(FaultKind.AUTHENTICATION_FAILED, on=READS, times=None))
    looks = 0
    take = bmc.faults.take

    def counting(*arguments: object) -> object:
        nonlocal looks
        looks += 1
        return take(*arguments)  # type: ignore[arg-type]  # passed through as it came

    bmc.faults.take = counting  # type: ignore[method-assign,assignment]  # counts, and changes nothing
    world.commit(declare(machine("m1", power="On")))
    world.run(3600)
    assert looks <= 4


def test_one_action_at_a_time_on_a_bmc_with_several_systems(world: World) -> None:
    names = ["a", "b", "c"]
    world.commit(declare(*(machine(name, address="fake-chassis", power="On") for name in names)))
    world.run(120)
    times = sorted(write.at for write in world.fleet.writes)
    assert len(times) == 3
    assert all(later - earlier >= 11 for earlier, later in itertools.pairwise(times))


def test_what_nobody_looks_after_holds_its_bmc_until_its_deadline_only(world: World) -> None:
    desired = declare(*(machine(name, address="fake-chassis", power="On") for name in ("a", "b")))
    world.commit(desired)
    world.loop.turn()
    world.desired = None
    world.restart()
    world.engine.put_in_force(desired)
    world.loop.put(keys(["b"]), COMMIT)
    world.run(200)
    assert [write.system_id for write in world.fleet.writes] == ["a"]
    world.run(200)
    assert [write.system_id for write in world.fleet.writes] == ["a", "b"]


def test_a_machine_that_leaves_git_is_forgotten_and_left_on(world: World) -> None:
    world.commit(declare(machine("m1", power="On"), machine("m2", power="On")))
    world.run(60)
    world.commit(declare(machine("m2", power="On"), revision="b" * 40))
    world.run(120)
    assert world.bmc("m1").state.power is PowerState.ON
    assert world.reasons("m1")[-1] == "Forgotten"
    assert keys(["m1"])[0] not in world.facts()


def test_suspended_means_seen_and_not_touched(world: World) -> None:
    world.commit(declare(machine("m1", power="On", suspend={"reason": "ask Grace"})))
    world.run(600)
    assert sent(world, "m1") == []
    outcome = world.outcomes[keys(["m1"])[0]]
    assert isinstance(outcome, Waiting)
    assert "ask Grace" in outcome.message


class TestGuards:
    """The daemon holds what the plan says is held."""

    def fleet(self, path: Path, limits: GuardLimits, count: int = 20) -> World:
        world = World(path, limits, off_after=5.0, on_after=5.0)
        for n in range(count):
            power_by_hand(world, f"m{n:02d}", PowerState.ON)
        world.commit(declare(*(machine(f"m{n:02d}", power="On") for n in range(count))))
        world.run(60)
        return world

    def test_a_slip_that_powers_off_everything_takes_down_a_tenth(self, tmp_path: Path) -> None:
        world = self.fleet(tmp_path, GuardLimits())
        world.commit(declare(*(machine(f"m{n:02d}", power="Off") for n in range(20)), revision="b" * 40))
        world.run(1800)
        assert sum(world.bmc(f"m{n:02d}").state.power is PowerState.OFF for n in range(20)) == 2
        assert "--max-disrupted" in next(e.message for e in world.events if e.reason == "Held")

    def test_an_empty_desired_state_touches_nothing(self, tmp_path: Path) -> None:
        world = self.fleet(tmp_path, GuardLimits())
        world.commit(declare(revision="b" * 40))
        world.run(600)
        assert len(world.facts()) == 20
        assert {event.reason for event in world.events} == {"Held"}

    def test_losing_more_than_a_tenth_touches_nothing_at_all(self, tmp_path: Path) -> None:
        world = self.fleet(tmp_path, GuardLimits())
        documents = [machine(f"m{n:02d}", power="Off" if n == 0 else "On") for n in range(17)]
        world.commit(declare(*documents, revision="b" * 40))
        world.run(600)
        assert world.fleet.writes == []
        assert len(world.facts()) == 20

    def test_silent_bmcs_stop_what_disrupts_and_nothing_else(self, tmp_path: Path) -> None:
        world = self.fleet(tmp_path, GuardLimits(max_disrupted=FleetShare(count=20)))
        for n in range(3):
            world.bmc(f"m{n:02d}").faults.add(Fault(FaultKind.UNREACHABLE, times=None))
        world.run(120)
        documents = [machine(f"m{n:02d}", power="Off" if n == 5 else "On", indicatorLED="Lit") for n in range(20)]
        world.commit(declare(*documents, revision="b" * 40))
        world.run(120)
        assert world.bmc("m05").state.power is PowerState.ON
        assert world.bmc("m06").state.indicator is IndicatorLED.LIT

"""A machine's whole life under a virtual clock: inspected, claimed, installed, released, and whatever goes wrong."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import convert
from msgspec.structs import replace

from drivers.base import PowerState, SystemState
from drivers.bmc.fake.fake_faults import Call, Fault, FaultKind
from reconciler.kinds import record_action
from reconciler.kinds.common.fact_rules import Occasion
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.common.machine_facts import (
    BootRequest,
    FactType,
    LifecycleFacts,
    MachineFacts,
    Wiped,
    machine_facts,
)
from reconciler.kinds.machine.lifecycle.phases import Phase, claim_spec, phase
from reconciler.kinds.machine.lifecycle.system_identity import another_system
from reconciler.kinds.machine.spec import LifecycleSpec, MachineSpec
from reconciler.model.actions.record_actions import AcceptSystem
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.model.values.boot_purpose import LifecycleFailure, LifecycleFailureReason, Purpose
from reconciler.workqueue.loop import COMMIT
from tests.loop.metal import Metal, live
from tests.loop.test_changed_endpoints import moved
from tests.loop.test_claims import fleet
from tests.loop.world import ALL, START, World, declare, machine

MANAGED = {"lifecycle": {"mode": "Managed"}}


def at(world: World, name: str) -> Phase:
    facts = world.machine(Metal(world, name).key)
    return phase(facts, claim_spec(facts, world.desired))


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
    metal = Metal(world, "m1")
    metal.bmc.state = replace(metal.bmc.state, power=PowerState.ON)
    world.commit(declare(machine("m1", **MANAGED)))
    live(world, [metal], 600)
    assert metal.bmc.writes == []
    assert "Held" in world.reasons("m1")
    world.commit(declare(machine("m1", lifecycle={"mode": "Managed", "request": "now"}), revision="b" * 40))
    live(world, [metal], 600)
    assert at(world, "m1") is Phase.AVAILABLE


def test_a_machine_at_whose_place_another_was_started_before_is_not_stopped_either(world: World) -> None:
    """Its BMC's address was mistyped, and is corrected while an order for the other one is under way."""
    mistaken, metal = Metal(world, "m2"), Metal(world, "m1")
    mistaken.dead = True
    metal.bmc.state = replace(metal.bmc.state, power=PowerState.ON)
    world.commit(declare(moved("m1", "m2", **MANAGED)))
    live(world, [mistaken], 300)
    assert mistaken.bmc.state.power is PowerState.ON
    world.commit(declare(machine("m1", **MANAGED), revision="b" * 40))
    live(world, [metal], 7200)
    assert metal.bmc.writes == []
    assert world.reasons("m1")[-2:] == ["BootRequestEnded", "Held"]


@pytest.mark.parametrize("meanwhile", [{"lifecycle": {"mode": "Observe"}}, {**MANAGED, "maintenance": {"reason": "x"}}])
@pytest.mark.parametrize("before", [5, 300, 2000], ids=["ordered", "overdue soon", "tried"])
def test_what_people_started_while_the_machine_was_theirs_is_not_stopped_afterwards(
    world: World, meanwhile: dict[str, Any], before: int
) -> None:
    metal = Metal(world, "m1")
    metal.dead = True
    world.commit(declare(machine("m1", **MANAGED)))
    live(world, [metal], before)
    world.commit(declare(machine("m1", **meanwhile), revision="b" * 40))
    metal.bmc.state = replace(metal.bmc.state, power=PowerState.ON)
    live(world, [metal], 3600)
    writes = len(metal.bmc.writes)
    ordered, *over = (world.reasons("m1").count(one) for one in ("BootRequested", "BootRequestEnded", "AgentMissing"))
    assert ordered == sum(over), "the ledger has the end of each"
    world.commit(declare(machine("m1", **MANAGED), revision="c" * 40))
    live(world, [metal], 7200)
    assert len(metal.bmc.writes) == writes
    [change] = world.engine.plan().changes
    assert [hold.by for hold in change.held_by] == ["running"]


def test_an_order_of_which_nobody_knows_whether_it_arrived_is_replaced_by_another(world: World) -> None:
    metal = Metal(world, "m1")
    metal.bmc.faults.add(Fault(FaultKind.REQUEST_LOST, frozenset({Call.SET_BOOT})))
    world.commit(declare(machine("m1", **MANAGED)))
    live(world, [metal], 600)
    assert at(world, "m1") is Phase.AVAILABLE
    assert world.reasons("m1").count("BootRequested") == 2
    assert metal.bmc.booted_from == ["Pxe"]


def test_a_free_machine_that_somebody_started_is_left_alone(world: World) -> None:
    metal = Metal(world, "m1")
    world.commit(declare(machine("m1", **MANAGED)))
    live(world, [metal], 120)
    metal.bmc.state = replace(metal.bmc.state, power=PowerState.ON)
    before = len(metal.bmc.writes)
    live(world, [metal], 3600)
    assert len(metal.bmc.writes) == before
    assert [hold.by for hold in world.engine.plan().changes[0].held_by] == ["running"]


def test_a_clock_that_was_put_back_keeps_no_machine_from_being_tried_again(world: World) -> None:
    metal = Metal(world, "m1")
    failure = LifecycleFailure(LifecycleFailureReason.AGENT_MISSING, "no agent", START + timedelta(days=365))
    world.store.put_facts({metal.key: MachineFacts(lifecycle=LifecycleFacts(failure=failure, attempts=1))})
    world.restart()
    world.commit(declare(machine("m1", **MANAGED)))
    live(world, [metal], 300)
    assert at(world, "m1") is Phase.AVAILABLE


@pytest.mark.parametrize("calls", [False, True])
def test_an_agent_that_does_not_call_is_noticed_by_a_clock_that_was_put_back(world: World, calls: bool) -> None:
    world.at = timedelta(days=365).total_seconds()
    (metal,) = claimed(world, "m1")
    metal.dead, metal.ticks_to_write = not calls, 99
    live(world, [metal], 60)
    metal.dead, metal.agent = True, False
    world.at = 0.0
    world.loop.put([metal.key], COMMIT)
    live(world, [metal], 3600)
    assert ("AgentSilent" if calls else "AgentMissing") in world.reasons("m1")


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


def claimed(world: World, *names: str, **claim: Any) -> list[Metal]:
    """Machines that are inspected, and a claim for all of them that is running."""
    metals = [Metal(world, name) for name in names]
    world.commit(fleet(None, *names))
    live(world, metals, 300)
    assert {at(world, name) for name in names} == {Phase.AVAILABLE}
    world.commit(fleet(len(names), *names, **claim))
    return metals


def test_a_claim_is_installed_runs_and_is_wiped_when_it_goes(world: World) -> None:
    (metal,) = claimed(world, "m1")
    live(world, [metal], 300)
    assert at(world, "m1") is Phase.RUNNING
    assert metal.writes == ["debian-12.0.1"]
    assert metal.system
    assert metal.bmc.booted_from == ["Pxe", "Pxe", "Hdd"]
    assert world.engine.plan().changes == ()
    world.commit(fleet(None, "m1"))
    live(world, [metal], 900)
    assert at(world, "m1") is Phase.AVAILABLE
    assert metal.writes == ["debian-12.0.1", "wiped"]
    assert metal.bmc.state.power is PowerState.OFF
    assert world.engine.plan().changes == ()
    assert world.ipam.list() == []


def test_all_that_is_done_to_have_a_machine_back_is_told_with_who_gave_it_back(world: World) -> None:
    (metal,) = claimed(world, "m1")
    live(world, [metal], 300)
    told = len(world.events)
    world.commit(given_back := later(fleet(None, "m1"), "b" * 40, "Bob"))
    live(world, [metal], 10)
    world.commit(later(given_back, "c" * 40, "Carol"))
    live(world, [metal], 900)
    assert at(world, "m1") is Phase.AVAILABLE
    causes = [e.message for e in world.events[told:] if e.key == metal.key and "because of" in e.message]
    assert len(causes) >= 6
    assert all(message.endswith("(author Bob, not verified)") for message in causes)


def later(declared: DesiredState, revision: str, author: str) -> DesiredState:
    """The same as somebody committed it."""
    commit = declared.revision.commit
    assert commit is not None
    named = replace(declared.revision, id=revision, commit=replace(commit, sha=revision, author=author))
    return replace(declared, revision=named)


def test_nothing_is_wiped_while_the_machine_is_not_seen_off(world: World) -> None:
    (metal,) = claimed(world, "m1")
    live(world, [metal], 300)
    metal.bmc.faults.add(Fault(FaultKind.SHUTDOWN_IGNORED, times=None))
    world.commit(fleet(None, "m1"))
    live(world, [metal], 3600)
    assert at(world, "m1") is Phase.RELEASING
    assert metal.system
    assert metal.writes == ["debian-12.0.1"]
    assert len(world.ipam.list()) == 1
    assert "ShutdownIgnored" in world.reasons("m1")


def test_a_power_cut_while_the_image_is_written_has_it_written_again_whole(world: World) -> None:
    (metal,) = claimed(world, "m1")
    metal.ticks_to_write = 8
    while not metal.half_written:
        live(world, [metal], 5)
    metal.cut_power()
    live(world, [metal], 600)
    assert at(world, "m1") is Phase.RUNNING
    assert metal.writes == ["debian-12.0.1"]
    assert "AgentGone" in world.reasons("m1")


def test_an_agent_that_hangs_is_noticed_by_its_silence(world: World) -> None:
    (metal,) = claimed(world, "m1")
    metal.ticks_to_write = 8
    while not metal.half_written:
        live(world, [metal], 5)
    metal.agent = False
    live(world, [metal], 900)
    assert at(world, "m1") is Phase.RUNNING
    assert "AgentSilent" in world.reasons("m1")


def test_an_agent_that_cannot_write_is_tried_three_times_and_a_word_of_the_claim_tries_again(world: World) -> None:
    (metal,) = claimed(world, "m1")
    metal.fails_to_write = True
    live(world, [metal], 3600)
    assert at(world, "m1") is Phase.ERROR
    assert world.reasons("m1").count("AgentFailed") == 3
    metal.fails_to_write = False
    world.commit(fleet(1, "m1", request="the image is mended"))
    live(world, [metal], 900)
    assert at(world, "m1") is Phase.RUNNING


def test_a_claimed_machine_in_error_is_tried_again_by_a_word_of_its_own(world: World) -> None:
    """Such as the name of an installation that may go; the claim's other machines are not touched."""
    first, second = claimed(world, "m1", "m2")
    live(world, [first, second], 600)
    written = len(second.writes)
    first.fails_to_write, first.failure = True, "nothing is touched: on sda is m1-7-7"
    world.commit(fleet(2, "m1", "m2", request="again"))
    live(world, [first, second], 3600)
    assert (at(world, "m1"), at(world, "m2")) == (Phase.ERROR, Phase.RUNNING)
    assert world.reasons("m1").count("AgentFailed") == 3
    for word, fails, tries in (("of another thing", True, 6), ("m1-7-7", False, 6)):
        first.fails_to_write = fails
        wanted = fleet(2, "m1", "m2", request="again")
        changed = replace(wanted.resources[first.key], spec=machine_spec(wanted, first.key, word))
        revision = replace(wanted.revision, id=word.ljust(40, "e"))
        world.commit(replace(wanted, resources={**wanted.resources, first.key: changed}, revision=revision))
        live(world, [first, second], 3600)
        assert world.reasons("m1").count("AgentFailed") == tries
        assert at(world, "m1") is (Phase.ERROR if fails else Phase.RUNNING)
    assert len(second.writes) == written + 1


def machine_spec(desired: DesiredState, key: ResourceKey, word: str) -> MachineSpec:
    spec: MachineSpec = desired.resources[key].spec
    return replace(spec, lifecycle=convert({"mode": "Managed", "request": word}, LifecycleSpec))


def test_another_word_in_the_claim_writes_the_image_anew(world: World) -> None:
    (metal,) = claimed(world, "m1")
    live(world, [metal], 300)
    world.commit(fleet(1, "m1", request="again"))
    live(world, [metal], 900)
    assert at(world, "m1") is Phase.RUNNING
    assert metal.writes == ["debian-12.0.1"] * 2
    live(world, [metal], 3600)
    assert metal.writes == ["debian-12.0.1"] * 2


@pytest.mark.parametrize("ticks", [2, 1000], ids=["that runs", "that is installed"])
def test_a_claim_of_the_same_name_and_another_project_has_no_word_in_the_machine(world: World, ticks: int) -> None:
    (metal,) = claimed(world, "m1")
    metal.ticks_to_write = ticks
    live(world, [metal], 300)
    before = list(metal.writes)
    assert (at(world, "m1"), len(before)) == ((Phase.RUNNING, 1) if ticks == 2 else (Phase.PROVISIONING, 0))
    metal.ticks_to_write = 2
    world.commit(fleet(1, "m1", project="bank", request="mine", userData="#cloud-config of another"))
    live(world, [metal], 3600)
    assert metal.writes == before
    assert world.machine(metal.key).project == "shop"
    [change] = [one for one in world.engine.plan().changes if one.key.name == "web"]
    assert [hold.by for hold in change.held_by] == ["bound"]


def test_a_store_from_before_the_installation_does_not_stop_what_runs(world: World) -> None:
    """Restored from a backup that was taken when the machine was claimed, and its image not yet written."""
    (metal,) = claimed(world, "m1")
    live(world, [metal], 300)
    assert at(world, "m1") is Phase.RUNNING
    facts = world.machine(metal.key)
    bound = ("inspected_at", "claim", "slot", "claimed_at", "system")
    restored = LifecycleFacts(**{name: getattr(facts.lifecycle, name) for name in bound})
    world.store.put_facts({metal.key: replace(facts, lifecycle=restored, image=None, once_done=None)})
    writes = len(metal.bmc.writes)
    world.restart()
    live(world, [metal], 3600)
    assert len(metal.bmc.writes) == writes
    assert metal.system
    assert metal.writes == ["debian-12.0.1"]


OLD = BootRequest("0-9", Purpose.WIPE, START)
AT_WORK = replace(OLD, registered_at=START, last_heard_at=START)


@pytest.mark.parametrize(
    "then",
    [
        {"boot_request": OLD},
        {"boot_request": AT_WORK},
        {"boot_request": replace(AT_WORK, ended_at=START), "wiped": Wiped(START)},
        {"failure": LifecycleFailure(LifecycleFailureReason.AGENT_MISSING, "no agent", START), "attempts": 1},
        {"wiped": Wiped(START)},
    ],
    ids=["ordered", "at work", "ended", "between two tries", "wiped"],
)
def test_a_store_from_before_another_had_the_machine_does_not_stop_what_runs(
    world: World, then: dict[str, Any]
) -> None:
    """Restored from a backup that was taken while the machine was on its way back, before it was given out again."""
    (metal,) = claimed(world, "m1")
    live(world, [metal], 3600)
    facts = world.engine.facts_of(metal.key)
    before = LifecycleFacts(
        inspected_at=START, claim="web", slot=0, claimed_at=START, releasing_at=START, stopped_at=START
    )
    world.store.put_facts({metal.key: replace(facts, lifecycle=replace(before, **then), image=None)})
    writes = len(metal.bmc.writes)
    world.desired = fleet(None, "m1")
    world.restart()
    live(world, [metal], 7200)
    assert len(metal.bmc.writes) == writes
    assert metal.system
    [change] = [one for one in world.engine.plan().changes if one.key == metal.key]
    assert [hold.by for hold in change.held_by] == ["running"]


def test_an_order_of_a_restored_store_has_no_name_that_one_had_since_the_backup(world: World, tmp_path: Path) -> None:
    """By these names an agent tells an installation that was forgotten from one that may be overwritten."""
    (metal,) = claimed(world, "m1")
    world.store.close()
    backup = (tmp_path / "state.db").read_bytes()
    world.restart()
    live(world, [metal], 300)
    forgotten = world.machine(metal.key).lifecycle.installs
    assert len(forgotten) == 1
    metal.cut_power()
    world.store.close()
    for left in tmp_path.glob("state.db*"):
        left.unlink()
    (tmp_path / "state.db").write_bytes(backup)
    world.restart()
    live(world, [metal], 300)
    found = world.machine(metal.key).lifecycle.installs
    assert len(found) == 1
    assert found != forgotten


def test_a_machine_that_came_to_rest_is_one_that_anybody_may_have_started(world: World) -> None:
    metal = Metal(world, "m1")
    world.commit(declare(machine("m1", **MANAGED)))
    live(world, [metal], 300)
    assert at(world, "m1") is Phase.AVAILABLE
    assert world.machine(metal.key).lifecycle.stopped_at is None


def test_a_system_that_does_not_call_keeps_its_disk(world: World) -> None:
    (metal,) = claimed(world, "m1")
    metal.mute = True
    live(world, [metal], 4 * 3600)
    assert at(world, "m1") is Phase.PROVISIONING
    assert metal.writes == ["debian-12.0.1"]
    assert metal.bmc.state.power is PowerState.ON
    metal.report(FactType.PHONED_HOME)
    assert at(world, "m1") is Phase.RUNNING


def test_a_call_for_another_installation_is_not_taken_for_this_one(world: World) -> None:
    (metal,) = claimed(world, "m1")
    metal.mute = True
    live(world, [metal], 300)
    assert not metal.report(FactType.PHONED_HOME, order="0-1")
    assert at(world, "m1") is Phase.PROVISIONING
    written = world.machine(metal.key).lifecycle.written
    assert written is not None
    assert metal.report(FactType.PHONED_HOME, order=written.boot_request)
    assert at(world, "m1") is Phase.RUNNING


def test_an_old_system_that_calls_while_it_is_released_is_told_of_and_wiped_all_the_same(world: World) -> None:
    (metal,) = claimed(world, "m1")
    live(world, [metal], 300)
    world.commit(fleet(None, "m1"))
    live(world, [metal], 5)
    metal.report(FactType.PHONED_HOME)
    live(world, [metal], 900)
    assert "FailedReclaim" in world.reasons("m1")
    assert at(world, "m1") is Phase.AVAILABLE


@pytest.mark.parametrize("seconds", range(0, 240, 10))
def test_a_process_that_dies_at_any_moment_of_a_life_loses_nothing_and_does_nothing_twice(
    tmp_path: Path, seconds: int
) -> None:
    world = World(tmp_path, on_after=2.0, off_after=2.0)
    (metal,) = claimed(world, "m1")
    live(world, [metal], seconds)
    world.restart()
    live(world, [metal], 900)
    assert at(world, "m1") is Phase.RUNNING
    assert metal.writes == ["debian-12.0.1"]
    assert metal.bmc.booted_from == ["Pxe", "Pxe", "Hdd"]
    world.commit(fleet(None, "m1"))
    live(world, [metal], seconds)
    world.restart()
    live(world, [metal], 1200)
    assert at(world, "m1") is Phase.AVAILABLE
    assert metal.writes == ["debian-12.0.1", "wiped"]
    assert world.ipam.list() == []


def test_four_machines_at_once_each_get_their_own(world: World) -> None:
    names = ("m1", "m2", "m3", "m4")
    metals = claimed(world, *names)
    live(world, metals, 600)
    assert {at(world, name) for name in names} == {Phase.RUNNING}
    assert all(metal.writes == ["debian-12.0.1"] for metal in metals)
    slots = {world.machine(metal.key).lifecycle.slot for metal in metals}
    assert slots == {0, 1, 2, 3}
    assert len({one.address for one in world.ipam.list()}) == 4


def test_no_more_are_installed_anew_at_once_than_may_be_disrupted(tmp_path: Path) -> None:
    limits = msgspec.structs.replace(ALL, max_disrupted=FleetShare(count=1))
    world = World(tmp_path, limits, on_after=2.0, off_after=2.0)
    names = ("m1", "m2", "m3")
    metals = claimed(world, *names)
    live(world, metals, 600)
    assert {at(world, name) for name in names} == {Phase.RUNNING}
    world.commit(fleet(3, *names, request="again"))
    down = []
    for _ in range(360):
        live(world, metals, 5)
        down.append(sum(1 for metal in metals if not metal.system))
    assert max(down) == 1
    assert [metal.writes for metal in metals] == [["debian-12.0.1"] * 2] * 3


def test_another_system_at_the_address_is_left_alone(world: World) -> None:
    (metal,) = claimed(world, "m1")
    live(world, [metal], 300)
    metal.bmc.state = replace(metal.bmc.state, uuid="00000000-0000-4000-8000-000000000001")
    world.commit(fleet(1, "m1", request="again"))
    live(world, [metal], 600)
    assert at(world, "m1") is Phase.RUNNING
    system = "00000000-0000-4000-8000-000000000001"
    assert world.machine(metal.key).lifecycle.system == system
    metal.bmc.state = replace(metal.bmc.state, uuid="00000000-0000-4000-8000-000000000002")
    writes = len(metal.bmc.writes)
    world.commit(fleet(None, "m1"))
    live(world, [metal], 3600)
    assert len(metal.bmc.writes) == writes
    assert metal.system
    assert metal.writes == ["debian-12.0.1"] * 2


OTHER_BOARD = "00000000-0000-4000-8000-000000000002"


def on_another_board(world: World) -> Metal:
    """A claimed machine that runs, whose BMC tells another UUID since a moment ago."""
    (metal,) = claimed(world, "m1")
    metal.bmc.state = replace(metal.bmc.state, uuid="00000000-0000-4000-8000-000000000001")
    live(world, [metal], 300)
    metal.bmc.state = replace(metal.bmc.state, uuid=OTHER_BOARD)
    return metal


def asking(declared: DesiredState, word: str, revision: str) -> DesiredState:
    """The same with this request in the machine's document."""
    key = ResourceKey("Machine", "m1")
    old = declared.resources[key]
    spec = replace(old.spec, lifecycle=replace(old.spec.lifecycle, request=word))
    resources = {**declared.resources, key: replace(old, spec=spec)}
    return replace(declared, resources=resources, revision=replace(declared.revision, id=revision))


def test_another_system_in_the_place_of_one_that_runs_is_shown(world: World) -> None:
    metal = on_another_board(world)
    live(world, [metal], 60)
    [change] = world.engine.plan().changes
    assert {hold.by for hold in change.held_by} == {"another-system"}


def test_another_system_is_left_alone_while_its_bmc_tells_no_uuid(world: World) -> None:
    metal = on_another_board(world)
    live(world, [metal], 60)
    metal.bmc.state = replace(metal.bmc.state, uuid=None)
    writes = len(metal.bmc.writes)
    world.commit(fleet(None, "m1"))
    live(world, [metal], 600)
    assert len(metal.bmc.writes) == writes
    [change] = [change for change in world.engine.plan().changes if change.key == metal.key]
    assert "another-system" in {hold.by for hold in change.held_by}


def test_a_mainboard_that_was_changed_is_accepted_by_a_word_and_the_life_goes_on(world: World) -> None:
    metal = on_another_board(world)
    world.commit(asking(fleet(1, "m1"), f"new mainboard {OTHER_BOARD}", "b" * 40))
    live(world, [metal], 60)
    lifecycle = world.machine(metal.key).lifecycle
    assert (lifecycle.system, at(world, "m1")) == (OTHER_BOARD, Phase.RUNNING)
    assert metal.writes == ["debian-12.0.1"]
    world.commit(asking(fleet(None, "m1"), f"new mainboard {OTHER_BOARD}", "c" * 40))
    live(world, [metal], 900)
    assert at(world, "m1") is Phase.AVAILABLE
    assert metal.writes[-1] == "wiped"


def test_a_dead_machine_that_is_being_released_is_free_once_another_server_stands_in_its_place(world: World) -> None:
    """docs/claims.md, "A broken machine": its document gets the other server's address and names its UUID."""
    (metal,) = claimed(world, "m1")
    metal.bmc.state = replace(metal.bmc.state, uuid="00000000-0000-4000-8000-000000000001")
    live(world, [metal], 300)
    metal.bmc.faults.add(Fault(FaultKind.UNREACHABLE, times=None))
    world.commit(fleet(None, "m1"))
    live(world, [metal], 3600)
    assert at(world, "m1") is Phase.RELEASING
    spare = Metal(world, "m2")
    spare.key, spare.bmc.state = metal.key, replace(spare.bmc.state, uuid=OTHER_BOARD, power=PowerState.OFF)
    elsewhere = convert(moved("m1", "m2")[2]["bmc"], type(world.engine.desired.resources[metal.key].spec.bmc))  # type: ignore[union-attr]
    state = asking(fleet(None, "m1"), f"replaced by {OTHER_BOARD}", "d" * 40)
    there = state.resources[metal.key]
    resources = {**state.resources, metal.key: replace(there, spec=replace(there.spec, bmc=elsewhere))}
    world.commit(replace(state, resources=resources))
    live(world, [spare], 1800)
    assert spare.writes == ["wiped"]
    assert at(world, "m1") is Phase.AVAILABLE
    assert world.machine(metal.key).lifecycle.claim is None


def test_where_a_bmc_tells_no_uuid_the_serial_number_says_which_system_it_is(world: World) -> None:
    (metal,) = claimed(world, "m1")
    live(world, [metal], 300)
    assert metal.bmc.state.uuid is None
    metal.bmc.state = replace(metal.bmc.state, serial="S 2")
    world.commit(fleet(None, "m1"))
    live(world, [metal], 600)
    assert metal.system, "another machine's, for all that is known"
    holds = {hold.hint for change in world.engine.plan().changes for hold in change.held_by}
    assert "correct spec.bmc; or, if the mainboard was replaced, set spec.lifecycle.request to serial:S-2" in holds
    world.commit(asking(fleet(None, "m1"), "serial:S-2", "c" * 40))
    live(world, [metal], 900)
    assert at(world, "m1") is Phase.AVAILABLE


@pytest.mark.parametrize(
    ("before", "uuid", "serial", "another"),
    [
        (None, "U1", "S1", False),
        ("U1", "u1", "S2", False),
        ("U1", "U2", "S1", True),
        ("U1", None, "S2", False),
        ("serial:S1", None, "s1", False),
        ("serial:S1", None, "S2", True),
        ("serial:S1", "U1", "S1", False),
        ("serial:S1", "U1", "S2", True),
        ("serial:S1", "U1", None, False),
        # metal-stack/go-hal#57: a BIOS update turned the first three fields round.
        ("005CB4E7-0989-EB11-8000-7CC255106AFE", "E7B45C00-8909-11EB-8000-7CC255106AFE", None, False),
        ("e7b45c00-8909-11eb-8000-7cc255106afe", "005CB4E7-0989-EB11-8000-7CC255106AFE", None, False),
        ("005CB4E7-0989-EB11-8000-7CC255106AFE", "E7B45C00-8909-11EB-8000-7CC255106AFF", None, True),
        ("serial:AB-CD-EF-G", None, "BA-DC-FE-G", True),
    ],
)
def test_a_system_is_another_only_by_what_was_told_of_both(
    before: str | None, uuid: str | None, serial: str | None, another: bool
) -> None:
    assert another_system(LifecycleFacts(system=before), SystemState(uuid=uuid, serial=serial)) is another


def test_a_word_that_names_no_system_accepts_none(world: World) -> None:
    """It may have stood there before, or been said to try a wipe again."""
    metal = on_another_board(world)
    world.commit(asking(fleet(1, "m1"), "try again", "b" * 40))
    live(world, [metal], 300)
    world.commit(asking(fleet(None, "m1"), "try again", "c" * 40))
    live(world, [metal], 3600)
    assert metal.system
    assert metal.writes == ["debian-12.0.1"]
    holds = {(hold.by, hold.hint) for change in world.engine.plan().changes for hold in change.held_by}
    hint = f"correct spec.bmc; or, if the mainboard was replaced, set spec.lifecycle.request to {OTHER_BOARD}"
    assert ("another-system", hint) in holds


def test_the_system_of_another_machine_is_accepted_by_no_word(world: World) -> None:
    metal = on_another_board(world)
    world.bmc("m2").state = replace(world.bmc("m2").state, uuid=OTHER_BOARD, serial=metal.bmc.state.serial)
    with_both = fleet(1, "m1")
    second = declare(machine("m2", lifecycle={"mode": "Observe"})).resources
    both = replace(with_both, resources={**with_both.resources, **second})
    world.commit(asking(both, "", "b" * 40))
    live(world, [metal], 60)
    world.commit(asking(both, OTHER_BOARD, "c" * 40))
    live(world, [metal], 300)
    assert world.machine(metal.key).lifecycle.system != OTHER_BOARD
    reasons = {hold.reason for change in world.engine.plan().changes for hold in change.held_by}
    assert f"the BMCs of Machine/m1 and Machine/m2 report the same system (UUID {OTHER_BOARD})" in reasons


@pytest.mark.parametrize(("releasing_at", "tried"), [(None, "claim's"), (START, "new")])
def test_a_word_that_accepts_a_system_does_nothing_else(releasing_at: datetime | None, tried: str) -> None:
    """That the old system was seen off says nothing of the new one, and a wipe that failed is not tried again."""
    lifecycle = LifecycleFacts(
        claim="c", system="old", stopped_at=START, tried_request="claim's", releasing_at=releasing_at
    )
    accept = AcceptSystem(key=ResourceKey("Machine", "m1"), system="new", was="old", word="new")
    recorded = record_action(accept, {accept.key: MachineFacts(lifecycle=lifecycle)}, Occasion(START, "1")).facts
    after = machine_facts(recorded, accept.key)
    assert (after.lifecycle.system, after.lifecycle.stopped_at) == ("new", None)
    assert (after.lifecycle.heeded_request, after.lifecycle.tried_request) == ("new", tried)


def test_a_free_machine_with_another_mainboard_is_inspected_anew_when_it_is_asked_for(world: World) -> None:
    metal = Metal(world, "m1")
    metal.bmc.state = replace(metal.bmc.state, uuid="00000000-0000-4000-8000-000000000001")
    world.commit(declare(machine("m1", **MANAGED)))
    live(world, [metal], 120)
    metal.bmc.state = replace(metal.bmc.state, uuid=OTHER_BOARD)
    live(world, [metal], 600)
    assert metal.bmc.booted_from == ["Pxe"]
    named = {"mode": "Managed", "request": f"new mainboard: {OTHER_BOARD.upper()}"}
    world.commit(declare(machine("m1", lifecycle=named), revision="b" * 40))
    live(world, [metal], 300)
    assert metal.bmc.booted_from == ["Pxe", "Pxe"]
    assert world.machine(metal.key).lifecycle.system == OTHER_BOARD
    assert world.engine.plan().changes == ()


def test_a_crash_loop_is_over_when_the_system_stays_up(world: World) -> None:
    (metal,) = claimed(world, "m1")
    live(world, [metal], 300)
    for _ in range(3):
        metal.report(FactType.SENT_TO_DISK)
    live(world, [metal], 600)
    failure = world.machine(metal.key).lifecycle.failure
    assert failure is not None
    assert failure.reason == "CrashLoop"
    live(world, [metal], 600)
    assert world.machine(metal.key).lifecycle.failure is None
    assert world.reasons("m1")[-1] == "Recovered"


def test_an_image_that_is_changed_while_another_is_written_is_written_after_it(world: World) -> None:
    (metal,) = claimed(world, "m1")
    metal.ticks_to_write = 8
    while not metal.half_written:
        live(world, [metal], 5)
    world.commit(fleet(1, "m1", request="while it is written"))
    live(world, [metal], 900)
    assert at(world, "m1") is Phase.RUNNING
    assert metal.writes == ["debian-12.0.1"] * 2


def test_a_daemon_that_was_away_for_long_does_not_take_its_absence_for_the_agents(world: World) -> None:
    (metal,) = claimed(world, "m1")
    metal.ticks_to_write = 8
    while not metal.half_written:
        live(world, [metal], 5)
    world.at += 3600
    world.restart()
    live(world, [metal], 300)
    assert at(world, "m1") is Phase.RUNNING
    assert metal.writes == ["debian-12.0.1"]
    assert not {"AgentSilent", "AgentGone", "AgentTimedOut"} & set(world.reasons("m1"))


def test_a_bmc_that_does_not_keep_the_order_for_the_disk_is_left_to_its_own(world: World) -> None:
    (metal,) = claimed(world, "m1")
    while metal.writes == []:
        live(world, [metal], 5)
    metal.bmc.faults.add(Fault(FaultKind.BOOT_NOT_KEPT, times=None))
    live(world, [metal], 900)
    assert at(world, "m1") is Phase.RUNNING
    assert metal.bmc.booted_from[-1] is None

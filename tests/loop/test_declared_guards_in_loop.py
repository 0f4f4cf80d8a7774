"""Guards of documents, in the loop: what a plan shows is what the daemon does, in the same order and words."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.base import PowerState
from drivers.bmc.fake.fake_faults import Call, Fault, FaultKind
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.common.machine_inventory import SIZE_LABEL
from reconciler.model.event import EventReason
from reconciler.model.plans.override import Override
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.workqueue.loop import COMMIT
from tests.loop.test_claims import WEB, inspected
from tests.loop.test_claims import fleet as claiming
from tests.loop.world import ALL, World, declare, machine

Document = tuple[str, str, dict[str, Any]]


def guard(name: str, **spec: Any) -> Document:
    return "Guard", name, spec


def racks(power: str = "On", *, count: int = 2, each: int = 5, off: tuple[str, ...] = ()) -> list[Document]:
    names = [f"r{rack}-{n:02d}" for rack in range(1, count + 1) for n in range(each)]
    return [machine(name, rack=name[:2], power="Off" if name in off else power) for name in names]


def fleet(path: Path, *documents: Document, limits: GuardLimits = ALL) -> World:
    """Machines that run, as declared, with guards in force."""
    world = World(path, limits, off_after=5.0, on_after=5.0)
    for kind, name, _ in documents:
        if kind == "Machine":
            bmc = world.bmc(name)
            bmc.state = msgspec.structs.replace(bmc.state, power=PowerState.ON)
    world.commit(declare(*documents))
    world.run(60)
    return world


def off(world: World) -> list[str]:
    assert world.desired is not None
    names = [key.name for key in world.desired.resources if key.kind == "Machine"]
    return sorted(name for name in names if world.bmc(name).state.power is PowerState.OFF)


def commit_backwards(world: World, desired: DesiredState) -> None:
    """The revision takes force, and the machine with the last name is looked at first."""
    world.desired = desired
    for seconds, key in enumerate(sorted(world.engine.put_in_force(desired), reverse=True)):
        world.queue.put(key, COMMIT, world.now() + timedelta(seconds=seconds))


ONE_A_RACK = guard("racks", budget={"maxDisrupted": 1, "per": "rack"})


def test_machines_of_a_rack_go_in_the_order_of_names_whoever_is_looked_at_first(tmp_path: Path) -> None:
    world = fleet(tmp_path, ONE_A_RACK, *racks())
    commit_backwards(world, declare(ONE_A_RACK, *racks("Off"), revision="b" * 40))
    world.run(120)
    assert off(world) == ["r1-00", "r2-00"]


def test_a_machine_that_was_taken_down_some_time_ago_keeps_its_place_in_the_order(tmp_path: Path) -> None:
    world = fleet(tmp_path, ONE_A_RACK, *racks())
    world.commit(declare(ONE_A_RACK, *racks(off=("r1-00",)), revision="b" * 40))
    world.run(60)
    world.commit(declare(ONE_A_RACK, *racks(), revision="c" * 40))
    world.run(600)
    assert off(world) == []
    world.desired = declare(ONE_A_RACK, *racks("Off"), revision="d" * 40)
    first = ResourceKey("Machine", "r1-01")
    for seconds, key in enumerate(sorted(world.engine.put_in_force(world.desired), key=lambda one: one != first)):
        world.queue.put(key, COMMIT, world.now() + timedelta(seconds=seconds))
    world.run(120)
    assert off(world) == ["r1-00", "r2-00"]


def test_the_built_in_budget_goes_by_names_too(tmp_path: Path) -> None:
    world = fleet(tmp_path, *racks(), limits=msgspec.structs.replace(ALL, max_disrupted=FleetShare(count=3)))
    commit_backwards(world, declare(*racks("Off"), revision="b" * 40))
    world.run(120)
    assert off(world) == ["r1-00", "r1-01", "r1-02"]


def test_without_any_guard_a_tenth_of_each_rack_goes_in_an_hour_also_after_a_restart(tmp_path: Path) -> None:
    wide = msgspec.structs.replace(ALL, max_disrupted_per_rack=FleetShare(percent=10))
    world = fleet(tmp_path, *racks(), limits=wide)
    commit_backwards(world, declare(*racks("Off"), revision="b" * 40))
    world.run(60)
    world.restart()
    world.run(600)
    assert off(world) == ["r1-00", "r2-00"]
    world.run(3600)
    assert off(world) == ["r1-00", "r1-01", "r2-00", "r2-01"]


def test_a_commit_that_adds_machines_cannot_use_the_room_that_it_makes(tmp_path: Path) -> None:
    tenth = msgspec.structs.replace(ALL, max_disrupted=FleetShare(percent=10), max_disrupted_per_rack=ALL.max_removed)
    world = fleet(tmp_path, *racks(), limits=tenth)
    more = [one for one in racks(count=3, each=40) if one[1].startswith("r3-")]
    commit_backwards(world, declare(*racks("Off"), *more, revision="b" * 40))
    world.run(60)
    world.restart()
    world.run(600)
    assert off(world) == ["r1-00"]
    world.run(3600)
    assert len(off(world)) > 4


def test_the_event_of_a_hold_says_what_the_plan_says(tmp_path: Path) -> None:
    world = fleet(tmp_path, ONE_A_RACK, *racks())
    commit_backwards(world, declare(ONE_A_RACK, *racks("Off"), revision="b" * 40))
    shown = {str(one.key): one.held_by[0].reason for one in world.engine.plan().changes if one.held_by}
    world.run(3)
    events = [one for one in world.events if one.reason == EventReason.HELD]
    assert events
    for event in events:
        assert event.message.startswith(f"guard/racks: {shown[str(event.key)]}; to proceed: ")


def times_held(world: World, name: str) -> int:
    return sum(one.reason == EventReason.HELD and one.key == ResourceKey("Machine", name) for one in world.events)


def test_a_hold_is_reported_when_it_is_new_and_again_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """metal3-io/metal3-docs#709: what is held is not deferred in silence."""
    monkeypatch.setattr("reconciler.applying.key_memory.HELD_AGAIN", 900.0)
    freeze = guard("freeze", windows={"deny": [{"from": "2000-01-01T00:00", "to": "2999-01-01T00:00"}]})
    world = fleet(tmp_path, *racks(count=1))
    world.commit(declare(freeze, *racks("Off", count=1), revision="b" * 40))
    world.run(600)
    assert times_held(world, "r1-00") == 1
    world.run(900)
    assert times_held(world, "r1-00") == 2


def test_the_next_of_a_rack_goes_when_the_last_one_counts_no_more(tmp_path: Path) -> None:
    rule = guard("racks", budget={"maxDisrupted": 1, "per": "rack", "within": "10m"})
    world = fleet(tmp_path, rule, *racks(count=1))
    world.commit(declare(rule, *racks("Off", count=1), revision="b" * 40))
    found = []
    for _ in range(4):
        world.run(600)
        found.append(len(off(world)))
    assert found == sorted(found)
    assert found[0] == 1
    assert 2 <= found[-1] <= 5


def test_pacing_spreads_power_offs_of_a_rack(tmp_path: Path) -> None:
    """Without it a budget of 50 sent 50 power-offs within 4 s, and took a whole rack of 20."""
    rule = guard("racks", budget={"maxDisrupted": "100%", "per": "rack", "pacing": "5m"})
    world = fleet(tmp_path, rule, *racks(count=1, each=20))
    world.commit(declare(rule, *racks("Off", count=1, each=20), revision="b" * 40))
    world.run(240)
    assert off(world) == ["r1-00"]
    world.run(3600)
    sent = sorted(event.at for event in world.events if event.reason == EventReason.ACTION_SENT)
    assert min(late - early for early, late in pairwise(sent)) >= timedelta(minutes=5)
    assert len(sent) > 8


@pytest.mark.parametrize("restarted", [False, True])
def test_a_looser_guard_is_not_used_by_the_commit_that_loosens_it(tmp_path: Path, restarted: bool) -> None:
    """hashicorp/terraform#17599: protection that goes with its own text protects from nothing."""
    world = fleet(tmp_path, ONE_A_RACK, *racks(count=1))
    loose = guard("racks", budget={"maxDisrupted": 5, "per": "rack"})
    both = declare(loose, *racks("Off", count=1), revision="b" * 40)
    if restarted:
        world.desired = both
        world.restart()
    else:
        world.commit(both)
    world.run(1800)
    assert off(world) == ["r1-00"]
    world.run(3600)
    assert len(off(world)) == 5
    assert EventReason.GUARD_LOOSENED in world.reasons("racks")


def test_with_a_new_store_a_machine_that_its_commit_moves_to_another_rack_is_counted_in_both(tmp_path: Path) -> None:
    """As a plan without a store says."""
    world = World(tmp_path, ALL, off_after=5.0, on_after=5.0)
    for name in ("m1", "m2"):
        bmc = world.bmc(name)
        bmc.state = msgspec.structs.replace(bmc.state, power=PowerState.ON)
    base = declare(ONE_A_RACK, machine("m1", rack="r1"), machine("m2", rack="r1"), revision="a" * 40)
    moved = [machine("m1", rack="r1", power="Off"), machine("m2", rack="r2", power="Off")]
    world.desired = declare(ONE_A_RACK, *moved, revision="b" * 40)
    world.queue.put_all((key, COMMIT, world.now()) for key in world.engine.put_in_force(world.desired, [base]))
    world.run(1800)
    assert off(world) == ["m1"]
    world.run(3600)
    assert off(world) == ["m1", "m2"]


def test_a_refused_power_off_leaves_what_was_taken_down_before_it_counted(tmp_path: Path) -> None:
    """The operating system may still follow the graceful shutdown before it."""
    rule = guard("one", budget={"maxDisrupted": 1})
    stubborn = {"timeoutSeconds": 60, "escalate": "Force"}
    world = fleet(tmp_path, rule, machine("m1"), machine("m2"))
    world.bmc("m1").faults.add(Fault(FaultKind.SHUTDOWN_IGNORED))
    off_now = [machine("m1", power="Off", shutdown=stubborn), machine("m2", power="Off")]
    world.commit(declare(rule, *off_now, revision="b" * 40))
    world.run(30)
    world.bmc("m1").faults.add(Fault(FaultKind.REJECTED, on=frozenset({Call.RESET}), times=None))
    world.run(1800)
    assert EventReason.ACTION_REFUSED in world.reasons("m1")
    assert world.bmc("m2").writes == []


def test_a_removed_guard_holds_for_an_hour_and_is_forgotten_then(tmp_path: Path) -> None:
    rule = guard("db", protection="Delete", match={"names": ["r1-00"]})
    world = fleet(tmp_path, rule, *racks(count=1))
    world.commit(declare(*racks(count=1)[1:], revision="b" * 40))
    world.run(3000)
    kept = {ResourceKey("Guard", "db"), ResourceKey("Machine", "r1-00")}
    assert kept <= world.facts().keys()
    assert world.reasons("db") == [EventReason.GUARD_LOOSENING]
    world.run(1200)
    assert not kept & world.facts().keys()


def test_a_machine_that_leaves_the_match_is_guarded_for_an_hour(tmp_path: Path) -> None:
    rule = guard("off", match={"names": ["r1-*"]}, windows={"deny": [{"from": "2000-01-01T00:00", "reason": "keep"}]})
    narrow = guard("off", match={"names": ["r2-*"]}, windows=rule[2]["windows"])
    world = fleet(tmp_path, rule, *racks(count=1))
    world.commit(declare(narrow, *racks("Off", count=1), revision="b" * 40))
    world.run(3000)
    assert off(world) == []
    world.run(1200)
    assert len(off(world)) == 5


def test_an_override_of_the_old_guard_by_name_lets_the_loosening_commit_pass(tmp_path: Path) -> None:
    world = fleet(tmp_path, ONE_A_RACK, *racks(count=1))
    mine = Override("3f2a91", "guard/racks", "INC-7", "ada", world.now(), world.now() + timedelta(hours=2))
    world.standing = msgspec.structs.replace(world.standing, overrides=(mine,))
    world.commit(declare(*racks("Off", count=1), revision="b" * 40))
    world.run(300)
    assert len(off(world)) == 5


def test_a_stricter_guard_is_in_force_at_once(tmp_path: Path) -> None:
    loose = guard("racks", budget={"maxDisrupted": 5, "per": "rack"})
    world = fleet(tmp_path, loose, *racks(count=1))
    world.commit(declare(ONE_A_RACK, *racks("Off", count=1), revision="b" * 40))
    world.run(1800)
    assert off(world) == ["r1-00"]


def test_a_machine_that_cannot_be_read_keeps_no_other_of_its_rack_waiting(tmp_path: Path) -> None:
    from drivers.bmc.fake.fake_faults import Fault, FaultKind

    world = fleet(tmp_path, ONE_A_RACK, *racks(count=1))
    world.bmc("r1-00").faults.add(Fault(FaultKind.UNREACHABLE, times=None))
    world.commit(declare(ONE_A_RACK, *racks("Off", count=1), revision="b" * 40))
    world.run(300)
    assert off(world) == ["r1-01"]


def test_a_new_store_takes_the_guards_of_the_state_before_and_remembers_those_that_stay(tmp_path: Path) -> None:
    stays = guard("stays", protection="Delete")
    before, after = declare(ONE_A_RACK, stays, *racks("On", count=1)), declare(stays, *racks("Off", count=1))
    world = fleet_of(tmp_path, after)
    world.desired = after
    world.loop.put(world.engine.put_in_force(after, [before]), COMMIT)
    world.run(600)
    assert off(world) == ["r1-00"]
    assert {key.name for key in world.facts() if key.kind == "Guard"} == {"racks", "stays"}


def fleet_of(path: Path, state: DesiredState) -> World:
    """Machines that run, of which nothing is remembered."""
    world = World(path, ALL, off_after=5.0, on_after=5.0)
    for key in state.resources:
        if key.kind == "Machine":
            bmc = world.bmc(key.name)
            bmc.state = msgspec.structs.replace(bmc.state, power=PowerState.ON)
    return world


KEEP = {"deny": [{"from": "2000-01-01T00:00", "reason": "keep"}]}


def test_a_commit_that_changes_a_size_takes_no_machine_out_of_a_guard_by_that(tmp_path: Path) -> None:
    """The size is worked out anew when the commit is in force already: the label changes without a document's."""
    rule, key = guard("big", match={"selector": f"{SIZE_LABEL}=big"}, windows=KEEP), ResourceKey("Machine", "r1-00")
    world = fleet(tmp_path, rule, *racks(count=1))
    world.engine.label({key: {SIZE_LABEL: "big"}})
    world.commit(declare(rule, *racks("Off", count=1, each=1), revision="b" * 40))
    world.engine.label({key: {SIZE_LABEL: "small"}})
    world.run(3000)
    assert off(world) == []
    world.run(1200)
    assert off(world) == ["r1-00"]


def test_a_machine_that_a_new_label_puts_into_a_match_stays_protected_without_its_document(tmp_path: Path) -> None:
    rule, key = guard("big", match={"selector": f"{SIZE_LABEL}=big"}, protection="All"), ResourceKey("Machine", "r1-00")
    world = fleet(tmp_path, rule, *racks(count=1))
    world.engine.label({key: {SIZE_LABEL: "big"}})
    world.commit(declare(rule, *racks(count=1)[1:], revision="b" * 40))
    world.run(600)
    assert key in world.facts()


@pytest.mark.parametrize("block", [{"windows": KEEP}, {"protection": "Release"}, {"protection": "All"}])
@pytest.mark.parametrize("count", [None, 1])
def test_a_guard_of_machines_holds_the_claim_that_would_release_them(
    tmp_path: Path, block: dict[str, Any], count: int | None
) -> None:
    """The claim's own change stops and wipes machines: nobody guards a rack and means only what names its machines."""
    world = inspected(tmp_path, "m1", "m2")
    rule = declare(guard("db", match={"kinds": ["Machine"], "names": ["m2"]}, **block))
    world.commit(both(claiming(2, "m1", "m2"), rule))
    world.run(60)
    world.commit(both(claiming(count, "m1", "m2"), rule))
    world.run(600)
    assert [facts.lifecycle.releasing_at for facts in world.machines().values()] == [None, None]
    [hold] = [hold for change in world.engine.plan().changes if change.key == WEB for hold in change.held_by]
    assert hold.by == "guard/db"
    assert hold.reason.endswith("; the change releases Machine/m2")


def test_protection_from_deletion_of_machines_lets_their_claim_go(tmp_path: Path) -> None:
    """The claim is not what is protected, and its machines stay declared."""
    world = inspected(tmp_path, "m1")
    rule = declare(guard("db", match={"kinds": ["Machine"]}, protection="Delete"))
    world.commit(both(claiming(1, "m1"), rule))
    world.run(60)
    world.commit(both(claiming(None, "m1"), rule))
    world.run(60)
    assert [facts.lifecycle.releasing_at for facts in world.machines().values()] != [None]


def both(one: DesiredState, other: DesiredState) -> DesiredState:
    return DesiredState(one.revision, {**one.resources, **other.resources})


SHUT = {"deny": [{"from": "2000-01-01T00:00", "to": "2999-01-01T00:00", "reason": "why"}]}
ONE_UUID, OTHER_UUID = "33221100-5544-7766-8899-aabbccddeeff", "5a1f0000-0000-4000-0001-000000000001"


@pytest.mark.parametrize("protection", [{}, {"protection": "All"}])
@pytest.mark.parametrize(("uuid", "held"), [(ONE_UUID, True), (OTHER_UUID, False), (None, True)])
def test_another_name_and_another_spelling_of_the_bmc_do_not_escape_a_guard(
    tmp_path: Path, protection: dict[str, Any], uuid: str | None, held: bool
) -> None:
    db = guard("db", match={"names": ["db-*"]}, windows=SHUT, level="Absolute", **protection)
    others = racks(count=1)
    world = fleet(tmp_path, db, *others, machine("db-2", address="localhost"))
    old = world.fleet.machine("localhost")
    old.state = msgspec.structs.replace(old.state, power=PowerState.ON, uuid=ONE_UUID)
    world.run(3600)
    new = world.fleet.machine("127.0.0.1", "q-2")
    new.state = msgspec.structs.replace(new.state, power=PowerState.ON, uuid=uuid)
    world.commit(declare(db, *others, machine("q-2", address="127.0.0.1", power="Off"), revision="b" * 40))
    world.run(600)
    world.restart()
    world.run(600)
    assert (new.state.power is PowerState.ON) is held
    world.run(3600)
    assert new.state.power is PowerState.OFF

"""A machine whose document names another address must show there that it is the same system.

metal3-io/baremetal-operator#2022: a host whose address leads to another machine powers that machine off. No document
needs to name the other machine: git may have removed it, or may never have declared it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from drivers.bmc.fake.fake_faults import Fault, FaultKind
from reconciler.model.event import EventReason, EventType
from reconciler.model.facts import Facts
from reconciler.model.resource import ResourceKey
from reconciler.planning.carry_over import carried_over, with_changes
from reconciler.planning.planner import plan
from tests.loop.test_system_identity import GUARD, UUIDS, changes, confirm, documents, holders, wire, writes
from tests.loop.world import World

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


def two_machines(tmp_path: Path, **serials: str) -> World:
    """m1 at A is off, and m2 at B is on, as their documents say. The host at C is in no document."""
    world = World(tmp_path)
    wire(world, A, UUIDS["a"], serials.get("a"), power="Off")
    wire(world, B, UUIDS["b"], serials.get("b"), power="On")
    wire(world, C, "cccccccc-3333-4000-8000-000000000003", power="On")
    world.commit(documents("a", m1=(A, "Off"), m2=(B, "On")))
    world.run(60)
    assert world.engine.plan().changes == ()
    return world


def foreseen(world: World, **machines: tuple[str, str]) -> set[str]:
    """Which machines a plan of the commit would hold by the guard, from the store and one observation."""
    state = documents("f", **machines)
    looks = {one.key: one for one in world.engine.observations("Machine")}
    looks |= {key: world.engine._reconciler._poller.observe(key, state) for key in state.resources}
    known = world.facts()
    facts = Facts(with_changes(known, carried_over(state, known, world.now())), {})
    found = plan(state, looks, facts, world.now(), world.standing)
    return {change.key.name for change in found.changes if GUARD in {hold.by for hold in change.held_by}}


class TestTheSystemOfARemovedMachine:
    """m1 is pointed at the BMC of m2, which git declares no more. What runs there is not m1's."""

    def test_in_the_commit_that_removes_it(self, tmp_path: Path) -> None:
        world = two_machines(tmp_path)
        assert foreseen(world, m1=(B, "Off")) == {"m1"}
        world.commit(documents("b", m1=(B, "Off")))
        world.run(86_400)
        assert writes(world) == []
        assert holders(world) == {"m1": {GUARD}}

    def test_in_a_later_commit(self, tmp_path: Path) -> None:
        world = two_machines(tmp_path)
        world.commit(documents("b", m1=(A, "Off")))
        world.run(7200)
        assert ResourceKey("Machine", "m2") not in world.facts()
        assert foreseen(world, m1=(B, "Off")) == {"m1"}
        world.commit(documents("c", m1=(B, "Off")))
        world.run(86_400)
        assert writes(world) == []
        assert holders(world) == {"m1": {GUARD}}

    def test_after_a_restart(self, tmp_path: Path) -> None:
        world = two_machines(tmp_path)
        world.commit(documents("b", m1=(B, "Off")))
        world.run(10)
        world.restart()
        world.run(600)
        world.restart()
        world.run(600)
        assert writes(world) == []
        assert holders(world) == {"m1": {GUARD}}

    def test_while_the_store_has_the_removed_machine_the_hold_names_it(self, tmp_path: Path) -> None:
        world = two_machines(tmp_path)
        state = documents("f", m1=(B, "Off"))
        key = ResourceKey("Machine", "m1")
        seen = world.engine._reconciler._poller.observe(key, state)
        facts = with_changes(world.facts(), carried_over(state, world.facts(), world.now()))
        (change, _forget) = plan(state, {key: seen}, Facts(facts, {}), world.now(), world.standing).changes
        (hold,) = change.held_by
        assert hold.reason.endswith(f"UUID {UUIDS['b']} is the system of Machine/m2, which git declares no more")
        assert hold.hint.startswith("correct spec.bmc of Machine/m1; or,")

    def test_a_machine_under_a_new_name_at_the_same_bmc_goes(self, tmp_path: Path) -> None:
        world = two_machines(tmp_path)
        world.commit(documents("b", m1=(A, "Off"), m3=(B, "Off")))
        world.run(600)
        assert writes(world) == [B]

    def test_a_machine_under_a_new_name_is_held_at_another_bmc(self, tmp_path: Path) -> None:
        """Two commits: the new name at the same BMC, then a wrong address."""
        world = two_machines(tmp_path)
        world.commit(documents("b", m1=(A, "Off"), m3=(B, "On")))
        world.run(600)
        world.commit(documents("c", m1=(A, "Off"), m3=(C, "Off")))
        world.run(600)
        assert writes(world) == []
        assert holders(world) == {"m3": {GUARD}}


class TestAHostThatNoDocumentNames:
    """The address of m2 is mistyped, and leads to a host of another team."""

    def test_nothing_is_sent_and_the_hold_says_why(self, tmp_path: Path) -> None:
        world = two_machines(tmp_path)
        assert foreseen(world, m1=(A, "Off"), m2=(C, "Off")) == {"m2"}
        world.commit(documents("b", m1=(A, "Off"), m2=(C, "Off")))
        world.run(86_400)
        assert writes(world) == []
        (hold,) = changes(world)["m2"].held_by
        assert hold.reason == (
            "the BMC of Machine/m2 reports UUID cccccccc-3333-4000-8000-000000000003, but Machine/m2 was recorded with "
            f"UUID {UUIDS['b']} at {B}; the address and the system changed together, so the BMC may belong to another "
            "machine"
        )
        assert hold.hint.startswith("correct spec.bmc of Machine/m2; or, if the reported system is the right one, ")
        assert f"`groundstate override {GUARD} machine/m2 --for 1h --reason WHY`" in hold.hint

    def test_the_corrected_address_needs_no_person(self, tmp_path: Path) -> None:
        world = two_machines(tmp_path)
        world.commit(documents("b", m1=(A, "Off"), m2=(C, "On")))
        world.run(600)
        world.commit(documents("c", m1=(A, "Off"), m2=(B, "On")))
        world.run(600)
        assert world.engine.plan().changes == ()
        assert writes(world) == []

    def test_a_new_mainboard_at_the_former_address_goes_after_the_address_is_corrected(self, tmp_path: Path) -> None:
        world = two_machines(tmp_path)
        world.commit(documents("b", m1=(A, "Off"), m2=(C, "On")))
        world.run(600)
        wire(world, B, "dddddddd-4444-4000-8000-000000000004", power="On")
        world.commit(documents("c", m1=(A, "Off"), m2=(B, "Off")))
        world.run(600)
        assert writes(world) == [B]

    def test_several_commits_and_hosts_do_not_wear_the_hold_out(self, tmp_path: Path) -> None:
        world = two_machines(tmp_path)
        for number in range(4, 9):
            wire(world, f"10.0.0.{number}", f"eeeeeeee-{number:04}-4000-8000-000000000005", power="On")
            world.commit(documents(str(number), m1=(A, "Off"), m2=(f"10.0.0.{number}", "Off")))
            world.run(600)
        assert writes(world) == []
        assert holders(world) == {"m2": {GUARD}}

    def test_a_bmc_that_reports_nothing_to_compare_is_held(self, tmp_path: Path) -> None:
        """17 of 50 recorded systems report no UUID: a new address without any identity shows nothing."""
        world = two_machines(tmp_path)
        wire(world, C, None, power="On")
        world.commit(documents("b", m1=(A, "Off"), m2=(C, "Off")))
        world.run(600)
        assert writes(world) == []
        (hold,) = changes(world)["m2"].held_by
        assert "the BMC of Machine/m2 reports no UUID and no serial number, but" in hold.reason

    def test_a_serial_number_alone_does_not_stand_for_the_uuid(self, tmp_path: Path) -> None:
        world = two_machines(tmp_path)
        wire(world, C, None, "SN-777777", power="On")
        world.commit(documents("b", m1=(A, "Off"), m2=(C, "Off")))
        world.run(86_400)
        assert writes(world) == []
        wire(world, C, UUIDS["b"], "SN-777777", power="On")
        world.run(86_400)
        assert writes(world) == [C]

    def test_one_uuid_with_two_serial_numbers_is_two_systems(self, tmp_path: Path) -> None:
        """Board makers give many boards one UUID (fwupd/fwupd#5150)."""
        world = two_machines(tmp_path, b="SN-222222")
        wire(world, C, UUIDS["b"], "SN-333333", power="On")
        world.commit(documents("b", m1=(A, "Off"), m2=(C, "Off")))
        world.run(600)
        assert writes(world) == []
        assert holders(world) == {"m2": {GUARD}}


class TestWhatGoesWithoutAPerson:
    """An address that changes alone, and a system that changes alone."""

    @pytest.mark.parametrize("uuid", [UUIDS["b"].upper(), "bbbbbbbb-2222-0040-8000-000000000002"])
    def test_the_same_system_at_a_new_address(self, tmp_path: Path, uuid: str) -> None:
        world = two_machines(tmp_path)
        wire(world, C, uuid, power="On")
        world.commit(documents("b", m1=(A, "Off"), m2=(C, "Off")))
        world.run(600)
        assert writes(world) == [C]
        assert world.machine(ResourceKey("Machine", "m2")).system_place is None

    def test_a_machine_of_which_no_identity_was_ever_read(self, tmp_path: Path) -> None:
        """Simulated fleets, and BMCs that report none: addresses are all that there is."""
        world = World(tmp_path)
        for address in (A, B):
            wire(world, address, None)
        world.commit(documents("a", m1=(A, "On")))
        world.run(60)
        world.commit(documents("b", m1=(B, "Off")))
        world.run(600)
        assert writes(world) == [B]

    def test_a_new_mainboard_is_a_warning(self, tmp_path: Path) -> None:
        world = two_machines(tmp_path)
        wire(world, B, "dddddddd-4444-4000-8000-000000000004", power="On")
        world.run(7200)
        [event] = [event for event in world.events if event.reason is EventReason.SYSTEM_ACCEPTED]
        assert event.type is EventType.WARNING

    def test_an_override_records_the_system_and_ends_the_hold_for_good(self, tmp_path: Path) -> None:
        world = two_machines(tmp_path)
        world.commit(documents("b", m1=(A, "Off"), m2=(C, "Off")))
        world.run(600)
        confirm(world, "m2")
        world.run(600)
        assert writes(world) == [C]
        world.standing = msgspec.structs.replace(world.standing, overrides=())
        world.commit(documents("c", m1=(A, "Off"), m2=(C, "On")))
        world.run(7200)
        assert writes(world) == [C, C]
        assert world.engine.plan().changes == ()

    def test_an_override_accepts_a_bmc_that_reports_no_identity(self, tmp_path: Path) -> None:
        world = two_machines(tmp_path)
        wire(world, C, None, power="On")
        world.commit(documents("b", m1=(A, "Off"), m2=(C, "Off")))
        confirm(world, "m2")
        world.run(600)
        world.standing = msgspec.structs.replace(world.standing, overrides=())
        world.run(7200)
        assert writes(world) == [C]
        assert world.engine.plan().changes == ()


class TestInSeveralCommits:
    """What one commit may not do, three may not do either."""

    def test_an_exchange_by_a_third_address(self, tmp_path: Path) -> None:
        world = two_machines(tmp_path)
        world.fleet.machine("10.0.0.9").faults.add(Fault(FaultKind.UNREACHABLE, times=None))
        world.commit(documents("b", m1=("10.0.0.9", "Off"), m2=(B, "On")))
        world.run(7200)
        world.commit(documents("c", m1=("10.0.0.9", "Off"), m2=(A, "On")))
        world.run(7200)
        world.commit(documents("d", m1=(B, "Off"), m2=(A, "On")))
        world.run(7200)
        assert writes(world) == []
        assert holders(world) == {"m1": {GUARD}, "m2": {GUARD}}

    def test_an_exchange_in_which_one_is_removed_meanwhile(self, tmp_path: Path) -> None:
        """The document that comes back is a new one. What its BMC reports is still recorded of the other machine."""
        world = two_machines(tmp_path)
        world.commit(documents("b", m2=(B, "On")))
        world.run(7200)
        world.commit(documents("c", m2=(A, "On")))
        world.run(7200)
        world.commit(documents("d", m1=(B, "Off"), m2=(A, "On")))
        world.run(7200)
        assert writes(world) == []
        assert holders(world) == {"m1": {GUARD}, "m2": {GUARD}}

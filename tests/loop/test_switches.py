"""Switch ports follow the lives of machines, and machines wait for their ports, under a virtual clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.base import LinkState, SwitchPort
from drivers.switch.fake.fake_switch import FakeSwitch, SwitchFault
from reconciler.kinds import KINDS
from reconciler.kinds.machine.lifecycle.phases import Phase
from reconciler.kinds.switch.port_guards import LONGEST_AGE
from reconciler.model.actions.action_base import Disruption
from reconciler.model.observation import Observation
from reconciler.model.plans.plan import Change, HoldKind
from reconciler.model.resource import DesiredState, Resource, ResourceKey, Source
from tests.loop.metal import Metal, live
from tests.loop.test_claims import fleet
from tests.loop.test_machine_lifecycle import at
from tests.loop.world import World

LEAVES = ("leaf01", "leaf02")
FREE = (4000, None)


def resource(kind: str, name: str, **spec: Any) -> Resource[Any]:
    return Resource(
        ResourceKey(kind, name), msgspec.convert(spec, KINDS[kind].spec_type), {}, {}, Source(f"{name}.yaml")
    )


def leaf(name: str, *machines: str, **spec: Any) -> Resource[Any]:
    """A switch with one port for each machine, in order."""
    ports = [{"name": f"Ethernet{4 * index}", "machine": one} for index, one in enumerate(machines)]
    said = {"driver": "fake", "address": name, "manage": "Ports", "uplinks": ["Ethernet112"], "ports": ports, **spec}
    return resource("Switch", name, partition="lab", **said)


def switched(count: int | None, *machines: str, revision: str = "", **spec: Any) -> DesiredState:
    """The fleet of the tests of claims, with a VRF for its network, behind two switches."""
    state = fleet(count, *machines)
    more = [
        resource("Pool", "vrfs", ranges=["104001-104999"]),
        resource("Network", "front", prefixes=[{"cidr": "10.0.0.0/24"}], vrf={"pool": "vrfs"}),
        *(leaf(name, *machines, **spec) for name in LEAVES),
    ]
    resources = {**state.resources, **{one.key: one for one in more}}
    named = msgspec.structs.replace(state.revision, id=revision * 40) if revision else state.revision
    return DesiredState(named, resources)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, on_after=2.0, off_after=2.0)


def switch(world: World, name: str = "leaf01") -> FakeSwitch:
    return world.switches.switch(name)


def port(world: World, name: str = "Ethernet0", of: str = "leaf01") -> SwitchPort:
    return switch(world, of).ports[name]


def places(world: World, name: str = "Ethernet0") -> set[tuple[int | None, str | None]]:
    """Where the ports of this name are, on both switches."""
    return {(port(world, name, of).vlan, port(world, name, of).vrf) for of in LEAVES}


def planned(world: World, key: str) -> Change | None:
    kind, _, name = key.partition("/")
    return next((one for one in world.engine.plan().changes if one.key == ResourceKey(kind, name)), None)


def running(world: World, *machines: str) -> list[Metal]:
    """Machines that run for a claim."""
    metals = [Metal(world, name) for name in machines]
    world.commit(switched(None, *machines))
    live(world, metals, 300)
    world.commit(switched(len(machines), *machines))
    live(world, metals, 600)
    assert {at(world, name) for name in machines} == {Phase.RUNNING}
    return metals


def test_the_ports_of_a_machine_follow_its_life(world: World) -> None:
    """Unprovisioned while it is free and installed, in the VRF while it runs, unprovisioned before the wipe."""
    metal = Metal(world, "m1")
    seen: list[tuple[str, Any]] = []
    world.commit(switched(None, "m1"))
    watched(world, metal, seen, 300)
    assert at(world, "m1") is Phase.AVAILABLE
    world.commit(switched(1, "m1"))
    watched(world, metal, seen, 600)
    assert at(world, "m1") is Phase.RUNNING
    assert places(world) == {(None, "Vrf104001")}
    world.commit(switched(None, "m1", revision="c"))
    watched(world, metal, seen, 900)
    assert at(world, "m1") is Phase.AVAILABLE
    assert metal.writes == ["debian-12.0.1", "wiped"]
    assert seen == [("Pxe", {FREE}), ("Pxe", {FREE}), ("Hdd", {(None, "Vrf104001")}), ("Pxe", {FREE})]
    assert places(world) == {FREE}
    assert [world.engine.plan().changes, world.crashes] == [(), []]


def watched(world: World, metal: Metal, seen: list[tuple[str, Any]], seconds: float) -> None:
    """Let time pass in small pieces, and note where the ports are when the machine boots."""
    booted = len(metal.bmc.booted_from)
    for _ in range(int(seconds / 5)):
        live(world, [metal], 5)
        if len(metal.bmc.booted_from) > booted:
            booted = len(metal.bmc.booted_from)
            seen.append((str(metal.bmc.booted_from[-1]), places(world)))


def test_a_vrf_that_no_port_needs_is_removed_and_one_of_others_is_left(world: World) -> None:
    metals = running(world, "m1")
    switch(world).vrfs["VrfOfOthers"] = 7
    assert switch(world).vrfs["Vrf104001"] == 104001
    world.commit(switched(None, "m1", revision="c"))
    live(world, metals, 900)
    assert switch(world).vrfs == {"VrfOfOthers": 7}
    told = [one.event.message for one in world.store.follow(0) if one.event.key == ResourceKey("Switch", "leaf01")]
    assert not [one for one in told if "drift" in one]


def test_a_vrf_that_somebody_opened_is_drift_and_is_closed_with_its_machines_running(world: World) -> None:
    metals = running(world, "m1")
    switch(world).vrfs["VrfOfOthers"] = 7
    switch(world).open_vrfs |= {"Vrf104001", "VrfOfOthers"}
    live(world, metals, 600)
    assert switch(world).open_vrfs == {"VrfOfOthers"}
    assert places(world) == {(None, "Vrf104001")}
    (sent,) = [one.event for one in world.store.follow(0) if "spec.vrfs[" in one.event.message and one.event.action_id][
        :1
    ]
    assert "because of drift since" in sent.message
    assert world.engine.plan().changes == ()


def test_no_machine_boots_while_a_port_is_not_where_it_must_be_and_the_plan_says_which(world: World) -> None:
    switch(world, "leaf02").faults.append(SwitchFault.SLOW_ORCHAGENT)
    switch(world, "leaf02").slowness = 1e9
    metal = Metal(world, "m1")
    world.commit(switched(None, "m1"))
    live(world, [metal], 60)
    assert metal.bmc.booted_from == []
    change = planned(world, "Machine/m1")
    assert change is not None
    ((why, hint),) = {(hold.reason, hold.hint) for hold in change.held_by if hold.by == "switch-port"}
    assert why.startswith("port Ethernet0 of Switch/leaf02 must be in the unprovisioned VLAN 4000, but Switch/leaf02")
    assert "if something holds the change of the port, `groundstate plan switch/leaf02` shows how to proceed" in hint
    switch(world, "leaf02").faults.clear()
    switch(world, "leaf02").change("Ethernet0", vlan=4000)
    switch(world, "leaf02").forget()
    live(world, [metal], 300)
    assert at(world, "m1") is Phase.AVAILABLE


def test_a_switch_that_cannot_be_read_holds_its_own_machines_alone(world: World) -> None:
    metals = [Metal(world, name) for name in ("m1", "m2")]
    state = switched(None, "m1", "m2")
    apart = {
        ResourceKey("Switch", "leaf01"): leaf("leaf01", "m1"),
        ResourceKey("Switch", "leaf02"): leaf("leaf02", "m2"),
    }
    switch(world, "leaf02").faults.append(SwitchFault.UNREACHABLE)
    world.commit(DesiredState(state.revision, {**state.resources, **apart}))
    live(world, metals, 300)
    assert (at(world, "m1"), len(metals[1].bmc.booted_from)) == (Phase.AVAILABLE, 0)
    change = planned(world, "Machine/m2")
    assert change is not None
    assert any("Switch/leaf02 cannot be read" in hold.reason for hold in change.held_by)
    switch(world, "leaf02").faults.clear()
    live(world, metals, 600)
    assert at(world, "m2") is Phase.AVAILABLE


def test_a_port_that_a_person_moved_is_drift_and_is_put_back_by_way_of_the_unprovisioned_vlan(world: World) -> None:
    metals = running(world, "m1")
    before = len(switch(world).applied)
    switch(world).vrfs["VrfOfOthers"] = 7
    switch(world).change("Ethernet0", vrf="VrfOfOthers")
    live(world, metals, 600)
    assert (port(world).vlan, port(world).vrf) == (None, "Vrf104001")
    steps = [config.ports["Ethernet0"] for config in switch(world).applied[before:]]
    assert [(one.vlan, one.vrf) for one in steps] == [(4000, None), (None, "Vrf104001")]
    assert "DriftDetected" in world.reasons("leaf01")
    assert at(world, "m1") is Phase.RUNNING


def test_a_port_that_was_left_switched_off_is_switched_on_before_a_machine_starts(world: World) -> None:
    """metal-core#125: ports of machines that were freed stayed down."""
    there = switch(world)
    there.ports["Ethernet0"] = msgspec.structs.replace(there.ports["Ethernet0"], vlan=4000, admin=LinkState.DOWN)
    there.faults.append(SwitchFault.SLOW_ORCHAGENT)
    metal = Metal(world, "m1")
    world.commit(switched(None, "m1"))
    live(world, [metal], 40)
    assert (port(world).admin, metal.bmc.booted_from) == (LinkState.DOWN, [])
    live(world, [metal], 300)
    assert (port(world).admin, at(world, "m1")) == (LinkState.UP, Phase.AVAILABLE)


def test_only_the_switch_that_is_changed_gets_a_configuration_and_others_ports_are_never_in_it(world: World) -> None:
    switch(world).change("Ethernet112", vlan=77)
    switch(world).change("Ethernet40", vlan=78)
    running(world, "m1")
    named = {name for config in switch(world).applied for name in config.ports}
    assert named == {"Ethernet0"}
    assert (port(world, "Ethernet112").vlan, port(world, "Ethernet40").vlan) == (77, 78)


def test_what_stops_in_the_middle_is_done_again_and_the_life_goes_on(world: World) -> None:
    """metal-core#94: what was half applied stayed so."""
    switch(world).faults += [SwitchFault.HALF_APPLIED, SwitchFault.RELOAD_FAILED, SwitchFault.BUSY]
    running(world, "m1")
    assert places(world) == {(None, "Vrf104001")}


def test_a_slow_switch_is_waited_for(world: World) -> None:
    """infra-controller#4791: what is accepted is not done yet."""
    for name in LEAVES:
        switch(world, name).faults.append(SwitchFault.SLOW_ORCHAGENT)
        switch(world, name).slowness = 20
    (metal,) = [Metal(world, "m1")]
    world.commit(switched(None, "m1"))
    live(world, [metal], 300)
    assert at(world, "m1") is Phase.AVAILABLE
    assert "ActionFailed" not in world.reasons("leaf01")


@pytest.mark.parametrize("word", ["maintenance", "suspend"])
def test_nothing_is_sent_to_a_switch_on_which_people_work(world: World, word: str) -> None:
    paused: dict[str, Any] = {word: {"reason": "new optics"}}
    world.commit(switched(None, "m1", **paused))
    live(world, [Metal(world, "m1")], 300)
    assert switch(world).applied == []
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert [(hold.kind, hold.by, hold.reason) for hold in change.held_by] == [(HoldKind.DECLARED, word, "new optics")]


def test_a_switch_that_is_only_observed_is_not_changed_and_holds_no_machine(world: World) -> None:
    metal = Metal(world, "m1")
    world.commit(switched(None, "m1", manage="None"))
    live(world, [metal], 300)
    assert (switch(world).applied, at(world, "m1")) == ([], Phase.AVAILABLE)


def test_a_port_that_the_switch_does_not_have_holds_itself_alone(world: World) -> None:
    state = switched(None, "m1")
    ports = [{"name": "Ethernet999", "machine": "m1"}, {"name": "Ethernet8"}]
    odd = leaf("leaf01", ports=ports)
    world.commit(DesiredState(state.revision, {**state.resources, odd.key: odd}))
    live(world, [Metal(world, "m1")], 120)
    assert port(world, "Ethernet8").vlan == 4000
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert [(hold.path, hold.reason) for hold in change.held_by] == [
        ("spec.ports[Ethernet999]", "the switch has no port Ethernet999")
    ]


def test_a_port_is_found_by_its_alias(world: World) -> None:
    """metal-core#112: the port id is the alias on one SONiC, and the name on another."""
    state = switched(None, "m1")
    odd = leaf("leaf01", ports=[{"name": "port1", "alias": "Eth1/1", "machine": "m1"}])
    world.commit(DesiredState(state.revision, {**state.resources, odd.key: odd}))
    live(world, [metal := Metal(world, "m1")], 300)
    assert (port(world).vlan, at(world, metal.name)) == (4000, Phase.AVAILABLE)


def test_of_a_running_machine_only_one_port_is_changed_at_a_time(world: World) -> None:
    """The network of its claim gets another VRF: one port is in the new one before the other is touched."""
    metals = running(world, "m1")
    switch(world, "leaf01").faults.append(SwitchFault.SLOW_ORCHAGENT)
    switch(world, "leaf01").slowness = 40
    before = len(switch(world, "leaf02").applied)
    state = switched(1, "m1", revision="d")
    moved = resource("Network", "front", prefixes=[{"cidr": "10.0.0.0/24"}], vrf={"pool": "vrfs", "number": 104500})
    world.commit(DesiredState(state.revision, {**state.resources, moved.key: moved}))
    live(world, metals, 60)
    assert len(switch(world, "leaf02").applied) == before
    change = planned(world, "Switch/leaf02")
    assert change is not None
    assert [hold.by for hold in change.held_by] == ["other-port"]
    live(world, metals, 600)
    assert places(world) == {(None, "Vrf104500")}
    assert at(world, "m1") is Phase.RUNNING


def test_a_port_is_not_taken_from_a_tenant_while_the_other_switch_cannot_be_read(world: World) -> None:
    metals = running(world, "m1")
    switch(world, "leaf02").faults.append(SwitchFault.UNREACHABLE)
    live(world, metals, 600)
    before = len(switch(world).applied)
    state = switched(1, "m1", revision="d")
    moved = resource("Network", "front", prefixes=[{"cidr": "10.0.0.0/24"}], vrf={"pool": "vrfs", "number": 104500})
    world.commit(DesiredState(state.revision, {**state.resources, moved.key: moved}))
    live(world, metals, 600)
    assert len(switch(world).applied) == before
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert "Machine/m1 would have no port left" in change.held_by[0].reason


def test_what_takes_a_port_from_a_running_machine_is_disruptive(world: World) -> None:
    running(world, "m1")
    switch(world).change("Ethernet0", vrf="VrfOfOthers")
    world.engine.use_observations([observed(world)])
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert change.disruption is Disruption.DISRUPTIVE


def test_a_guard_that_matches_switches_gives_such_a_change_a_window(world: World) -> None:
    metals = running(world, "m1")
    windows = {"timeZone": "UTC", "deny": [{"from": "2000-01-01T00:00", "to": "2100-01-01T00:00", "reason": "freeze"}]}
    guard = resource("Guard", "frozen", match={"kinds": ["Switch"]}, actions=["disruptive"], windows=windows)
    state = switched(1, "m1")
    world.commit(msgspec.structs.replace(state, resources={**state.resources, guard.key: guard}))
    switch(world).change("Ethernet0", vrf="VrfOfOthers")
    live(world, metals, 600)
    assert port(world).vrf == "VrfOfOthers"
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert [(hold.kind, hold.by) for hold in change.held_by] == [(HoldKind.GUARD, "guard/frozen")]


def observed(world: World) -> Observation:
    return Observation(ResourceKey("Switch", "leaf01"), world.now(), switch(world).read())


def test_a_switch_that_is_no_longer_declared_is_forgotten_and_not_changed(world: World) -> None:
    metals = running(world, "m1")
    before = len(switch(world).applied)
    state = switched(1, "m1", revision="d")
    gone = {key: one for key, one in state.resources.items() if key.kind != "Switch"}
    world.commit(DesiredState(state.revision, gone))
    live(world, metals, 300)
    assert (len(switch(world).applied), places(world)) == (before, {(None, "Vrf104001")})
    assert ResourceKey("Switch", "leaf01") not in world.facts()


def test_a_switch_under_another_name_gets_the_vrfs_of_the_one_that_it_replaces(world: World) -> None:
    """Also if its port is in a VRF from its use elsewhere. metal-api#30, #566."""
    metals = running(world, "m1")
    switch(world, "leaf09").vrfs["VrfOfOthers"] = 7
    switch(world, "leaf09").change("Ethernet0", vrf="VrfOfOthers")
    state, new = switched(1, "m1", revision="d"), leaf("leaf09", "m1")
    kept = {key: one for key, one in state.resources.items() if key.name != "leaf01"}
    world.commit(DesiredState(state.revision, {**kept, new.key: new}))
    live(world, metals, 600)
    assert port(world, of="leaf09").vrf == "Vrf104001"
    assert (at(world, "m1"), world.engine.plan().changes) == (Phase.RUNNING, ())


def test_a_new_process_sends_nothing_again(world: World) -> None:
    metals = running(world, "m1")
    before = len(switch(world).applied)
    world.restart()
    live(world, metals, 600)
    assert len(switch(world).applied) == before


def test_a_port_moves_within_seconds_of_what_moves_it(world: World) -> None:
    """Not at the next observation of the switch: who waits is reconciled when what it waits for changes."""
    metal = Metal(world, "m1")
    world.commit(switched(None, "m1"))
    live(world, [metal], 300)
    world.commit(switched(1, "m1"))
    while world.machine(metal.key).lifecycle.written is None:
        live(world, [metal], 5)
    while world.machine(metal.key).lifecycle.boot_request is not None:
        live(world, [metal], 5)
    assert places(world) == {(None, "Vrf104001")}


def test_a_switch_at_rest_is_not_asked_more_often_because_of_machines_that_report(world: World) -> None:
    metal = Metal(world, "m1")
    metal.ticks_to_write = 200
    world.commit(switched(None, "m1"))
    live(world, [metal], 300)
    world.commit(switched(1, "m1"))
    live(world, [metal], 120)
    before = world.stepped.count(ResourceKey("Switch", "leaf01"))
    live(world, [metal], 300)
    assert world.stepped.count(ResourceKey("Switch", "leaf01")) - before < 10


def test_a_switch_is_read_often_enough_for_the_machines_that_wait_for_its_ports(tmp_path: Path) -> None:
    """However seldom resources at rest are observed. A machine starts by no older observation than 5 minutes."""

    class Slow(World):
        resync = 7200.0

    world = Slow(tmp_path, on_after=2.0, off_after=2.0)
    world.commit(switched(None, "m1"))
    live(world, [Metal(world, "m1")], 600)
    world.run(3600)
    ages = {seen.key.name: world.now() - seen.taken_at for seen in world.engine.observations("Switch")}
    assert all(age < LONGEST_AGE for age in ages.values()), ages
    assert all(world.now() - seen.taken_at > LONGEST_AGE for seen in world.engine.observations("Machine"))


def test_a_switch_without_a_free_vlan_says_so(world: World) -> None:
    """Two networks need a VLAN each, and the switch may use one."""
    more = resource("Network", "back", prefixes=[{"cidr": "10.1.0.0/24"}], vrf={"pool": "vrfs", "number": 104002})
    state = switched(1, "m1", revision="d", localVlans="1001-1001")
    metals = [Metal(world, "m1")]
    switch(world).vlans[1001] = "VrfOfOthers"
    world.commit(DesiredState(state.revision, {**state.resources, more.key: more}))
    live(world, metals, 900)
    assert (port(world).vlan, at(world, "m1")) == (4000, Phase.PROVISIONING)
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert [(hold.kind, hold.by, hold.reason) for hold in change.held_by] == [
        (
            HoldKind.GUARD,
            "exhausted",
            (
                "port Ethernet0 must be in Vrf104001, and the switch has no free VLAN for this VRF: all of 1001-1001 "
                "(spec.localVlans) are used"
            ),
        )
    ]
    assert any("no free VLAN" in event.message for event in world.events)
    seen = observed(world)
    key = ResourceKey("Switch", "leaf01")
    shown = KINDS["Switch"].conditions(state.resources[key], world.facts()[key], seen)
    assert [(one.type, one.status) for one in shown] == [("VlanFree", "False")]
    switch(world).vlans.clear()
    live(world, metals, 300)
    assert (port(world).vrf, at(world, "m1")) == ("Vrf104001", Phase.RUNNING)

"""What a switch must never do to a tenant, under a virtual clock."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.base import LinkState, SwitchNeighbour, SwitchPort
from drivers.switch.fake.fake_switch import SwitchFault
from reconciler.kinds.machine.lifecycle.phases import Phase
from reconciler.kinds.machine.spec import Pause
from reconciler.model.actions.action_base import Disruption
from reconciler.model.observation import Observation
from reconciler.model.plans.override import Override
from reconciler.model.plans.plan import HoldKind
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from tests.loop.metal import Metal, live
from tests.loop.test_machine_lifecycle import at
from tests.loop.test_switches import LEAVES, leaf, places, planned, port, resource, running, switch, switched
from tests.loop.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, on_after=2.0, off_after=2.0)


def test_the_vlan_of_a_vrf_in_use_stays_when_another_network_comes(world: World) -> None:
    """104001 and 104003 want the same one of two VLANs. The lower number comes later."""
    vrf = {"pool": "vrfs", "number": 104003}
    front = resource("Network", "front", prefixes=[{"cidr": "10.0.0.0/24"}], vrf=vrf)
    back = resource("Network", "back", prefixes=[{"cidr": "10.1.0.0/24"}], vrf={"pool": "vrfs", "number": 104001})
    metals = [Metal(world, name) for name in ("m1", "m2")]

    def commit(count: int | None, *networks: Resource[Any]) -> None:
        state = switched(count, "m1", "m2", localVlans="1001-1002")
        world.commit(DesiredState(state.revision, {**state.resources, **{one.key: one for one in networks}}))
        live(world, metals, 900)

    commit(None, front)
    commit(1, front)
    assert switch(world).vlans == {1002: "Vrf104003"}
    commit(2, front, back)
    assert [port(world, name).vrf for name in ("Ethernet0", "Ethernet4")] == ["Vrf104003", "Vrf104003"]
    assert {vrf.vlan for config in switch(world).applied for vrf in config.vrfs.values()} == {1002}


@pytest.mark.parametrize(
    "ports",
    [
        pytest.param(({"name": "Ethernet0"}, {"name": "Ethernet4", "machine": "m2"}), id="no machine any more"),
        pytest.param(
            ({"name": "Ethernet0", "machine": "m2"}, {"name": "Ethernet4", "machine": "m1"}), id="a free machine"
        ),
    ],
)
def test_a_port_in_the_vrf_of_a_running_tenant_stays_there_when_documents_name_another_machine(
    world: World, ports: Any
) -> None:
    metals = [Metal(world, name) for name in ("m1", "m2")]
    world.commit(switched(None, "m1", "m2"))
    live(world, metals, 300)
    world.commit(switched(1, "m1", "m2"))
    live(world, metals, 600)
    assert (at(world, "m1"), at(world, "m2")) == (Phase.RUNNING, Phase.AVAILABLE)
    state = switched(1, "m1", "m2", revision="d")
    changed = {ResourceKey("Switch", name): leaf(name, ports=ports) for name in LEAVES}
    world.commit(DesiredState(state.revision, {**state.resources, **changed}))
    live(world, metals, 300)
    assert places(world) == {(None, "Vrf104001")}
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert [(hold.kind, hold.by, hold.path) for hold in change.held_by] == [
        (HoldKind.GUARD, "tenant-behind", "spec.ports[Ethernet0]")
    ]


def test_the_last_port_of_a_running_machine_is_not_switched_off(world: World) -> None:
    metals = running(world, "m1")
    ports = [{"name": "Ethernet0", "machine": "m1", "admin": "Down"}]
    world.commit(switched(1, "m1", revision="d", ports=ports))
    live(world, metals, 300)
    assert [port(world, of=name).admin for name in LEAVES] == [LinkState.DOWN, LinkState.UP]
    change = planned(world, "Switch/leaf02")
    assert change is not None
    assert "Machine/m1 would have no port left" in change.held_by[0].reason


def test_a_machine_is_not_started_by_what_was_seen_of_a_switch_long_ago(world: World) -> None:
    metal = running(world, "m1")[0]
    metal.cut_power()
    switch(world).change("Ethernet0", vlan=4000)
    world.at += 3600
    booted = len(metal.bmc.booted_from)
    world.engine.reconcile(metal.key)
    assert len(metal.bmc.booted_from) == booted
    change = planned(world, "Machine/m1")
    assert change is not None
    assert any("Switch/leaf01 was last read at 2026-01-01 00:" in hold.reason for hold in change.held_by)
    live(world, [metal], 300)
    assert (at(world, "m1"), len(metal.bmc.booted_from)) == (Phase.RUNNING, booted + 1)


@pytest.mark.parametrize("uplink", ["Eth1/1", "Ethernet0"])
def test_a_port_that_the_switch_knows_as_an_uplink_is_not_changed_under_its_other_name(
    world: World, uplink: str
) -> None:
    """validate knows the names in the document alone."""
    state = switched(None, "m1")
    name = "Eth1/1" if uplink == "Ethernet0" else "Ethernet0"
    odd = leaf("leaf01", ports=[{"name": name, "machine": "m1"}], uplinks=[uplink])
    world.commit(DesiredState(state.revision, {**state.resources, odd.key: odd}))
    live(world, [Metal(world, "m1")], 120)
    assert switch(world).applied == []
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert [hold.by for hold in change.held_by] == ["uplink"]


@pytest.mark.parametrize(("name", "alias"), [("Ethernet0", "Eth1/1"), ("swp1", "eth0")])
def test_a_port_by_which_the_switch_is_managed_is_not_changed_whatever_it_is_called(
    world: World, name: str, alias: str
) -> None:
    """Neither one that the switch names, nor one whose own name says it (sonic-buildimage#28897)."""
    state, there = switched(None, "m1"), switch(world)
    there.management = ("Ethernet0",)
    there.ports["eth0"] = SwitchPort("eth0", alias="mgmt")
    odd = leaf("leaf01", ports=[{"name": name, "machine": "m1", "alias": alias}])
    world.commit(DesiredState(state.revision, {**state.resources, odd.key: odd}))
    live(world, [Metal(world, "m1")], 120)
    assert there.applied == []
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert [hold.by for hold in change.held_by] == ["management"]


def test_no_machine_comes_into_a_vrf_in_which_a_machine_of_another_project_still_is(world: World) -> None:
    """The number of the VRF goes to another network while the first machine is in maintenance."""
    metals = [Metal(world, name) for name in ("m1", "m2")]
    world.commit(switched(None, "m1", "m2"))
    live(world, metals, 300)
    world.commit(switched(1, "m1", "m2"))
    live(world, metals, 600)
    assert places(world) == {(None, "Vrf104001")}
    state = switched(1, "m1", "m2", revision="d")
    kept = state.resources[ResourceKey("Machine", "m1")]
    paused = msgspec.structs.replace(kept.spec, maintenance=Pause(reason="a fan"))
    asked = {"partitions": ["lab"], "machines": ["m2"], "image": "debian-12", "networks": [{"network": "back"}]}
    changed = [
        msgspec.structs.replace(kept, spec=paused),
        resource("Network", "front", prefixes=[{"cidr": "10.0.0.0/24"}], vrf={"pool": "vrfs", "number": 104500}),
        resource("Network", "back", prefixes=[{"cidr": "10.1.0.0/24"}], vrf={"pool": "vrfs", "number": 104001}),
        resource("Project", "blue", tenant="acme"),
        resource("MachineClaim", "other", project="blue", selector={}, count=1, **asked),
    ]
    world.commit(DesiredState(state.revision, {**state.resources, **{one.key: one for one in changed}}))
    live(world, metals, 900)
    assert places(world) == {(None, "Vrf104001")}
    assert places(world, "Ethernet4") == {(4000, None)}
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert [hold.by for hold in change.held_by] == ["other-tenant"]
    assert "port Ethernet0 of Switch/leaf01 of Machine/m1, of project shop, is still in Vrf104001" in (
        change.held_by[0].reason
    )


BACK = {"partitions": ["lab"], "machines": ["m2"], "image": "debian-12", "networks": [{"network": "back"}]}


def two_tenants(*ports: Any, revision: str = "b") -> DesiredState:
    """m1 of the project shop in Vrf104001, and m2 of the project blue in Vrf104002."""
    state = switched(1, "m1", "m2", revision=revision)
    claim = state.resources[ResourceKey("MachineClaim", "web")]
    more = [
        resource("Network", "back", prefixes=[{"cidr": "10.1.0.0/24"}], vrf={"pool": "vrfs", "number": 104002}),
        resource("Network", "front", prefixes=[{"cidr": "10.0.0.0/24"}], vrf={"pool": "vrfs", "number": 104001}),
        resource("Project", "blue", tenant="acme"),
        msgspec.structs.replace(claim, spec=msgspec.structs.replace(claim.spec, machines=("m1",))),
        resource("MachineClaim", "other", project="blue", selector={}, count=1, **BACK),
        *(leaf(name, ports=list(ports)) for name in LEAVES if ports),
    ]
    return DesiredState(state.revision, {**state.resources, **{one.key: one for one in more}})


def two_running(world: World) -> list[Metal]:
    metals = [Metal(world, name) for name in ("m1", "m2")]
    world.commit(switched(None, "m1", "m2"))
    live(world, metals, 300)
    world.commit(two_tenants())
    live(world, metals, 900)
    assert [at(world, name) for name in ("m1", "m2")] == [Phase.RUNNING, Phase.RUNNING]
    assert both(world) == ["Vrf104001", "Vrf104002"]
    return metals


def both(world: World) -> list[str | None]:
    return [port(world, name).vrf for name in ("Ethernet0", "Ethernet4")]


EXCHANGED = ({"name": "Ethernet0", "machine": "m2"}, {"name": "Ethernet4", "machine": "m1"})


def test_two_tenants_whose_machines_are_exchanged_in_the_documents_are_not_joined(world: World) -> None:
    metals = two_running(world)
    applied = len(switch(world).applied)
    world.commit(two_tenants(*EXCHANGED, revision="c"))
    live(world, metals, 300)
    assert (both(world), len(switch(world).applied)) == (["Vrf104001", "Vrf104002"], applied)
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert [(hold.by, hold.path) for hold in change.held_by] == [
        ("tenant-behind", "spec.ports[Ethernet0]"),
        ("tenant-behind", "spec.ports[Ethernet4]"),
    ]
    assert change.held_by[0].reason == (
        "port Ethernet0 of Switch/leaf01 must be in Vrf104002, as the documents name Machine/m2 for the port, but "
        "groundstate put the port into a VRF for Machine/m1, which MachineClaim/web still has"
    )


def test_an_exchange_within_one_vrf_is_no_proof_of_which_machine_is_at_a_port(world: World) -> None:
    """The port stays in its VRF, so nothing shows that the documents are right. Then the other machine is released."""
    metals = running(world, "m1", "m2")
    state = switched(2, "m1", "m2", revision="d", ports=list(EXCHANGED))
    world.commit(state)
    live(world, metals, 300)
    claim = state.resources[ResourceKey("MachineClaim", "web")]
    fewer = msgspec.structs.replace(claim, spec=msgspec.structs.replace(claim.spec, machines=("m1",), count=1))
    world.commit(DesiredState(switched(1, revision="e").revision, {**state.resources, claim.key: fewer}))
    live(world, metals, 300)
    assert both(world)[0] == "Vrf104001", "m1 runs there, although the documents name m2, which is being released"
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert [(hold.by, hold.path) for hold in change.held_by] == [("tenant-behind", "spec.ports[Ethernet0]")]


def test_a_machine_that_the_switch_hears_by_its_mac_address_is_the_one_at_the_port(world: World) -> None:
    """The cables were exchanged too."""
    metals = two_running(world)
    state = two_tenants(*EXCHANGED, revision="c")
    known = dict(state.resources)
    for name, mac in (("m1", "52:54:00:00:00:01"), ("m2", "52:54:00:00:00:02")):
        found = state.resources[ResourceKey("Machine", name)]
        known[found.key] = msgspec.structs.replace(found, spec=msgspec.structs.replace(found.spec, macs=(mac,)))
        for of in LEAVES:
            switch(world, of).cable(SwitchNeighbour({"m1": "Ethernet4", "m2": "Ethernet0"}[name], mac=mac))
    world.commit(DesiredState(state.revision, known))
    live(world, metals, 900)
    assert both(world) == ["Vrf104002", "Vrf104001"]


def test_a_port_at_which_the_switch_hears_another_machine_comes_into_no_vrf(world: World) -> None:
    """Nothing was recorded of the port yet, as no tenant had it."""
    metals = [Metal(world, name) for name in ("m1", "m2")]
    world.commit(switched(None, "m1", "m2"))
    live(world, metals, 300)
    switch(world).cable(SwitchNeighbour("Ethernet0", system="m2"))
    world.commit(two_tenants())
    live(world, metals, 900)
    assert port(world).vlan == 4000
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert "but the switch hears Machine/m2 at the port" in change.held_by[0].reason
    assert at(world, "m1") is not Phase.RUNNING
    waiting = planned(world, "Machine/m1")
    assert waiting is not None
    hints = {hold.hint for hold in waiting.held_by if hold.by == "switch-port" and "of Switch/leaf01" in hold.reason}
    held = "another machine may be at the port, so a guard may hold its change"
    assert hints == {f"{held}; `groundstate plan switch/leaf01` shows how to proceed"}


def overridden(world: World, guard: str = "tenant-behind") -> None:
    now = world.now()
    override = Override("o1", guard, "INC-7", "ada", now, now + timedelta(hours=1), ("switch/leaf*",))
    world.standing = msgspec.structs.replace(world.standing, overrides=(override,))


def test_an_override_lets_a_port_move_as_the_documents_say(world: World) -> None:
    metals = two_running(world)
    world.commit(two_tenants(*EXCHANGED, revision="c"))
    live(world, metals, 120)
    overridden(world)
    live(world, metals, 900)
    assert both(world) == ["Vrf104002", "Vrf104001"]
    assert any("o1" in event.message for event in world.events)


def test_an_override_accepts_no_other_doubt_than_the_one_that_was_shown(world: World) -> None:
    """It is given for one exchange, and another machine is heard before it is carried out."""
    metals = two_running(world)
    for name in LEAVES:
        switch(world, name).faults.append(SwitchFault.UNREACHABLE)
    live(world, metals, 60)
    overridden(world)
    live(world, metals, 60)
    world.commit(two_tenants(*EXCHANGED, revision="c"))
    for name in LEAVES:
        switch(world, name).faults.clear()
    live(world, metals, 600)
    assert both(world) == ["Vrf104001", "Vrf104002"]


def test_what_was_observed_of_a_switch_at_another_address_counts_no_more(world: World) -> None:
    """The switch at the new address has no port in a VRF, and a machine must not start by what the old one showed."""
    metal = running(world, "m1")[0]
    state = switched(1, "m1", revision="d")
    moved = leaf("leaf01", "m1", address="leaf09")
    metal.cut_power()
    booted = len(metal.bmc.booted_from)
    world.desired = DesiredState(state.revision, {**state.resources, moved.key: moved})
    world.engine.put_in_force(world.desired)
    world.engine.reconcile(metal.key)
    assert len(metal.bmc.booted_from) == booted
    change = planned(world, "Machine/m1")
    assert change is not None
    assert any("Switch/leaf01 cannot be read: not observed yet" in hold.reason for hold in change.held_by)
    world.commit(world.desired)
    live(world, [metal], 300)
    assert (at(world, "m1"), port(world, of="leaf09").vrf) == (Phase.RUNNING, "Vrf104001")


def test_an_observation_that_began_before_the_address_changed_is_not_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(world, "m1")
    state = switched(1, "m1", revision="d")
    moved = leaf("leaf01", "m1", address="leaf09")
    late = DesiredState(state.revision, {**state.resources, moved.key: moved})
    with monkeypatch.context() as patched:
        patched.setattr(switch(world), "_answer", lambda: world.engine.put_in_force(late))
        world.engine.reconcile(moved.key)
    assert [seen.key.name for seen in world.engine.observations("Switch")] == ["leaf02"]


def single(count: int | None, number: int = 104001, **spec: Any) -> DesiredState:
    """One switch for each machine, and m1 behind leaf01 alone."""
    state = switched(count, "m1", revision=f"{number % 10:x}", **spec)
    front = resource("Network", "front", prefixes=[{"cidr": "10.0.0.0/24"}], vrf={"pool": "vrfs", "number": number})
    kept = {key: one for key, one in state.resources.items() if key.name != "leaf02"}
    return DesiredState(state.revision, {**kept, front.key: front})


def alone(world: World) -> list[Metal]:
    metals = [Metal(world, "m1")]
    world.commit(single(None))
    live(world, metals, 300)
    world.commit(single(1))
    live(world, metals, 600)
    assert (at(world, "m1"), port(world).vrf) == (Phase.RUNNING, "Vrf104001")
    return metals


def test_the_only_port_of_a_running_machine_stays_in_its_vrf(world: World) -> None:
    metals = alone(world)
    world.commit(single(1, 104002))
    live(world, metals, 300)
    assert port(world).vrf == "Vrf104001"
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert [(hold.by, hold.reason) for hold in change.held_by] == [
        ("other-port", "Machine/m1 runs for MachineClaim/web and has no other port: it would be cut off")
    ]
    assert change.differences[0].observed == {"vrf": "Vrf104001", "admin": "Up", "behind": "Machine/m1"}


def test_the_only_port_moves_with_an_override(world: World) -> None:
    metals = alone(world)
    world.commit(single(1, 104002))
    live(world, metals, 60)
    world.at += 1
    overridden(world, "other-port")
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert (change.passes, change.held_by) == (("other-port",), ())
    assert change.actions[0].reason == (
        "the port of Machine/m1 must be in Vrf104002, by way of VLAN 4000; the running machine loses Vrf104001"
    )
    live(world, metals, 300)
    assert port(world).vrf == "Vrf104002"


def test_the_only_port_moves_when_the_machine_is_off(world: World) -> None:
    metals = alone(world)
    world.commit(single(1, 104002))
    live(world, metals, 60)
    metals[0].cut_power()
    world.engine.use_observations([Observation(metals[0].key, world.now(), metals[0].bmc.state)])
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert (change.held_by, change.disruption) == ((), Disruption.NONE)


def test_the_only_port_is_put_back_after_a_person_moved_it(world: World) -> None:
    metals = alone(world)
    switch(world).change("Ethernet0", vrf="VrfOfOthers")
    live(world, metals, 300)
    assert port(world).vrf == "Vrf104001"


FREEZE = {"timeZone": "UTC", "deny": [{"from": "2000-01-01T00:00", "to": "2100-01-01T00:00", "reason": "freeze"}]}
NEW_VRF = {"prefixes": [{"cidr": "10.0.0.0/24"}], "vrf": {"pool": "vrfs", "number": 104500}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            {"match": {"names": ["m1"]}, "windows": FREEZE}, "the change cuts off Machine/m1", id="the machine's window"
        ),
        pytest.param(
            {"match": {"kinds": ["Machine"]}, "budget": {"maxDisrupted": 0}}, "would take down", id="of machines"
        ),
        pytest.param(
            {"match": {"kinds": ["Switch"]}, "budget": {"maxDisrupted": 0}}, "guarded switch", id="of switches"
        ),
    ],
)
def test_what_cuts_a_running_machine_off_needs_what_its_power_off_needs(
    world: World, spec: dict[str, Any], expected: str
) -> None:
    metals = running(world, "m1")
    state = switched(1, "m1", revision="d")
    guard, moved = resource("Guard", "g", **spec), resource("Network", "front", **NEW_VRF)
    world.commit(DesiredState(state.revision, {**state.resources, guard.key: guard, moved.key: moved}))
    live(world, metals, 300)
    assert places(world) == {(None, "Vrf104001")}
    change = planned(world, "Switch/leaf01")
    assert change is not None
    assert [(hold.kind, hold.by, expected in hold.reason) for hold in change.held_by] == [
        (HoldKind.GUARD, "guard/g", True)
    ], change.held_by


def test_a_budget_paces_how_often_ports_are_taken_from_running_machines(world: World) -> None:
    metals = running(world, "m1")
    state = switched(1, "m1", revision="d")
    budget = {"maxDisrupted": 1, "pacing": "30m"}
    guard = resource("Guard", "g", match={"kinds": ["Switch"]}, budget=budget)
    moved = resource("Network", "front", **NEW_VRF)
    world.commit(DesiredState(state.revision, {**state.resources, guard.key: guard, moved.key: moved}))
    live(world, metals, 600)
    assert [port(world, of=name).vrf for name in LEAVES] == ["Vrf104500", "Vrf104001"]
    live(world, metals, 1800)
    assert places(world) == {(None, "Vrf104500")}


def test_a_replaced_switch_gets_the_vrfs_of_its_ports_by_alias(world: World) -> None:
    """The new switch has another address, and calls its ports by what the old one called the alias (metal-core#112).
    Also metal-api#30, #566."""
    metals = two_running(world)
    ports = (
        {"name": "port1", "alias": "Eth1/1", "machine": "m1"},
        {"name": "port2", "alias": "Eth2/1", "machine": "m2"},
    )
    state = two_tenants(*EXCHANGED, revision="c")
    same = two_tenants(revision="c").resources[ResourceKey("Switch", "leaf02")]
    new = leaf("leaf01", address="leaf09", ports=list(ports))
    world.commit(DesiredState(state.revision, {**state.resources, new.key: new, same.key: same}))
    live(world, metals, 600)
    assert [port(world, name, of="leaf09").vrf for name in ("Ethernet0", "Ethernet4")] == ["Vrf104001", "Vrf104002"]
    assert [at(world, name) for name in ("m1", "m2")] == [Phase.RUNNING, Phase.RUNNING]

"""What a switch must never do to a tenant, under a virtual clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.base import LinkState
from reconciler.kinds.machine.lifecycle.phases import Phase
from reconciler.kinds.machine.spec import Pause
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

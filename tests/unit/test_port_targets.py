"""In which network a port must be, at every phase of the life of the machine behind it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from drivers.base import IpamNetwork, LinkState, Number, PortConfig, PowerState, SwitchPort, SystemState
from reconciler.kinds import KINDS
from reconciler.kinds.common.machine_facts import BootRequest, LifecycleFacts, MachineFacts, Written
from reconciler.kinds.ipam.network import NetworkState
from reconciler.kinds.switch.port_state import cuts, next_config, shows
from reconciler.kinds.switch.port_targets import TO_UNPROVISIONED, UNCHANGED, PortTarget, port_target
from reconciler.kinds.switch.spec import SwitchSpec
from reconciler.kinds.switch.switch_rules import local_vlans
from reconciler.model.observation import Observation
from reconciler.model.resource import DesiredState, Resource, ResourceKey, Revision, Source
from reconciler.model.values.boot_purpose import LifecycleFailure, LifecycleFailureReason, Purpose

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MACHINE = ResourceKey("Machine", "m1")
VRF = PortTarget(vrf=104001)
CLAIMED: dict[str, Any] = {"claim": "web", "slot": 0, "claimed_at": NOW}
WRITTEN: dict[str, Any] = {**CLAIMED, "written": Written("debian", "sha256:0", "web", NOW)}
RELEASED: dict[str, Any] = {**WRITTEN, "releasing_at": NOW}
ON, OFF, UNREAD = SystemState(power=PowerState.ON), SystemState(power=PowerState.OFF), None


def request(purpose: Purpose) -> dict[str, Any]:
    return {"boot_request": BootRequest("r1", purpose, NOW)}


def state(machine: dict[str, Any] | None = None, networks: tuple[str, ...] = ("front",)) -> DesiredState:
    claim = {
        "project": "shop",
        "partitions": ["lab"],
        "image": "debian-12",
        "networks": [{"network": one} for one in networks],
    }
    documents = {
        "Partition/lab": {},
        "Pool/vrfs": {"ranges": ["104001-104009"]},
        "Network/front": {"prefixes": [{"cidr": "10.0.0.0/24"}], "vrf": {"pool": "vrfs"}},
        "Network/shares": {"prefixes": [{"cidr": "10.0.1.0/24"}], "vrf": {"network": "front"}},
        "Network/other": {"prefixes": [{"cidr": "10.0.2.0/24"}], "vrf": {"pool": "vrfs"}},
        "Network/plain": {"prefixes": [{"cidr": "10.0.3.0/24"}]},
        "MachineClaim/web": claim,
        "Machine/m1": {
            "partition": "lab",
            "bmc": {"driver": "fake", "address": "m1"},
            **({"lifecycle": {"mode": "Managed"}} if machine is None else machine),
        },
    }
    found = {}
    for name, spec in documents.items():
        key = ResourceKey(*name.split("/"))
        found[key] = Resource(key, msgspec.convert(spec, KINDS[key.kind].spec_type), {}, {}, Source("a.yaml"))
    return DesiredState(Revision("a" * 40, "main", "fleet"), found)


def target(
    lifecycle: dict[str, Any],
    seen: SystemState | None = OFF,
    desired: DesiredState | None = None,
    number: int | None = 104001,
    machine: str | None = "m1",
) -> PortTarget:
    network = NetworkState(IpamNetwork(()), None if number is None else Number("Network/front", "vrfs", number))
    observed = {ResourceKey("Network", "front"): Observation(ResourceKey("Network", "front"), NOW, network)}
    if seen is not None:
        observed[MACHINE] = Observation(MACHINE, NOW, seen)
    facts = {MACHINE: MachineFacts(project="shop", lifecycle=LifecycleFacts(**lifecycle))}
    return port_target(machine, desired or state(), facts, observed)


FAILED = LifecycleFailure(LifecycleFailureReason.AGENT_FAILED, "no disk", NOW, final=True)


@pytest.mark.parametrize(
    ("lifecycle", "seen", "expected"),
    [
        pytest.param({}, OFF, TO_UNPROVISIONED, id="Discovered"),
        pytest.param(request(Purpose.INSPECT), ON, TO_UNPROVISIONED, id="Inspecting"),
        pytest.param({"inspected_at": NOW}, OFF, TO_UNPROVISIONED, id="Available"),
        pytest.param(CLAIMED, OFF, TO_UNPROVISIONED, id="Claimed"),
        pytest.param({**CLAIMED, **request(Purpose.INSTALL)}, ON, TO_UNPROVISIONED, id="Provisioning: the agent"),
        pytest.param(
            {**WRITTEN, **request(Purpose.INSTALL), "stopped_at": NOW},
            ON,
            TO_UNPROVISIONED,
            id="written, the agent runs",
        ),
        pytest.param(WRITTEN, OFF, VRF, id="Provisioning: before the first start"),
        pytest.param({**WRITTEN, "phoned_home_at": NOW}, ON, VRF, id="Running"),
        pytest.param({**WRITTEN, **request(Purpose.INSTALL)}, ON, VRF, id="installed again, the old system runs"),
        pytest.param({**WRITTEN, **request(Purpose.INSTALL)}, UNREAD, VRF, id="installed again, it may run"),
        pytest.param({**WRITTEN, **request(Purpose.INSTALL)}, OFF, TO_UNPROVISIONED, id="installed again, off"),
        pytest.param(RELEASED, ON, VRF, id="Releasing, the old system runs"),
        pytest.param(RELEASED, OFF, TO_UNPROVISIONED, id="Releasing, off"),
        pytest.param({**RELEASED, **request(Purpose.WIPE)}, OFF, TO_UNPROVISIONED, id="before the wipe"),
        pytest.param(
            {**RELEASED, **request(Purpose.WIPE), "stopped_at": NOW}, ON, TO_UNPROVISIONED, id="during the wipe"
        ),
        pytest.param({**CLAIMED, "failure": FAILED}, OFF, TO_UNPROVISIONED, id="Error before anything was written"),
        pytest.param({**WRITTEN, "failure": FAILED}, ON, VRF, id="Error of a system that was written"),
        pytest.param(
            {**CLAIMED, "written": Written("debian", "sha256:0", "former", NOW)},
            OFF,
            TO_UNPROVISIONED,
            id="of another claim",
        ),
    ],
)
def test_each_phase_has_its_network(lifecycle: dict[str, Any], seen: SystemState | None, expected: PortTarget) -> None:
    assert target(lifecycle, seen) == expected


@pytest.mark.parametrize(
    "machine",
    [
        {"lifecycle": {"mode": "Managed"}, "maintenance": {"reason": "memory"}},
        {"lifecycle": {"mode": "Managed"}, "suspend": {"reason": "memory"}},
        {"lifecycle": {"mode": "Observe"}},
        {},
    ],
    ids=["maintenance", "suspend", "observed", "not managed"],
)
@pytest.mark.parametrize("lifecycle", [{}, WRITTEN, RELEASED])
def test_what_people_have_stays_where_it_is(machine: dict[str, Any], lifecycle: dict[str, Any]) -> None:
    assert target(lifecycle, desired=state(machine)) == UNCHANGED


@pytest.mark.parametrize("machine", [None, "undeclared"])
def test_a_port_without_a_declared_machine_is_unprovisioned(machine: str | None) -> None:
    assert target({}, machine=machine) == TO_UNPROVISIONED


def test_networks_that_share_a_vrf_are_one() -> None:
    assert target(WRITTEN, desired=state(networks=("front", "shares", "plain"))) == VRF


@pytest.mark.parametrize(
    ("networks", "number", "said"),
    [
        (("front", "other"), 104001, "networks in 2 VRFs (front, other)"),
        (("plain",), 104001, "no network with a VRF"),
        ((), 104001, "no network with a VRF"),
        (("front",), None, "Network/front has no VRF number yet"),
        (("front",), 2**24, "is no VNI"),
    ],
)
def test_where_the_network_is_not_clear_the_port_is_not_changed(
    networks: tuple[str, ...], number: int | None, said: str
) -> None:
    found = target(WRITTEN, desired=state(networks=networks), number=number)
    assert (found.vrf, found.is_unprovisioned) == (None, False)
    assert found.obstacle is not None
    assert said in found.obstacle[0]


SEEN_A = SwitchPort("p", admin=LinkState.UP, vrf="VrfA")
SEEN_FREE = SwitchPort("p", admin=LinkState.UP, vlan=4000)
TO_B, TO_FREE = PortConfig(vrf="VrfB", admin=LinkState.UP), PortConfig(vlan=4000, admin=LinkState.UP)


@pytest.mark.parametrize(
    ("seen", "wanted", "step"),
    [(SEEN_A, TO_B, TO_FREE), (SEEN_FREE, TO_B, TO_B), (SEEN_A, TO_FREE, TO_FREE), (SwitchPort("p"), TO_B, TO_B)],
)
def test_a_port_never_goes_from_one_vrf_into_another_at_once(
    seen: SwitchPort, wanted: PortConfig, step: PortConfig
) -> None:
    assert next_config(seen, wanted, 4000) == step


@pytest.mark.parametrize(
    ("seen", "wanted", "expected"),
    [
        (SEEN_A, TO_B, True),
        (SEEN_A, TO_FREE, True),
        (SEEN_FREE, TO_B, False),
        (SEEN_A, PortConfig(vrf="VrfA", admin=LinkState.UP), False),
        (SEEN_A, PortConfig(vrf="VrfA", admin=LinkState.DOWN), True),
    ],
)
def test_what_takes_a_port_from_its_vrf_or_switches_it_off_cuts(
    seen: SwitchPort, wanted: PortConfig, expected: bool
) -> None:
    assert cuts(seen, wanted) is expected


def test_a_port_that_is_down_because_nothing_is_plugged_in_is_as_it_must_be() -> None:
    """metal-core#196: what is observed of the link never counts as what is wanted."""
    assert shows(msgspec.structs.replace(SEEN_FREE, oper=LinkState.DOWN), TO_FREE)


def test_a_port_with_which_the_switch_is_not_done_is_not_as_it_must_be() -> None:
    assert not shows(msgspec.structs.replace(SEEN_FREE, unsettled=True), TO_FREE)


def test_each_vrf_has_a_vlan_of_its_own_on_the_switch() -> None:
    spec = SwitchSpec(partition="lab", driver="fake", address="leaf01", local_vlans="1001-1003")
    assert local_vlans(spec, (3, 6, 7), {}) == {3: 1001, 6: 1002, 7: 1003}
    assert len(local_vlans(spec, tuple(range(10)), {})) == 3


def test_a_vrf_keeps_its_vlan_when_others_come_and_a_vlan_of_something_else_is_never_taken() -> None:
    spec = SwitchSpec(partition="lab", driver="fake", address="leaf01", local_vlans="1001-1003")
    assert local_vlans(spec, (3, 6), {1001: "Vrf6"}) == {6: 1001, 3: 1002}
    assert local_vlans(spec, (3, 6), {1001: None, 1002: "VrfOfOthers"}) == {3: 1003}
    moved = msgspec.structs.replace(spec, local_vlans="1501-1503")
    assert local_vlans(moved, (6,), {1001: "Vrf6"}) == {6: 1001}

"""The table of ports."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from drivers.base import BgpPeer, LinkState, SwitchNeighbour, SwitchPort, SwitchState
from reconciler.kinds.common.machine_facts import LifecycleFacts, MachineFacts
from reconciler.kinds.switch.shown.port_table import port_rows
from reconciler.kinds.switch.spec import SwitchSpec
from reconciler.model.observation import Observation
from reconciler.model.resource import DesiredState, Resource, ResourceKey, Source
from tests.unit.test_port_targets import WRITTEN, state

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def switched(*ports: str) -> DesiredState:
    """The machine of the tests of targets, at these ports."""
    known = state()
    said = {"partition": "lab", "driver": "fake", "address": "leaf01", "manage": "Ports"}
    spec = msgspec.convert({**said, "ports": [{"name": one, "machine": "m1"} for one in ports]}, SwitchSpec)
    key = ResourceKey("Switch", "leaf01")
    return DesiredState(known.revision, {**known.resources, key: Resource(key, spec, {}, {}, Source("a.yaml"))})


def test_a_row_has_both_ends_the_network_and_the_session_of_a_port() -> None:
    desired = switched("Ethernet12", "Ethernet8")
    leaf, machine = ResourceKey("Switch", "leaf01"), ResourceKey("Machine", "m1")
    value = SwitchState(
        ports={
            name: SwitchPort(name, admin=LinkState.UP, oper=LinkState.DOWN, vrf="Vrf104001")
            for name in ("Ethernet8", "Ethernet12")
        },
        neighbours=(SwitchNeighbour("Ethernet8", system="m1"),),
        peers=(BgpPeer("Ethernet8", "Established", NOW, "Vrf104001"),),
    )
    facts = {machine: MachineFacts(project="shop", lifecycle=LifecycleFacts(**WRITTEN))}
    first, second = port_rows(desired, {leaf: Observation(leaf, NOW, value)}, facts, {})
    assert (first.port, second.port) == ("Ethernet8", "Ethernet12")
    assert msgspec.to_builtins(first) == {
        "switch": "leaf01",
        "port": "Ethernet8",
        "machine": "m1",
        "nic": None,
        "claim": "web",
        "admin": "Up",
        "link": "Down",
        "network": "Vrf104001",
        "must_be_in": None,
        "cabled": "True",
        "lldp": "port Ethernet8 of Switch/leaf01 hears Machine/m1",
        "bgp": "Established",
        "bgp_since": "2026-01-01T00:00:00Z",
    }
    assert (second.bgp, second.cabled) == (None, "Unknown")

"""The ports of a switch as `describe` shows them."""

from __future__ import annotations

import msgspec

from drivers.base import BgpPeer, LinkState, SwitchNeighbour, SwitchPort, SwitchState
from reconciler.kinds.common.column import OutlineBranch
from reconciler.kinds.switch.shown.port_outline import port_outline
from reconciler.model.facts import Facts
from reconciler.model.observation import Observation
from reconciler.model.resource import ResourceKey
from tests.unit.test_port_table import NOW, switched

LEAF = ResourceKey("Switch", "leaf01")


def outline(value: SwitchState | None) -> list[OutlineBranch]:
    desired = switched("Ethernet0")
    leaf = desired.resources[LEAF]
    leaf = msgspec.structs.replace(leaf, spec=msgspec.structs.replace(leaf.spec, uplinks=("Ethernet112",)))
    observed = {LEAF: Observation(LEAF, NOW, value)} if value is not None else {}
    return list(port_outline(leaf, desired, observed, Facts({}, {}), {}))


def test_a_port_has_its_machine_network_cabling_and_session_below_it() -> None:
    """metal-api#590: is every uplink up, and its BGP session too?"""
    up = SwitchPort("Ethernet112", admin=LinkState.UP, oper=LinkState.UP)
    state = SwitchState(
        ports={"Ethernet0": msgspec.structs.replace(up, name="Ethernet0", vlan=4000), "Ethernet112": up},
        neighbours=(SwitchNeighbour("Ethernet0", system="m1"), SwitchNeighbour("Ethernet112", "spine01", "swp1")),
        peers=(BgpPeer("Ethernet0", "Active"), BgpPeer("Ethernet112", "Established", NOW)),
    )
    port, uplink = outline(state)
    assert (port.name, port.words, port.since) == ("Ethernet0", "admin Up, link Up", None)
    assert port.below == (
        ("machine", "m1"),
        ("network", "VLAN 4000"),
        ("cabled", "True: port Ethernet0 of Switch/leaf01 hears Machine/m1"),
        ("bgp", "Active"),
    )
    assert uplink == OutlineBranch(
        "Ethernet112", "uplink, admin Up, link Up", (("hears", "spine01 swp1"), ("bgp", "Established")), NOW
    )


def test_a_switch_that_was_not_observed_has_its_declared_ports() -> None:
    port, uplink = outline(None)
    assert (port.words, port.below[0]) == ("not observed", ("machine", "m1"))
    assert uplink == OutlineBranch("Ethernet112", "uplink, not observed")

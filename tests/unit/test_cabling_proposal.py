"""Ports that LLDP reports, as a proposal for a Switch document."""

from __future__ import annotations

import msgspec
import pytest

from drivers.base import Inventory, Neighbour, Nic, SwitchNeighbour, SwitchPort, SwitchState
from reconciler.kinds.common.machine_inventory import Kept, Origin, StoredInventory
from reconciler.kinds.switch.shown.cabling_proposal import CablingProposal, propose_cabling
from reconciler.model.observation import Observation
from tests.unit.test_cabling import LEAF, M1, M2, MAC1, MAC2, NOW, PORT_MAC, state

PORTS = {
    "Ethernet0": SwitchPort("Ethernet0", alias="Eth1/1", mac=PORT_MAC),
    "Ethernet4": SwitchPort("Ethernet4", alias="Eth1/2"),
    "Ethernet112": SwitchPort("Ethernet112"),
}
SWITCH = "leaf01.example"


def hears(port: str, mac: str | None, system: str | None = None) -> SwitchNeighbour:
    return SwitchNeighbour(port, system=system, mac=mac)


def proposal(
    heard: tuple[SwitchNeighbour, ...], m2: tuple[Neighbour, ...] = (), nic: str | None = "eth0"
) -> CablingProposal | None:
    """`m1` is declared at Ethernet0; `m2` is declared nowhere."""
    desired = state(**({"nic": nic} if nic else {}))
    leaf = desired.resources[LEAF]
    spec = msgspec.structs.replace(leaf.spec, uplinks=("Ethernet112",))
    desired = msgspec.structs.replace(
        desired, resources={**desired.resources, LEAF: msgspec.structs.replace(leaf, spec=spec)}
    )
    observed = {LEAF: Observation(LEAF, NOW, SwitchState(ports=PORTS, neighbours=heard))}
    known = {
        key: StoredInventory(in_band=Kept(Origin.IN_BAND, Inventory(neighbours=said, nics=(Nic("eth0", mac),))))
        for key, mac, said in ((M1, MAC1, ()), (M2, MAC2, m2))
    }
    found = list(propose_cabling(desired, observed, known))
    return found[0] if found else None


@pytest.mark.parametrize(
    ("heard", "said", "ports"),
    [
        pytest.param((hears("Ethernet4", MAC2),), (), {"Ethernet4": ("m2", "eth0")}, id="the switch by MAC"),
        pytest.param((hears("Eth1/2", None, "m2"),), (), {"Ethernet4": ("m2", None)}, id="the switch by name"),
        pytest.param((), (Neighbour("eth0", SWITCH, "Eth1/2"),), {"Ethernet4": ("m2", "eth0")}, id="the machine"),
        pytest.param((hears("Ethernet0", MAC2),), (), {"Ethernet0": ("m2", "eth0")}, id="another machine"),
    ],
)
def test_what_one_end_reports_is_proposed(
    heard: tuple[SwitchNeighbour, ...], said: tuple[Neighbour, ...], ports: dict[str, tuple[str, str | None]]
) -> None:
    found = proposal(heard, said)
    assert found is not None
    assert {one.name: (one.machine, one.nic) for one in found.ports} == {"Ethernet0": ("m1", "eth0")} | ports
    assert (len(found.changes), found.refused) == (1, ())


def test_a_change_names_both_ends() -> None:
    found = proposal((hears("Ethernet4", MAC2),), (Neighbour("eth0", SWITCH, "Ethernet4"),))
    assert found is not None
    [change] = found.changes
    assert change == (
        "Switch/leaf01, port Ethernet4: no machine -> m2 eth0: the switch hears Machine/m2 eth0 by its MAC address; "
        "eth0 of Machine/m2 reports leaf01.example port Ethernet4"
    )


def test_a_machine_that_is_found_by_its_name_only_is_proposed_with_these_words() -> None:
    """Its system chooses the name, and so does another system."""
    found = proposal((hears("Ethernet4", None, "m2"),))
    assert found is not None
    [change] = found.changes
    assert "the switch hears Machine/m2 by the name that it sends, and not by a MAC address" in change


@pytest.mark.parametrize(
    ("heard", "said", "why"),
    [
        pytest.param(
            (hears("Ethernet4", MAC1),),
            (Neighbour("eth0", SWITCH, "Ethernet4"),),
            "the ends report several machines",
            id="two machines",
        ),
        pytest.param((hears("Ethernet4", MAC1),), (), "is declared at port Ethernet0, about which", id="a moved cable"),
        pytest.param((hears("Ethernet112", MAC2),), (), "at an uplink", id="an uplink"),
        pytest.param(
            (hears("Ethernet4", MAC2), hears("Ethernet0", MAC2)), (), "at several ports of the switch", id="two ports"
        ),
    ],
)
def test_what_is_not_certain_is_said_and_not_proposed(
    heard: tuple[SwitchNeighbour, ...], said: tuple[Neighbour, ...], why: str
) -> None:
    found = proposal(heard, said)
    assert found is not None
    assert found.changes == ()
    assert all(why in one for one in found.refused)
    assert [(one.name, one.machine) for one in found.ports] == [("Ethernet0", "m1")]


@pytest.mark.parametrize("nic", ["eth0", MAC1])
@pytest.mark.parametrize("heard", [(), (hears("Ethernet0", MAC1),), (hears("Ethernet4", None, "stranger"),)])
def test_what_is_declared_or_not_heard_is_left(heard: tuple[SwitchNeighbour, ...], nic: str) -> None:
    assert proposal(heard, nic=nic) is None


def test_the_interface_is_added_to_a_declared_machine() -> None:
    found = proposal((hears("Ethernet0", MAC1),), nic=None)
    assert found is not None
    assert [(one.machine, one.nic) for one in found.ports] == [("m1", "eth0")]

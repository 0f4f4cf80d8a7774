"""Declared cabling beside what LLDP reports at both ends. What is not heard is unknown, and not absent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from drivers.base import Inventory, Neighbour, Nic, SwitchNeighbour, SwitchPort, SwitchState
from reconciler.kinds import KINDS
from reconciler.kinds.common.machine_inventory import Kept, Origin, StoredInventory
from reconciler.model.observation import Observation
from reconciler.model.outcome import Condition
from reconciler.model.resource import DesiredState, Resource, ResourceKey, Revision, Source

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEAF, M1, M2 = ResourceKey("Switch", "leaf01"), ResourceKey("Machine", "m1"), ResourceKey("Machine", "m2")
MAC1, MAC2, PORT_MAC = "52:54:00:00:00:01", "52:54:00:00:00:02", "02:00:00:00:01:00"
PORT = SwitchPort("Ethernet0", alias="Eth1/1", mac=PORT_MAC)


def state(**port: Any) -> DesiredState:
    documents: dict[ResourceKey, dict[str, Any]] = {
        M1: {"partition": "lab", "bmc": {"address": "m1"}, "macs": [MAC1]},
        M2: {"partition": "lab", "bmc": {"address": "m2"}, "macs": [MAC2]},
        LEAF: {
            "partition": "lab",
            "driver": "fake",
            "address": "leaf01",
            "system": "LEAF01.example",
            "ports": [{"name": "Ethernet0", "machine": "m1", **port}],
        },
    }
    found = {
        key: Resource(key, msgspec.convert(spec, KINDS[key.kind].spec_type), {}, {}, Source("a.yaml"))
        for key, spec in documents.items()
    }
    return DesiredState(Revision("a" * 40, "main", "fleet"), found)


def cabled(
    heard: tuple[SwitchNeighbour, ...] | None, said: tuple[Neighbour, ...] | None, key: ResourceKey = M1, **port: Any
) -> Condition:
    desired = state(**port)
    observed = {LEAF: Observation(LEAF, NOW, SwitchState(ports={"Ethernet0": PORT}, neighbours=heard))}
    inventory = Inventory(neighbours=said, nics=(Nic("eth0", MAC1), Nic("eth1", "52:54:00:00:00:11")))
    known = {M1: StoredInventory(in_band=Kept(Origin.IN_BAND, inventory))}
    (condition,) = KINDS[key.kind].compared(desired.resources[key], desired, observed, known)
    return condition


def at(port: str, system: str = "leaf01.example", interface: str = "eth0") -> tuple[Neighbour, ...]:
    return (Neighbour(interface, system, port),)


HEARD = (SwitchNeighbour("Ethernet0", mac=MAC1, system="host-of-a-tenant"),)


@pytest.mark.parametrize("key", [M1, LEAF])
@pytest.mark.parametrize(
    ("heard", "said", "expected"),
    [
        (HEARD, None, "True"),
        ((SwitchNeighbour("Ethernet0", remote_port=MAC1.upper()),), None, "True"),
        ((SwitchNeighbour("Ethernet0", system="m1"),), None, "True"),
        ((SwitchNeighbour("Eth1/1", mac=MAC1),), None, "True"),
        (None, at("Ethernet0"), "True"),
        (None, at("Eth1/1"), "True"),
        (None, at(PORT_MAC), "True"),
        (HEARD, at("Ethernet0"), "True"),
        (HEARD, at("Ethernet4"), "False"),
        (None, at("Ethernet0", "leaf02"), "Unknown"),
        ((SwitchNeighbour("Ethernet0", mac=MAC2),), at("Ethernet0"), "False"),
        ((SwitchNeighbour("Ethernet4", mac=MAC2),), None, "Unknown"),
        ((SwitchNeighbour("Ethernet0", system="stranger"),), None, "Unknown"),
        ((), (), "Unknown"),
        (None, None, "Unknown"),
    ],
)
def test_both_ends_are_asked(
    key: ResourceKey, heard: tuple[SwitchNeighbour, ...] | None, said: tuple[Neighbour, ...] | None, expected: str
) -> None:
    """netbox#5818, #7043: a comparison by name alone takes other machines for the declared ones."""
    assert cabled(heard, said, key).status == expected


@pytest.mark.parametrize(
    ("nic", "said", "expected"),
    [
        ("eth0", at("Ethernet0"), "True"),
        (MAC1, at("Ethernet0"), "True"),
        ("eth1", at("Ethernet0"), "False"),
        ("eth0", at("Ethernet0", "leaf02"), "False"),
        ("eth1", at("Ethernet4", "leaf02"), "Unknown"),
    ],
)
def test_the_declared_interface_is_compared(nic: str, said: tuple[Neighbour, ...], expected: str) -> None:
    assert cabled(None, said, nic=nic).status == expected


def test_the_message_says_what_each_end_reports() -> None:
    found = cabled((SwitchNeighbour("Ethernet0", mac=MAC2),), at("Ethernet4"))
    assert found.message == (
        "port Ethernet0 of Switch/leaf01 hears Machine/m2; eth0 of Machine/m1 is at leaf01.example port Ethernet4, and "
        "not at port Ethernet0 of Switch/leaf01; correct the cable, or spec.ports of the switch"
    )


def test_a_switch_that_was_not_read_leaves_the_cabling_unknown() -> None:
    """sonic-buildimage#24685: not heard is not absent."""
    desired = state()
    (found,) = KINDS["Machine"].compared(desired.resources[M1], desired, {}, {})
    assert (found.status, found.reason) == ("Unknown", "NotHeard")


def test_a_machine_without_declared_ports_has_no_such_condition() -> None:
    desired = state()
    assert list(KINDS["Machine"].compared(desired.resources[M2], desired, {}, {})) == []

"""Switches through the command line, with the driver `fake`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from drivers.base import SwitchNeighbour, SwitchState
from reconciler.model.observation import Observation
from reconciler.model.resource import ResourceKey
from reconciler.store import Store
from tests.e2e.desk import Desk, document


def fleet(**leaf: Any) -> list[dict[str, Any]]:
    said = {"driver": "fake", "address": "leaf01", "manage": "Ports", "uplinks": ["Ethernet112"], **leaf}
    return [
        document("Partition", "lab", switching={"switchesPerMachine": 1}),
        document(
            "Machine", "m1", partition="lab", bmc={"driver": "fake", "address": "m1"}, lifecycle={"mode": "Managed"}
        ),
        document("Switch", "leaf01", partition="lab", **{"ports": [{"name": "Ethernet0", "machine": "m1"}], **said}),
    ]


def test_a_port_is_planned_changed_and_shown(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk")
    desk.commit("Declare it", lab=fleet())
    planned = desk.run("plan", "switch/leaf01")
    assert "-> set-value spec.ports[Ethernet0] to {vlan: 4000, admin: Up}" in planned.out
    assert "+ Switch leaf01  leaf01, fake" in planned.out
    applied = desk.run("apply", "--yes", "switch/leaf01")
    assert applied.code == 0, applied.err
    assert "leaf01   lab" in desk.run("get", "switches").out
    shown = desk.run("describe", "sw/leaf01").out
    assert "  Ethernet0  admin Up" in shown
    assert "    machine  m1\n    network  VLAN 4000\n    cabled   Unknown: port Ethernet0" in shown
    assert "Cabled=Unknown  NotHeard: port Ethernet0 of Switch/leaf01 hears nothing" in shown
    assert "set-value (spec.ports[Ethernet0]" in desk.run("events", "switch/leaf01").out


def test_a_saved_plan_brings_the_configuration_of_its_pass(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk")
    desk.commit("Declare it", lab=fleet())
    saved = tmp_path / "plan.json"
    desk.run("plan", "switch/leaf01", "--out", str(saved))
    plan = json.loads(saved.read_text())
    [action] = [one for change in plan["changes"] for one in change["actions"]]
    assert action["context"]["config"]["ports"] == {"Ethernet0": {"vlan": 4000, "admin": "Up"}}
    applied = desk.run("apply", "--yes", str(saved))
    assert applied.code == 0, applied.err
    assert "VLAN 4000" in desk.run("get", "ports", "leaf01").out


SHOWN = (
    pytest.param(("leaf01",), "leaf01/Ethernet0\n", id="a switch"),
    pytest.param(("switch/leaf*",), "leaf01/Ethernet0\n", id="a pattern"),
    pytest.param(("machine/m1",), "leaf01/Ethernet0\n", id="a machine"),
    pytest.param(("machine/m2",), "", id="a machine without ports"),
    pytest.param(("-l", "row=a"), "leaf01/Ethernet0\n", id="labels of a switch"),
    pytest.param(("leaf09",), "leaf01", id="no such switch"),
    pytest.param(("partition/lab",), "Partition/lab has no ports; name switches, or machine/NAME", id="another kind"),
    pytest.param(("-w",), "ports cannot be sorted or watched", id="watching"),
)


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    documents = [*fleet(), document("Machine", "m2", partition="lab", bmc={"driver": "fake", "address": "m2"})]
    documents[2]["metadata"]["labels"] = {"row": "a"}
    desk = Desk(tmp_path_factory.mktemp("ports") / "desk")
    desk.commit("Declare it", lab=documents)
    return desk


@pytest.mark.parametrize(("asked", "shown"), SHOWN)
def test_ports_are_listed_by_switch_machine_and_label(declared: Desk, asked: tuple[str, ...], shown: str) -> None:
    done = declared.run("get", "ports", *asked, "-o", "name")
    assert done.out == shown if done.code == 0 else shown in done.err


def test_a_listed_port_has_its_network_and_the_words_of_both_ends(declared: Desk) -> None:
    [row] = declared.run("get", "ports", "-o", "json").json["items"]
    assert (row["machine"], row["network"], row["mustBeIn"]) == ("m1", None, "VLAN 4000")
    wide = declared.run("get", "ports", "-o", "wide").out
    assert "Switch/leaf01 reports no LLDP neighbours" in wide


def test_nothing_is_sent_to_a_switch_in_maintenance_and_the_plan_says_why(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk")
    desk.commit("Declare it", lab=fleet(maintenance={"reason": "new optics"}))
    assert "new optics" in desk.run("plan", "switch/leaf01").out
    desk.run("apply", "--yes", "switch/leaf01")
    assert "ActionSent" not in desk.run("events", "switch/leaf01").out


def test_a_switch_cannot_be_declared_without_the_machines_second_cable(tmp_path: Path) -> None:
    """metal-api#21: a machine without known switch ports was allocated, and could not be reached."""
    desk = Desk(tmp_path / "desk")
    documents = fleet()
    documents[0]["spec"]["switching"]["switchesPerMachine"] = 2
    desk.commit("Declare it", lab=documents)
    refused = desk.run("validate")
    assert refused.code != 0
    assert "Machine is cabled to 1 switch (leaf01), not to 2 switches" in refused.out + refused.err


def test_a_switch_outside_of_the_networks_of_the_settings_is_not_contacted(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk")
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfJtnBQnhnXqzqkV0Wl0Gx0Gx0Gx0Gx0Gx0Gx0Gx0G"
    desk.commit("Declare it", lab=fleet(driver="sonic", address="ssh://admin@10.1.1.11", hostKey=key))
    planned = desk.run("plan", "switch/leaf01")
    assert "bmc_networks" in planned.out + planned.err


def test_cabling_is_proposed_from_the_store_and_written_only_to_out(declared: Desk) -> None:
    done = declared.run("discover", "--cabling")
    assert (done.code, done.out) == (0, "")
    assert "no cabling to propose" in done.err
    assert "leave out ranges" in declared.run("discover", "--cabling", "10.0.0.0/24").err


def test_proposed_cabling_is_a_document_that_can_be_committed(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk")
    documents = fleet(manage="None", ports=[])
    documents[1]["spec"] = {
        "partition": "lab",
        "bmc": {"driver": "fake", "address": "m1"},
        "macs": ["52:54:00:00:00:01"],
    }
    desk.commit("Declare it", lab=documents)
    heard = (SwitchNeighbour("Ethernet0", mac="52:54:00:00:00:01"),)
    leaf = ResourceKey("Switch", "leaf01")
    desk.run("plan")
    store = Store.open(f"sqlite:///{desk.store}")
    store.put_observations([Observation(leaf, datetime.now(UTC), SwitchState(neighbours=heard))])
    store.close()
    done = desk.run("discover", "--cabling", "--out", str(tmp_path / "proposed"))
    assert done.out == ""
    assert "Switch/leaf01, port Ethernet0: no machine -> m1: the switch hears Machine/m1" in done.err
    proposed = (tmp_path / "proposed" / "leaf01.yaml").read_text()
    desk.commit("Take it", lab=documents[:2], leaf=proposed)
    assert desk.run("validate").code == 0
    assert "no cabling to propose" in desk.run("discover", "--cabling").err

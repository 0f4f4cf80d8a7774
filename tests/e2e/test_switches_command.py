"""Switches through the command line, with the driver `fake`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
    assert "vlan: 4000" in shown
    assert "Cabled=Unknown  NotHeard: port Ethernet0 of Switch/leaf01 hears nothing" in shown
    [row] = desk.run("ports", "leaf01", "-o", "json").json
    assert (row["machine"], row["network"], row["must_be_in"]) == ("m1", "VLAN 4000", "VLAN 4000")
    assert desk.run("ports", "--machine", "m2", "-o", "json").json == []
    assert "the declared switches are leaf01" in desk.run("ports", "leaf09").err
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
    assert "VLAN 4000" in desk.run("ports", "leaf01").out


def test_nothing_is_sent_to_a_switch_in_maintenance_and_the_plan_says_why(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk")
    desk.commit("Declare it", lab=fleet(maintenance={"reason": "new optics"}))
    assert "new optics" in desk.run("plan", "switch/leaf01").out
    desk.run("apply", "--yes", "switch/leaf01")
    assert "ActionSent" not in desk.run("events", "switch/leaf01").out


def test_a_switch_cannot_be_declared_without_the_machines_second_cable(tmp_path: Path) -> None:
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

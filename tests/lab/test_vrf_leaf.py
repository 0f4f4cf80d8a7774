"""A switch with VRFs of its kernel, whose ports a real daemon moves, and pings that show who reaches whom."""

from __future__ import annotations

from pathlib import Path

import msgspec

from drivers.bmc.simulator.bmc_profile import built_in_profile
from drivers.bmc.simulator.simulated_system import PowerLag
from tests.drivers.served_bmcs import served
from tests.lab.enter import in_lab
from tests.lab.lab_world import Lab
from tests.lab.leaf_fleet import LeafFleet
from tests.lab.leaf_vm import TENANT, UNPROVISIONED, LeafVm

CLOSED = "unreachable default metric 4278198272"
"""The last route of a VRF. Without it, the host's own routes are asked."""
FREE, RED, BLUE = "VLAN 4000", "Vrf101", "Vrf102"


@in_lab(1500)
def test_ports_go_from_one_project_to_another_and_back_and_keep_them_apart(tmp_path: Path) -> None:
    """Its power is cut while a machine is on its way from one project to another."""
    profile = msgspec.structs.replace(built_in_profile("generic"), lag=PowerLag())
    with served(profile, 3) as bmcs, Lab(tmp_path, machines=0) as lab:
        leaf = LeafVm(lab)
        leaf.start(machines=3)
        fleet = LeafFleet(lab, leaf, bmcs, 3)
        leaf.wait_up()
        fleet.start("--max-disrupted", "100%", "--max-released", "4")
        fleet.wait("three free machines", 300, lambda: fleet.phases() == ["Available"] * 3)
        # The store has an observation some seconds after the daemon.
        fleet.wait("their ports", 120, lambda: fleet.ports() == [FREE] * 3)
        assert leaf.pings(1, 2, UNPROVISIONED)
        assert leaf.pings(3, 2, UNPROVISIONED)

        fleet.claims(red="m1 m2", blue="m3")
        fleet.wait("three machines that run", 400, lambda: fleet.phases() == ["Running"] * 3)
        fleet.wait("their ports", 60, lambda: fleet.ports() == [RED, RED, BLUE])
        assert leaf.pings(1, 2, TENANT)
        assert not leaf.pings(1, 3, TENANT)
        assert not leaf.pings(1, 2, UNPROVISIONED)
        assert not leaf.forwards(1, lab.address), "the switch's own networks are not the tenant's"

        leaf.run(f"ip route del {CLOSED} vrf {RED}")
        shown = f"ip route show type unreachable vrf {RED}"
        assert "default" not in leaf.run(shown)
        fleet.wait("a VRF that is closed again", 300, lambda: "default" in leaf.run(shown))
        assert fleet.told("leaf01", "DriftDetected")

        booted = [bmcs.fleet.bmcs[n].systems[0].booted_from for n in (0, 2)]
        fleet.claims(red="m1", blue="m2 m3")
        fleet.wait("m2 on its way", 200, lambda: fleet.ports()[1] == FREE)
        leaf.cut_power()
        fleet.wait("switch that is not seen", 120, lambda: bool(fleet.told("leaf01", "Unreachable")))
        leaf.give_power()
        leaf.wait_up()
        fleet.wait("m2 in blue", 600, lambda: fleet.phases() == ["Running"] * 3 and fleet.ports() == [RED, BLUE, BLUE])
        assert leaf.pings(2, 3, TENANT)
        assert not leaf.pings(1, 2, TENANT)
        assert [bmcs.fleet.bmcs[n].systems[0].booted_from for n in (0, 2)] == booted, "the others ran on"

        fleet.claims()
        fleet.wait("three free machines again", 400, lambda: fleet.phases() == ["Available"] * 3)
        fleet.wait("their ports again", 60, lambda: fleet.ports() == [FREE] * 3)
        assert leaf.pings(1, 2, UNPROVISIONED)
        assert leaf.pings(3, 2, UNPROVISIONED)
        fleet.wait("an empty plan", 120, lambda: "No changes" in fleet.ask("plan", codes=(0, 2, 3)))
        assert leaf.run("ip -br link show type vrf; ip route show table all type unreachable") == ""
        (tmp_path / "figures").write_text(fleet.told_all())

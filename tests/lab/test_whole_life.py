"""A real daemon and real (virtual) machines: from a BMC's address in git to a running system, and back."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.lab.enter import in_lab
from tests.lab.fleet import LabFleet
from tests.lab.world import Lab


@in_lab(900)
def test_from_an_address_in_git_to_a_running_system_and_back(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        fleet = LabFleet(lab)
        fleet.start()
        fleet.commit("Add m0", m0=fleet.machine(0))
        fleet.wait_phase(0, "Available", 240)
        inventory = fleet.ask("inventory", "m0", "-o", "json")
        assert "leaf01" in inventory
        assert "small" in fleet.ask("get", "machines", "-o", "wide")
        fleet.commit("Claim one", web=fleet.claim())
        fleet.wait_told(0, "ImageWritten", 240)
        up = lab.wait_serial(0, "INSTALLED-OS-UP", 180)
        assert up == "INSTALLED-OS-UP hostname=web-0 address=10.77.0.210/24 image=lab-os-1"
        fleet.wait_phase(0, "Running", 60)
        fleet.ask("plan")
        fleet.commit("Give it back", web=None)
        proof = fleet.wait_told(0, "DisksWiped", 300)
        assert proof.startswith("vda 2147483648 bytes: ")
        fleet.wait_phase(0, "Available", 60)
        blank = subprocess.run(["cmp", "-n", str(2 << 30), str(lab.machine(0).disk), "/dev/zero"], check=False)
        assert blank.returncode == 0
        assert not lab.is_on(0)
        assert "10.77.0.210" not in fleet.ask("ipam", "get", "-o", "json", codes=(0, 1))
        print(_figures(fleet))


def _figures(fleet: LabFleet) -> str:
    """Seconds since the first order, of each step."""
    events = [one for one in fleet.events() if (one.get("key") or {}).get("name") == "m0"]
    start = time.mktime(time.strptime(events[0]["at"][:19], "%Y-%m-%dT%H:%M:%S"))
    at = (time.mktime(time.strptime(one["at"][:19], "%Y-%m-%dT%H:%M:%S")) - start for one in events)
    return "\n".join(f"{seconds:6.0f} s  {one['reason']}" for seconds, one in zip(at, events, strict=True))

"""A real daemon and real (virtual) machines: from a BMC's address in git to a running system, and back."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from tests.lab import libvirt
from tests.lab.enter import in_lab
from tests.lab.fleet import API, LabFleet
from tests.lab.lab_world import ADDRESS, Lab

UP = "INSTALLED-OS-UP hostname=web-{slot} address=10.77.0.{address}/24 image=lab-os-1"
INSTALLED = re.compile(r"agent: installing \S+ on /dev/vda [\s\S]*agent: \S+ is on /dev/vda")


@in_lab(2700, every_commit=True)
def test_a_power_cut_and_a_daemon_killed_at_each_step_end_well(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        fleet = LabFleet(lab)
        fleet.start()
        fleet.commit("Add m0", m0=fleet.machine(0))
        for reason in ("BootRequested", "ScriptServed", "AgentRegistered"):
            fleet.wait_told(0, reason, 360)
            fleet.kill()
        fleet.wait_phase(0, "Available", 480)
        assert _register(fleet.token_of(0)) == 401, "a token that was used is refused"
        assert "TokenRefused" in fleet.reasons()
        fleet.commit("Claim one", web=fleet.claim())
        fleet.wait_told(0, "BootRequested", 120, times=2)
        fleet.kill()
        fleet.wait_told(0, "AgentRegistered", 480, times=2)
        fleet.kill()
        lab.until("data on the disk", 360, lambda: any(_inside(lab.machine(0).disk)))
        lab.power_cut(0)
        fleet.wait_told(0, "AgentGone", 480)
        fleet.kill()
        fleet.wait_told(0, "ImageWritten", 600)
        fleet.kill()
        assert lab.wait_serial(0, "INSTALLED-OS-UP", 360) == UP.format(slot=0, address=210)
        fleet.wait_phase(0, "Running", 180)
        fleet.kill()
        assert len(fleet.told(0, "ImageWritten")) == 1
        assert INSTALLED.search(fleet.recorded(0))
        fleet.commit("Give it back", web=None)
        fleet.wait_told(0, "Releasing", 120)
        fleet.kill()
        fleet.wait_told(0, "DisksWiped", 480)
        fleet.kill()
        fleet.wait_phase(0, "Available", 240)
        assert _blank(lab.machine(0).disk)
        assert len(fleet.told(0, "DisksWiped")) == 1
        assert f"groundstate-agent: {fleet.told(0, 'DisksWiped')[0]}" in fleet.recorded(0)
        lab.until("no address held", 120, lambda: "10.77.0.210" not in fleet.ask("ipam", "get", codes=(0, 1)))


@in_lab(1500)
def test_a_bmc_and_a_network_that_die_while_the_image_is_written_are_waited_for(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        fleet = LabFleet(lab)
        fleet.start()
        fleet.commit("Add m0", m0=fleet.machine(0))
        fleet.wait_phase(0, "Available", 480)
        fleet.commit("Claim one", web=fleet.claim())
        lab.until("data on the disk", 360, lambda: any(_inside(lab.machine(0).disk)))
        lab.run("ip", "link", "set", lab.machine(0).port, "down")
        lab.stop("sushy")
        fleet.wait_told(0, "Unreachable", 120)
        libvirt.start_bmcs(lab)
        fleet.wait_told(0, "ReadableAgain", 120)
        lab.run("ip", "link", "set", lab.machine(0).port, "up")
        fleet.wait_told(0, "ImageWritten", 480)
        assert lab.wait_serial(0, "INSTALLED-OS-UP", 360) == UP.format(slot=0, address=210)
        fleet.wait_phase(0, "Running", 180)
        assert len(fleet.told(0, "ImageWritten")) == 1


@in_lab(2700, every_commit=True)
def test_four_machines_at_once_from_an_address_in_git_to_a_running_system_and_back(tmp_path: Path) -> None:
    with Lab(tmp_path, machines=4, memory_mib=640) as lab:
        fleet = LabFleet(lab)
        fleet.start("--max-disrupted", "100%", "--max-released", "4")
        fleet.commit("Add four", **{lab.machine(n).name: fleet.machine(n) for n in range(4)})
        for n in range(4):
            fleet.wait_phase(n, "Available", 600)
        assert [fleet.neighbours(n) for n in range(4)] == [[f"leaf01 port{n}"] for n in range(4)]
        assert fleet.ask("get", "machines", "-o", "wide").count("small") == 4

        fleet.commit("Claim four", web=fleet.claim(count=4))
        for n in range(4):
            fleet.wait_phase(n, "Running", 900)
            assert INSTALLED.search(fleet.recorded(n))
        up = [lab.wait_serial(n, "INSTALLED-OS-UP", 10) for n in range(4)]
        # Which of the four is first to be given an address is not said.
        assert sorted(re.findall(r"hostname=(\S+)", " ".join(up))) == [f"web-{slot}" for slot in range(4)]
        assert sorted(re.findall(r"address=(\S+)", " ".join(up))) == [f"10.77.0.{210 + slot}/24" for slot in range(4)]
        lab.until("an empty plan", 120, lambda: "No changes" in fleet.ask("plan", codes=(0, 2, 3)))

        fleet.commit("Give them back", web=None)
        for n in range(4):
            fleet.wait_phase(n, "Available", 900)
            proof = fleet.told(n, "DisksWiped")[-1]
            assert proof.startswith("vda 2147483648 bytes: ")
            assert f"groundstate-agent: {proof}" in fleet.recorded(n)
            assert _blank(lab.machine(n).disk)
            assert not lab.is_on(n)
        lab.until("no address held", 120, lambda: "10.77.0.21" not in fleet.ask("ipam", "get", codes=(0, 1)))
        (tmp_path / "figures").write_text(fleet.figures(0))


@in_lab(1200)
def test_a_machine_that_cannot_start_from_the_network_lives_by_virtual_media(tmp_path: Path) -> None:
    """Its DHCP server gives out addresses and nothing to start."""
    with Lab(tmp_path) as lab:
        fleet = LabFleet(lab, start_from="VirtualMedia")
        fleet.start()
        fleet.commit("Add m0", m0=fleet.machine(0))
        fleet.wait_phase(0, "Available", 480)
        fleet.commit("Claim one", web=fleet.claim())
        assert lab.wait_serial(0, "INSTALLED-OS-UP", 480) == UP.format(slot=0, address=210)
        fleet.wait_phase(0, "Running", 180)
        fleet.commit("Give it back", web=None)
        fleet.wait_phase(0, "Available", 480)
        assert _blank(lab.machine(0).disk)
        drive = json.loads(lab.redfish(f"{lab.machine(0).system}/VirtualMedia/Cd"))
        assert not drive["Inserted"]
        sent = [one["message"].split()[0] for one in fleet.events() if one["reason"] == "ActionSent"]
        assert sent.count("insert-media") == sent.count("eject-media") == 3
        (tmp_path / "figures").write_text(fleet.figures(0))


@in_lab(1200, every_commit=True)
def test_machines_of_both_kinds_of_firmware_reach_the_agent_by_the_boot_service(tmp_path: Path) -> None:
    """A BIOS machine, and one whose UEFI speaks PXE by itself: nobody declared them, and the partition lets them in."""
    with Lab(tmp_path, machines=0) as lab:
        fleet = LabFleet(lab, discovery="Allow")
        fleet.start()
        _both_are_found(lab, fleet)


@in_lab(1200)
def test_kea_leads_machines_of_both_kinds_of_firmware_there_as_well(tmp_path: Path) -> None:
    with Lab(tmp_path, machines=0) as lab:
        fleet = LabFleet(lab, discovery="Allow")
        fleet.start()
        lab.kea(fleet.ask("boot", "kea"))
        _both_are_found(lab, fleet)
        assert "DHCP4_LEASE_ALLOC" in lab.log("kea")


@in_lab(900)
def test_a_machine_that_is_offered_nothing_but_http_reaches_the_agent(tmp_path: Path) -> None:
    """UEFI tries PXE first, and the DHCP server has no file for that; then HTTP, architecture 16."""
    with Lab(tmp_path, machines=0) as lab:
        fleet = LabFleet(lab, discovery="Allow")
        fleet.start()
        served = fleet.ask("boot", "dnsmasq", "--tftp-root", str(lab.tftp)).splitlines()
        lab.dhcp("\n".join(line for line in served if "tag:efi," not in line) + "\n")
        lab.bare(1, "uefi-pxe").wait(600)
        found = " ".join(event["message"] for event in fleet.events() if event["reason"] == "MachineFound")
        assert lab.machine(1).uuid in found
        assert "HTTPClient" in lab.log("dnsmasq")


def _both_are_found(lab: Lab, fleet: LabFleet) -> None:
    started = [lab.bare(1, "bios"), lab.bare(2, "uefi-pxe", disk=True)]
    for process in started:
        process.wait(600)
    found = " ".join(event["message"] for event in fleet.events() if event["reason"] == "MachineFound")
    assert lab.machine(1).uuid in found
    assert lab.machine(2).uuid in found


def _register(token: str) -> int:
    """What the service answers to somebody who shows this token."""
    body = json.dumps({"uuid": "", "macs": [], "order": "1-2", "inventory": {}}).encode()
    request = urllib.request.Request(
        f"https://{ADDRESS}:{API}/agent/v1/register", body, {"Authorization": f"Bearer {token}"}
    )
    trusting = ssl._create_unverified_context()  # noqa: S323  it is asked for its answer alone
    try:
        with urllib.request.urlopen(request, context=trusting, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def _blank(disk: Path) -> bool:
    return subprocess.run(["cmp", "-n", str(2 << 30), str(disk), "/dev/zero"], check=False).returncode == 0


def _inside(disk: Path) -> bytes:
    """Some of what lies behind the first MiB, where the image's data is."""
    with disk.open("rb") as file:
        file.seek(8 << 20)
        return file.read(1 << 20)

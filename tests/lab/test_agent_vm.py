"""The discovery image on a (virtual) machine, against a stand-in for the boot service: a whole life, step by step."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import requests
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.agent import test_ignition
from tests.agent.standin import SESSION, TOKEN, StandIn, serving, tar
from tests.lab.enter import in_lab
from tests.lab.lab_world import ADDRESS, Lab
from tests.lab.prepare import IMAGE, OS_IMAGE, ROOT_ARCHIVE

WEB, API = 8001, 8002
SCRIPT = f"""\
#!ipxe
kernel http://{ADDRESS}:{WEB}/vmlinuz initrd=initrd console=ttyS0 quiet panic=-1 BOOTIF=01-${{net0/mac:hexhyp}} \
gs.api=https://{ADDRESS}:{API} gs.pin=PIN gs.token={TOKEN} gs.order=order-7 gs.lldp=10
initrd http://{ADDRESS}:{WEB}/initrd
boot
"""
META = f"""\
local-hostname: web-3
phone_home_url: http://{ADDRESS}:{WEB}/agent/v1/phone-home
phone_home_token: {SESSION}
"""
NETWORK = "version: 2\nethernets:\n  lan:\n    addresses: [10.77.0.33/24]\n"


@contextlib.contextmanager
def boot_service(standin: StandIn, directory: Path) -> Iterator[None]:
    """Files over http, as the firmware's iPXE has no TLS of ours; the agent's part over https, pinned."""
    certificate = trustme.CA().issue_cert("groundstate.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    public = x509.load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes()).public_key()
    key = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pin = "sha256//" + base64.b64encode(hashlib.sha256(key).digest()).decode()
    standin.files["boot.ipxe"] = SCRIPT.replace("PIN", pin).encode()
    for name in ("vmlinuz", "initrd"):
        standin.files[name] = (IMAGE / name).read_bytes()
    for image in (OS_IMAGE, ROOT_ARCHIVE):
        standin.files[image.name] = image.read_bytes()
    with serving(standin, ADDRESS, WEB), serving(standin, ADDRESS, API, context):
        yield


class Redfish:
    """Just enough of a client to press the buttons."""

    def __init__(self, lab: Lab, n: int) -> None:
        self.url = lab.bmc_url + lab.machine(n).system
        self.session = requests.Session()
        self.session.auth, self.session.verify = lab.credentials, str(lab.ca_file)

    def boot(self, target: str) -> None:
        override = {"BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": "Once"}
        self.session.patch(self.url, json={"Boot": override}, timeout=30).raise_for_status()

    def reset(self, kind: str) -> None:
        url = f"{self.url}/Actions/ComputerSystem.Reset"
        self.session.post(url, json={"ResetType": kind}, timeout=30).raise_for_status()

    def is_off(self) -> bool:
        return bool(self.session.get(self.url, timeout=30).json()["PowerState"] == "Off")


def order(lab: Lab, redfish: Redfish, standin: StandIn, target: str, *work: str) -> int:
    """Start the machine for this work; where its serial log was."""
    lab.until("power off", 30, redfish.is_off)
    standin.work[:] = [*work, "work poweroff"]
    mark = lab.mark(0)
    redfish.boot(target)
    redfish.reset("On")
    return mark


def install(image: Path = OS_IMAGE, name: str = "lab-os-1") -> str:
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    url = f"https://{ADDRESS}:{API}/{image.name}"
    return f"work install\nimage {name}\nurl {url}\nsha256 {digest}\ndisk auto"


@in_lab(900)
def test_a_machine_is_inspected_installed_started_and_wiped(tmp_path: Path) -> None:
    standin = StandIn(seed=tar({"meta-data": META, "user-data": "#cloud-config\n", "network-config": NETWORK}))
    with Lab(tmp_path) as lab, boot_service(standin, tmp_path):
        lab.dhcp(lab.dnsmasq(f"http://{ADDRESS}:{WEB}/boot.ipxe"))
        redfish, machine = Redfish(lab, 0), lab.machine(0)

        order(lab, redfish, standin, "Pxe", "work poweroff")
        lab.wait_serial(0, "groundstate-agent: switching off: as told", 180)
        assert standin.registered[0]["uuid"] == machine.uuid
        assert standin.registered[0]["serial"] == machine.serial
        assert standin.registered[0]["macs"] == [machine.mac]
        assert standin.registered[0]["order"] == "order-7"
        assert standin.registered[0]["agent"] == json.loads((IMAGE / "manifest.json").read_text())["version"]
        assert "leaf01" in json.dumps(standin.registered[0]["inventory"]["lldp"])
        assert machine.port in json.dumps(standin.registered[0]["inventory"]["lldp"])

        order(lab, redfish, standin, "Pxe", install())
        standin.wait_for(lambda it: it.heard("written") or it.heard("agent-failed"), 240, "image written")
        assert standin.heard("written") == [hashlib.sha256(gzip.decompress(OS_IMAGE.read_bytes())).hexdigest()]

        mark = order(lab, redfish, standin, "Hdd")
        up = lab.wait_serial(0, "INSTALLED-OS-UP", 180, mark)
        assert up == "INSTALLED-OS-UP hostname=web-3 address=10.77.0.33/24 image=lab-os-1"
        standin.wait_for(lambda it: it.heard("phoned-home"), 60, "call from the installed system")
        redfish.reset("GracefulShutdown")

        order(lab, redfish, standin, "Pxe", "work wipe")
        standin.wait_for(lambda it: it.heard("wiped") or it.heard("agent-failed"), 240, "proof of wiping")
        assert standin.heard("wiped")[0].startswith("vda 2147483648 bytes: ")
        lab.until("power off", 60, redfish.is_off)
        blank = subprocess.run(["cmp", "-n", str(2 << 30), str(machine.disk), "/dev/zero"], check=False)
        assert blank.returncode == 0


@in_lab(900)
def test_a_power_cut_while_the_image_is_written_leaves_nothing_to_boot(tmp_path: Path) -> None:
    standin = StandIn(pace={"os.raw.gz": 1.5})
    with Lab(tmp_path) as lab, boot_service(standin, tmp_path):
        lab.dhcp(lab.dnsmasq(f"http://{ADDRESS}:{WEB}/boot.ipxe"))
        redfish, machine = Redfish(lab, 0), lab.machine(0)

        order(lab, redfish, standin, "Pxe", install())
        lab.until("data on the disk", 180, lambda: any(_part(machine.disk)))
        lab.power_cut(0)
        assert standin.heard("written") == []

        mark = order(lab, redfish, standin, "Hdd")
        lab.wait_serial(0, 'BdsDxe: failed to load Boot[0-9]+ "UEFI Misc Device"', 90, mark)
        assert "INSTALLED-OS-UP" not in lab.serial(0)[mark:]
        lab.power_cut(0)

        standin.pace.clear()
        order(lab, redfish, standin, "Pxe", install())
        standin.wait_for(lambda it: it.heard("written") or it.heard("agent-failed"), 240, "image written")
        mark = order(lab, redfish, standin, "Hdd")
        lab.wait_serial(0, "INSTALLED-OS-UP hostname=localhost address=10.77.0.1[0-9]+/24 image=lab-os-1", 180, mark)


@in_lab(900)
def test_an_archive_of_a_root_file_system_becomes_a_system_that_starts_and_a_power_cut_leaves_nothing_to_boot(
    tmp_path: Path,
) -> None:
    standin = StandIn(
        seed=tar({"meta-data": META, "user-data": "#cloud-config\n", "network-config": NETWORK}),
        pace={ROOT_ARCHIVE.name: 1.5},
    )
    with Lab(tmp_path) as lab, boot_service(standin, tmp_path):
        lab.dhcp(lab.dnsmasq(f"http://{ADDRESS}:{WEB}/boot.ipxe"))
        redfish, machine = Redfish(lab, 0), lab.machine(0)
        work = install(ROOT_ARCHIVE, "lab-root-1")

        order(lab, redfish, standin, "Pxe", work)
        lab.until("data on the disk", 180, lambda: any(_part(machine.disk, 2048 // 8 + 1)))
        lab.power_cut(0)
        assert standin.heard("written") == []
        mark = order(lab, redfish, standin, "Hdd")
        lab.wait_serial(0, 'BdsDxe: failed to load Boot[0-9]+ "UEFI Misc Device"', 90, mark)
        lab.power_cut(0)

        standin.pace.clear()
        order(lab, redfish, standin, "Pxe", work)
        standin.wait_for(lambda it: it.heard("written") or it.heard("agent-failed"), 300, "archive written")
        assert standin.heard("written") == [hashlib.sha256(gzip.decompress(ROOT_ARCHIVE.read_bytes())).hexdigest()]
        mark = order(lab, redfish, standin, "Hdd")
        up = lab.wait_serial(0, "INSTALLED-OS-[UF].*", 180, mark)
        assert up.strip() == "INSTALLED-OS-UP hostname=web-3 address=10.77.0.33/24 image=lab-root-1"
        standin.wait_for(lambda it: it.heard("phoned-home"), 60, "call from the installed system")


@test_ignition.needs_btrfs
@in_lab(600)
def test_an_ignition_config_is_put_on_a_file_system_of_flatcar_s_kind(tmp_path: Path) -> None:
    """What the image's kernel and programs have to be able to; where it is put is tested without a machine."""
    image = tmp_path / "flatcar.raw.gz"
    image.write_bytes(gzip.compress(test_ignition.image(tmp_path, "OEM", ("grub.cfg",), "btrfs"), 1))
    standin = StandIn(seed=tar({"config.ign": test_ignition.CONFIG}), files={image.name: image.read_bytes()})
    with Lab(tmp_path) as lab, boot_service(standin, tmp_path):
        lab.dhcp(lab.dnsmasq(f"http://{ADDRESS}:{WEB}/boot.ipxe"))
        order(lab, Redfish(lab, 0), standin, "Pxe", install(image, "flatcar-1"))
        standin.wait_for(lambda it: it.heard("written") or it.heard("agent-failed"), 240, "image written")
        assert standin.heard("agent-failed") == []
        file_system = _part(lab.machine(0).disk, test_ignition.AT >> 20, test_ignition.SIZES["btrfs"] >> 20)
        assert test_ignition.CONFIG.encode() in file_system


@in_lab(600)
def test_machines_of_both_kinds_of_firmware_find_the_agent(tmp_path: Path) -> None:
    standin = StandIn()
    with Lab(tmp_path, machines=0) as lab, boot_service(standin, tmp_path):
        lab.dhcp(lab.dnsmasq(f"http://{ADDRESS}:{WEB}/boot.ipxe"))
        started = [lab.bare(1, "bios"), lab.bare(2, "uefi-pxe", disk=True)]
        for process in started:
            process.wait(240)
        assert {one["uuid"] for one in standin.registered} == {lab.machine(1).uuid, lab.machine(2).uuid}
        disks = {one["uuid"]: json.dumps(one["inventory"]["lsblk"]) for one in standin.registered}
        assert ["vda" in disks[lab.machine(n).uuid] for n in (1, 2)] == [False, True]


@in_lab(600)
def test_each_disk_is_emptied_by_what_it_offers_and_one_is_installed_on_by_its_serial_number(tmp_path: Path) -> None:
    standin = StandIn(work=["work wipe", install().replace("disk auto", "disk S2"), "work poweroff"])
    with Lab(tmp_path, machines=0) as lab, boot_service(standin, tmp_path):
        lab.dhcp(lab.dnsmasq(f"http://{ADDRESS}:{WEB}/boot.ipxe"))
        disks = {name: tmp_path / name for name in ("nvme", "scsi")}
        devices = ["-device", "virtio-scsi-pci,id=bus"]
        for name, device in (("nvme", "nvme,serial=S1"), ("scsi", "scsi-hd,bus=bus.0,serial=S2")):
            disks[name].write_bytes(b"old data" * (32 << 20))
            devices += ["-drive", f"if=none,id={name},format=raw,file={disks[name]}"]
            devices += ["-device", f"{device},drive={name}"]
        bare = lab.bare(1, "bios", devices=devices)
        standin.wait_for(lambda it: it.heard("wiped") or it.heard("agent-failed"), 240, "proof of wiping")
        assert standin.heard("agent-failed") == []
        assert sorted(standin.heard("wiped")[0].splitlines()) == [
            "nvme0n1 268435456 bytes: nvme_format, then zeroes read back at 64 places",
            "sda 268435456 bytes: zero_out, then zeroes read back at 64 places",
        ]
        assert standin.registered[0]["inventory"]["serials"] == {"nvme0n1": "S1", "sda": "S2"}
        bare.wait(240)
        assert standin.heard("written") == [hashlib.sha256(gzip.decompress(OS_IMAGE.read_bytes())).hexdigest()]
        assert disks["nvme"].read_bytes().strip(b"\0") == b""
        assert any(_part(disks["scsi"]))


def _part(disk: Path, mib: int = 8, length: int = 1) -> bytes:
    """Some of what lies behind the first MiB, where the image's data is."""
    with disk.open("rb") as file:
        file.seek(mib << 20)
        return file.read(length << 20)

"""Machines with BMCs: UEFI domains of a libvirtd of our own, and sushy-emulator in front of it.

The emulator and libvirt's Python binding live in an environment of the lab's own (.cache/lab/venv), as the binding is
compiled against the libvirt that is installed. How they misbehave is told where it matters: `Once` reads back as
Continuous, and a boot override is a change of the domain's boot order.
"""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import bcrypt
import trustme

from tests.lab.prepare import VENV

if TYPE_CHECKING:
    from tests.lab.lab_world import Lab, LabMachine

URI = "qemu:///system"
FIRMWARE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
# Namespaces and cgroups of libvirt's own get in the way of ours; virtlogd is one process more.
QEMU = """\
user = "root"
group = "root"
dynamic_ownership = 0
namespaces = []
cgroup_controllers = []
security_driver = "none"
stdio_handler = "file"
"""
LIBVIRTD = """\
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
log_outputs = "3:stderr"
"""
DOMAIN = """\
<domain type='qemu'><name>{m.name}</name><uuid>{m.uuid}</uuid><memory unit='MiB'>{memory}</memory><vcpu>1</vcpu>
<sysinfo type='smbios'><system><entry name='manufacturer'>Lab</entry><entry name='product'>Virtual</entry>
<entry name='serial'>{m.serial}</entry></system></sysinfo>
<os><type arch='x86_64' machine='q35'>hvm</type><loader readonly='yes' type='pflash'>{firmware}</loader>
<nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'/><boot dev='hd'/><smbios mode='sysinfo'/></os>
<features><acpi/><apic/></features><clock offset='utc'/><on_reboot>restart</on_reboot>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw' discard='unmap'/><source file='{m.disk}'/>
<target dev='vda' bus='virtio'/></disk>
<controller type='sata'/><disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
<interface type='bridge'><source bridge='br0'/><mac address='{m.mac}'/><target dev='{m.port}'/>
<model type='virtio'/></interface>
<serial type='unix'><source mode='bind' path='{m.console}'/><log file='{m.serial_log}' append='on'/>
<target port='0'/></serial>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng><memballoon model='none'/></devices></domain>
"""


def start(lab: Lab, machines: Sequence[LabMachine], memory_mib: int, disk_mib: int) -> None:
    """Define the machines, all off and set to start from disk, and serve Redfish for them."""
    Path("/etc/libvirt/qemu.conf").write_text(QEMU)
    configuration = lab.directory / "libvirtd.conf"
    configuration.write_text(LIBVIRTD)
    lab.spawn("libvirtd", ["libvirtd", "-f", str(configuration)])
    lab.until("libvirtd answers", 30, lambda: virsh("uri", check=False), lambda: lab.log("libvirtd"))
    pool = lab.directory / "pool"
    pool.mkdir(exist_ok=True)
    # Virtual media goes through the pool of this name.
    virsh("pool-define-as", "default", "dir", "--target", str(pool))
    virsh("pool-start", "default")
    for machine in machines:
        machine.console.parent.mkdir(exist_ok=True)
        with machine.disk.open("wb") as disk:
            disk.truncate(disk_mib << 20)
        xml = lab.directory / f"{machine.name}.xml"
        xml.write_text(DOMAIN.format(m=machine, memory=memory_mib, firmware=FIRMWARE))
        virsh("define", str(xml))
    _serve(lab)


def virsh(*arguments: str, check: bool = True) -> str:
    """Its output; empty when it failed and that is allowed."""
    command = ["virsh", "-q", "-c", URI, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode and check:
        raise AssertionError(f"virsh {' '.join(arguments)}: {done.stderr}")
    return "" if done.returncode else done.stdout


def _serve(lab: Lab) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert(lab.address, not_after=datetime.datetime(2090, 1, 1, tzinfo=datetime.UTC))
    authority.cert_pem.write_to_path(str(lab.ca_file))
    key, chain = lab.directory / "bmc.key", lab.directory / "bmc.pem"
    certificate.private_key_pem.write_to_path(str(key))
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    user, password = lab.credentials
    accounts = lab.directory / "htpasswd"
    accounts.write_text(f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(5)).decode()}\n")
    settings = {
        "LISTEN_IP": lab.address,
        "LISTEN_PORT": int(lab.bmc_url.rpartition(":")[2]),
        "SSL_CERT": str(chain),
        "SSL_KEY": str(key),
        "AUTH_FILE": str(accounts),
        "LIBVIRT_URI": URI,
        "IGNORE_BOOT_DEVICE": False,
        "STATE_DIR": str(lab.directory),
        "FEATURE_SET": "full",
        "BOOT_LOADER_MAP": {"UEFI": {"x86_64": FIRMWARE}, "Legacy": {"x86_64": None}},
    }
    configuration = lab.directory / "sushy.conf"
    configuration.write_text("".join(f"SUSHY_EMULATOR_{name} = {value!r}\n" for name, value in settings.items()))
    start_bmcs(lab)


def start_bmcs(lab: Lab) -> None:
    """Serve Redfish as it was set up; again, after `lab.stop("sushy")`."""
    configuration = lab.directory / "sushy.conf"
    lab.spawn("sushy", [str(VENV / "bin" / "sushy-emulator"), "--config", str(configuration)])
    lab.wait_log("sushy", "Running on", 30)

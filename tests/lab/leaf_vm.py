"""A switch in a virtual machine, whose kernel has VRFs, with the machines that are cabled to it.

A machine is a network namespace; its `eth0` is the far end of a card of the switch. It has an address for the
unprovisioned VLAN, and one for its tenant, whose router is the switch's address on the port.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from functools import partial
from pathlib import Path

from tests.lab.lab_world import Lab
from tests.lab.prepare import LEAF_IMAGE

ADDRESS, LOOPBACK = "10.77.0.2", "10.0.0.11"
UNPROVISIONED, TENANT, ROUTER = "10.9.0.{}", "10.30.{}.2", "10.30.{}.1"
"""Addresses, by the number of the machine: its own in the unprovisioned VLAN and for its tenant, and its router's."""
MONITOR = "/run/leaf.monitor"
KERNEL_WORDS = "console=ttyS0 quiet panic=-1 random.trust_cpu=on mitigations=off"


class LeafVm:
    """One switch. Its port swpN is cabled to the machine mN, the first of which is m1."""

    def __init__(self, lab: Lab) -> None:
        self._lab, self.folder = lab, lab.directory / "leaf"
        self._ups = 0
        self._cards: list[str] = []

    def start(self, machines: int) -> None:
        """Begin to boot it, with so many machines; `wait_up` waits."""
        kept = self.folder / "kept"
        kept.mkdir(parents=True)
        for name in ("host", "user"):
            self._lab.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.folder / name))
        for path in ("host", "user.pub"):
            shutil.copy(self.folder / path, kept / path)
        for name, text in (("name", "leaf01"), ("loopback", LOOPBACK), ("address", f"{ADDRESS}/24")):
            (kept / name).write_text(f"{text}\n")
        (kept / "ports").write_text("".join(f"swp{n} {ROUTER.format(n)}/24\n" for n in range(1, machines + 1)))
        disk = self.folder / "disk"
        self._lab.run("mke2fs", "-q", "-t", "ext4", "-d", str(kept), str(disk), "32M")
        for number in range(machines + 1):
            self._card(number)
        self._lab.run("ip", "link", "set", "far0", "master", "br0", "up")
        command = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-cpu", "max", "-m", "512"]
        command += ["-display", "none", "-serial", f"file:{self.serial}", "-monitor", "none"]
        command += ["-qmp", f"unix:{MONITOR},server,nowait"]
        command += ["-kernel", str(LEAF_IMAGE / "vmlinuz"), "-initrd", str(LEAF_IMAGE / "initrd")]
        command += ["-append", KERNEL_WORDS, "-drive", f"if=virtio,format=raw,file={disk}", *self._cards]
        self._lab.spawn("leaf", command)
        for number in range(1, machines + 1):
            self._machine(number)

    def wait_up(self) -> None:
        """Until it has started once more."""
        self._ups += 1
        self._lab.until("switch that is up", 240, lambda: self.console().count("LEAF-UP") >= self._ups, self.console)

    def cut_power(self) -> None:
        """Until `give_power`, it does nothing, and then it begins anew."""
        self._order("stop", "system_reset")

    def give_power(self) -> None:
        """It boots; `wait_up` waits."""
        self._order("cont")

    def _order(self, *orders: str) -> None:
        """Speak to QEMU (QMP), which answers each order with a line, and may tell events in between."""
        with socket.socket(socket.AF_UNIX) as monitor, monitor.makefile("rw") as lines:
            monitor.connect(MONITOR)
            lines.readline()
            for order in ("qmp_capabilities", *orders):
                lines.write(json.dumps({"execute": order}) + "\n")
                lines.flush()
                while "return" not in (answer := json.loads(lines.readline())):
                    assert "error" not in answer, answer

    @property
    def serial(self) -> Path:
        return self.folder / "serial"

    def console(self) -> str:
        """All that it has said on its serial line."""
        return self.serial.read_text("utf-8", "replace") if self.serial.exists() else ""

    @property
    def host_key(self) -> str:
        return (self.folder / "host.pub").read_text().strip()

    def run(self, command: str) -> str:
        """What the command prints on the switch."""
        ssh = ["ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        path = "PATH=/usr/sbin:/usr/bin:/bin"
        return self._lab.run(*ssh, "-i", str(self.folder / "user"), f"root@{ADDRESS}", f"{path}; {command}")

    # -- the machines

    def _machine(self, number: int) -> None:
        name, far, lab = f"m{number}", f"far{number}", self._lab
        # QEMU makes a card of this name if there is none, so it must have found this one.
        lab.run("ip", "link", "set", far, "up")
        lab.until("card", 60, partial(self._is_found, far), self.console)
        lab.run("ip", "netns", "add", name)
        lab.run("ip", "link", "set", far, "netns", name, "name", "eth0")
        lab.run("ip", "-n", name, "link", "set", "lo", "up")
        for address in (UNPROVISIONED, TENANT):
            lab.run("ip", "-n", name, "addr", "add", f"{address.format(number)}/24", "dev", "eth0")
        lab.run("ip", "-n", name, "link", "set", "eth0", "up")
        lab.run("ip", "-n", name, "route", "add", "default", "via", ROUTER.format(number))
        lldpd = ("lldpd", "-d", "-u", f"/run/{name}.lldp", "-I", "eth0", "-S", f"machine {name}")
        lab.spawn(f"lldpd-{name}", self.on(number, *lldpd))

    def _is_found(self, far: str) -> bool:
        return "LOWER_UP" in self._lab.run("ip", "link", "show", far)

    def mac(self, number: int) -> str:
        """The MAC address of the machine's `eth0`."""
        return f"52:54:00:77:03:{number:02x}"

    def pings(self, machine: int, other: int, address: str) -> bool:
        """Whether the machine gets an answer from the other one at its address of this form. Three pings, as the first
        may wait for ARP."""
        ping = ("ping", "-q", "-c", "3", "-i", "0.3", "-W", "1", address.format(other))
        return not subprocess.run(self.on(machine, *ping), capture_output=True, check=False).returncode

    def forwards(self, machine: int, address: str) -> bool:
        """Whether its kernel would send on to the address what comes from the machine."""
        way = f"from {TENANT.format(machine)} iif swp{machine}"
        return " dev " in self.run(f"ip route get {address} {way} 2>&1 || true")

    def on(self, machine: int, *command: str) -> list[str]:
        """The command, as it runs on the machine."""
        return ["ip", "netns", "exec", f"m{machine}", *command]

    def _card(self, number: int) -> None:
        far = f"far{number}"
        self._lab.run("ip", "tuntap", "add", "dev", far, "mode", "tap")
        self._lab.run("ip", "link", "set", far, "address", self.mac(number))
        self._cards += ["-netdev", f"tap,id={far},ifname={far},script=no,downscript=no"]
        self._cards += ["-device", f"virtio-net-pci,netdev={far},romfile=,mac=52:54:00:77:02:{number:02x}"]

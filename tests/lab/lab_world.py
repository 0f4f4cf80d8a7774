"""The virtual lab: machines with BMCs, a switch that speaks LLDP, DHCP and TFTP, all in the private world of enter.py.

    with Lab(tmp_path, machines=2) as lab:
        lab.dhcp(lab.dnsmasq("http://10.77.0.1:8001/boot.ipxe"))     # or any other dnsmasq configuration
        lab.bmc_url, lab.credentials, lab.ca_file                    # Redfish, for our own client
        machine = lab.machine(0)                                     # .name .uuid .mac .serial .serial_log .disk
        lab.wait_serial(0, "INSTALLED-OS-UP", timeout=120)
        lab.power_cut(0)

Every wait has a deadline and raises Late with the end of the log in question. Deadlines are three to four times what a
quiet machine with two cores takes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tests.lab import libvirt

ADDRESS = "10.77.0.1"
BMC_PORT = 8443
IPXE = Path("/usr/lib/ipxe")
OVMF = Path("/usr/share/OVMF")
LLDP_SOCKET = "/run/lldpd.lab"
CONSOLES = Path("/run/consoles")
SWITCH = "leaf01"

T = TypeVar("T")


class Late(AssertionError):
    """Something did not happen in time; says what was seen instead."""


@dataclass(frozen=True)
class LabMachine:
    """One virtual machine; everything follows from its number."""

    number: int
    serial_log: Path
    disk: Path

    @property
    def name(self) -> str:
        return f"m{self.number}"

    @property
    def uuid(self) -> str:
        return f"00000000-0000-4000-8000-00000000{self.number:04d}"

    @property
    def mac(self) -> str:
        return f"52:54:00:77:01:{self.number:02x}"

    @property
    def serial(self) -> str:
        return f"SN{self.number:04d}"

    @property
    def port(self) -> str:
        """The port of the switch that it hangs on; the neighbour's port id in its LLDP."""
        return f"port{self.number}"

    @property
    def console(self) -> Path:
        """The socket of its serial line, if it has a BMC. A socket's path has 107 bytes at most."""
        return CONSOLES / self.name

    @property
    def system(self) -> str:
        """Its Redfish resource, below the BMC's URL."""
        return f"/redfish/v1/Systems/{self.uuid}"


class Lab:
    """See the module. Numbers beyond `machines` are free for bare virtual machines (`bare`)."""

    address = ADDRESS
    credentials = ("admin", "password")
    bmc_url = f"https://{ADDRESS}:{BMC_PORT}"

    def __init__(self, directory: Path, *, machines: int = 1, memory_mib: int = 768, disk_mib: int = 2048) -> None:
        self.directory, self._memory, self._disk = directory, memory_mib, disk_mib
        self._count = machines
        self._running: list[subprocess.Popen[bytes]] = []
        self._named: dict[str, subprocess.Popen[bytes]] = {}
        self.tftp, self.logs = directory / "tftp", directory / "log"
        self.ca_file = directory / "bmc-ca.pem"

    def __enter__(self) -> Self:
        for path in (self.tftp, self.logs, self.directory / "serial", self.directory / "disks"):
            path.mkdir(parents=True, exist_ok=True)
        for boot in ("ipxe.efi", "undionly.kpxe"):
            (self.tftp / boot).write_bytes((IPXE / boot).read_bytes())
        try:
            self._network()
            self._switch()
            if self._count:
                libvirt.start(self, [self.machine(n) for n in range(self._count)], self._memory, self._disk)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._count:
            for n in range(self._count):
                with contextlib.suppress(Exception):
                    self.power_cut(n)
        for process in reversed(self._running):
            process.kill()
            process.wait(10)
        if self._running:
            self.run("ip", "link", "del", "br0")

    # -- machines

    def machine(self, n: int) -> LabMachine:
        return LabMachine(n, self.directory / "serial" / f"m{n}", self.directory / "disks" / f"m{n}.raw")

    def power_cut(self, n: int) -> None:
        """As if somebody pulled the cord; nothing is flushed. A machine that is off stays off."""
        libvirt.virsh("destroy", self.machine(n).name, check=False)

    def is_on(self, n: int) -> bool:
        return libvirt.virsh("domstate", self.machine(n).name).strip() == "running"

    def bare(
        self, n: int, firmware: str, *, disk: bool = False, devices: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """A machine without BMC that starts from the network and stays off once it is off. `devices`: what else it has,
        in QEMU's words.

        `firmware`: "bios" (SeaBIOS with the card's iPXE), or "uefi-pxe" (the firmware's own PXE, which alone tests the
        choice of the boot program by architecture).
        """
        machine = self.machine(n)
        tap = machine.port
        self.run("ip", "tuntap", "add", "dev", tap, "mode", "tap")
        self.run("ip", "link", "set", tap, "master", "br0", "up")
        return self.spawn(f"bare-{machine.name}", [*self._bare_command(machine, firmware, disk), *devices])

    def _bare_command(self, machine: LabMachine, firmware: str, disk: bool) -> list[str]:
        command = ["qemu-system-x86_64", "-accel", "tcg", "-m", str(self._memory), "-display", "none"]
        command += ["-monitor", "none", "-no-reboot", "-serial", f"file:{machine.serial_log}"]
        command += ["-smbios", f"type=1,serial={machine.serial},uuid={machine.uuid}"]
        card = f"virtio-net-pci,netdev=n0,mac={machine.mac}"
        if firmware == "bios":
            command += ["-machine", "pc,graphics=off", "-boot", "n"]
        else:
            variables = self.directory / f"{machine.name}.vars"
            variables.write_bytes((OVMF / "OVMF_VARS_4M.fd").read_bytes())
            flash = "if=pflash,format=raw,unit"
            command += ["-machine", "q35", "-drive", f"{flash}=0,readonly=on,file={OVMF / 'OVMF_CODE_4M.fd'}"]
            command += ["-drive", f"{flash}=1,file={variables}"]
            card += ",romfile="
        if disk:
            self.run("truncate", "-s", f"{self._disk}M", str(machine.disk))
            command += ["-drive", f"if=virtio,format=raw,file={machine.disk}"]
        netdev = f"tap,id=n0,ifname={machine.port},script=no,downscript=no"
        return [*command, "-netdev", netdev, "-device", card]

    # -- network

    def dnsmasq(self, script_url: str) -> str:
        """A configuration that leads every machine to this iPXE script, the boot program by architecture."""
        return f"""\
port=0
interface=br0
bind-interfaces
enable-tftp
tftp-root={self.tftp}
dhcp-range=10.77.0.100,10.77.0.200,255.255.255.0,10m
dhcp-match=set:bios,option:client-arch,0
dhcp-match=set:efi64,option:client-arch,7
dhcp-match=set:efi64,option:client-arch,9
dhcp-userclass=set:ipxe,iPXE
dhcp-boot=tag:ipxe,{script_url}
dhcp-boot=tag:!ipxe,tag:bios,undionly.kpxe
dhcp-boot=tag:!ipxe,tag:efi64,ipxe.efi
"""

    def dhcp(self, configuration: str) -> None:
        """Serve DHCP and TFTP by this dnsmasq configuration; called again, by the new one."""
        self.stop("dnsmasq")
        path = self.directory / "dnsmasq.conf"
        path.write_text(configuration)
        leases = self.directory / "leases"
        flags = ["-k", "-u", "root", "--pid-file=", "--log-dhcp", "--log-facility=-", f"--dhcp-leasefile={leases}"]
        process = self.spawn("dnsmasq", ["dnsmasq", *flags, "-C", str(path)])
        self.wait_log("dnsmasq", "started", 10)
        if process.poll() is not None:
            raise Late(f"dnsmasq ended: {self.log('dnsmasq')}")

    def kea(self, configuration: str) -> None:
        """Serve DHCP by Kea with this configuration, and TFTP by dnsmasq, in the place of what did so before."""
        self.dhcp(f"port=0\ninterface=br0\nbind-interfaces\nenable-tftp\ntftp-root={self.tftp}\n")
        path, folder = self.directory / "kea.json", self.directory / "kea"
        served = json.loads(configuration)
        served["Dhcp4"]["lease-database"] = {"type": "memfile", "persist": False}
        path.write_text(json.dumps(served))
        folder.mkdir(exist_ok=True)
        places = {"KEA_PIDFILE_DIR": str(folder), "KEA_LOCKFILE_DIR": str(folder)}
        self.spawn("kea", ["kea-dhcp4", "-c", str(path)], places)
        self.wait_log("kea", "DHCP4_STARTED", 20)

    def _network(self) -> None:
        self.run("ip", "link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0")
        self.run("ip", "addr", "add", f"{ADDRESS}/24", "dev", "br0")
        self.run("ip", "link", "set", "br0", "up")

    def _switch(self) -> None:
        """It speaks every 2 s, and what it says holds for 20 times that: a busy machine forgets nothing in between."""
        Path("/run/lldpd").mkdir(exist_ok=True)
        settings = ("lldp tx-interval 2", "lldp tx-hold 20", f"system hostname {SWITCH}", "lldp portidsubtype ifname")
        path = Path(f"{LLDP_SOCKET}.conf")
        path.write_text("".join(f"configure {one}\n" for one in settings))
        # By a file, which it reads itself, as a user who may not look into our directory. It begins paused, and a
        # client's setting carries all the others as they were: between the start and the end of that, it would pause
        # it again.
        self.spawn("lldpd", ["lldpd", "-d", "-u", LLDP_SOCKET, "-I", "port*", "-O", str(path)])
        self.wait_log("lldpd", f"system name set to new value {SWITCH}", 30)
        self.wait_log("lldpd", "lldpd should resume operations", 30)

    # -- processes, logs, waiting

    def spawn(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Run it until the lab ends; what it says is in the log of this name."""
        with (self.logs / name).open("ab") as log:
            variables = {**os.environ, **(environment or {})}
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables)
        self._running.append(process)
        self._named[name] = process
        return process

    def stop(self, name: str) -> None:
        """End the process of this name, if there is one; its log starts anew."""
        process = self._named.pop(name, None)
        if process is not None:
            process.kill()
            process.wait(10)
            (self.logs / name).unlink()

    def log(self, name: str) -> str:
        return _text(self.logs / name)

    def wait_log(self, name: str, text: str, timeout: float) -> None:
        self.until(f"{text!r} in the log of {name}", timeout, lambda: text in self.log(name), lambda: self.log(name))

    def serial(self, n: int) -> str:
        """All that the machine has said on its serial line."""
        return _text(self.machine(n).serial_log)

    def mark(self, n: int) -> int:
        """Where its serial log ends now, for `since`."""
        return len(self.serial(n))

    def wait_serial(self, n: int, text: str, timeout: float, since: int = 0) -> str:
        """The rest of the first line with the text (a regular expression) after `since`."""
        found = self.until(
            f"{text!r} on the serial line of {self.machine(n).name}",
            timeout,
            lambda: re.search(text + "[^\r\n]*", self.serial(n)[since:]),
            lambda: self.serial(n)[since:],
        )
        return found.group(0)

    def until(self, what: str, timeout: float, ask: Callable[[], T | None], shown: Callable[[], str] = str) -> T:
        """What `ask` gives as soon as that is true. Raises Late with the end of what `shown` gives."""
        end = time.monotonic() + timeout
        while not (answer := ask()):
            if time.monotonic() > end:
                raise Late(f"no {what} within {timeout:g} s; the end of what there is:\n{shown()[-3000:]}")
            time.sleep(0.25)
        return answer

    def redfish(self, path: str) -> str:
        """What the BMCs answer to a GET."""
        login = ":".join(self.credentials)
        return self.run("curl", "-sSf", "--cacert", str(self.ca_file), "-u", login, f"{self.bmc_url}{path}")

    def run(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.exists() else ""

"""A switch in namespaces of its own: real sshd, FRR, lldpd and bridges, without a trace on the host.

The leaf is one tree of processes with its own mounts, network, host name and process ids; the kernel ends it with its
first process. Its sshd gets connections that were accepted outside: a socket stays in the network in which it was made.
So the leaf needs no address in the host's network.

Machines are network namespaces inside the leaf's mounts. Needs root, and the Debian packages of `PROGRAMS`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

PROGRAMS = {
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "/usr/sbin/sshd": "openssh-server",
    "/usr/sbin/lldpd": "lldpd",
    "vtysh": "frr",
    "/usr/lib/frr/frr-reload.py": "frr-pythontools",
    "ping": "iputils-ping",
}
"""Programs that a leaf runs, with their Debian packages."""
_PATIENCE = 20.0

_BEGIN = """
set -eu
mount --make-rprivate /
mount -t tmpfs leaf /run
mount -t tmpfs leaf /root
for folder in /etc /usr/local; do
  mkdir -p /run/upper$folder /run/work$folder
  mount -t overlay overlay -o lowerdir=$folder,upperdir=/run/upper$folder,workdir=/run/work$folder $folder
done
mkdir -p /run/frr /run/lldpd /run/sshd /run/netns /run/redis /run/ovs
rm -rf /etc/frr
mkdir /etc/frr
echo 'service integrated-vtysh-config' > /etc/frr/vtysh.conf
chown -R frr:frr /run/frr /etc/frr
hostname "$1"
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
echo ready
exec sleep infinity
"""


def missing(programs: dict[str, str] = PROGRAMS) -> str:
    """Why no leaf can run here; empty where it can."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    packages = {package for program, package in programs.items() if shutil.which(program) is None}
    return f"Debian packages are missing: {', '.join(sorted(packages))}" if packages else ""


needs_leaf = pytest.mark.skipif(bool(missing()), reason=missing() or "runs")


def until(holds: Callable[[], bool], what: str = "it") -> None:
    """Wait until it holds. Raises AssertionError after `_PATIENCE` seconds."""
    end = time.monotonic() + _PATIENCE
    while not holds():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.05)


class Leaf:
    """One switch, which runs from `with` to the end of its block. `ports`: the ends of cables that it has."""

    def __init__(self, name: str, ports: tuple[str, ...]) -> None:
        self.name, self.ports = name, ports
        self.folder = Path(tempfile.mkdtemp(prefix="leaf"))
        self._closing, self.drops = False, 0
        """How many of the next connections end at once."""

    # -- its life ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        namespaces = ("--mount", "--net", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child")
        self._process = subprocess.Popen(
            ["unshare", *namespaces, "sh", "-c", _BEGIN, "leaf", self.name], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        outer = self._process.pid
        self.pid = int(Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])
        for port in self.ports:
            self.run("ip", "link", "add", port, "type", "veth", "peer", "name", f"far-{port}"[:15])
        self._serve_ssh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._listener.close()
        if (log := self.folder / "sshd.log").exists():
            print(log.read_text())  # pytest shows it with a failure. Without one, sshd has nothing to say.
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def entered(self, *command: str) -> list[str]:
        """The command, as it runs in the leaf."""
        return ["nsenter", f"--target={self.pid}", "--mount", "--net", "--uts", "--pid", "--", *command]

    def run(self, *command: str, said: str = "", check: bool = True) -> str:
        """What the command prints in the leaf."""
        done = subprocess.run(self.entered(*command), input=said, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    # -- ssh -----------------------------------------------------------------------------------------------------------

    def _serve_ssh(self) -> None:
        for name in ("host", "user", "stranger"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.folder / name], check=True
            )
        self.settings = self.folder / "sshd_config"
        self.settings.write_text(
            f"HostKey {self.folder}/host\nAuthorizedKeysFile {self.folder}/user.pub\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nPermitRootLogin yes\nLogLevel ERROR\n"
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    if self.drops:
                        self.drops -= 1
                    elif not self._closing:
                        self._session(connection)

    def _session(self, connection: socket.socket) -> None:
        sshd = self.entered("/usr/sbin/sshd", "-i", "-f", str(self.settings), "-e")
        end = connection.fileno()
        with (self.folder / "sshd.log").open("ab") as log:
            process = subprocess.Popen(sshd, stdin=end, stdout=end, stderr=log)
        threading.Thread(target=process.wait, daemon=True).start()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Within the block, every connection ends at once."""
        self._closing = True
        try:
            yield
        finally:
            self._closing = False

    @property
    def host_key(self) -> str:
        """Its host key, as a line of OpenSSH."""
        return (self.folder / "host.pub").read_text().strip()

    def key(self, name: str = "user") -> str:
        """The private key that is let in, or the one of a stranger, as OpenSSH writes it."""
        return (self.folder / name).read_text()

    @property
    def address(self) -> str:
        """As the spec of a Switch has it."""
        return f"ssh://root@127.0.0.1:{self.port}"

    # -- what runs on it -----------------------------------------------------------------------------------------------

    def start_frr(self) -> None:
        """zebra and bgpd, without a configuration."""
        for daemon in ("zebra", "bgpd"):
            self.run(f"/usr/lib/frr/{daemon}", "-d", "-P", "0", "-u", "frr", "-g", "frr")
            until(lambda daemon=daemon: self.is_there(f"/run/frr/{daemon}.vty"), daemon)  # type: ignore[misc]

    def start_lldpd(self) -> None:
        """lldpd at all ports, which sends each second."""
        self.run("lldpd", "-u", "/run/lldpd.socket", "-I", ",".join(self.ports))
        until(lambda: bool(self.run("lldpcli", "show", "chassis", check=False)), "lldpd")
        self.run("lldpcli", "configure", "lldp", "tx-interval", "1")

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Write a file of the leaf."""
        self.run("sh", "-c", f"mkdir -p $(dirname {path}) && cat > {path} && chmod {mode} {path}", said=text)

    def is_there(self, path: str) -> bool:
        """Whether the leaf has this file."""
        return Path(f"/proc/{self.pid}/root{path}").exists()

    # -- machines ------------------------------------------------------------------------------------------------------

    def add_machine(self, name: str, port: str, address: str) -> None:
        """A machine at the other end of the port's cable, with this address on its `eth0`."""
        self.run("ip", "netns", "add", name)
        self.run("ip", "link", "set", f"far-{port}"[:15], "netns", name, "name", "eth0")
        for words in (
            ("link", "set", "lo", "up"),
            ("addr", "add", address, "dev", "eth0"),
            ("link", "set", "eth0", "up"),
        ):
            self.run("ip", "-n", name, *words)

    def start_machine_lldpd(self, name: str) -> None:
        """lldpd on the machine, which sends each second."""
        socket_path = f"/run/{name}.lldp"
        self.run("ip", "netns", "exec", name, "lldpd", "-u", socket_path, "-I", "eth0", "-S", f"machine {name}")
        until(lambda: bool(self.run("lldpcli", "-u", socket_path, "show", "chassis", check=False)), "lldpd")
        self.run("lldpcli", "-u", socket_path, "configure", "system", "hostname", name)
        self.run("lldpcli", "-u", socket_path, "configure", "lldp", "tx-interval", "1")

    def pings(self, machine: str, address: str) -> bool:
        """Whether the machine gets an answer from the address. Three pings, as the first may wait for ARP."""
        command = ("ip", "netns", "exec", machine, "ping", "-q", "-c", "3", "-i", "0.2", "-W", "1", address)
        return subprocess.run(self.entered(*command), capture_output=True, check=False).returncode == 0

    def cable_to(self, other: Leaf, port: str) -> None:
        """Connect this leaf's port to the port of the same name of another leaf, in place of the cables of both."""
        for leaf in (self, other):
            leaf.run("ip", "link", "del", port)
        inside = ["nsenter", f"--target={self.pid}", "--net", "--"]
        pair = ("ip", "link", "add", port, "type", "veth", "peer", "name", port, "netns", str(other.pid))
        subprocess.run([*inside, *pair], check=True)
        for leaf in (self, other):
            leaf.run("ip", "link", "set", port, "up")


@contextmanager
def running_leaf(name: str = "leaf01", ports: tuple[str, ...] = ("swp1", "swp2", "swp3", "swp4")) -> Iterator[Leaf]:
    """A leaf with sshd, FRR and lldpd, whose first ports are cabled to machines `m1`, `m2` and so on."""
    with Leaf(name, ports) as leaf:
        leaf.start_frr()
        leaf.start_lldpd()
        for number, port in enumerate(ports, 1):
            leaf.add_machine(f"m{number}", port, f"10.9.0.{number}/24")
        yield leaf

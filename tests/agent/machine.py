"""A machine for the discovery agent to run on, made of files: its disks, its command line, and busybox's shell.

The agent's own parts run unchanged. Replaced are only pauses, which are noted and cut short (between two signs of life,
5 s, to a tenth), and what would touch this machine: see `in_image` in basics.sh; a `sync` would be of all its disks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.agent.standin import TOKEN

DISCOVERY = Path(__file__).resolve().parents[2] / "deploy" / "discovery"
PROGRAMS = ("busybox", "curl", "sfdisk", "mkfs.vfat", "mcopy", "zstd")
MIB = 1 << 20
OLD_DATA = b"old data" * (MIB // 8)
# Somebody may have a file system mounted in a namespace of their own, as the lab does: what was unmounted here is still
# to be on the disk.
PRELUDE = """\
GS_ONLY_DEFINE=1
. "$AGENT"
nap() { echo "$1" >> "$T/naps"; if [ "$1" = 5 ]; then sleep 0.5; else sleep 0.02; fi; }
sync() { :; }
umount() { command sync -f "$1"; command umount "$1"; }
inventory() { echo '{"lshw":null}'; }
"""


def missing() -> list[str]:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [program for program in PROGRAMS if shutil.which(program, path=path) is None]


def told(api: str) -> str:
    """What the agent is told to work for the service at this URL."""
    return f"gs.api={api} gs.token={TOKEN} gs.order=order-7 gs.lldp=0"


@dataclass(frozen=True)
class Run:
    """What was said on the console, and for how many seconds each pause was meant."""

    console: str
    naps: list[int]


@dataclass
class Machine:
    """Everything is below `root`."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("sys/block", "dev", "tmp"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def disk(
        self,
        name: str,
        mib: int,
        *,
        removable: bool = False,
        ro: bool = False,
        serial: str = "",
        filled: int | None = None,
    ) -> Path:
        """A disk full of somebody's data, or of so many MiB of it and then a hole, which costs nothing."""
        path, attributes = self.root / "dev" / name, self.root / "sys" / "block" / name
        path.write_bytes(OLD_DATA * (mib if filled is None else filled))
        os.truncate(path, mib * MIB)
        attributes.mkdir()
        values = {"size": mib * 2048, "removable": int(removable), "ro": int(ro), "serial": serial}
        for attribute, value in values.items():
            (attributes / attribute).write_text(f"{value}\n")
        return path

    def copy(self, root: Path) -> Machine:
        """One just like it, which does not know of it."""
        shutil.copytree(self.root, root, ignore=shutil.ignore_patterns("tmp"))
        return Machine(root)

    def run(self, api: str, hooks: str = "", arguments: str = "") -> Run:
        """The agent from its start until it switches the machine off; `hooks` may define its functions anew."""
        return self.run_with(f"console=ttyS0 {told(api)} {arguments}", hooks)

    def run_with(self, line: str, hooks: str = "") -> Run:
        """The same, with this command line of the kernel's."""
        temporary = self.root / "tmp"
        (self.root / "cmdline").write_text(f"{line}\n")
        environment = {
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
            "AGENT": str(DISCOVERY / "agent"),
            "GS_LIB": str(DISCOVERY / "lib"),
            "SYS": str(self.root / "sys"),
            "DEV": str(self.root / "dev"),
            "CMDLINE": str(self.root / "cmdline"),
            "T": str(temporary),
        }
        # Into a file: what is still asleep in the background when the agent ends would keep a pipe open.
        console = self.root / "console"
        with console.open("w") as output:
            subprocess.run(
                ["busybox", "sh", "-c", f"{PRELUDE}{hooks}\nmain"],
                env=environment, stdout=output, stderr=subprocess.STDOUT, timeout=200, check=False,
            )  # fmt: skip
        naps = temporary / "naps"
        noted = [int(line) for line in naps.read_text().split()] if naps.exists() else []
        return Run(console.read_text(), noted)


needs_programs = pytest.mark.skipif(bool(missing()), reason=f"the agent's programs are missing: {', '.join(missing())}")

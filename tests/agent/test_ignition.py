"""Where an Ignition config is put, and that an image which would not read it is not made to start.

The file systems are real ones, on a file by a loop device, which takes root.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.agent.machine import MIB, Machine, Run, needs_programs
from tests.agent.standin import StandIn, serving, tar
from tests.agent.test_installing import digest, is_blank, partitioned

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists() or shutil.which("/usr/sbin/mkfs.ext4") is None,
    reason="mounting takes root, loop devices and mkfs.ext4",
)
needs_btrfs = pytest.mark.skipif(
    shutil.which("mkfs.btrfs") is None or "btrfs" not in Path("/proc/filesystems").read_text(),
    reason="btrfs, or mkfs.btrfs, is missing",
)
pytestmark = needs_programs
CONFIG = json.dumps({"ignition": {"version": "3.4.0"}, "storage": {"files": []}})
AT = 4 * MIB
SIZES = {"ext4": 8 * MIB, "btrfs": 120 * MIB}


def image(directory: Path, label: str, files: tuple[str, ...] = (), kind: str = "ext4") -> bytes:
    """A disk with a partition of noise, and one with a file system of that label and these (empty) files."""
    path, content, size = directory / "image", directory / "content", SIZES[kind]
    path.write_bytes(random.Random(7).randbytes(AT))
    with path.open("r+b") as file:
        file.write(bytes(MIB))
        file.truncate(AT + size + 2 * MIB)
    layout = f"label: gpt\nstart=2048,size=4096\nstart={AT // 512},size={size // 512}\n"
    subprocess.run(["/usr/sbin/sfdisk", "-q", "--wipe", "always", str(path)], input=layout, text=True, check=True)
    content.mkdir()
    for name in files:
        (content / name).touch()
    made = directory / "file-system"
    with made.open("wb") as file:
        file.truncate(size)
    options = {"ext4": ["mkfs.ext4", "-q", "-d"], "btrfs": ["mkfs.btrfs", "-q", "--rootdir"]}[kind]
    path_ = f"{os.environ['PATH']}:/usr/sbin"
    command = ["env", f"PATH={path_}", *options, str(content), "-L", label, str(made)]
    subprocess.run(command, check=True, capture_output=True)
    with path.open("r+b") as file:
        file.seek(AT)
        file.write(made.read_bytes())
    return path.read_bytes()


def install(machine: Machine, standin: StandIn, data: bytes, hooks: str = "") -> Run:
    standin.files["image"], standin.seed = data, tar({"config.ign": CONFIG})
    with serving(standin) as url:
        standin.work = [
            f"work install\nimage coreos-40\nurl {url}/image\nsha256 {digest(data)}\ndisk auto",
            "work poweroff",
        ]
        return machine.run(url, hooks)


def ext4(disk: Path, command: str) -> str:
    done = subprocess.run(["/usr/sbin/debugfs", "-R", command, f"{disk}?offset={AT}"], capture_output=True, check=True)
    return done.stdout.decode(errors="replace")


@needs_root
@pytest.mark.parametrize(
    ("label", "files", "place"),
    [("boot", ("ignition.firstboot",), "/ignition/config.ign"), ("OEM", ("grub.cfg",), "/config.ign")],
    ids=["Fedora CoreOS", "Flatcar"],
)
def test_the_config_is_where_the_image_reads_it_and_in_the_seed(
    tmp_path: Path, label: str, files: tuple[str, ...], place: str
) -> None:
    machine, standin, data = Machine(tmp_path / "m"), StandIn(), image(tmp_path, label, files)
    disk = machine.disk("vda", 24)
    run = install(machine, standin, data)
    assert standin.heard("written") == [digest(data)], run.console
    assert ext4(disk, f"cat {place}") == CONFIG
    assert re.search(r"Mode: +0600", ext4(disk, f"stat {place}"))
    assert b"CIDATA" in disk.read_bytes()
    assert subprocess.run(["/usr/sbin/e2fsck", "-fn", f"{disk}?offset={AT}"], check=False).returncode == 0


@needs_root
@needs_btrfs
def test_the_file_system_may_be_btrfs_as_flatcar_s_is(tmp_path: Path) -> None:
    machine, standin, data = Machine(tmp_path / "m"), StandIn(), image(tmp_path, "OEM", ("grub.cfg",), "btrfs")
    disk = machine.disk("vda", 160)
    run = install(machine, standin, data)
    assert standin.heard("written") == [digest(data)], run.console
    assert "the Ignition config is where the image reads it" in run.console
    assert CONFIG.encode() in disk.read_bytes()[AT : AT + SIZES["btrfs"]]


def test_an_image_that_would_not_read_its_config_is_not_made_to_start(tmp_path: Path) -> None:
    machine, standin, data = Machine(tmp_path / "m"), StandIn(), partitioned(tmp_path)
    disk = machine.disk("vda", 32)
    install(machine, standin, data)
    assert standin.heard("written") == []
    assert "coreos-40 has no file system that Ignition reads it from" in standin.heard("agent-failed")[0]
    assert is_blank(disk)


@needs_root
def test_a_partition_called_boot_of_a_system_without_ignition_does_not_count(tmp_path: Path) -> None:
    machine, standin, data = Machine(tmp_path / "m"), StandIn(), image(tmp_path, "boot", ("grub.cfg",))
    disk = machine.disk("vda", 24)
    install(machine, standin, data)
    assert "has a file system labelled boot without ignition.firstboot" in standin.heard("agent-failed")[0]
    assert is_blank(disk)


@needs_root
def test_a_config_that_the_disk_did_not_keep_is_found_out(tmp_path: Path) -> None:
    machine, standin, data = Machine(tmp_path / "m"), StandIn(), image(tmp_path, "OEM")
    disk = machine.disk("vda", 24)
    install(machine, standin, data, 'cmp() { case $2 in "$T/seed"/*) return 1 ;; *) command cmp "$@" ;; esac; }')
    assert "the Ignition config that was read back" in standin.heard("agent-failed")[0]
    assert is_blank(disk)

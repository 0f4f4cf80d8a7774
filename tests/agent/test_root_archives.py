"""How an archive of a root file system becomes a disk that starts, and which archives and machines are refused.

The file systems are real ones, on a file by a loop device, which takes root.
"""

from __future__ import annotations

import gzip
import io
import os
import random
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.agent.machine import MIB, Machine, Run, needs_programs
from tests.agent.standin import StandIn, serving, tar
from tests.agent.test_installing import SEED, digest, is_blank, xz, zstandard

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists() or shutil.which("/usr/sbin/mkfs.ext4") is None,
    reason="making file systems takes root, loop devices and mkfs.ext4",
)
pytestmark = needs_programs
KERNEL = random.Random(1).randbytes(300_000)
FILES = {
    "boot/vmlinuz-6.1.0-9": b"an older kernel",
    "boot/initrd.img-6.1.0-9": b"its initrd",
    "boot/vmlinuz-6.1.0-10": KERNEL,
    "boot/initrd.img-6.1.0-10": b"the initrd",
    "etc/fstab": b"# made by hand\nLABEL=old / xfs defaults 0 1\ntmpfs /tmp tmpfs nosuid 0 0\n",
    "etc/kernel/cmdline": b"root=LABEL=old console=ttyS1 audit=0\n",
    "usr/bin/big": random.Random(2).randbytes(3 * MIB),
    "usr/lib/systemd/boot/efi/systemd-bootx64.efi": b"a boot loader",
}


def archive(files: dict[str, bytes] = FILES) -> bytes:
    """As `tar -C root -c .` makes it, with what is hard to keep: owners, rights, links, attributes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as packed:
        for name in sorted({str(parent) for path in files for parent in Path(path).parents} - {"."}):
            made = tarfile.TarInfo(f"./{name}")
            made.type, made.mode = tarfile.DIRTYPE, 0o755
            packed.addfile(made)
        for name, data in files.items():
            made = tarfile.TarInfo(f"./{name}")
            made.size, made.mode, made.mtime = len(data), 0o644, 1_700_000_000
            packed.addfile(made, io.BytesIO(data))
        special = tarfile.TarInfo("./usr/bin/special")
        special.mode, special.uid, special.gid, special.mtime = 0o4750, 1234, 70000, 1_600_000_000
        special.pax_headers = {"SCHILY.xattr.user.kept": "yes"}
        packed.addfile(special)
        for name, kind, target in (("hard", tarfile.LNKTYPE, "./usr/bin/special"), ("soft", tarfile.SYMTYPE, "/x/y")):
            link = tarfile.TarInfo(f"./usr/bin/{name}")
            link.type, link.linkname = kind, target
            packed.addfile(link)
    return out.getvalue()


def uefi(root: Path) -> Machine:
    machine = Machine(root)
    (root / "sys/firmware/efi").mkdir(parents=True)
    return machine


def sparse(machine: Machine, mib: int = 320) -> Path:
    return machine.disk("vda", mib, filled=4)


def install(machine: Machine, standin: StandIn, data: bytes, hooks: str = "", sha256: str = "") -> Run:
    standin.files["image"] = data
    with serving(standin) as url:
        work = f"work install\nimage debian-12\nurl {url}/image\nsha256 {sha256 or digest(data)}\ndisk auto"
        standin.work = [work, "work poweroff"]
        return machine.run(url, hooks, "console=hvc0")


@dataclass(frozen=True)
class Disk:
    """What an installed disk has."""

    path: Path

    def partitions(self) -> list[tuple[str, int]]:
        """Names, and where they begin, in bytes."""
        dump = subprocess.run(["/usr/sbin/sfdisk", "-d", self.path], capture_output=True, text=True, check=True)
        assert "corrupt" not in dump.stderr
        found = re.findall(r"start= *(\d+),.*name=\"(\w+)\"", dump.stdout)
        return [(name, int(start) * 512) for start, name in found]

    def uuid(self, number: int) -> str:
        command = ["/usr/sbin/sfdisk", "--part-uuid", str(self.path), str(number)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().lower()

    def ext4(self, command: str, partition: str = "root") -> str:
        place = f"{self.path}?offset={dict(self.partitions())[partition]}"
        return subprocess.run(
            ["/usr/sbin/debugfs", "-R", command, place], capture_output=True, check=True
        ).stdout.decode(errors="replace")

    def fat(self, path: str) -> bytes:
        place = f"{self.path}@@{MIB}"
        return subprocess.run(["mcopy", "-i", place, f"::{path}", "-"], capture_output=True, check=True).stdout


@needs_root
@pytest.mark.parametrize("pack", [bytes, gzip.compress, xz, zstandard], ids=["raw", "gzip", "xz", "zstd"])
def test_an_archive_becomes_a_disk_that_starts_by_uefi(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    machine, standin, data = uefi(tmp_path / "m"), StandIn(seed=tar(SEED)), archive()
    disk = Disk(sparse(machine))
    run = install(machine, standin, pack(data))
    assert standin.heard("written") == [digest(data)], run.console
    assert [name for name, _ in disk.partitions()] == ["ESP", "root", "CIDATA"]
    assert disk.fat("EFI/BOOT/BOOTX64.EFI") == b"a boot loader"
    assert disk.fat("vmlinuz") == KERNEL
    assert disk.fat("initrd") == b"the initrd"
    assert disk.fat("loader/entries/groundstate.conf").decode().splitlines() == [
        "title debian-12",
        "linux /vmlinuz",
        "initrd /initrd",
        f"options root=PARTUUID={disk.uuid(2)} rw console=ttyS1 audit=0 ",
    ]


@needs_root
def test_owners_rights_links_attributes_and_times_are_kept(tmp_path: Path) -> None:
    machine, standin = uefi(tmp_path / "m"), StandIn()
    disk = Disk(sparse(machine))
    run = install(machine, standin, archive())
    assert len(standin.heard("written")) == 1, run.console
    told = disk.ext4("stat /usr/bin/special")
    assert re.search(r"Mode: +04750", told)
    assert re.search(r"User: +1234 +Group: +70000", told)
    assert "Links: 2" in told
    assert 'user.kept (3) = "yes"' in disk.ext4("ea_list /usr/bin/special")
    assert f"mtime: {1_600_000_000:#x}" in told
    assert '"/x/y"' in disk.ext4("stat /usr/bin/soft")
    assert "Inode" in disk.ext4("stat /usr/bin/hard")
    place = f"{disk.path}?offset={dict(disk.partitions())['root']}"
    check = subprocess.run(["/usr/sbin/e2fsck", "-fn", place], capture_output=True, check=False)
    assert check.returncode == 0


@needs_root
def test_the_system_finds_its_partitions_whatever_its_fstab_said(tmp_path: Path) -> None:
    machine, standin = uefi(tmp_path / "m"), StandIn()
    disk = Disk(sparse(machine))
    install(machine, standin, archive())
    assert disk.ext4("cat /etc/fstab").splitlines() == [
        "# made by hand",
        "tmpfs /tmp tmpfs nosuid 0 0",
        f"PARTUUID={disk.uuid(2)} / ext4 defaults 0 1",
        f"PARTUUID={disk.uuid(1)} /boot/efi vfat umask=0077,nofail 0 0",
    ]


@needs_root
def test_a_system_that_says_nothing_of_it_speaks_where_the_agent_does(tmp_path: Path) -> None:
    machine, standin = uefi(tmp_path / "m"), StandIn()
    disk = Disk(sparse(machine))
    install(machine, standin, archive({path: data for path, data in FILES.items() if "cmdline" not in path}))
    options = disk.fat("loader/entries/groundstate.conf").decode().splitlines()[-1]
    assert options == f"options root=PARTUUID={disk.uuid(2)} rw console=ttyS0 console=hvc0 "


@needs_root
@pytest.mark.parametrize(
    ("name", "data", "hooks", "sha256", "why"),
    [
        ("no kernel", archive({"etc/hostname": b"x"}), "", "", "is a tar archive without a kernel"),
        ("a kernel that is a link", tar({"etc/x": "y"}), "", "", "is a tar archive without a kernel"),
        ("cut off", archive()[:-2_000_000], "", "", "cannot be unpacked on"),
        ("wrong checksum", archive(), "", "0" * 64, f"{'0' * 64} was due"),
        ("no boot loader", archive({"boot/vmlinuz": b"k"}), "LOADER=nowhere", "", "partition on"),
        ("power cut", archive(), 'write_first() { WHY="power"; return 1; }', "", "power"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_an_archive_that_cannot_be_installed_leaves_a_disk_that_does_not_boot(
    tmp_path: Path, name: str, data: bytes, hooks: str, sha256: str, why: str
) -> None:
    machine, standin = uefi(tmp_path / "m"), StandIn(seed=tar(SEED))
    disk = sparse(machine)
    run = install(machine, standin, data, hooks, sha256)
    assert standin.heard("written") == [], name
    assert why in standin.heard("agent-failed")[0], run.console
    assert is_blank(disk)


@needs_root
def test_a_disk_that_does_not_keep_its_files_is_found_out(tmp_path: Path) -> None:
    """Rot in the middle of a file, after everything was written and before it is read back."""
    machine, standin = uefi(tmp_path / "m"), StandIn()
    disk = sparse(machine)
    rot = """drop_caches() {
        place=$((root_at * 512))
        at=$(debugfs -R 'blocks /usr/bin/big' "$DISK?offset=$place" 2>/dev/null | cut -d ' ' -f 9)
        printf rot | dd of="$DISK" bs=1 seek=$((place + at * 1024)) conv=notrunc 2>/dev/null
    }"""
    run = install(machine, standin, archive(), rot)
    assert standin.heard("written") == [], run.console
    [why] = standin.heard("agent-failed")
    assert why.startswith(f"what was read back from {disk} differs from debian-12: "), run.console
    assert "usr/bin/big: Contents differ" in why
    assert is_blank(disk)


@needs_root
def test_a_server_that_is_lost_at_any_time_is_waited_for(tmp_path: Path) -> None:
    """While it is unpacked, and while it is compared."""
    machine, data = uefi(tmp_path / "m"), archive()
    standin = StandIn(cut=[2 * MIB, len(data), MIB], faults={"GET /image": [503, 0]})
    disk = Disk(sparse(machine))
    run = install(machine, standin, data)
    assert standin.heard("written") == [digest(data)], run.console
    assert run.console.count("download broke off") == 4
    assert disk.fat("vmlinuz") == KERNEL


@pytest.mark.parametrize(
    ("size", "firmware", "block", "why"),
    [
        (320, "bios", 512, "this machine started by BIOS"),
        (320, "uefi", 4096, "sectors of 4096 bytes"),
        (100, "uefi", 512, "which is too small for debian-12"),
    ],
)
def test_a_machine_that_could_not_start_it_is_told_so(
    tmp_path: Path, size: int, firmware: str, block: int, why: str
) -> None:
    machine, standin = uefi(tmp_path / "m"), StandIn()
    if firmware == "bios":
        (tmp_path / "m/sys/firmware/efi").rmdir()
    disk = sparse(machine, size)
    (tmp_path / "m/sys/block/vda/queue").mkdir()
    (tmp_path / "m/sys/block/vda/queue/logical_block_size").write_text(f"{block}\n")
    install(machine, standin, archive())
    assert why in standin.heard("agent-failed")[0]
    assert disk.read_bytes()[2 * MIB : 3 * MIB] == b"old data" * (MIB // 8)
    assert is_blank(disk)


@pytest.mark.parametrize(
    ("names", "kernel", "initrd"),
    [
        (["vmlinuz-6.1-9-amd64", "vmlinuz-6.1-21-amd64", "initrd.img-6.1-21-amd64"], "vmlinuz-6.1-21-amd64",
         "initrd.img-6.1-21-amd64"),
        (["vmlinuz-5.14.0", "vmlinuz-0-rescue-77", "initramfs-5.14.0.img"], "vmlinuz-5.14.0", "initramfs-5.14.0.img"),
        (["vmlinuz-linux", "initramfs-linux.img"], "vmlinuz-linux", "initramfs-linux.img"),
        (["vmlinuz", "vmlinuz.old"], "vmlinuz", ""),
        (["vmlinuz-6.4", "initrd-6.4", "initrd-6.3"], "vmlinuz-6.4", "initrd-6.4"),
    ],
)  # fmt: skip
def test_the_newest_kernel_is_taken_with_its_own_initrd(
    tmp_path: Path, names: list[str], kernel: str, initrd: str
) -> None:
    machine = Machine(tmp_path / "m")
    boot = tmp_path / "m/tmp/mnt/boot"
    boot.mkdir(parents=True)
    for name in names:
        (boot / name).touch()
    (boot / "vmlinuz-9.9").symlink_to("/boot/vmlinuz")
    hooks = 'mkdir -p "$T"; k=$(newest "$T/mnt/boot"); echo "$k"; initrd_of "${k#vmlinuz}"; exit'
    assert machine.run("http://127.0.0.1:9", hooks).console.split() == [kernel, *([initrd] if initrd else [])]

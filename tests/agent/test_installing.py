"""How an image comes to a disk, and that a disk never boots from anything but a whole and right one."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import random
import re
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent.machine import MIB, Machine, Run, needs_programs
from tests.agent.standin import StandIn, serving, tar

pytestmark = needs_programs
SEED = {"meta-data": "local-hostname: web-3\n", "user-data": "#cloud-config\n", "network-config": "version: 2\n"}


def partitioned(directory: Path, label: str = "gpt", mib: int = 6) -> bytes:
    """A disk image with one partition full of noise."""
    path = directory / f"image-{label}"
    path.write_bytes(random.Random(7).randbytes(mib * MIB))
    with path.open("r+b") as file:
        file.write(bytes(MIB))
    layout = f"label: {label}\nstart=2048,size={(mib - 2) * 2048}\n"
    subprocess.run(["/usr/sbin/sfdisk", "-q", "--wipe", "always", str(path)], input=layout, text=True, check=True)
    return path.read_bytes()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def install(
    machine: Machine, standin: StandIn, packed: bytes, *, sha256: str = "", disk: str = "auto", hooks: str = ""
) -> Run:
    """Serve the packed image and let the agent install it."""
    standin.files["image"] = packed
    with serving(standin) as url:
        work = f"work install\nimage debian-12\nurl {url}/image\nsha256 {sha256 or digest(packed)}\ndisk {disk}"
        standin.work = [work, "work poweroff"]
        return machine.run(url, hooks)


def is_blank(disk: Path) -> bool:
    """Whether nothing can boot from it."""
    with disk.open("rb") as file:
        first = file.read(MIB)
        file.seek(-MIB, os.SEEK_END)
        return not any(first) and not any(file.read())


def zstandard(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout


def xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=0)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, xz, zstandard], ids=["raw", "gzip", "xz", "zstd"])
def test_an_image_is_on_the_disk_as_it_was_made(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    machine, standin, image = Machine(tmp_path / "m"), StandIn(), partitioned(tmp_path, mib=3)
    disk = machine.disk("vda", 16)
    run = install(machine, standin, pack(image))
    assert standin.heard("written") == [digest(image)], run.console
    assert disk.read_bytes()[: len(image)] == image
    assert standin.heard("agent-failed") == []


@pytest.mark.parametrize("size", [1, 512, MIB - 1, MIB, MIB + 1, 3 * MIB + 512])
def test_no_length_is_special(tmp_path: Path, size: int) -> None:
    machine, standin, image = Machine(tmp_path / "m"), StandIn(), b"x" * size
    disk = machine.disk("vda", 16)
    run = install(machine, standin, image)
    assert standin.heard("written") == [digest(image)], run.console
    assert disk.read_bytes()[:size] == image


@pytest.mark.parametrize("label", ["gpt", "dos"])
def test_the_seed_is_a_partition_at_the_end_of_the_disk(tmp_path: Path, label: str) -> None:
    machine, standin, image = Machine(tmp_path / "m"), StandIn(seed=tar(SEED)), partitioned(tmp_path, label)
    disk = machine.disk("vda", 16)
    run = install(machine, standin, gzip.compress(image))
    assert standin.heard("written") == [digest(image)], run.console
    dump = subprocess.run(["/usr/sbin/sfdisk", "-d", disk], capture_output=True, text=True, check=True)
    assert "corrupt" not in dump.stderr
    partitions = [line for line in dump.stdout.splitlines() if "start=" in line]
    assert len(partitions) == 2
    start = int(partitions[1].partition("start=")[2].partition(",")[0])
    place = f"{disk}@@{start * 512}"
    for name, text in SEED.items():
        shown = subprocess.run(["mcopy", "-i", place, f"::{name}", "-"], capture_output=True, text=True, check=True)
        assert shown.stdout == text
    volume = subprocess.run(["mdir", "-i", place, "::"], capture_output=True, text=True, check=True).stdout
    assert "CIDATA" in volume
    # Everything of the image but its partition table is as it was.
    assert disk.read_bytes()[MIB : 5 * MIB] == image[MIB : 5 * MIB]


def test_an_image_without_partitions_has_no_place_for_a_seed(tmp_path: Path) -> None:
    machine, standin = Machine(tmp_path / "m"), StandIn(seed=tar(SEED))
    disk = machine.disk("vda", 16)
    install(machine, standin, b"x" * 2 * MIB)
    assert standin.heard("agent-failed") == ["debian-12 has no partition table, so the seed has no place"]
    assert is_blank(disk)


def test_a_wrong_checksum_leaves_a_disk_that_does_not_boot(tmp_path: Path) -> None:
    machine, standin, image = Machine(tmp_path / "m"), StandIn(), partitioned(tmp_path)
    disk = machine.disk("vda", 16)
    install(machine, standin, image, sha256="0" * 64)
    assert standin.heard("written") == []
    assert f"sha256 {digest(image)} came, {'0' * 64} was due" in standin.heard("agent-failed")[0]
    assert is_blank(disk)


def test_a_disk_that_does_not_keep_what_it_was_given_is_found_out(tmp_path: Path) -> None:
    machine, standin, image = Machine(tmp_path / "m"), StandIn(), partitioned(tmp_path)
    disk = machine.disk("vda", 16)
    rot = 'drop_caches() { printf x | dd of="$DISK" bs=1 seek=3000000 conv=notrunc 2>/dev/null; }'
    install(machine, standin, image, hooks=rot)
    assert standin.heard("written") == []
    assert "differs from what was written" in standin.heard("agent-failed")[0]
    assert is_blank(disk)


def test_the_first_mebibyte_is_written_last(tmp_path: Path) -> None:
    """So a machine whose power is cut at any moment before has nothing to boot from."""
    machine, standin, image = Machine(tmp_path / "m"), StandIn(seed=tar(SEED)), partitioned(tmp_path)
    disk = machine.disk("vda", 16)
    cut = 'write_first() { cp "$DISK" "$DISK.at-the-cut"; WHY=power; return 1; }'
    install(machine, standin, image, hooks=cut)
    at_the_cut = disk.with_name("vda.at-the-cut").read_bytes()
    assert not any(at_the_cut[:MIB])
    assert at_the_cut[MIB : 5 * MIB] == image[MIB : 5 * MIB]
    assert b"CIDATA" in at_the_cut


def test_a_broken_download_begins_again_from_the_start(tmp_path: Path) -> None:
    machine, image = Machine(tmp_path / "m"), partitioned(tmp_path)
    standin = StandIn(cut=[3 * MIB, 100], faults={"GET /image": [503, 0]})
    disk = machine.disk("vda", 16)
    run = install(machine, standin, image)
    assert standin.heard("written") == [digest(image)], run.console
    assert disk.read_bytes()[: len(image)] == image
    assert run.console.count("download broke off") == 4


@pytest.mark.parametrize("status", [401, 404, 410])
def test_an_image_that_is_refused_is_not_asked_for_again(tmp_path: Path, status: int) -> None:
    machine, standin = Machine(tmp_path / "m"), StandIn(faults={"GET /image": [status]})
    disk = machine.disk("vda", 16)
    install(machine, standin, b"x" * 2 * MIB)
    assert f"/image: curl: (22) The requested URL returned error: {status}" in standin.heard("agent-failed")[0]
    assert is_blank(disk)


def test_work_goes_on_while_the_service_does_not_answer(tmp_path: Path) -> None:
    machine, image = Machine(tmp_path / "m"), partitioned(tmp_path)
    standin = StandIn(waits_for="alive", faults={"POST /agent/v1/facts": [503, 0, 503]})
    machine.disk("vda", 16)
    run = install(machine, standin, image, hooks="nap() { sleep 0.02; }")
    assert standin.heard("written") == [digest(image)]
    assert "the service does not take reports (503); the work goes on" in run.console
    assert "the service is back" in run.console
    assert re.fullmatch(r"writing ([0-9]+ %|[0-9.]+[kMG]? bytes) of debian-12", standin.heard("alive")[0])


@pytest.mark.parametrize(
    ("meter", "shown"),
    [
        ("", "0 bytes"),
        (" 43  600M   43  258M    0     0  12.1M      0  0:00:49  0:00:21  0:00:28 12.0M", "43 %"),
        ("  0     0    0  258M    0     0  12.1M      0 --:--:--  0:00:21 --:--:-- 12.0M", "258M bytes"),
    ],
)
def test_how_far_it_is_comes_from_the_meter(tmp_path: Path, meter: str, shown: str) -> None:
    head = "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current"
    machine = Machine(tmp_path / "m")
    (machine.root / "tmp" / "meter").write_text(f"{head}\n{meter}\r")
    assert machine.run("http://127.0.0.1:9", "how_far; exit").console == f"{shown}\n"


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a tar archive", tar(SEED), "is an archive of a root file system"),
        ("a packed tar archive", gzip.compress(tar(SEED)), "this machine started by BIOS"),
        ("larger than the disk", bytes(20 * MIB), "has 20971520 bytes"),
        ("damaged when it was made", gzip.compress(b"x" * 4 * MIB)[:-9], "cannot be unpacked"),
    ],
)
def test_what_cannot_be_installed_is_said(tmp_path: Path, name: str, data: bytes, why: str) -> None:
    machine, standin = Machine(tmp_path / "m"), StandIn()
    disk = machine.disk("vda", 16)
    install(machine, standin, data)
    assert standin.heard("written") == [], name
    assert why in standin.heard("agent-failed")[0]
    assert not any(disk.read_bytes()[:MIB])


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        *(("auto", "sdb"), ("/dev/nvme0n1", "nvme0n1"), ("WD-77", "sdc"), ("WD-88", "sdd")),
        *(("/dev/sdz", None), ("/dev/sdu", None), ("WD-99", None)),
    ],
)
def test_the_disk_is_the_smallest_or_the_one_that_was_named(tmp_path: Path, wish: str, expected: str | None) -> None:
    machine, standin, image = Machine(tmp_path / "m"), StandIn(), b"x" * 2 * MIB
    machine.disk("nvme0n1", 24)
    machine.disk("sda", 3, ro=True)
    machine.disk("sdb", 8)
    machine.disk("sdc", 16, serial="WD-77")
    machine.disk("sdd", 16)
    page = machine.root / "sys/block/sdd/device/vpd_pg80"
    page.parent.mkdir()
    page.write_bytes(b"\0\x80\0\x10     WD-88      ")
    machine.disk("sdu", 4, removable=True)
    machine.disk("sr0", 4)
    install(machine, standin, image, disk=wish)
    changed = [path.name for path in (tmp_path / "m" / "dev").iterdir() if not path.read_bytes().startswith(b"old")]
    assert changed == ([expected] if expected else [])
    assert len(standin.heard("written" if expected else "agent-failed")) == 1


def test_a_seed_that_is_no_archive_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    machine, standin = Machine(tmp_path / "m"), StandIn(seed=b"not a tar archive")
    disk = machine.disk("vda", 16)
    install(machine, standin, partitioned(tmp_path))
    assert standin.heard("agent-failed") == ["the seed is not a tar archive"]
    assert disk.read_bytes().startswith(b"old data")


def test_a_seed_cannot_write_outside_its_directory(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../escaped"))
    machine, standin = Machine(tmp_path / "m"), StandIn(seed=out.getvalue())
    machine.disk("vda", 16)
    install(machine, standin, partitioned(tmp_path))
    assert not (tmp_path / "m" / "tmp" / "escaped").exists()


@pytest.mark.parametrize("kind", ["wwid", "device/wwid", "serial"])
def test_of_equal_disks_it_is_always_the_same_whatever_their_names(tmp_path: Path, kind: str) -> None:
    """Else a system that is installed anew would lie beside the old one, and either may start."""
    image = partitioned(tmp_path)
    for start, names in enumerate((("sda", "sdb"), ("sdb", "sda"))):
        machine, standin = Machine(tmp_path / f"m{start}"), StandIn()
        for name, serial in zip(names, ("t10.ATA     Disk  1", "t10.ATA     Disk  2"), strict=True):
            machine.disk(name, 16)
            place = machine.root / "sys/block" / name / kind
            place.parent.mkdir(exist_ok=True)
            place.write_text(f"{serial}\n")
        install(machine, standin, image)
        chosen = [name for name in names if (machine.root / "dev" / name).read_bytes().startswith(image)]
        assert chosen == [names[0]]


def test_a_disk_on_usb_is_taken_only_where_there_is_no_other(tmp_path: Path) -> None:
    """Those that call themselves fixed are found beside the machine's own, and are often smaller."""
    machine, standin, image = Machine(tmp_path / "m"), StandIn(), partitioned(tmp_path)
    stick, own = machine.disk("sda", 16), machine.disk("sdb", 32)
    real = machine.root / "sys/devices/pci0/usb1/1-1/host2/target2:0:0/2:0:0:0"
    real.mkdir(parents=True)
    (machine.root / "sys/block/sda/device").symlink_to(real)
    install(machine, standin, image)
    assert own.read_bytes().startswith(image)
    assert stick.read_bytes().startswith(b"old data")


def test_an_image_is_not_on_a_disk_that_has_gone_meanwhile(tmp_path: Path) -> None:
    """What is written to a name without a disk is a file in memory, which reads back equal as well."""
    machine, standin = Machine(tmp_path / "m"), StandIn()
    machine.disk("sda", 16)
    install(machine, standin, partitioned(tmp_path), hooks='drop_caches() { rm -rf "$SYS/block/sda"; }')
    assert standin.heard("written") == []
    [why] = standin.heard("agent-failed")
    assert "sda has gone" in why

"""How disks are emptied: all of them or the wipe has failed, and only what was read back is believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.machine import MIB, Machine, Run, needs_programs
from tests.agent.standin import StandIn, serving

pytestmark = needs_programs


def wipe(machine: Machine, standin: StandIn, hooks: str = "") -> Run:
    standin.work = ["work wipe", "work poweroff"]
    with serving(standin) as url:
        return machine.run(url, hooks)


def test_every_disk_of_the_machine_is_emptied_with_one_line_of_proof_each(tmp_path: Path) -> None:
    machine, standin = Machine(tmp_path / "m"), StandIn()
    disks = [machine.disk("sda", 8), machine.disk("vdb", 3)]
    stick = machine.disk("sdu", 4, removable=True)
    wipe(machine, standin)
    proof = "overwrite, then zeroes read back at 64 places"
    assert standin.heard("wiped") == [f"sda 8388608 bytes: {proof}\nvdb 3145728 bytes: {proof}"]
    assert not any(any(disk.read_bytes()) for disk in disks)
    assert stick.read_bytes().startswith(b"old data")


def test_a_read_only_disk_fails_the_wipe_but_the_others_are_emptied(tmp_path: Path) -> None:
    machine, standin = Machine(tmp_path / "m"), StandIn()
    machine.disk("sda", 3, ro=True)
    other = machine.disk("sdb", 3)
    wipe(machine, standin)
    assert standin.heard("wiped") == []
    assert standin.heard("agent-failed") == ["not wiped: sda: it is read-only"]
    assert not any(other.read_bytes())


def test_a_disk_that_still_has_data_is_never_called_wiped(tmp_path: Path) -> None:
    machine, standin = Machine(tmp_path / "m"), StandIn()
    machine.disk("sda", 8)
    keeps = 'drop_caches() { printf secret | dd of="$DISK" bs=1 seek=8388600 conv=notrunc 2>/dev/null; }'
    wipe(machine, standin, keeps)
    assert standin.heard("wiped") == []
    assert standin.heard("agent-failed") == ["not wiped: sda: data was read back after every way of wiping"]


def test_a_disk_that_lies_about_discarding_is_overwritten(tmp_path: Path) -> None:
    machine, standin = Machine(tmp_path / "m"), StandIn()
    disk = machine.disk("sda", 4)
    queue = tmp_path / "m/sys/block/sda/queue"
    queue.mkdir()
    (queue / "discard_max_bytes").write_text("4194304\n")
    run = wipe(machine, standin, "EDGE=$MIB; discard() { return 0; }")
    assert "sda: not all zeroes after discard" in run.console
    assert standin.heard("wiped") == [f"sda {4 * MIB} bytes: overwrite, then zeroes read back at 64 places"]
    assert not any(disk.read_bytes())


def test_a_disk_that_takes_no_notice_of_a_discard_is_overwritten_wherever_its_data_is(tmp_path: Path) -> None:
    """A big disk that is mostly empty has zeroes at most places anyway."""
    machine, standin = Machine(tmp_path / "m"), StandIn()
    disk = machine.disk("sda", 200)
    with disk.open("r+b") as file:
        file.truncate(0)
        file.truncate(200 * MIB)
        file.seek(200 * MIB // 63 * 30 + MIB)
        file.write(b"secret")
    queue = tmp_path / "m/sys/block/sda/queue"
    queue.mkdir()
    (queue / "discard_max_bytes").write_text("4194304\n")
    wipe(machine, standin, "discard() { return 0; }")
    assert standin.heard("wiped") == [f"sda {200 * MIB} bytes: overwrite, then zeroes read back at 64 places"]
    assert b"secret" not in disk.read_bytes()


def test_a_machine_in_which_no_disk_is_found_is_not_wiped(tmp_path: Path) -> None:
    standin = StandIn()
    wipe(Machine(tmp_path / "m"), standin)
    assert standin.heard("wiped") == []
    assert "no disk is found" in standin.heard("agent-failed")[0]


@pytest.mark.parametrize(
    "path",
    [
        "devices/pci0/host2/rport-2:0-1/target2:0:1/2:0:1:0",
        "devices/platform/host3/session1/target3:0:0/3:0:0:1",
    ],
)
def test_a_lun_of_a_san_is_nobodys_to_wipe(tmp_path: Path, path: str) -> None:
    standin, machine = StandIn(), Machine(tmp_path / "m")
    lun, own = machine.disk("sdb", 1), machine.disk("sda", 1)
    lun.write_bytes(b"x" * MIB)
    real = tmp_path / "m/sys" / path
    real.mkdir(parents=True)
    (tmp_path / "m/sys/block/sdb/device").symlink_to(real)
    wipe(machine, standin)
    [told] = standin.heard("wiped")
    assert [line.split()[0] for line in told.splitlines()] == ["sda", "sdb"]
    assert "sdb left alone" in told
    assert lun.read_bytes() == b"x" * MIB
    assert not any(own.read_bytes())


@pytest.mark.parametrize("controller", ["", "nvme0"], ids=["one path", "several paths"])
def test_a_disk_over_a_network_is_nobodys_to_wipe(tmp_path: Path, controller: str) -> None:
    """A namespace that has several paths belongs to a subsystem (nvme-subsys0), in which the controllers are."""
    standin, machine = StandIn(), Machine(tmp_path / "m")
    far = machine.disk("nvme0n1", 1)
    near = machine.disk("nvme1n1", 1)
    far.write_bytes(b"x" * MIB)
    for disk, transport in (("nvme0n1", "tcp"), ("nvme1n1", "pcie")):
        place = tmp_path / "m/sys/block" / disk / "device" / controller
        place.mkdir(parents=True)
        (place / "transport").write_text(f"{transport}\n")
    wipe(machine, standin)
    assert far.read_bytes() == b"x" * MIB
    assert not any(near.read_bytes())


def test_the_ways_of_wiping_are_those_that_the_disk_offers(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "m")
    machine.disk("vda", 1)
    queue = tmp_path / "m/sys/block/vda/queue"
    queue.mkdir()
    (queue / "write_zeroes_max_bytes").write_text("2147483136\n")
    (queue / "discard_max_bytes").write_text("0\n")
    run = machine.run("http://127.0.0.1:9", "ways_for vda; exit")
    assert run.console.split() == ["zero_out", "overwrite"]


def test_an_ata_erase_is_for_a_disk_that_offers_it_and_is_not_frozen(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "m")
    machine.disk("sda", 1)
    offers = (
        "Security:\\n\\tMaster password revision code = 65534\\n\\t\\tsupported\\n\\tnot\\tenabled\\n\\t%s\\tfrozen\\n"
    )
    hooks = f'hdparm() {{ printf "{offers}" "$FROZEN"; }}; mkdir -p "$T"; '
    ways = "FROZEN=not; ways_for sda; echo; FROZEN=; ways_for sda; exit"
    assert machine.run("http://127.0.0.1:9", hooks + ways).console.split() == ["ata_erase", "overwrite", "overwrite"]


FAILS_LATE = """
dd() {
    command dd "$@" || return
    case $* in *of="$DISK"*fsync*) ;; *) return 0 ;; esac
    echo "dd: fsync failed for '$DISK': Input/output error" >&2
    return 1
}
"""
"""A disk that fails when its cache is flushed, as one with bad blocks does: the writes themselves go to memory."""


def test_a_disk_that_did_not_take_what_was_written_is_not_wiped(tmp_path: Path) -> None:
    machine, standin = Machine(tmp_path / "m"), StandIn()
    machine.disk("sda", 3)
    wipe(machine, standin, FAILS_LATE)
    assert standin.heard("wiped") == []
    assert "Input/output error" in standin.heard("agent-failed")[0]


@pytest.mark.parametrize("fate", ["rm -r", "echo 4096 >"], ids=["gone", "shrunk"])
def test_a_disk_that_is_another_by_the_end_is_not_wiped(tmp_path: Path, fate: str) -> None:
    """What is written to a name without a disk is a file in memory, which reads back as zeroes as well."""
    machine, standin = Machine(tmp_path / "m"), StandIn()
    machine.disk("sda", 3)
    what = "$SYS/block/sda" if fate == "rm -r" else "$SYS/block/sda/size"
    wipe(machine, standin, f'drop_caches() {{ {fate} "{what}" 2> /dev/null; }}')
    assert standin.heard("wiped") == []
    [why] = standin.heard("agent-failed")
    assert "sda has gone, or has another size than the 3145728 bytes of before" in why

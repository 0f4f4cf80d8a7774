"""Erasing by the disk itself: which commands it is given, in which order. The disks are stand-ins of a few lines of
shell that keep a state and note what they were asked; no real disk is at hand that could be erased."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.machine import Machine, needs_programs
from tests.agent.standin import StandIn, serving

pytestmark = needs_programs
SET, ERASE, UNLOCK, DISABLE = (
    f"--user-master u --security-{what} groundstate" for what in ("set-pass", "erase", "unlock", "disable")
)
ATA = """
PASSWORD=$T/password FROZEN=%s
hdparm() {
    case $* in
    -I*)
        printf 'Security:\n\tMaster password revision code = 65534\n\t\tsupported\n'
        [ -e "$PASSWORD" ] && printf '\t\tenabled\n' || printf '\tnot\tenabled\n'
        [ "$FROZEN" ] && printf '\t\tfrozen\n' || printf '\tnot\tfrozen\n'
        return
        ;;
    esac
    echo "${*%%%% /*}" >> "$T/calls"
    case $* in
    *set-pass*) touch "$PASSWORD" ;;
    *disable*) %s rm -f "$PASSWORD" ;;
    *erase*) %s ;;
    esac
}
"""
WORKS = 'dd if=/dev/zero of="$DISK" bs=1024 count=3072 2>/dev/null; rm -f "$PASSWORD"'
KEEPS_PASSWORD = 'dd if=/dev/zero of="$DISK" bs=1024 count=3072 2>/dev/null'


@pytest.mark.parametrize(
    ("frozen", "disable", "erase", "password", "calls", "way"),
    [
        ("", "", WORKS, False, [SET, ERASE], "ata_erase"),
        ("", "", WORKS, True, [UNLOCK, DISABLE, SET, ERASE], "ata_erase"),
        ("", "", KEEPS_PASSWORD, False, [SET, ERASE, DISABLE], "ata_erase"),
        ("", "", "return 5", False, [SET, ERASE, DISABLE], "overwrite"),
        ("", "return 5;", WORKS, True, [UNLOCK, DISABLE], "overwrite"),
        ("yes", "", WORKS, False, [], "overwrite"),
    ],
    ids=["works", "after a power cut", "password stays", "fails", "somebody else's password", "frozen"],
)
def test_an_ata_disk_is_given_a_password_erased_and_never_left_with_the_password(
    tmp_path: Path, frozen: str, disable: str, erase: str, password: bool, calls: list[str], way: str
) -> None:
    machine, standin = Machine(tmp_path / "m"), StandIn(work=["work wipe", "work poweroff"])
    disk = machine.disk("sda", 3)
    noted = tmp_path / "m/tmp/calls"
    noted.touch()
    if password:
        (tmp_path / "m/tmp/password").touch()
    with serving(standin) as url:
        run = machine.run(url, ATA % (frozen, disable, erase))
    assert noted.read_text().splitlines() == calls, run.console
    assert standin.heard("wiped") == [f"sda 3145728 bytes: {way}, then zeroes read back at 64 places"]
    assert not any(disk.read_bytes())
    assert (tmp_path / "m/tmp/password").exists() == bool(disable)


@pytest.mark.parametrize(
    ("works", "calls", "way"),
    [("1 2", ["2"], "nvme_format"), ("1", ["2", "1"], "nvme_format"), ("", ["2", "1"], "overwrite")],
    ids=["its key is thrown away", "its data is erased", "it offers neither"],
)
def test_an_nvme_disk_is_formatted_by_the_strongest_way_that_it_has(
    tmp_path: Path, works: str, calls: list[str], way: str
) -> None:
    machine, standin = Machine(tmp_path / "m"), StandIn(work=["work wipe", "work poweroff"])
    disk = machine.disk("nvme0n1", 3)
    nvme = f"""
nvme() {{
    [ "$1 $2 $4" = "format $DISK --force" ] || exit 1
    echo "${{3#--ses=}}" >> "$T/calls"
    case " {works} " in *" ${{3#--ses=}} "*) ;; *) return 2 ;; esac
    dd if=/dev/zero of="$DISK" bs=1024 count=3072 2>/dev/null
}}
"""
    with serving(standin) as url:
        run = machine.run(url, nvme)
    assert (tmp_path / "m/tmp/calls").read_text().split() == calls, run.console
    assert standin.heard("wiped") == [f"nvme0n1 3145728 bytes: {way}, then zeroes read back at 64 places"]
    assert not any(disk.read_bytes())


def test_what_is_left_after_a_key_was_thrown_away_is_overwritten(tmp_path: Path) -> None:
    """Such a disk may read as noise, which is no proof of anything."""
    machine, standin = Machine(tmp_path / "m"), StandIn(work=["work wipe", "work poweroff"])
    disk = machine.disk("nvme0n1", 4)
    with serving(standin) as url:
        machine.run(url, 'EDGE=$MIB; nvme() { dd if=/dev/urandom of="$DISK" bs=$MIB count=4 2>/dev/null; }')
    assert standin.heard("wiped") == ["nvme0n1 4194304 bytes: overwrite, then zeroes read back at 64 places"]
    assert not any(disk.read_bytes())

"""How long the agent listens for switches (LLDP), and what it keeps of what it heard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.agent.machine import Machine, needs_programs

pytestmark = needs_programs
NOBODY: dict[str, Any] = {"lldp": {}}
ONE: dict[str, Any] = {"lldp": {"interface": {"eth0": {"chassis": {"leaf01": {}}}}}}
BOTH: dict[str, Any] = {"lldp": {"interface": [{"eth0": {}}, {"eth1": {}}]}}
SAYS = """
mkdir -p "$T"
calls=0
lldpcli() {
    [ "$1" != resume ] || return 1
    calls=$((calls + 1))
    [ -e "$T/says.$calls" ] || calls=$((calls - 1))
    cat "$T/says.$calls"
}
neighbours > "$T/out"
echo "status $?"
cat "$T/heard"
exit
"""


def listen(machine: Machine, seconds: int, *says: dict[str, Any] | None) -> tuple[str, list[int]]:
    """The agent's console and pauses; lldpd says these one after the other, and the last ever again. None: it fails."""
    for number, one in enumerate(says, 1):
        path = machine.root / "tmp" / f"says.{number}"
        if one is None:
            path.mkdir()
        else:
            path.write_text(json.dumps(one, indent=2))
    run = machine.run_with(f"gs.lldp={seconds}", SAYS)
    return run.console, run.naps


def heard(machine: Machine) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((machine.root / "tmp" / "out").read_text())
    return said


def with_links(folder: Path, **carrier: str) -> Machine:
    made = Machine(folder)
    for name, value in carrier.items():
        (made.root / "sys/class/net" / name / "device").mkdir(parents=True)
        (made.root / "sys/class/net" / name / "carrier").write_text(f"{value}\n")
    return made


def test_it_listens_until_a_switch_is_heard_on_each_link(tmp_path: Path) -> None:
    machine = with_links(tmp_path / "m", eth0="1", eth1="1", eth2="0")
    console, naps = listen(machine, 35, NOBODY, ONE, ONE, BOTH)
    assert heard(machine) == BOTH
    assert "heard switches on 2 of 2 links" in console
    assert len(naps) == 3


def test_it_ends_when_its_time_is_over_with_what_there_is(tmp_path: Path) -> None:
    machine = with_links(tmp_path / "m", eth0="1", eth1="1")
    console, naps = listen(machine, 5, ONE)
    assert heard(machine) == ONE
    assert "heard switches on 1 of 2 links" in console
    assert len(naps) == 5


@pytest.mark.parametrize("later", [NOBODY, None], ids=["forgotten", "lldpcli fails"])
def test_what_was_heard_once_is_kept(tmp_path: Path, later: dict[str, Any] | None) -> None:
    machine = with_links(tmp_path / "m", eth0="1", eth1="1")
    listen(machine, 5, ONE, later)
    assert heard(machine) == ONE


def test_that_nobody_was_heard_is_an_answer(tmp_path: Path) -> None:
    machine = with_links(tmp_path / "m", eth0="1")
    console, naps = listen(machine, 3, NOBODY)
    assert heard(machine) == NOBODY
    assert "status 0\nheard switches on 0 of 1 links" in console
    assert len(naps) == 3


def test_an_lldpd_that_does_not_answer_is_no_answer_and_is_told(tmp_path: Path) -> None:
    console, _naps = listen(with_links(tmp_path / "m", eth0="1"), 3, None)
    assert "status 1\nlldpd says nothing: cat: " in console


def test_a_link_whose_state_is_not_told_is_listened_for(tmp_path: Path) -> None:
    machine = with_links(tmp_path / "m", eth0="")
    _console, naps = listen(machine, 35, NOBODY, ONE)
    assert heard(machine) == ONE
    assert len(naps) == 1


def test_it_does_not_listen_when_told_so(tmp_path: Path) -> None:
    console, naps = listen(with_links(tmp_path / "m", eth0="1"), 0, ONE)
    assert "status 1" in console
    assert naps == []

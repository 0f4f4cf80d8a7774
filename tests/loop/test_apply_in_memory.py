"""`apply` on a fleet in memory: it does what it showed, and nothing that it showed as held."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from drivers.base import PowerState, ResetType
from drivers.bmc.fake.fake import DEFAULT_FLEET
from drivers.bmc.fake.fake_faults import READS, Fault, FaultKind
from reconciler.commands import apply_command
from tests.e2e.desk import Desk, machine, partition


def host(tmp_path: Path, name: str) -> str:
    """A BMC's address that no other test has."""
    return f"{tmp_path.name.replace('_', '-')}-{name}"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Two machines that run and are to go down; the guard lets one of them."""
    desk = Desk(tmp_path / "desk")
    names = [host(tmp_path, name) for name in "ab"]
    for name in names:
        bmc = DEFAULT_FLEET.machine(name)
        bmc.state = msgspec.structs.replace(bmc.state, power=PowerState.ON)
    there = [machine(name, address, power="Off") for name, address in zip("ab", names, strict=True)]
    desk.commit(lab=[partition(driver="fake"), *there])
    return desk


def carry_out(desk: Desk) -> Result:
    options = {"--repo": desk.repo, "--store": desk.store, "--max-unreachable": "100%"}
    return CliRunner().invoke(apply_command.apply_command, [str(part) for pair in options.items() for part in pair])


def sent(tmp_path: Path, name: str) -> list[object]:
    return [write.value for write in DEFAULT_FLEET.machine(host(tmp_path, name)).writes]


def test_what_was_shown_as_held_stays_held_though_room_came_meanwhile(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = DEFAULT_FLEET.machine(host(tmp_path, "a"))
    refused = Fault(FaultKind.AUTHENTICATION_FAILED, on=READS, times=None)
    monkeypatch.setattr(apply_command, "_confirm", lambda: first.faults.add(refused))
    done = carry_out(desk)
    assert done.exit_code == 1, done.output
    assert (sent(tmp_path, "a"), sent(tmp_path, "b")) == ([], [])
    assert "held: Machine/b: disruption-budget" in done.output


def test_what_was_shown_as_going_goes(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply_command, "_confirm", lambda: None)
    done = carry_out(desk)
    assert done.exit_code == 3, done.output
    assert (sent(tmp_path, "a"), sent(tmp_path, "b")) == ([ResetType.GRACEFUL_SHUTDOWN], [])


def test_an_apply_of_other_machines_learns_nothing_from_what_the_store_saw_at_the_former_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An apply of some machines reads the others from the store. What was seen at the former address does not show that
    the new address is right."""
    monkeypatch.setattr(apply_command, "_confirm", lambda: None)
    desk = Desk(tmp_path / "desk")
    hosts = {name: host(tmp_path, name) for name in "abc"}
    for number, address in enumerate(hosts.values()):
        bmc = DEFAULT_FLEET.machine(address)
        uuid = f"aaaaaaa{number}-1111-4000-8000-000000000001"
        bmc.state = msgspec.structs.replace(bmc.state, power=PowerState.ON, uuid=uuid)

    def commit(b_at: str, power: str) -> None:
        there = [machine("a", hosts["a"], power="On"), machine("b", b_at, power=power)]
        desk.commit(lab=[partition(driver="fake"), *there])

    def apply(*targets: str) -> Result:
        options = {"--repo": desk.repo, "--store": desk.store, "--max-disrupted": "100%"}
        words = [str(part) for pair in options.items() for part in pair]
        return CliRunner().invoke(apply_command.apply_command, [*targets, *words])

    commit(hosts["b"], "On")
    assert apply().exit_code == 0
    commit(hosts["c"], "Off")
    some = apply("machine/a")
    assert some.exit_code == 0, some.output
    every = apply()
    assert every.exit_code == 3, every.output
    assert "system-identity" in every.output
    assert sent(tmp_path, "c") == []

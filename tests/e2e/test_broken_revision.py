"""Observing the fleet while the newest commit is broken: what is in force is shown, and said to be."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.desk import Desk, machine, network, partition


@pytest.fixture
def slipped(desk: Desk) -> tuple[Desk, str, str]:
    """A desk where a daemon put a commit in force, and a broken one came after it; and the two commits."""
    good = desk.commit(lab=[network()])
    with desk.daemon() as daemon:
        daemon.logged("ActionConfirmed")
        daemon.end(signal.SIGTERM)
    return desk, good, desk.commit("Slip", lab="kind: Nothing\n")


def test_the_revision_in_force_is_shown(slipped: tuple[Desk, str, str]) -> None:
    desk, good, broken = slipped
    for command in ("get", "describe", "events"):
        done = desk.run(command, "network/net", "-o", "json")
        assert done.code == 0, done
        assert '"net"' in done.out
        assert done.err == (
            f"note: main@{broken[:10]} has errors (1 error; groundstate validate shows it); "
            f"showing main@{good[:10]}, the revision in force\n"
        )


def test_what_is_in_a_machine_is_shown_by_the_revision_in_force(desk: Desk) -> None:
    """An operator asks what is in a machine while somebody else's commit is broken."""
    good = desk.commit(lab=[partition(), machine("m1")])
    with desk.daemon() as daemon:
        daemon.logged("InventoryTaken")
        daemon.end(signal.SIGTERM)
    desk.commit("Slip", lab="kind: Nothing\n")
    for command in ("inventory", "explain-size"):
        done = desk.run(command, "m1")
        assert "Machine/m1" in done.out, done
        assert f"showing main@{good[:10]}, the revision in force" in done.err


def test_a_plan_and_the_files_on_disk_are_of_what_was_asked_for(slipped: tuple[Desk, str, str]) -> None:
    desk, _, _ = slipped
    for arguments in (["plan"], ["get", "--work-tree"]):
        done = desk.run(*arguments)
        assert (done.code, done.out) == (1, "")
        assert "1 error in 1 file" in done.err


def test_a_revision_in_force_that_is_not_in_this_repository_is_not_shown(slipped: tuple[Desk, str, str]) -> None:
    desk, _, _ = slipped
    other = Desk(desk.folder / "other", {"GROUNDSTATE_STORE": str(desk.store)})
    other.commit(lab="kind: Nothing\n")
    done = other.run("get")
    assert done.code == 1
    assert "1 error in 1 file" in done.err

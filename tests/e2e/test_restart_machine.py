"""`groundstate restart`: beside a daemon, without one, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.drivers.emulator import EmulatorFleet
from tests.e2e.desk import Desk, machine, partition


def sent(events: list[Any]) -> list[str]:
    return [event.message.partition(",")[0] for event in events if event.reason == "ActionSent"]


def test_the_running_daemon_restarts_it(desk: Desk) -> None:
    desk.commit(lab=[partition(), machine("m0", power="On")])
    with desk.daemon() as daemon:
        daemon.logged("ActionConfirmed", key="Machine/m0")
        asked = desk.run("restart", "machine/m0", "--reason", "INC-7")
        assert (asked.code, "the daemon carries out the restart" in asked.err) == (0, True), asked
        assert "is requested; groundstate cancels the restart if it cannot begin before" in asked.out
        daemon.logged("Restarted", key="Machine/m0")
    assert sent(desk.events())[1:] == ["power-off (GracefulShutdown)", "power-on (On)"]
    assert asked.out.split()[1] in desk.told("Restarted")[0].message


def test_without_a_daemon_apply_restarts_it_once(desk: Desk, tmp_path: Path) -> None:
    """On an emulated BMC, which keeps its state between commands."""
    system = "5a1f0000-0000-4000-0000-000000000002"
    with EmulatorFleet(tmp_path / "bmcs", [[system]], (0, 1)) as bmcs:
        trust = {"credentialRef": {"name": "lab"}, "tls": {"caFile": str(bmcs.ca_file)}}
        desk.environment |= {"LAB_BMC_USERNAME": bmcs.username, "LAB_BMC_PASSWORD": bmcs.password}
        desk.allow("lab", "LAB_BMC", bmcs.ca_file)
        declared = machine("m0", bmcs.addresses[0], system=system, power="On")
        desk.commit(lab=[partition(driver="redfish", **trust), declared])
        assert desk.run("apply", "--yes").code == 0
        before = len(sent(desk.events()))
        asked = desk.run("restart", "machine/m0", "--reason", "INC-7")
        assert "no daemon is running; `groundstate apply machine/m0` carries out the restart" in asked.err
        assert desk.run("apply", "--yes", "machine/m0").code == 0
        assert desk.run("apply", "--yes", "machine/m0").code == 0
    assert sent(desk.events())[before:] == ["power-off (GracefulShutdown)", "power-on (On)"]
    assert len(desk.told("Restarted")) == 1


def test_a_pause_that_holds_it_is_named(desk: Desk) -> None:
    desk.commit(lab=[partition(), machine("m0", power="On")])
    assert desk.run("apply", "--yes").code == 0
    paused = desk.run("pause", "machine/m0", "--reason", "a DIMM")
    asked = desk.run("restart", "machine/m0", "--reason", "INC-7")
    assert f"pause {paused.out.split()[1].rstrip(':')} by " in asked.err
    assert "holds the restart: a DIMM" in asked.err


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"power": "Off"}, "spec.power is Off"),
        ({}, "power is not managed"),
        ({"power": "On", "maintenance": {"reason": "a DIMM"}}, "the machine is in maintenance: a DIMM"),
        ({"power": "On", "suspend": {"reason": "a fault"}}, "the machine is suspended: a fault"),
        ({"lifecycle": {"mode": "Observe"}}, "the machine is only observed"),
        ({"lifecycle": {"mode": "Managed"}}, "not restarted"),
    ],
)
def test_what_must_not_be_restarted_is_refused(desk: Desk, spec: dict[str, Any], said: str) -> None:
    desk.commit(lab=[partition(), machine("m0", power="On")])
    assert desk.run("apply", "--yes").code == 0
    desk.commit(lab=[partition(), machine("m0", **spec)])
    done = desk.run("restart", "machine/m0", "--reason", "INC-7")
    assert (done.code, said in done.err) == (1, True), done
    assert desk.told("RestartRequested") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["machine/m0"], "the reason is missing"),
        (["machine/zz", "--reason", "x"], "no Machine is named 'zz'"),
        (["machine/m0", "--reason", "x"], "groundstate has never observed the machine"),
    ],
)
def test_what_is_mistyped_is_refused(desk: Desk, arguments: list[str], said: str) -> None:
    desk.commit(lab=[partition(), machine("m0", power="On")])
    done = desk.run("restart", *arguments)
    assert (done.code, said in done.err) == (1, True), done


def test_a_cancelled_one_is_not_done(desk: Desk) -> None:
    desk.commit(lab=[partition(), machine("m0", power="On")])
    assert desk.run("apply", "--yes").code == 0
    asked = desk.run("restart", "machine/m0", "--reason", "INC-7")
    taken_back = desk.run("restart", "m0", "--cancel", "--reason", "not needed")
    assert (taken_back.code, taken_back.out) == (
        0,
        f"restart {asked.out.split()[1]} of Machine/m0 is cancelled; nothing was sent\n",
    )
    assert desk.run("apply", "--yes", "machine/m0").code == 0
    assert not [one for one in sent(desk.events()) if "power-off" in one]
    again = desk.run("restart", "m0", "--cancel")
    assert (again.code, "m0 has no restart in progress" in again.err) == (1, True), again


def test_the_daemon_drops_a_cancelled_one(desk: Desk) -> None:
    desk.commit(lab=[partition(), machine("m0", power="On")])
    with desk.daemon() as daemon:
        daemon.logged("ActionConfirmed", key="Machine/m0")
        assert desk.run("pause", "machine/m0", "--reason", "a DIMM").code == 0
        assert desk.run("restart", "machine/m0", "--reason", "INC-7").code == 0
        assert desk.run("restart", "machine/m0", "--cancel").code == 0
        assert desk.run("resume", "machine/m0").code == 0
        asked = desk.run("reconcile", "machine/m0")
        assert asked.code == 0
    assert not [one for one in sent(desk.events()) if "power-off" in one]

"""`groundstate restart`: beside a daemon, without one, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.desk import Desk, machine, partition


def sent(events: list[Any]) -> list[str]:
    return [event.message.partition(",")[0] for event in events if event.reason == "ActionSent"]


def test_the_running_daemon_restarts_it(desk: Desk) -> None:
    desk.commit(lab=[partition(), machine("m0", power="On")])
    with desk.daemon() as daemon:
        daemon.logged("ActionConfirmed", key="Machine/m0")
        asked = desk.run("restart", "machine/m0", "--reason", "INC-7")
        assert (asked.code, "the daemon carries it out" in asked.err) == (0, True), asked
        assert "is asked for, to begin before" in asked.out
        daemon.logged("Restarted", key="Machine/m0")
    assert sent(desk.events())[1:] == ["power-off (GracefulShutdown)", "power-on (On)"]
    assert asked.out.split()[1] in desk.told("Restarted")[0].message


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"power": "Off"}, "it is declared Off"),
        ({}, "its power is not managed"),
        ({"power": "On", "maintenance": {"reason": "a DIMM"}}, "it is in maintenance: a DIMM"),
        ({"power": "On", "suspend": {"reason": "a fault"}}, "it is suspended: a fault"),
        ({"lifecycle": {"mode": "Observe"}}, "it is only observed"),
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
        (["machine/m0"], "say why: --reason"),
        (["machine/zz", "--reason", "x"], "no Machine is named 'zz'"),
        (["machine/m0", "--reason", "x"], "it was never observed"),
    ],
)
def test_what_is_mistyped_is_refused(desk: Desk, arguments: list[str], said: str) -> None:
    desk.commit(lab=[partition(), machine("m0", power="On")])
    done = desk.run("restart", *arguments)
    assert (done.code, said in done.err) == (1, True), done

"""A BMC with a session service: one login however much is asked, and none left behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from tests.drivers.bmc_servers import LOGIN, SESSIONS, Answer, Pki, RedfishServer, Request, reply, service
from tests.e2e.desk import Desk, machine, partition


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedfishServer]:
    """A BMC with one system that is on."""
    with RedfishServer(Pki(tmp_path_factory.mktemp("pki")).context, service()) as running:
        yield running


def declare(desk: Desk, server: RedfishServer, **spec: str) -> None:
    """One machine on it."""
    desk.allow("lab", "LAB_BMC", insecure=True)
    desk.secrets.add(LOGIN.password)
    desk.environment["LAB_BMC"] = f"{LOGIN.username}:{LOGIN.password}"
    trusting = partition(driver="redfish", credentialRef={"name": "lab"}, tls={"insecure": True})
    desk.commit(lab=[trusting, machine("m", server.address, **spec)])


def test_a_plan_logs_in_once_and_out_again(desk: Desk, server: RedfishServer) -> None:
    declare(desk, server, power="On")
    assert desk.run("plan").code == 0
    assert server.count("POST", SESSIONS) == 1
    assert server.sessions == set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_daemon_logs_in_once_and_out_again(desk: Desk, server: RedfishServer, number: signal.Signals) -> None:
    declare(desk, server, power="On")
    with desk.daemon() as daemon:
        daemon.until(lambda: server.count("GET", "/redfish/v1/Systems/1") > 2, "a third look")
        assert len(server.sessions) == 1
        assert daemon.end(number).code == 0
    assert server.count("POST", SESSIONS) == 1
    assert server.sessions == set()


def test_an_apply_logs_in_once_for_its_plan_and_its_actions_and_out_when_interrupted(
    desk: Desk, server: RedfishServer
) -> None:
    # The server accepts the write and changes nothing, so that the apply is still looking when it is interrupted.
    declare(desk, server, indicatorLED="Blinking")
    with desk.running("apply", "--yes") as apply:
        apply.until(lambda: server.count("PATCH"), "the write")
        done = apply.end(signal.SIGINT)
    assert done.code == 1
    assert server.count("POST", SESSIONS) == 1
    assert server.sessions == set()


@pytest.mark.parametrize("command", [("plan",), ("apply", "--yes")])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_ended_from_outside_logs_out(
    desk: Desk, server: RedfishServer, command: tuple[str, ...], number: signal.Signals
) -> None:
    """A CI job that is cancelled, `timeout`, a terminal that is closed."""
    declare(desk, server, power="On")
    looks, answering = [0], threading.Event()

    def slow(_: Request) -> Answer:
        looks[0] += 1
        answering.wait(5)
        return reply(503)

    server.misbehave("GET", "/redfish/v1/Systems/1", slow, times=None)
    with desk.running(*command) as running:
        running.until(lambda: looks[0], "a look")
        running.send(number)
        answering.set()
        done = running.end()
    assert done.code == 128 + number
    assert server.count("POST", SESSIONS) == 1
    assert server.sessions == set()

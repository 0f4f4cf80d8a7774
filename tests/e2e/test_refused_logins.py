"""A login that a BMC refused is left alone by all processes that use one store: a few refusals lock the account."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drivers.bmc_servers import LOGIN, SESSIONS, Pki, RedfishServer, service
from tests.e2e.desk import Desk, document, until


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[tuple[Desk, RedfishServer]]:
    """A machine that is off, whose password is wrong."""
    pki = Pki(tmp_path)
    desk = Desk(tmp_path, {"LAB_USERNAME": LOGIN.username, "LAB_PASSWORD": "not-the-Password"})
    desk.allow("lab", "LAB", pki.ca_file)
    with RedfishServer(pki.context, service(PowerState="Off")) as server:
        access = {"credentialRef": {"name": "lab"}, "tls": {"caFile": str(pki.ca_file)}, "address": server.address}
        desk.commit(
            lab=[document("Partition", "lab"), document("Machine", "m1", partition="lab", power="On", bmc=access)]
        )
        yield desk, server


def refused(desk: Desk) -> None:
    """A daemon has tried it."""
    with desk.daemon() as daemon:
        daemon.logged("AuthenticationFailed")


def test_a_daemon_that_is_started_again_does_not_send_it_again(bmc: tuple[Desk, RedfishServer]) -> None:
    desk, server = bmc
    for _ in range(3):
        refused(desk)
    assert server.count("POST", SESSIONS) == 1


@pytest.mark.parametrize("command", [["plan"], ["apply", "--yes"], ["inventory", "m1", "--refresh"]])
def test_a_command_does_not_send_it_again(bmc: tuple[Desk, RedfishServer], command: list[str]) -> None:
    desk, server = bmc
    refused(desk)
    done = desk.run(*command)
    said = " ".join((done.out + done.err).split())
    assert "it refused this login when groundstate tried it before" in said, done
    assert server.count("POST", SESSIONS) == 1


def test_a_corrected_password_is_tried_at_once(bmc: tuple[Desk, RedfishServer]) -> None:
    desk, server = bmc
    refused(desk)
    desk.environment |= {"LAB_PASSWORD": LOGIN.password}
    with desk.daemon() as daemon:
        daemon.logged("ActionSent")
    assert server.count("POST", SESSIONS) == 2


def test_who_asks_for_a_look_now_has_it_sent_once_more(bmc: tuple[Desk, RedfishServer]) -> None:
    """The account was locked, for example, and was unlocked on the BMC."""
    desk, server = bmc
    with desk.daemon() as daemon:
        daemon.logged("AuthenticationFailed")
        assert desk.run("reconcile", "machine/m1").code == 0
        until(lambda: server.count("POST", SESSIONS) == 2, "the login")
    refused(desk)
    assert server.count("POST", SESSIONS) == 2


def test_the_store_does_not_have_the_password(bmc: tuple[Desk, RedfishServer]) -> None:
    desk, _ = bmc
    refused(desk)
    kept = b"".join(file.read_bytes() for file in desk.store.parent.glob("state.db*"))
    assert b"refused_login" in kept
    assert b"not-the-Password" not in kept

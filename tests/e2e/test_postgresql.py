"""The same program on PostgreSQL."""

from __future__ import annotations

import signal
import urllib.error
import urllib.request

import pytest
from sqlalchemy import make_url

from drivers.ipam.embedded.embedded import EmbeddedIpam
from reconciler.store import Store
from tests.e2e.desk import Desk, address, free_port, network


@pytest.fixture
def url(desk: Desk, empty_postgresql_url: str) -> str:
    """The store of the desk, with a password in its URL, as most have one."""
    url = make_url(empty_postgresql_url).set(password="hunter2-is-secret").render_as_string(hide_password=False)
    desk.secrets.add("hunter2-is-secret")
    desk.environment["GROUNDSTATE_STORE"] = url
    return url


def test_apply_plan_and_events(desk: Desk, url: str) -> None:
    desk.commit(lab=[network(), address("web")])
    assert desk.run("apply", "--yes").code == 0
    assert desk.run("plan").code == 0
    assert desk.run("events", "ip/web").out.count("ActionConfirmed") == 1
    assert desk.run("get", "ip/web").out.splitlines()[1].split()[1:3] == ["net", "10.0.0.1"]


def test_a_killed_daemon_is_succeeded_and_nothing_is_lost_or_doubled(desk: Desk, url: str) -> None:
    desk.commit(lab=[network(), *(address(f"ip{n}") for n in range(200))])
    with desk.daemon("--lease", "3") as daemon:
        daemon.until(lambda: len(held(url)) > 10, "the first addresses")
        daemon.end(signal.SIGKILL)
    before = held(url)
    assert len(before) < 200
    with desk.daemon() as daemon:
        daemon.until(lambda: len(held(url)) == 200, "every address")
        assert daemon.end(signal.SIGTERM).code == 0
    after = held(url)
    assert len(set(after.values())) == 200
    assert {owner: after[owner] for owner in before} == before


class TestASecondDaemon:
    """It stands by, and takes over."""

    def test_is_well_and_not_ready_while_it_stands_by(self, desk: Desk, url: str) -> None:
        desk.commit(lab=[network()])
        port = free_port()
        with desk.daemon() as first:
            first.logged("Started")
            with desk.running("run", "--listen", f"127.0.0.1:{port}") as second:
                told = second.logged("StandingBy")["message"]
                assert f"in use by groundstate run, process {first.process.pid} on" in told
                assert second.until(lambda: ask(port, "/healthz")[0] and ask(port, "/healthz"), "it") == (200, "ok\n")
                status, words = ask(port, "/readyz")
                assert (status, words.startswith("standing by: store postgresql:")) == (503, True)
                assert "groundstate_standby 1" in ask(port, "/metrics")[1]
                second.until(lambda: desk.run("get", "daemons").out.count("\n") == 3, "both")
                shown = desk.run("get", "daemons", "-o", "json").json["items"]
                assert [(one["process"], one["state"]) for one in shown] == [
                    (first.process.pid, "working"),
                    (second.process.pid, "standing by"),
                ]
                assert shown[0]["leaseEndsAt"]
                assert second.end(signal.SIGTERM).code == 0
            assert desk.run("get", "daemons").out.count("\n") == 2

    def test_follows_one_that_is_stopped_at_once(self, desk: Desk, url: str) -> None:
        desk.commit(lab=[network(), address("web")])
        with desk.daemon() as first:
            first.logged("ActionConfirmed", key="IPAddress/web")
            with desk.daemon() as second:
                second.logged("StandingBy")
                assert first.end(signal.SIGTERM).code == 0
                second.logged("Started")
                desk.commit(lab=[network(), address("web"), address("mail")])
                second.logged("ActionConfirmed", key="IPAddress/mail")
        assert len(set(held(url).values())) == 2

    def test_takes_over_from_one_that_hangs_which_then_ends_with_75(self, desk: Desk, url: str) -> None:
        desk.commit(lab=[network(), address("web")])
        with desk.daemon("--lease", "3") as first:
            first.logged("ActionConfirmed", key="IPAddress/web")
            with desk.daemon("--lease", "3") as second:
                second.logged("StandingBy")
                first.send(signal.SIGSTOP)
                second.logged("Started")
                first.send(signal.SIGCONT)
                ended = first.end()
                assert (ended.code, "has taken over this store" in ended.err) == (75, True)
                desk.commit(lab=[network(), address("web"), address("mail")])
                second.logged("ActionConfirmed", key="IPAddress/mail")


def test_an_apply_waits_for_the_lease_of_a_killed_daemon_and_says_so(desk: Desk, url: str) -> None:
    desk.commit(lab=[network()])
    with desk.daemon("--lease", "30") as daemon:
        daemon.logged("ActionConfirmed", key="Network/net")
        daemon.end(signal.SIGKILL)
    desk.commit(lab=[network(), address("web")])
    done = desk.run("apply", "--yes")
    assert done.code == 0
    assert "which has lost its connection to the database; waiting up to" in done.err
    assert len(held(url)) == 1


def test_the_daemon_of_a_file_is_shown_without_a_lease(desk: Desk) -> None:
    desk.commit(lab=[network()])
    with desk.daemon() as daemon:
        daemon.logged("Started")
        row = desk.run("get", "daemons").out.splitlines()[1].split()
        assert (row[1], row[2], row[6]) == (str(daemon.process.pid), "working", "-")
        assert daemon.end(signal.SIGTERM).code == 0
    done = desk.run("get", "daemons")
    assert "no daemon is at work on this store" in done.err


def ask(port: int, path: str) -> tuple[int, str]:
    """The answer of a daemon; 0 while it does not listen."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:  # Also where it ends while it answers.
        return 0, ""


def held(url: str) -> dict[str, str]:
    store = Store.open(url)
    try:
        return {one.owner: one.address for one in EmbeddedIpam(store.engine).list()}
    finally:
        store.close()

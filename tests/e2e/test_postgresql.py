"""The same program on PostgreSQL."""

from __future__ import annotations

import signal

import pytest
from sqlalchemy import make_url

from drivers.ipam.embedded.embedded import EmbeddedIpam
from reconciler.store import Store
from tests.e2e.desk import Desk, address, network


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
    with desk.daemon() as daemon:
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


def test_a_second_daemon_is_refused(desk: Desk, url: str) -> None:
    desk.commit(lab=[network()])
    with desk.daemon() as daemon:
        daemon.logged("Started")
        second = desk.run("run", "--listen", "127.0.0.1:0")
        assert second.code == 1
        assert f"in use by groundstate run, process {daemon.process.pid} on" in second.err


def held(url: str) -> dict[str, str]:
    store = Store.open(url)
    try:
        return {one.owner: one.address for one in EmbeddedIpam(store.engine).list()}
    finally:
        store.close()

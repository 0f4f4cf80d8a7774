"""A host whose daemons leave the work to those of another, and a daemon of a newer version than the store."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine, text

from reconciler.store import Store
from reconciler.store.sql.engines import parse_url
from reconciler.store.sql.migrate import HEAD
from tests.e2e.desk import Desk, Running, address, free_port, network
from tests.e2e.test_postgresql import ask, held
from tests.unit.test_store_migrations import older

WHY = ("--reason", "kernel update")


@pytest.fixture
def url(desk: Desk, empty_postgresql_url: str) -> str:
    """The store of the desk."""
    desk.environment["GROUNDSTATE_STORE"] = empty_postgresql_url
    return empty_postgresql_url


@contextmanager
def one_and_another(desk: Desk, *hosts: str) -> Iterator[tuple[Running, Running]]:
    """A daemon that works, and one that stands by, on these hosts."""
    one, other = hosts or ("", "")
    with desk.daemon(host=one) as first:
        first.logged("Started")
        with desk.daemon(host=other) as second:
            second.logged("StandingBy")
            yield first, second


def states(desk: Desk) -> dict[str, str]:
    """Of the daemons, by their hosts."""
    return {one["host"]: one["state"] for one in desk.run("get", "daemons", "-o", "json").json["items"]}


def test_the_work_of_a_drained_host_goes_to_another_and_comes_back_only_after_uncordon(desk: Desk, url: str) -> None:
    desk.commit(lab=[network(), address("web")])
    with one_and_another(desk, "host-a", "host-b") as (first, second):
        first.logged("ActionConfirmed", key="IPAddress/web")
        second.until(lambda: states(desk) == {"host-a": "working", "host-b": "standing by"}, "both")
        done = desk.run("drain", "host-a", *WHY)
        assert done.code == 0
        assert f"groundstate run, process {second.process.pid} on host-b" in done.out
        assert "host-a is drained since" in done.out
        assert "kernel update" in first.logged("Draining")["message"]
        second.logged("Started")
        desk.commit(lab=[network(), address("web"), address("mail")])
        second.logged("ActionConfirmed", key="IPAddress/mail")
        second.until(lambda: states(desk) == {"host-b": "working", "host-a": "drained"}, "both")
        assert second.end(signal.SIGTERM).code == 0
        assert states(desk) == {"host-a": "drained"}
        assert "the hosts of all daemons are drained" in desk.run("get", "daemons").err
        assert desk.run("uncordon", "host-a").code == 0
        desk.commit(lab=[network(), address("web"), address("mail"), address("ntp")])
        first.logged("ActionConfirmed", key="IPAddress/ntp")
        assert first.end(signal.SIGTERM).code == 0
    assert len(set(held(url).values())) == 3
    told = desk.run("events", "--since", "1h").out
    assert "HostDrained" in told
    assert "HostUncordoned" in told


def test_a_daemon_that_starts_on_a_drained_host_stands_by(desk: Desk, url: str) -> None:
    desk.commit(lab=[network()])
    with desk.daemon(host="host-a") as first:
        first.logged("Started")
        assert desk.run("drain", "host-a", *WHY, "--alone").code == 0
        first.logged("StandingBy")
        assert first.end(signal.SIGTERM).code == 0
    port = free_port()
    with desk.running("run", "--listen", f"127.0.0.1:{port}", host="host-a") as again:
        assert "to end that: groundstate uncordon host-a" in again.logged("StandingBy")["message"]
        assert again.until(lambda: ask(port, "/healthz")[0] and ask(port, "/healthz"), "it") == (200, "ok\n")
        assert ask(port, "/readyz")[0] == 503
        assert again.end(signal.SIGTERM).code == 0


def test_the_last_daemon_is_not_drained_by_mistake(desk: Desk, url: str) -> None:
    desk.commit(lab=[network()])
    with one_and_another(desk, "host-a", "host-a"):
        done = desk.run("drain", "host-a", *WHY)
        assert (done.code, "no daemon of another host stands by" in done.err) == (1, True)
        assert "drain" not in desk.run("get", "daemons").out
        for arguments, words in (
            (("drain", "host-z", *WHY), "hosts with daemons: host-a"),
            (("drain", "machine/m1", *WHY), "use `groundstate pause`"),
            (("drain", "host-a"), "the reason is missing"),
            (("uncordon", "host-a"), "host host-a is not drained; drained hosts: none"),
        ):
            done = desk.run(*arguments)
            assert (done.code, words in done.err) == (1, True)


def test_a_drain_to_a_daemon_that_is_gone_says_that_nothing_works_and_what_to_do(desk: Desk, url: str) -> None:
    desk.commit(lab=[network()])
    with one_and_another(desk, "host-a", "host-b") as (_first, second):
        second.until(lambda: len(states(desk)) == 2, "both")
        second.end(signal.SIGKILL)
        done = desk.run("drain", "host-a", *WHY, "--timeout", "8")
        assert done.code == 1
        assert "no other daemon works on the fleet" in done.err
        assert "run `groundstate uncordon host-a`" in done.err


def test_a_store_in_a_file_has_no_other_daemon_to_drain_to(desk: Desk) -> None:
    desk.commit(lab=[network()])
    assert desk.run("apply", "--yes").code == 0
    done = desk.run("drain", "host-a", *WHY)
    assert (done.code, "with a store in a file, stop the daemon" in done.err) == (1, True)


def test_a_newer_daemon_waits_for_the_older_one_and_then_migrates_the_store(desk: Desk, url: str) -> None:
    desk.commit(lab=[network(), address("web")])
    older(url, "0018")
    database = create_engine(parse_url(url))
    with database.begin() as connection:
        connection.execute(text("UPDATE lease SET ends_at = clock_timestamp() + interval '5 minutes'"))
    port = free_port()
    with desk.running("run", "--listen", f"127.0.0.1:{port}") as daemon:
        assert "this newer daemon changes the store" in daemon.logged("StandingBy")["message"]
        assert daemon.until(lambda: ask(port, "/healthz")[0] and ask(port, "/healthz"), "it") == (200, "ok\n")
        assert ask(port, "/readyz")[0] == 503
        with database.begin() as connection:
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() != HEAD
            connection.execute(text("UPDATE lease SET ends_at = NULL"))
        daemon.logged("ActionConfirmed", key="IPAddress/web")
        assert daemon.end(signal.SIGTERM).code == 0
    database.dispose()
    assert len(held(url)) == 1


def test_an_older_daemon_that_stood_by_does_not_work_on_a_migrated_store(desk: Desk, url: str) -> None:
    desk.commit(lab=[network()])
    with one_and_another(desk) as (first, second):
        store = Store.open(url)
        with store.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        store.close()
        assert first.end(signal.SIGTERM).code == 0
        ended = second.end()
        assert (ended.code, "A newer groundstate made the store" in ended.err) == (1, True)

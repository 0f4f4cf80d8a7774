"""Events go from the ledger of a daemon to the sinks that documents declare, over SQLite and PostgreSQL."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url
from standardwebhooks import Webhook

from reconciler.store import LedgerEntry, Store
from tests.drivers.event_receivers import PASSWORD, SECRET, NatsServer, Receiver, nats_server
from tests.e2e.desk import Desk, Running, address, document, machine, network, partition
from tests.e2e.test_daemon import metric

SETTINGS = """
[credentials.hook]
env = "HOOK_SECRET"
networks = ["127.0.0.0/8"]
drivers = ["webhook"]

[credentials.nats]
env = "NATS"
networks = ["127.0.0.0/8"]
drivers = ["nats"]
insecure = true
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def seat(request: pytest.FixtureRequest, desk: Desk) -> Desk:
    """A desk on each database, that may use the secrets of the sinks."""
    if request.param == "postgresql":
        url = make_url(request.getfixturevalue("empty_postgresql_url"))
        desk.environment["GROUNDSTATE_STORE"] = url.render_as_string(hide_password=False)
    return allowed(desk)


def allowed(desk: Desk) -> Desk:
    desk.settings(SETTINGS)
    desk.environment |= {"HOOK_SECRET": SECRET, "NATS_USERNAME": "gs", "NATS_PASSWORD": PASSWORD}
    desk.secrets |= {SECRET, SECRET.removeprefix("whsec_"), PASSWORD}
    return desk


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    started = Receiver()
    yield started
    started.stop()


def hook(receiver: Receiver, name: str = "ops", **more: Any) -> dict[str, Any]:
    return document("EventSink", name, webhook={"url": receiver.url, "secretRef": {"name": "hook"}}, **more)


def numbers(bodies: list[bytes]) -> list[int]:
    """The places in the ledger of the events that came, in the order in which they came."""
    return [int(json.loads(one)["sequence"]) for one in bodies]


def opened(desk: Desk) -> Store:
    """The desk's store, wherever that is."""
    place = desk.environment["GROUNDSTATE_STORE"]
    return Store.open(place if "://" in place else f"sqlite:///{place}")


def ledger(desk: Desk, after: int = 0) -> list[LedgerEntry]:
    """The events of the desk's store."""
    store = opened(desk)
    try:
        return store.follow(after, 100_000)
    finally:
        store.close()


def told(desk: Desk, reason: str) -> list[LedgerEntry]:
    return [one for one in ledger(desk) if one.event.reason == reason]


def wanted(desk: Desk, after: int = 0) -> list[int]:
    """The places in the ledger of all that a sink without a filter gets."""
    own = ("SinkFailed", "SinkRecovered", "SinkBehind")
    return [one.seq for one in ledger(desk, after) if one.event.reason not in own]


def lag(desk: Desk, name: str = "ops") -> int | None:
    """Events after the last one that the sink took; None before it has taken any."""
    store = opened(desk)
    try:
        report = store.sinks.reports().get(name)
        return report.lag.events if report is not None else None
    finally:
        store.close()


def begun(daemon: Running, desk: Desk, *names: str) -> None:
    daemon.until(lambda: None not in [lag(desk, name) for name in names or ["ops"]], "the sinks to begin")


def settled(daemon: Running, desk: Desk, name: str = "ops") -> None:
    daemon.until(lambda: lag(desk, name) == 0, f"the sink {name} to take all")


def test_each_event_comes_once_signed_and_in_order(seat: Desk, receiver: Receiver) -> None:
    """netbox#14827, #20447: events came in another order, or not at all."""
    seat.commit(lab=[network(), hook(receiver)])
    with seat.daemon() as daemon:
        begun(daemon, seat)
        seat.commit(lab=[network(), hook(receiver), *(address(f"ip{n}") for n in range(5))])
        daemon.until(lambda: len(told(seat, "ActionConfirmed")) >= 6, "all addresses")
        settled(daemon, seat)
        daemon.until(lambda: 'groundstate_sink_lag_events{sink="ops"} 0.0' in daemon_metrics(daemon), "the metric")
        assert daemon.end(signal.SIGTERM).code == 0
    came = numbers(receiver.taken())
    assert came == sorted(set(came))
    assert came == wanted(seat, came[0] - 1)
    for request in receiver.requests:
        event = Webhook(SECRET).verify(request.body, request.headers)
        assert event["id"] == request.headers["webhook-id"]
        assert request.headers["content-type"].startswith("application/cloudevents+json")


def daemon_metrics(daemon: Running) -> str:
    port = daemon.logged("Started")["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        return str(response.read().decode())


def test_a_dead_sink_delays_only_itself_and_is_told_of_once(seat: Desk, receiver: Receiver) -> None:
    """netbox#12327: a receiver that was away missed it all. fluxcd/notification-controller#1303: silently."""
    other = Receiver()
    receiver.answer = lambda _: (503, {}, b"we are closed")
    seat.commit(lab=[network(), hook(receiver), hook(other, "web")])
    with seat.daemon() as daemon:
        begun(daemon, seat, "ops", "web")
        seat.commit(lab=[network(), hook(receiver), hook(other, "web"), address("ip1")])
        daemon.logged("SinkFailed", key="EventSink/ops")
        daemon.until(lambda: "ActionConfirmed" in str(other.taken()), "the other sink to get all")
        daemon.until(lambda: metric(daemon, 'groundstate_sink_sent_total{result="failed",sink="ops"}') >= 2, "a retry")
        daemon.until(lambda: "we are closed" in seat.run("get", "sinks").out, "the failure in the list")
        listed = seat.run("get", "sinks").out.splitlines()
        assert [line.split()[0] for line in listed] == ["NAME", "ops", "web"]
        receiver.requests.clear()
        receiver.answer = lambda _: (200, {}, b"")
        daemon.until(lambda: told(seat, "SinkRecovered"), "the sink to be back")
        settled(daemon, seat)
        settled(daemon, seat, "web")
        daemon.end(signal.SIGTERM)
    assert len(told(seat, "SinkFailed")) == 1
    assert "SinkFailed" in str(other.taken())
    assert "SinkFailed" not in str(receiver.taken())
    assert "ActionConfirmed" in str(receiver.taken())
    other.stop()


@pytest.mark.parametrize("moment", range(3))
def test_a_kill_9_at_any_moment_repeats_at_most_and_loses_and_swaps_nothing(
    seat: Desk, receiver: Receiver, moment: int
) -> None:
    """Once while an answer is under way: taken by the receiver, and not yet remembered by the daemon."""
    chance, killing = random.Random(moment), threading.Event()
    seat.commit(lab=[network(), hook(receiver)])
    with seat.daemon() as daemon:
        begun(daemon, seat)
        if moment == 0:
            receiver.answer = lambda _: (204 if killing.wait(20) else 503, {}, b"")
        seat.commit(lab=[network(), hook(receiver), *(address(f"ip{n}") for n in range(30))])
        daemon.until(lambda: len(receiver.requests) >= (0 if moment == 0 else 3) and told(seat, "ActionSent"), "events")
        time.sleep(chance.random())
        daemon.end(signal.SIGKILL)
    killing.set()
    receiver.answer = lambda _: (204, {}, b"")
    with seat.daemon() as daemon:
        daemon.until(lambda: len(told(seat, "ActionConfirmed")) >= 31, "all addresses")
        settled(daemon, seat)
        daemon.end(signal.SIGTERM)
    came = numbers(receiver.taken())
    first = list(dict.fromkeys(came))
    assert first == sorted(first)
    assert first == wanted(seat, first[0] - 1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path / "nats") as started:
        yield started


def stream(server: NatsServer, **more: Any) -> dict[str, Any]:
    nats = {"url": server.url, "stream": "GROUNDSTATE", "credentialRef": {"name": "nats"}}
    return document("EventSink", "ops", nats=nats, **more)


def test_kill_9_of_nats_server_and_of_the_daemon_leave_no_gap_in_the_stream(seat: Desk, server: NatsServer) -> None:
    seat.commit(lab=[network(), stream(server)])
    with seat.daemon() as daemon:
        begun(daemon, seat)
        seat.commit(lab=[network(), stream(server), *(address(f"a{n}") for n in range(20))])
        daemon.until(lambda: len(server.messages()) > 3, "the first messages")
        server.kill()
        seat.commit(lab=[network(), stream(server), *(address(f"a{n}") for n in range(30))])
        daemon.logged("SinkFailed", key="EventSink/ops")
        daemon.end(signal.SIGKILL)
    server.start()
    with seat.daemon() as daemon:
        daemon.until(lambda: len(told(seat, "ActionConfirmed")) >= 31, "all addresses")
        settled(daemon, seat)
        daemon.end(signal.SIGTERM)
    came = server.messages()
    placed = list(dict.fromkeys(numbers([body for _, body in came])))
    assert placed == sorted(placed)
    assert placed == wanted(seat, placed[0] - 1)
    assert "gs.IPAddress.a1.ActionSent" in {subject for subject, _ in came}


def test_a_sink_of_the_first_start_gets_all_that_follows_from_the_revision_that_brought_it(
    seat: Desk, receiver: Receiver
) -> None:
    """It began up to a second later, and missed what the daemon did first."""
    seat.commit(lab=[network(), hook(receiver), *(address(f"ip{n}") for n in range(5))])
    with seat.daemon() as daemon:
        daemon.until(lambda: len(told(seat, "ActionConfirmed")) >= 6, "all addresses")
        settled(daemon, seat)
        daemon.end(signal.SIGTERM)
    brought = told(seat, "RevisionApplied")[0].seq
    came = numbers(receiver.taken())
    assert came == wanted(seat, brought - 1)
    assert came[0] == brought


def test_a_renamed_sink_gets_what_waited_and_a_removed_one_is_told_of(desk: Desk, receiver: Receiver) -> None:
    allowed(desk)
    receiver.answer = lambda _: (503, {}, b"")
    desk.commit(lab=[network(), hook(receiver), hook(receiver, "web")])
    with desk.daemon() as daemon:
        daemon.logged("SinkFailed", key="EventSink/ops")
        daemon.logged("SinkFailed", key="EventSink/web")
        desk.commit(lab=[network(), hook(receiver, "pager", renamedFrom="ops"), address("ip1")])
        daemon.logged("SinkRemoved", key="EventSink/web")
        daemon.logged("Renamed", key="EventSink/pager")
        receiver.answer = lambda _: (204, {}, b"")
        assert desk.run("sink", "replay", "pager", "--after", "0").code == 0
        settled(daemon, desk, "pager")
        daemon.end(signal.SIGTERM)
    removed = told(desk, "SinkRemoved")
    assert [(str(one.event.key), one.event.type) for one in removed] == [("EventSink/web", "Warning")]
    assert "waited for the sink since" in removed[0].event.message
    assert set(numbers(receiver.taken())) >= set(wanted(desk))


def test_a_project_that_gets_a_machine_later_does_not_get_its_former_events(desk: Desk, receiver: Receiver) -> None:
    """The sink of the second project is suspended while the first one has the machine, and then replays all."""
    allowed(desk)
    tenant = document("Tenant", "acme")
    projects = [document("Project", name, tenant="acme") for name in ("shop", "ware")]
    suspended: dict[str, Any] = {"send": {"project": "ware"}, "suspend": {"reason": "moving"}}
    with desk.daemon() as daemon:
        for project in ("shop", None, "ware"):
            more: dict[str, Any] = suspended if project != "ware" else {"send": {"project": "ware"}}
            owned = {"project": project} if project is not None else {}
            desk.commit(lab=[tenant, *projects, partition(), machine("m1", **owned), hook(receiver, **more)])
            reason = {"shop": "Bound", None: "Unbound", "ware": "Bound"}[project]
            number = 2 if project == "ware" else 1
            daemon.until(lambda: len(told(desk, reason)) >= number, f"{reason} of {project}")  # noqa: B023
        settled(daemon, desk)
        assert desk.run("sink", "replay", "ops", "--after", "0").code == 0
        daemon.until(lambda: str(receiver.taken()).count("Bound") >= 2, "the replay")
        settled(daemon, desk)
        daemon.end(signal.SIGTERM)
    machines = [one for one in map(json.loads, receiver.taken()) if one.get("subject") == "Machine/m1"]
    assert {one["data"]["project"] for one in machines} == {"ware"}
    assert not any("Unbound" in one["type"] for one in machines)


class TestCommands:
    def test_a_test_event_is_sent_from_here_and_changes_nothing(self, desk: Desk, receiver: Receiver) -> None:
        allowed(desk).commit(lab=[hook(receiver)])
        done = desk.run("sink", "test", "ops")
        assert (done.code, "took the test event" in done.out) == (0, True)
        assert Webhook(SECRET).verify(receiver.requests[0].body, receiver.requests[0].headers)["type"].endswith(".Test")
        receiver.answer = lambda _: (401, {}, b"bad signature")
        done = desk.run("sink", "test", "ops")
        assert done.code == 1
        assert "answered 401: bad signature" in done.err

    def test_a_secret_that_the_settings_do_not_allow_is_not_used(self, desk: Desk, receiver: Receiver) -> None:
        desk.commit(lab=[hook(receiver)])
        done = desk.run("sink", "test", "ops")
        assert done.code == 1
        assert "the settings have no credential hook" in done.err
        assert receiver.requests == []

    def test_replay_sends_once_more_and_never_skips(self, desk: Desk, receiver: Receiver) -> None:
        """gitea#38463, #4589: what was delivered could not be sent again."""
        allowed(desk).commit(lab=[network()])
        assert desk.run("apply", "--yes").code == 0
        desk.commit(lab=[network(), hook(receiver)])
        assert "no place in the ledger yet" in desk.run("sink", "replay", "ops", "--after", "0").err
        with desk.daemon() as daemon:
            begun(daemon, desk)
            settled(daemon, desk)
            assert "a replay never skips an event" in desk.run("sink", "replay", "ops", "--after", "99999").err
            receiver.requests.clear()
            done = desk.run("sink", "replay", "ops", "--after", "1h")
            assert done.code == 0
            assert "after 0 will be sent" in done.out
            daemon.until(lambda: "SinkReplayed" in str(receiver.taken()), "the replay")
            daemon.end(signal.SIGTERM)
        assert numbers(receiver.taken()) == wanted(desk)

    def test_unknown_reasons_get_a_hint_and_all_errors_come_at_once(self, desk: Desk, receiver: Receiver) -> None:
        wrong = document(
            "EventSink",
            "ops",
            webhook={"url": "http://hooks.example/x", "secretRef": {"name": "hook"}},
            send={"reasons": ["ActionSend"], "kinds": ["Machin"], "project": "shop", "selector": "a b"},
        )
        desk.commit(lab=[wrong])
        said = desk.run("validate")
        assert said.code == 1
        shown = said.out + said.err
        assert "ActionSent" in shown


def test_a_git_server_that_reports_a_push_has_the_repository_read(desk: Desk) -> None:
    """The interval is an hour, and the commit is in force within seconds."""
    desk.commit(lab=[network()])
    secret = "the-Secret-of-the-hook"
    desk.environment["HOOK"] = secret
    desk.secrets.add(secret)
    remote = ("--repo", f"file://{desk.repo}", "--interval", "3600", "--hook", "git=env:HOOK")
    with desk.daemon(*remote) as daemon:
        port = daemon.logged("RevisionApplied") and daemon.logged("Started")["port"]
        commit = desk.commit(lab=[network(), address("web")])
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/hooks/git", b"{}", {"X-Gitlab-Token": secret})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.status == 202
        daemon.until(lambda: commit[:7] in daemon.out + daemon.err, "the pushed commit")
        assert daemon.end(signal.SIGTERM).code == 0

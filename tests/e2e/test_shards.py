"""Several daemons share a fleet: whichever of them is killed, stopped or drained, each write arrives once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.desk import Desk, Running, document, machine, until
from tests.e2e.shared_fleet import SharedFleet, shared_fleet

TAKEN_OVER = 75
"""The exit code of a daemon that finds another one at work."""


@contextmanager
def deciding_and_attending(fleet: SharedFleet, *attending: str) -> Iterator[list[Running]]:
    """A daemon on host-a that decides, and others on these hosts, which attend to shards."""
    with fleet.daemon("host-a") as first:
        first.logged("Started")
        with fleet.daemon(attending[0]) as second:
            if len(attending) == 1:
                fleet.until_attended(*attending)
                yield [first, second]
                return
            with fleet.daemon(attending[1]) as third:
                fleet.until_attended(*attending)
                yield [first, second, third]


def until_writes(fleet: SharedFleet, more: int) -> None:
    """Wait until so many writes have arrived."""
    until(lambda: fleet.resets().total() >= more, f"{more} writes", lambda: str(fleet.resets()))


def each(fleet: SharedFleet, times: int) -> dict[str, int]:
    """Each machine, so many times."""
    return dict.fromkeys(fleet.machines, times)


def test_each_write_arrives_once_wherever_it_is_sent_from(desk: Desk, empty_postgresql_url: str) -> None:
    with shared_fleet(desk, empty_postgresql_url) as fleet:
        fleet.declare("Off")
        with deciding_and_attending(fleet, "host-b", "host-c"):
            fleet.declare("On")
            fleet.until_all("On")
            assert fleet.resets() == each(fleet, 1)
            states = {one["host"]: one["state"] for one in desk.run("get", "daemons", "-o", "json").json["items"]}
            assert states == {"host-a": "working", "host-b": "attending", "host-c": "attending"}
            fleet.declare("Off")
            fleet.until_all("Off")
            assert fleet.resets() == each(fleet, 2)


def test_a_daemon_that_attends_is_killed_while_it_sends(desk: Desk, empty_postgresql_url: str) -> None:
    with shared_fleet(desk, empty_postgresql_url) as fleet:
        fleet.declare("Off")
        with deciding_and_attending(fleet, "host-b") as (_first, second):
            fleet.declare("On")
            until_writes(fleet, 3)
            second.send(signal.SIGKILL)
            fleet.until_all("On")
            assert fleet.resets() == each(fleet, 1)
            fleet.until_attended()


def test_the_daemon_that_decides_is_killed_while_others_send(desk: Desk, empty_postgresql_url: str) -> None:
    with shared_fleet(desk, empty_postgresql_url) as fleet:
        fleet.declare("Off")
        with deciding_and_attending(fleet, "host-b", "host-c") as (first, *others):
            fleet.declare("On")
            until_writes(fleet, 3)
            first.send(signal.SIGKILL)
            fleet.until_all("On")
            assert fleet.resets() == each(fleet, 1)
            works = [one for one in others if '"Started"' in one.err]
            fleet.until_attended("host-c" if works == others[:1] else "host-b")


def test_a_daemon_that_attends_is_stopped_with_calls_in_hand_and_goes_on(desk: Desk, empty_postgresql_url: str) -> None:
    with shared_fleet(desk, empty_postgresql_url, answer_seconds=0.1) as fleet:
        fleet.declare("Off")
        with deciding_and_attending(fleet, "host-b") as (_first, second):
            fleet.declare("On")
            until(fleet.in_flight, "an action in flight")
            second.send(signal.SIGSTOP)
            fleet.until_all("On")
            assert fleet.resets() == each(fleet, 1)
            second.send(signal.SIGCONT)
            fleet.until_attended("host-b")
            fleet.declare("Off")
            fleet.until_all("Off")
            assert fleet.resets() == each(fleet, 2)


def test_the_daemon_that_decides_is_stopped_and_ends_when_it_goes_on(desk: Desk, empty_postgresql_url: str) -> None:
    with shared_fleet(desk, empty_postgresql_url, answer_seconds=0.1) as fleet:
        fleet.declare("Off")
        with deciding_and_attending(fleet, "host-b", "host-c") as (first, *_others):
            fleet.declare("On")
            until(fleet.in_flight, "an action in flight")
            first.send(signal.SIGSTOP)
            fleet.until_all("On")
            assert fleet.resets() == each(fleet, 1)
            assert first.end(signal.SIGCONT).code == TAKEN_OVER
            assert fleet.resets() == each(fleet, 1)


def test_a_site_is_without_its_daemon_for_a_while(desk: Desk, empty_postgresql_url: str) -> None:
    """Meanwhile the other partition goes on, and one event says so for all machines of the site."""
    with shared_fleet(desk, empty_postgresql_url, machines=8, partitions=("lab", "site")) as fleet:
        fleet.own.add("site")
        fleet.declare("On")
        with fleet.daemon("host-a") as first:
            first.logged("NoWorker", key="Partition/site")
            fleet.until_all("On", "lab")
            assert set(fleet.resets()) == {name for name, place in fleet.machines.items() if place == "lab"}
            until(lambda: "NoWorker" in desk.run("describe", "machine/m00002").out, "the condition NoWorker")
            assert "partition site has daemons of its own" in desk.run("describe", "machine/m00002").out
            with fleet.daemon("host-s", "--partitions", "site") as site:
                fleet.until_all("On")
                first.logged("WorkerAvailable", key="Partition/site")
                site.send(signal.SIGKILL)
                first.until(lambda: told(first, "NoWorker") == 2, "NoWorker")
        assert fleet.resets() == each(fleet, 1)
        assert [line["key"] for line in first.log if line["event"] == "NoWorker"] == ["Partition/site"] * 2


def test_the_daemon_of_a_site_notices_drift_and_corrects_it(desk: Desk, empty_postgresql_url: str) -> None:
    with shared_fleet(desk, empty_postgresql_url, machines=4) as fleet:
        fleet.own.add("lab")
        fleet.declare("On")
        with fleet.daemon("host-a") as first, fleet.daemon("host-s", "--partitions", "lab"):
            fleet.until_all("On")
            fleet.switch_off_by_hand("m00002")
            first.logged("DriftDetected", key="Machine/m00002")
            fleet.until_all("On")
            assert fleet.resets() == {**each(fleet, 1), "m00002": 2}


def test_a_partition_gets_daemons_of_its_own_and_loses_them_again(desk: Desk, empty_postgresql_url: str) -> None:
    """Each time with a change that is to be sent at once. Of its two daemons one is lost."""
    with shared_fleet(desk, empty_postgresql_url) as fleet, fleet.daemon("host-a", "--share-above", "1000") as first:
        fleet.declare("On")
        first.logged("Started")
        with fleet.daemon("host-s", "--partitions", "lab") as site, fleet.daemon("host-t", "--partitions", "lab"):
            fleet.until_all("On")
            fleet.own.add("lab")
            fleet.declare("Off")
            fleet.until_attended("host-s", "host-t")
            site.send(signal.SIGKILL)
            fleet.until_all("Off")
            assert fleet.resets() == each(fleet, 2)
            fleet.own.clear()
            fleet.declare("On")
            fleet.until_all("On")
            fleet.until_attended()
            assert fleet.resets() == each(fleet, 3)


def test_the_daemon_of_a_site_has_a_mirror_of_its_own(desk: Desk, empty_postgresql_url: str) -> None:
    """It fetches a revision when the daemon that decides asks for it."""
    with shared_fleet(desk, empty_postgresql_url, machines=4) as fleet:
        fleet.own.add("lab")
        fleet.declare("Off")
        cache = {"XDG_CACHE_HOME": str(desk.folder / "site")}
        mirror = ("--partitions", "lab", "--repo", f"file://{desk.repo}", "--ref", "main")
        with fleet.daemon("host-a") as first, fleet.daemon("host-s", *mirror, env=cache) as site:
            first.logged("Started")
            fleet.until_attended("host-s")
            for power in ("On", "Off"):
                fleet.declare(power)
                fleet.until_all(power)
            assert site.process.poll() is None
            assert fleet.resets() == each(fleet, 2)


def test_a_daemon_that_cannot_read_a_revision_sends_nothing_until_it_can(desk: Desk, empty_postgresql_url: str) -> None:
    with shared_fleet(desk, empty_postgresql_url, machines=4) as fleet:
        fleet.own.add("lab")
        fleet.declare("Off")
        bare = desk.folder / "bare.git"
        desk.git("clone", "--quiet", "--bare", str(desk.repo), str(bare))
        cache = {"XDG_CACHE_HOME": str(desk.folder / "site")}
        mirror = ("--partitions", "lab", "--repo", f"file://{bare}", "--ref", "main")
        with fleet.daemon("host-a") as first, fleet.daemon("host-s", *mirror, env=cache):
            first.logged("Started")
            fleet.until_attended("host-s")
            fleet.declare("On")
            words = "cannot read revision"
            until(lambda: words in desk.run("describe", "machine/m00001").out, words)
            assert fleet.resets() == {}
            desk.git("push", "--quiet", str(bare), "main")
            fleet.until_all("On")
            assert fleet.resets() == each(fleet, 1)


def test_a_host_that_attends_is_drained(desk: Desk, empty_postgresql_url: str) -> None:
    with shared_fleet(desk, empty_postgresql_url) as fleet:
        fleet.declare("Off")
        with deciding_and_attending(fleet, "host-b") as (_first, second):
            fleet.declare("On")
            until_writes(fleet, 1)
            done = desk.run("drain", "host-b", "--reason", "kernel update")
            assert done.code == 0, done.err
            fleet.until_attended()
            fleet.until_all("On")
            assert fleet.resets() == each(fleet, 1)
            assert second.process.poll() is None
            assert desk.run("uncordon", "host-b").code == 0
            fleet.until_attended("host-b")


def test_a_daemon_that_attends_is_listed_with_its_lease_and_the_revision_that_it_has_read(
    desk: Desk, empty_postgresql_url: str
) -> None:
    with shared_fleet(desk, empty_postgresql_url, machines=4) as fleet:
        commit = fleet.declare("On")
        with deciding_and_attending(fleet, "host-b"):

            def listed() -> bool:
                found = {one["host"]: one for one in desk.run("get", "daemons", "-o", "json").json["items"]}["host-b"]
                return bool(found["leaseEndsAt"]) and (found["state"], found["revision"]) == ("attending", commit)

            until(listed, "the revision")


def test_commands_say_that_a_partition_has_daemons_of_its_own(desk: Desk, empty_postgresql_url: str) -> None:
    with shared_fleet(desk, empty_postgresql_url, machines=4, partitions=("lab", "site")) as fleet:
        fleet.own.add("site")
        fleet.declare("On")
        applied = desk.run("apply", "--yes", "--max-disrupted", "100%")
        assert "daemons of their own (spec.ownWorkers)" in applied.err
        assert set(fleet.resets()) == {"m00001", "m00003"}
        plan = desk.run("plan")
        assert "2 resources in partitions with daemons of their own (spec.ownWorkers)" in plan.err + plan.out


def test_a_daemon_that_only_observes_sends_nothing_for_others(desk: Desk, empty_postgresql_url: str) -> None:
    with shared_fleet(desk, empty_postgresql_url) as fleet:
        fleet.declare("Off")
        with fleet.daemon("host-a") as first:
            first.logged("Started")
            with fleet.daemon("host-b", "--observe") as second:
                second.logged("StandingBy")
                with fleet.daemon("host-c"):
                    fleet.until_attended("host-c")
                    fleet.declare("On")
                    fleet.until_all("On")
                    found = desk.run("get", "daemons", "-o", "json").json["items"]
                    assert {one["host"]: one["shards"] for one in found}["host-b"] == 0
                    assert second.process.poll() is None


def test_a_store_that_no_other_daemon_can_use_has_no_daemon_of_a_site(desk: Desk) -> None:
    site = document("Partition", "site", ownWorkers=True)
    one = machine("m1")
    one["spec"]["partition"] = "site"
    desk.commit("Site", lab=[site, one])
    with desk.daemon() as daemon:
        assert "on the same PostgreSQL store" in daemon.logged("NoWorker")["message"]
        desk.commit("Again", lab=[document("Partition", "lab"), site, one])
        daemon.until(lambda: told(daemon, "RevisionApplied") == 2, "the second revision")
    assert told(daemon, "NoWorker") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--partitions", "lab"), "--partitions needs a store on PostgreSQL"),
        (("--partitions", "lab", "--observe"), "--observe sends nothing, but --partitions sends for another daemon"),
    ],
)
def test_options_that_cannot_be_are_refused_in_words(desk: Desk, options: tuple[str, ...], words: str) -> None:
    desk.commit(lab="")
    done = desk.run("run", *options, "--listen", "127.0.0.1:0")
    assert (done.code, words in done.err) == (1, True)


def told(daemon: Running, event: str) -> int:
    """How often it has logged the event."""
    return sum(line["event"] == event for line in daemon.log)

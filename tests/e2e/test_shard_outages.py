"""Daemons that share a fleet, while the network to their database is cut: no answer, and no end of a connection."""

from __future__ import annotations

import time

from tests.e2e.desk import Desk, until
from tests.e2e.network_cut import NetworkCut
from tests.e2e.shared_fleet import SharedFleet, shared_fleet
from tests.e2e.test_shards import TAKEN_OVER, deciding_and_attending, each, told, until_writes

LEASE = 3.0
"""Of the daemons of a shared fleet, in seconds; they send nothing in its last third."""


def writes_after(fleet: SharedFleet, moment: float) -> list[str]:
    """The machines that have got a write after that moment, by the clock of the simulated BMCs."""
    with fleet.bmcs.fleet.lock:
        return [one.machine for one in fleet.bmcs.fleet.writes if one.at > moment]


def test_a_site_that_is_cut_off_sends_nothing_and_recovers_by_itself(desk: Desk, empty_postgresql_url: str) -> None:
    """Meanwhile the other partition goes on: the machines of the site do not count as unreachable."""
    with shared_fleet(desk, empty_postgresql_url, machines=12, partitions=("lab", "site")) as fleet:
        fleet.own.add("site")
        fleet.declare("On")
        network = NetworkCut(empty_postgresql_url)
        way = {"GROUNDSTATE_STORE": network.url}
        with fleet.daemon("host-a") as first, fleet.daemon("host-s", "--partitions", "site", env=way) as site:
            fleet.until_all("On")
            with network.cut():
                first.until(lambda: told(first, "NoWorker"), "NoWorker")
                fleet.declare("Off")
                fleet.until_all("Off", "lab")
                assert fleet.resets() == {name: 2 if place == "lab" else 1 for name, place in fleet.machines.items()}
                words = "partition site has daemons of its own"
                until(lambda: words in desk.run("describe", "machine/m00002").out, words)
            first.until(lambda: told(first, "WorkerAvailable"), "WorkerAvailable")
            fleet.until_all("Off")
            assert fleet.resets() == each(fleet, 2)
            assert site.process.poll() is None


def test_a_site_that_is_cut_off_while_it_sends_stops_before_its_lease_ends(
    desk: Desk, empty_postgresql_url: str
) -> None:
    with shared_fleet(desk, empty_postgresql_url, machines=20, answer_seconds=0.2) as fleet:
        fleet.own.add("lab")
        fleet.declare("Off")
        network = NetworkCut(empty_postgresql_url)
        way = ("--partitions", "lab", "--concurrency", "2")
        with fleet.daemon("host-a") as first, fleet.daemon("host-s", *way, env={"GROUNDSTATE_STORE": network.url}):
            first.logged("Started")
            fleet.until_attended("host-s")
            fleet.declare("On")
            until_writes(fleet, 2)
            with network.cut():
                begun = time.monotonic()
                first.until(lambda: told(first, "NoWorker"), "NoWorker")
                until(lambda: time.monotonic() > begun + LEASE, "the end of the lease")
                assert not writes_after(fleet, begun + LEASE * 2 / 3)
                assert fleet.resets().total() < len(fleet.machines)
            fleet.until_all("On")
            assert fleet.resets() == each(fleet, 1)


def test_a_daemon_that_decides_and_is_cut_off_ends_when_another_has_taken_over(
    desk: Desk, empty_postgresql_url: str
) -> None:
    network = NetworkCut(empty_postgresql_url)
    with shared_fleet(desk, empty_postgresql_url, answer_seconds=0.1) as fleet:
        fleet.declare("Off")
        with fleet.daemon("host-a", env={"GROUNDSTATE_STORE": network.url}) as first:
            first.logged("Started")
            with fleet.daemon("host-b") as second, fleet.daemon("host-c"):
                fleet.until_attended("host-b", "host-c")
                fleet.declare("On")
                until_writes(fleet, 3)
                with network.cut():
                    fleet.until_all("On")
                    assert fleet.resets() == each(fleet, 1)
                assert first.end().code == TAKEN_OVER
                fleet.declare("Off")
                fleet.until_all("Off")
                assert fleet.resets() == each(fleet, 2)
                assert second.process.poll() is None


def test_a_daemon_that_attends_and_is_cut_off_gets_its_shards_again(desk: Desk, empty_postgresql_url: str) -> None:
    network = NetworkCut(empty_postgresql_url)
    with shared_fleet(desk, empty_postgresql_url, answer_seconds=0.1) as fleet:
        fleet.declare("Off")
        with deciding_and_attending(fleet, "host-b"), fleet.daemon("host-n", env={"GROUNDSTATE_STORE": network.url}):
            fleet.until_attended("host-b", "host-n")
            fleet.declare("On")
            until_writes(fleet, 1)
            with network.cut():
                fleet.until_attended("host-b")
                fleet.until_all("On")
                assert fleet.resets() == each(fleet, 1)
            fleet.until_attended("host-b", "host-n")
            fleet.declare("Off")
            fleet.until_all("Off")
            assert fleet.resets() == each(fleet, 2)

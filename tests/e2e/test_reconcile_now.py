"""A person asks the running daemon to look at a resource now, through the store, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url

from tests.e2e.desk import Desk, machine, partition


@pytest.fixture
def lab(desk: Desk, empty_store_url: str) -> Desk:
    """A desk whose store is on either database."""
    url = make_url(empty_store_url).render_as_string(hide_password=False)
    desk.environment["GROUNDSTATE_STORE"] = url
    desk.commit(lab=[partition(), *(machine(n, f"{n}:1", power="On", labels={"rack": n}) for n in ("m1", "m2"))])
    return desk


def seen(lab: Desk) -> dict[str, str]:
    """When each machine was observed last, as far as the store knows."""
    items = lab.run("get", "machines", "-o", "json").json["items"]
    return {one["metadata"]["name"]: one["status"].get("observedAt", "") for one in items}


def power(lab: Desk) -> list[str]:
    """The power of each machine, as the store knows it."""
    return lab.run("get", "machines", "-o", "jsonpath={.items[*].status.observed.power}").out.split()


def test_the_daemon_observes_what_was_asked_for_and_nothing_else(lab: Desk) -> None:
    with lab.daemon("--resync", "3600") as running:
        for name in ("m1", "m2"):
            running.logged("ActionConfirmed", key=f"Machine/{name}")
        # Observations are saved every few seconds; the last ones are those that confirmed the power-ons.
        running.until(lambda: power(lab) == ["On", "On"], "both are in the store")
        before = seen(lab)
        done = lab.run("reconcile", "machines", "-l", "rack=m1")
        assert (done.code, done.out.endswith("to reconcile Machine/m1 now\n")) == (0, True), done.err
        running.until(lambda: seen(lab)["m1"] > before["m1"], "m1 is observed again")
        assert seen(lab)["m2"] == before["m2"]
        told = lab.run("events", "machine/m1").out
        assert told.count("ReconcileRequested") == 1
        lab.run("reconcile", "machine/m1")
        assert lab.run("events", "machine/m1").out.count("ReconcileRequested") == 2


def test_without_a_daemon_nothing_is_written_and_apply_is_named(lab: Desk) -> None:
    done = lab.run("reconcile", "machine/m1")
    assert done.code == 1
    assert "no daemon runs with this store" in done.err
    assert "`groundstate apply`" in done.err
    assert lab.run("events").out == ""


def test_everything_at_once_must_be_meant(lab: Desk) -> None:
    assert "name the resources to reconcile" in lab.run("reconcile").err

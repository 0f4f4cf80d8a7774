"""A held change is let through while the daemon runs, for a while, by a command; on both databases."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import make_url

from reconciler.model.event import Event
from reconciler.store import Store
from tests.e2e.desk import Desk, Running, machine, partition
from tests.e2e.test_daemon import get, metric

NAMES = [f"m{n}" for n in range(6)]


def fleet(**power: str) -> list[dict[str, object]]:
    labels = {name: {"rack": "a" if name in NAMES[:3] else "b"} for name in NAMES}
    return [partition(), *(machine(name, power=power.get(name, "On"), labels=labels[name]) for name in NAMES)]


@pytest.fixture
def lab(desk: Desk, empty_store_url: str) -> Desk:
    """A desk whose store is on either database."""
    url = make_url(empty_store_url).render_as_string(hide_password=False)
    desk.environment["GROUNDSTATE_STORE"] = url
    desk.commit(lab=fleet())
    return desk


@pytest.fixture
def daemon(lab: Desk) -> Iterator[Running]:
    """A daemon that has powered six machines on, and now holds the power-off of five of them."""
    with lab.daemon() as running:
        for name in NAMES:
            running.logged("ActionConfirmed", key=f"Machine/{name}")
        lab.commit("All off", lab=fleet(**dict.fromkeys(NAMES, "Off")))
        running.until(
            lambda: len(off(running)) == 1 and len(held(running)) == 5, "one that goes and five that are held"
        )
        yield running


def held(running: Running) -> set[str]:
    return {line["key"] for line in running.log if line["event"] == "Held"}


def off(running: Running) -> set[str]:
    sent = (line for line in running.log if line["event"] == "ActionSent")
    return {line["key"].removeprefix("Machine/") for line in sent if "power-off" in line["message"]}


def reasons(lab: Desk) -> list[str]:
    """Why a plan of what the store last saw holds what it holds."""
    changes = lab.run("plan", "--no-refresh", "-o", "json").json["changes"]
    return [hold["reason"] for change in changes for hold in change.get("held_by", ()) if hold["kind"] == "guard"]


def ledger(lab: Desk) -> list[Event]:
    store = Store.open(lab.environment["GROUNDSTATE_STORE"])
    try:
        return [entry.event for entry in store.events()]
    finally:
        store.close()


def told(lab: Desk) -> list[str]:
    """What the ledger says of overrides."""
    return [event.reason for event in ledger(lab) if event.reason.startswith("Override")]


def test_the_command_that_the_hold_names_lets_it_pass(lab: Desk, daemon: Running) -> None:
    """An operator with a held change and a running daemon had no way but a restart of the daemon."""
    event = next(event for event in ledger(lab) if event.reason == "Held" and event.key and event.key.name == "m3")
    assert ", when the next machine may be taken down" in event.message
    command = event.message.partition("`groundstate ")[2].partition("`")[0].replace("WHY", "INC-7").split()
    done = lab.run(*command)
    assert done.code == 0, done
    daemon.until(lambda: off(daemon) == {"m0", "m3"}, "the one that was let through")
    sent = next(
        e for e in ledger(lab) if e.reason == "ActionSent" and e.key and e.key.name == "m3" and "off" in e.message
    )
    name = done.out.split()[1].rstrip(":")
    assert sent.message.endswith(f"; the change passes guard disruption-budget (override {name})")


def test_it_covers_what_is_selected_stands_in_every_plan_and_ends_when_it_is_revoked(
    lab: Desk, daemon: Running
) -> None:
    arguments = ("--for", "2h", "--reason", "rack b moves", "--by", "grace")
    begun = lab.run("override", "disruption-budget", "-l", "rack=b", *arguments)
    assert begun.code == 0, begun
    name = begun.out.split()[1].rstrip(":")
    daemon.until(lambda: off(daemon) == {"m0", "m3", "m4", "m5"}, "all of the rack")
    for output in ("text", "markdown", "json"):
        plan = lab.run("plan", "--no-refresh", "-o", output).out
        assert name in plan
        assert "rack b moves" in plan
    listed = lab.run("get", "machines")
    assert f"note: override {name} of disruption-budget until " in listed.err
    for row in lab.run("get", "machines", "-o", "json").json["items"]:
        covering = [one["id"] for one in row["status"].get("overrides", ())]
        assert covering == ([name] if row["metadata"]["labels"]["rack"] == "b" else [])
    assert f"In force:    override {name} of disruption-budget" in lab.run("describe", "machine/m4").out
    counted, ends = 'groundstate_overrides{guard="disruption-budget"}', "groundstate_override_end_timestamp_seconds"
    daemon.until(lambda: metric(daemon, counted) == 1, "the override in the metrics")
    assert metric(daemon, f'{ends}{{guard="disruption-budget",id="{name}"}}') > time.time() + 3600
    [row] = lab.run("get", "overrides", "-o", "json").json["items"]
    assert (row["state"], row["by"].split(",")[0], row["selector"]) == ("in force", "grace", "rack=b")
    assert lab.run("override", "--revoke", name).code == 0
    assert name not in lab.run("plan", "--no-refresh").out
    assert "revoked" in lab.run("override", "--list").out
    daemon.until(lambda: metric(daemon, counted) == 0, "its end in the metrics")
    assert ends not in get(daemon, "/metrics").text.replace(f"# HELP {ends}", "").replace(f"# TYPE {ends}", "")
    assert [e.reason for e in ledger(lab) if "verrid" in e.reason and e.key is None] == [
        "OverrideBegan",
        "OverrideRevoked",
    ]


def test_it_ends_by_itself_and_the_ledger_says_so(lab: Desk, daemon: Running) -> None:
    assert lab.run("override", "disruption-budget", "machine/m1", "--for", "1s", "--reason", "quick").code == 0
    daemon.logged("OverrideExpired")
    assert "expired" in lab.run("override", "--list").out
    assert told(lab) == ["OverrideBegan", "OverrideExpired"]


def test_apply_beside_the_daemon_is_refused_before_a_plan_is_shown_and_advises_no_other_store(
    lab: Desk, daemon: Running
) -> None:
    """Following the advice to use another store gave a machine its installation order a second time."""
    done = lab.run("apply")
    assert (done.code, done.out) == (1, "")
    assert "in use by groundstate run, process" in done.err
    assert (
        "commit the change, and the running daemon applies the change; or stop the daemon first. If a guard "
        "holds the change, use `groundstate override GUARD`"
    ) in done.err
    assert "store" not in done.err.partition(";")[2]


def test_a_plan_has_the_limits_of_the_daemon_and_says_where_it_was_given_others(lab: Desk) -> None:
    with lab.daemon("--max-disrupted", "50%", "--max-disrupted-per-rack", "100%") as running:
        for name in NAMES:
            running.logged("ActionConfirmed", key=f"Machine/{name}")
        lab.commit("All off", lab=fleet(**dict.fromkeys(NAMES, "Off")))
        running.until(lambda: len(held(running)) == 3, "half of them held")
        running.until(lambda: len(reasons(lab)) == 3, "the looks in the store")
        assert all("the limit is 3 (50%)" in reason for reason in reasons(lab))
        shown = lab.run("get", "machines", "-o", "json", env={"GROUNDSTATE_MAX_DISRUPTED": "1"}).json["items"]
        told = [one["message"] for row in shown for one in row["status"]["conditions"] if one["reason"] == "Held"]
        assert len(told) == 3
        assert all("the limit is 3 (50%)" in one for one in told)
        other = lab.run("plan", "--no-refresh", "--max-disrupted", "1")
        assert "this plan uses --max-disrupted 1, but the running daemon uses max-disrupted 50%" in other.out
        assert running.end(signal.SIGTERM).code == 0
    assert "the limit is 1 (10%)" in lab.run("plan", "--no-refresh").out, "nobody is at work by 50 % any more"


class TestRefused:
    """Nothing is written, and the words say what would be right."""

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (
                ["boot-service", "--for", "1h", "--reason", "x"],
                "cannot be overridden. Instead: network boot needs the boot service",
            ),
            (["disruption-budgt", "--for", "1h", "--reason", "x"], "these guards can: disruption-budget"),
            (["disruption-budget", "--reason", "x"], "say how long the override lasts"),
            (["disruption-budget", "--for", "1h"], "the reason is missing"),
            (["disruption-budget", "--for", "1h", "--reason", "  "], "the reason is missing"),
            (["disruption-budget", "--for", "9d", "--reason", "x"], "at most 7d"),
            (["disruption-budget", "-l", "rack=zz", "--for", "1h", "--reason", "x"], "-l rack=zz matches nothing"),
            (["disruption-budget", "machine/zz", "--for", "1h", "--reason", "x"], "no Machine is named 'zz'"),
            (
                ["first-sight", "--for", "1h", "--reason", "x"],
                "name resources (machine/NAME, switch/NAME)",
            ),
            (["--revoke", "zz"], "does not exist yet"),
            ([], "give one of: the name of a guard, --list"),
            (["disruption-budget", "--list"], "give one of: the name of a guard"),
        ],
    )
    def test_in_words(self, desk: Desk, arguments: list[str], said: str) -> None:
        desk.commit(lab=fleet())
        done = desk.run("override", *arguments)
        assert done.code == 1
        assert said in done.err
        assert not desk.store.exists()

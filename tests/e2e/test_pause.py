"""Resources are paused and resumed by a command while the daemon runs; on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import make_url

from tests.e2e.desk import Desk, Running, machine, partition
from tests.e2e.test_daemon import metric
from tests.e2e.test_override import ledger

NAMES = ["m0", "m1", "m2"]


def fleet(power: str) -> list[dict[str, object]]:
    racks = {"m0": "a", "m1": "b", "m2": "b"}
    return [partition(), *(machine(name, power=power, labels={"rack": racks[name]}) for name in NAMES)]


@pytest.fixture
def lab(desk: Desk, empty_store_url: str) -> Desk:
    """A desk whose store is on either database."""
    desk.environment["GROUNDSTATE_STORE"] = make_url(empty_store_url).render_as_string(hide_password=False)
    desk.commit(lab=fleet("On"))
    return desk


@pytest.fixture
def daemon(lab: Desk) -> Iterator[Running]:
    """A daemon that may power everything off at once."""
    with lab.daemon("--max-disrupted", "100%") as running:
        for name in NAMES:
            running.logged("ActionConfirmed", key=f"Machine/{name}")
        yield running


def off(running: Running) -> set[str]:
    sent = (line for line in running.log if line["event"] == "ActionSent" and "power-off" in line["message"])
    return {line["key"].removeprefix("Machine/") for line in sent}


def test_what_is_paused_is_written_to_when_it_is_resumed(lab: Desk, daemon: Running) -> None:
    begun = lab.run("pause", "-l", "rack=b", "--reason", "INC-7")
    assert begun.code == 0, begun
    name = begun.out.split()[1].rstrip(":")
    assert begun.out == f"pause {name}: -l rack=b (2 now) is paused until `groundstate resume`\n"
    daemon.logged("PauseInForce")
    lab.commit("All off", lab=fleet("Off"))
    daemon.until(lambda: {"m0"} <= off(daemon), "the one that is not paused")
    daemon.logged("Held", key="Machine/m1")
    daemon.logged("Held", key="Machine/m2")
    daemon.until(lambda: lab.run("plan", "--no-refresh").code == 3, "a plan of what was seen since")
    assert "held by guard paused: paused by " in lab.run("plan", "--no-refresh").out
    assert "Paused:     -l rack=b until `groundstate resume` by " in lab.run("status").out
    assert "note: paused: -l rack=b" in lab.run("get", "machines").err
    listed = lab.run("get", "machines", "-o", "json").json["items"]
    assert [len(one["status"].get("pauses", ())) for one in listed] == [0, 1, 1]
    assert "Paused:      -l rack=b" in lab.run("describe", "machine/m1").out
    daemon.until(lambda: metric(daemon, "groundstate_pauses") == 1, "the pause in the metrics")
    assert "-l rack=c is not paused" in lab.run("resume", "-l", "rack=c").err
    assert off(daemon) == {"m0"}
    assert lab.run("resume", "-l", "rack=b").out == f"pause {name} of -l rack=b is ended\n"
    daemon.until(lambda: off(daemon) == set(NAMES), "the others")
    row = lab.run("get", "pauses", "-o", "json").json["items"][0]
    assert lab.run("pause", "--list", "-o", "json").json["items"] == [row]
    assert (row["id"], row["state"], row["reason"]) == (name, "resumed", "INC-7")


def test_everything_is_paused_while_git_is_down(lab: Desk, daemon: Running) -> None:
    """An operator stops everything in an incident that took the git server too."""
    down = ("--repo", "file:///nowhere/fleet.git")
    begun = lab.run("pause", "--all", "--reason", "INC-7", *down)
    assert (begun.code, "everything (" in begun.out) == (0, True), begun
    assert "the pause does not need the repository" in begun.err
    assert "cannot be fetched" in lab.run("pause", "-l", "rack=b", "--reason", "INC-7", *down).err
    daemon.logged("PauseInForce")
    lab.commit("All off", lab=fleet("Off"))
    daemon.logged("Held", key="Machine/m1")
    assert off(daemon) == set()
    assert lab.run("resume", "--all", *down).code == 0
    daemon.until(lambda: off(daemon) == set(NAMES), "all of them")


def test_a_store_that_knows_nothing_is_not_paused_without_git(desk: Desk) -> None:
    """In the wrong folder, a pause would stop nothing and look as if it did."""
    done = desk.run("pause", "--all", "--reason", "INC-7", "--repo", "file:///nowhere/fleet.git")
    assert (done.code, done.out) == (1, ""), done


def test_a_pause_ends_by_itself(lab: Desk, daemon: Running) -> None:
    assert lab.run("pause", "--all", "--reason", "INC-7", "--for", "8s").code == 0
    daemon.logged("PauseInForce")
    lab.commit("All off", lab=fleet("Off"))
    daemon.logged("Held", key="Machine/m1")
    assert off(daemon) == set()
    daemon.logged("PauseExpired")
    daemon.until(lambda: off(daemon) == set(NAMES), "all of them")


def test_apply_leaves_alone_what_is_paused(lab: Desk) -> None:
    assert lab.run("pause", "machine/m1", "--reason", "INC-7").code == 0
    applied = lab.run("apply", "--yes")
    assert applied.code == 3, applied
    sent = [event.key.name for event in ledger(lab) if event.reason == "ActionSent" and event.key]
    assert sorted(sent) == ["m0", "m2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["machine/m1"], "the reason is missing"),
        (["--reason", "x"], "name the resources to pause"),
        (["--all", "machine/m1", "--reason", "x"], "name the resources to pause"),
        (["machine/zz", "--reason", "x"], "no Machine is named 'zz'"),
        (["-l", "rack=z", "--reason", "x"], "-l rack=z matches nothing"),
        (["machine/m1", "--reason", "x", "--for", "0s"], "out of range"),
        (["machine/m1", "--list"], "--list shows all pauses"),
    ],
)
def test_what_cannot_be_paused_is_refused_and_nothing_is(lab: Desk, arguments: list[str], said: str) -> None:
    done = lab.run("pause", *arguments)
    assert (done.code != 0, said in done.err) == (True, True), done
    assert "No pauses." in lab.run("get", "pauses").err or "there is no store" in lab.run("get", "pauses").err

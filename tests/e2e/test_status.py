"""The state of a fleet at a glance, beside a running daemon and beside none."""

from __future__ import annotations

import signal

from tests.e2e.desk import Desk, machine, partition


def test_without_a_daemon_it_says_so_and_how_to_proceed(desk: Desk) -> None:
    desk.commit(lab=[partition(), machine("m1", "m1:1")])
    done = desk.run("status")
    assert done.code == 1
    assert "no daemon ever ran with this store; `groundstate run` starts a daemon" in done.out
    assert "none; no daemon has put a revision in force yet" in done.out


def test_beside_a_daemon_it_says_what_is_in_force_how_things_are_and_what_is_held(desk: Desk) -> None:
    names = [f"m{n}" for n in range(4)]
    first = desk.commit(lab=[partition(), *(machine(n, f"{n}:1", power="On") for n in names)])
    with desk.daemon() as running:
        for name in names:
            running.logged("ActionConfirmed", key=f"Machine/{name}")
        desk.commit("All off", lab=[partition(), *(machine(n, f"{n}:1", power="Off") for n in names)])
        running.until(lambda: sum(line["event"] == "Held" for line in running.log) == 3, "three that are held")
        # Observations are saved every few seconds.
        running.until(lambda: desk.run("status", "-o", "json").json["held"], "what was seen is in the store")
        found = desk.run("status", "-o", "json")
        assert (found.code, found.json["at_work"], found.json["healthy"]) == (0, True, True)
        assert found.json["revision"]["in_force"] != first
        assert found.json["held"] == {"disruption-budget": 3}
        budget = {"guard": "disruption-budget", "group": "machines", "used": 1, "allowed": 1, "is_whole": True}
        assert found.json["budgets"] == [budget]
        assert sum(found.json["statuses"]["Machine"].values()) == 4
        desk.commit("A typo", lab=[partition(), machine("m1", "m1:1", power="Onn")])
        running.logged("RevisionRefused")
        # The daemon's own counts are shown, so status needs no repository.
        elsewhere = desk.run("status", "--repo", str(desk.folder / "nowhere"), "-o", "json")
        assert elsewhere.json["held"] == {"disruption-budget": 3}
        broken = desk.run("status")
        assert broken.code == 1
        assert "RevisionRefused" in broken.out
        assert "1 machine is down because of groundstate; the limit is 1; 0 more may be taken down" in broken.out
        assert running.end(signal.SIGTERM).code == 0
    ended = desk.run("status", "-o", "json").json
    assert (ended["at_work"], ended["daemon"]["ended"]) == (False, True)
    assert "ended: " in desk.run("status").out


def test_without_a_daemon_a_broken_desired_state_hides_nothing_else(desk: Desk) -> None:
    desk.commit(lab=[partition(), machine("m1", "m1:1")])
    assert desk.run("apply", "--yes").code == 0
    desk.commit("A typo", lab=[partition(), machine("m1", "m1:1", power="Onn")])
    done = desk.run("status")
    assert done.code == 1
    assert "the desired state has errors" in done.err
    assert "In flight:  0" in done.out
    assert desk.run("status", "-o", "json").json["statuses"] is None

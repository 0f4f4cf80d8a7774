"""A plan that was saved, looked at, and applied later: what became stale is left alone, and the rest is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.desk import Desk, address, document, machine, network, partition, without_times


def saved(desk: Desk) -> Path:
    """A plan of two addresses, `web` and `db`, in a network that is there."""
    desk.commit(lab=[network()])
    assert desk.run("apply", "--yes").code == 0
    desk.commit(lab=[network(), address("web"), address("db")])
    path = desk.folder / "plan.json"
    assert desk.run("plan", "--out", str(path)).code == 2
    return path


def held(desk: Desk) -> dict[str, str]:
    found = desk.run("get", "ipaddresses", "-o", "json").json["items"]
    return {one["metadata"]["name"]: one["status"].get("observed", {}).get("address") for one in found}


def test_a_saved_plan_is_what_json_prints(desk: Desk) -> None:
    plan = json.loads(saved(desk).read_text("utf-8"))
    assert without_times(plan) == without_times(desk.run("plan", "-o", "json").json)


def test_it_is_carried_out(desk: Desk) -> None:
    done = desk.run("apply", str(saved(desk)), "--yes")
    assert done.code == 0, done
    assert sorted(held(desk).values()) == ["10.0.0.1", "10.0.0.2"]


def test_a_commit_after_it_was_saved_is_not_applied(desk: Desk) -> None:
    plan = saved(desk)
    desk.commit(lab=[network(), address("web"), address("db"), address("late")])
    assert desk.run("apply", str(plan), "--yes").code == 0
    assert {event.key.name for event in desk.told("ActionSent") if event.key} == {"net", "db", "web"}


def test_what_is_done_already_is_no_news(desk: Desk) -> None:
    plan = saved(desk)
    assert desk.run("apply", "--yes").code == 0
    done = desk.run("apply", str(plan), "--yes")
    assert done.code == 0, done
    assert len(desk.told("ActionSent")) == 3


def test_what_became_stale_is_left_alone_and_the_rest_is_done(desk: Desk) -> None:
    def wide(*cidrs: str) -> dict[str, object]:
        return document("Network", "net", prefixes=[{"cidr": cidr} for cidr in cidrs])

    desk.commit(lab=[network()])
    assert desk.run("apply", "--yes").code == 0
    desk.commit(lab=[wide("10.0.0.0/24", "10.1.0.0/24"), network("other", "10.9.0.0/24")])
    plan = desk.folder / "plan.json"
    assert desk.run("plan", "--out", str(plan)).code == 2
    desk.commit(lab=[wide("10.0.0.0/24", "10.2.0.0/24"), network("other", "10.9.0.0/24")])

    done = desk.run("apply", str(plan), "--yes")
    assert done.code == 1, done
    assert "stale: the change of Network/net differs now from the saved plan" in done.err
    assert [event.key.name for event in desk.told("ActionSent") if event.key] == ["net", "other"]


def test_what_a_later_commit_took_out_is_stale(desk: Desk) -> None:
    plan = saved(desk)
    desk.commit(lab=[network(), address("web")])
    done = desk.run("apply", str(plan), "--yes")
    assert done.code == 1, done
    assert "stale: the change of IPAddress/db" in done.err
    assert list(held(desk).values()) == ["10.0.0.1"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "not a saved plan"),
        ("nonsense", "not a saved plan"),
        ("[1]", "not a saved plan"),
        ('{"format_version": "9.0"}', "this plan has format '9.0'"),
        ('{"format_version": "5.0"}', "damaged"),
    ],
)
def test_what_is_no_plan_is_refused_in_words(desk: Desk, content: str, why: str) -> None:
    desk.commit(lab=[network()])
    path = desk.folder / "plan.json"
    path.write_text(content, "utf-8")
    done = desk.run("apply", str(path), "--yes")
    assert done.code == 1
    assert why in done.err
    assert "plan" in done.err


def test_a_plan_file_that_is_not_there(desk: Desk) -> None:
    desk.commit(lab=[network()])
    done = desk.run("apply", "plan.json", "--yes")
    assert done.code == 1
    assert "no such plan file" in done.err


def test_a_plan_that_cannot_be_saved(desk: Desk) -> None:
    desk.commit(lab=[network()])
    done = desk.run("plan", "--out", str(desk.folder / "nowhere" / "plan.json"))
    assert done.code == 1
    assert "cannot be saved" in done.err


def test_a_plan_of_another_repository(desk: Desk, tmp_path: Path) -> None:
    plan = saved(desk)
    other = Desk(tmp_path / "other")
    other.commit(lab=[network()])
    done = other.run("apply", str(plan), "--yes")
    assert done.code == 1
    assert "no branch, tag or commit" in done.err


def test_a_plan_of_a_work_tree_that_was_edited_since(desk: Desk) -> None:
    desk.write(lab=[network(), network("other", "10.9.0.0/24")])
    plan = desk.folder / "plan.json"
    assert desk.run("plan", "--work-tree", "--out", str(plan)).code == 2
    desk.write(lab=[network(), network("other", "10.8.0.0/24"), address("web")])
    done = desk.run("apply", str(plan), "--work-tree", "--yes")
    assert done.code == 1
    assert "stale: the change of Network/other" in done.err
    assert [event.key.name for event in desk.told("ActionSent") if event.key] == ["net"]


def test_what_a_later_commit_wants_otherwise_is_stale_though_nothing_is_left_to_do(desk: Desk) -> None:
    desk.commit(lab=[partition(driver="fake"), machine("m", "m", power="Off")])
    assert desk.run("apply", "--yes").code == 0
    desk.commit(lab=[partition(driver="fake"), machine("m", "m", power="On")])
    plan = desk.folder / "plan.json"
    assert desk.run("plan", "--out", str(plan)).code == 2
    desk.commit(lab=[partition(driver="fake"), machine("m", "m", power="Off")])
    done = desk.run("apply", str(plan), "--yes")
    assert done.code == 1, done
    assert "stale: the change of Machine/m" in done.err

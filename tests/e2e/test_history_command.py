"""`groundstate history`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from reconciler.model.event import Event, EventReason, EventType
from reconciler.store import Store
from tests.e2e.desk import Desk, address, network


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """An address that was declared, acquired, and given a name."""
    desk = Desk(tmp_path_factory.mktemp("original") / "desk")
    desk.commit("Declare it", lab=[network(), address("front")])
    assert desk.run("apply", "--yes").code == 0
    desk.commit("Name it", lab=[network(), address("front", dnsName="www.example")])
    return desk


@pytest.fixture
def lived(original: Desk, tmp_path: Path) -> Desk:
    return original.copy(tmp_path / "desk")


def test_commits_and_events_stand_side_by_side_newest_first(lived: Desk) -> None:
    lines = lived.run("history", "ip/front").out.splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    # git's times are whole seconds, so where a commit stands among what happened in that second is open.
    order = [next(n for n, line in enumerate(heads) if word in line) for word in ("Name it", "Declare it")]
    assert order == sorted(order)
    assert [word for line in heads for word in ("ActionConfirmed", "ActionSent") if word in line] == [
        "ActionConfirmed",
        "ActionSent",
    ]
    assert lines[lines.index(heads[order[0]]) + 1] == "    spec.dnsName: (none) -> www.example"
    assert heads[order[1]].endswith('"Declare it" (author Ada, not verified)  created')


def test_json_has_the_differences(lived: Desk) -> None:
    found = lived.run("history", "ip/front", "--no-events", "-o", "json").json
    assert [(one["change"], one["commit"]["subject"]) for one in found] == [
        ("changed", "Name it"),
        ("created", "Declare it"),
    ]
    assert found[0]["differences"] == [{"path": "spec.dnsName", "before": None, "after": "www.example"}]


def test_at_shows_the_document_as_it_was_then(lived: Desk) -> None:
    now = lived.run("history", "ip/front", "--at", "now")
    assert "dnsName: www.example" in now.out
    assert '"Name it" (author Ada, not verified) in lab.yaml' in now.out
    assert "did not exist at 2020-01-31" in lived.run("history", "ip/front", "--at", "2020-01-31").err


def test_what_is_gone_tells_who_removed_it(lived: Desk) -> None:
    lived.commit("Drop it", lab=[network()])
    assert '"Drop it" (author Ada, not verified)  removed' in lived.run("history", "ip/front").out
    done = lived.run("history", "ip/front", "--at", "now")
    assert done.code == 1
    assert "(author Ada, not verified)" in done.err
    assert "removed it" in done.err


def test_at_a_commit_is_yaml_that_can_be_committed_again(lived: Desk) -> None:
    first = lived.git("rev-parse", "HEAD~1")
    done = lived.run("history", "ip", "front", "--at", first)
    assert f'in commit {first[:10]} "Declare it" (author Ada, not verified)' in done.out
    (document,) = yaml.safe_load_all(done.out)
    assert document == address("front")
    assert lived.run("history", "ip/front", "--at", first, "-o", "json").json == address("front")


def test_since_leaves_out_what_is_older(lived: Desk) -> None:
    newest = lived.run("history", "ip/front", "--no-events", "--since", "HEAD", "-o", "json").json
    assert newest[0]["commit"]["subject"] == "Name it"
    assert lived.run("history", "ip/front", "--since", "2100-01-01") == (0, "", "")


def test_a_time_span_before_now_is_a_time(lived: Desk) -> None:
    assert len(lived.run("history", "ip/front", "--since", "2h", "-o", "json").json) > 2
    assert "did not exist at" in lived.run("history", "ip/front", "--at", "2h").err


def test_events_of_no_single_resource_can_be_chosen(lived: Desk) -> None:
    store = Store.open(f"sqlite:///{lived.store}")
    store.append([Event(datetime.now(UTC), EventType.WARNING, EventReason.REVISION_REFUSED, "main@abc has 1 error")])
    store.close()
    assert [line.split("  ")[2] for line in lived.run("events", "--fleet").out.splitlines()] == ["fleet"]
    refused = lived.run("events", "--fleet", "ip/front")
    assert refused.code == 1
    assert "leave KIND/NAME and -l out" in " ".join(refused.err.split())


def test_the_revision_that_was_in_force_is_told(lived: Desk) -> None:
    first = lived.git("rev-parse", "HEAD~1")
    store = Store.open(f"sqlite:///{lived.store}")
    at = datetime.now(UTC)
    store.append(
        [Event(at, EventType.NORMAL, EventReason.REVISION_APPLIED, "in any words; 2 resources", revision=first)]
    )
    store.close()
    then = f"{at:%Y-%m-%d %H:%M:%S}Z"
    assert (
        f'# in force then: {first[:10]} "Declare it" (author Ada, not verified), since {then}'
        in lived.run("history", "ip/front", "--at", (at + timedelta(seconds=1)).isoformat()).out
    )
    assert f"# in force since {then}" in lived.run("history", "ip/front", "--at", first).out
    assert "in force" not in lived.run("history", "ip/front", "--at", "HEAD").out


def test_a_revision_in_force_that_git_has_no_more_is_shown_by_its_hash(lived: Desk) -> None:
    store = Store.open(f"sqlite:///{lived.store}")
    at = datetime.now(UTC)
    store.append(
        [Event(at, EventType.NORMAL, EventReason.REVISION_APPLIED, "main@abc; 2 resources", revision="c" * 40)]
    )
    store.close()
    done = lived.run("history", "ip/front", "--at", (at + timedelta(seconds=1)).isoformat())
    assert f"# in force then: {'c' * 21}, since " in done.out


def test_a_broken_newest_commit_and_a_leaked_password_are_no_trouble(lived: Desk) -> None:
    lived.secrets.add("hunter2")
    lived.commit("Oops", lab=[network(), address("front", password="hunter2")])
    lived.commit("Break it", lab="{")
    lines = lived.run("history", "ip/front", "--no-events").out.splitlines()
    assert [line.rpartition("  ")[2] for line in lines if "commit" in line] == [
        "removed",
        "changed",
        "changed",
        "created",
    ]
    assert "    spec.password: (none) -> ***" in lines
    assert "password: '***'" in lived.run("history", "ip/front", "--at", "HEAD~1").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ip/nowhere"], "was never declared in main"),
        (["front"], "is not a kind"),
        (["ip"], "names no resource; write ipaddress/NAME"),
        (["ip/front", "--at", "soon"], "is not a time"),
        (["ip/front", "--work-tree"], "leave --work-tree out"),
    ],
)
def test_what_cannot_be_told_is_said(lived: Desk, arguments: list[str], said: str) -> None:
    done = lived.run("history", *arguments)
    assert done.code == 1
    assert said in done.err

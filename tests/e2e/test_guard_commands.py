"""Guards of documents, with real git: plan, apply, get, explain-guard and the daemon say and do the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.drivers.emulator import EmulatorFleet
from tests.e2e.desk import Desk, Done, Running, machine, partition
from tests.e2e.test_daemon import get

NAMES = ["a1", "a2", "b1", "b2"]
ID = "5a1f0000-0000-4000-{:04x}-000000000001"


def guard(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "groundstate/v1", "kind": "Guard", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorFleet]:
    """A BMC for each machine, which keeps its state between commands."""
    layout = [[ID.format(number)] for number in range(len(NAMES))]
    with EmulatorFleet(tmp_path_factory.mktemp("emulators") / "bmcs", layout, (0, 1)) as running:
        yield running


class Lab(NamedTuple):
    """A desk, and the BMCs of its four machines in two racks."""

    desk: Desk
    emulators: EmulatorFleet

    def commit(self, power: str, *guards: dict[str, Any]) -> None:
        """Declare the machines with this power, and these guards."""
        trust = {"credentialRef": {"name": "lab"}, "tls": {"caFile": str(self.emulators.ca_file)}}
        machines = [
            machine(name, address, system=ID.format(number), power=power, rack=name[0])
            for number, (name, address) in enumerate(zip(NAMES, self.emulators.addresses, strict=True))
        ]
        self.desk.commit(f"All {power}", lab=[partition(driver="redfish", **trust), *machines], guards=guards)

    def run(self, *arguments: str) -> Done:
        """A command."""
        return self.desk.run(*arguments)

    def daemon(self, *arguments: str) -> Any:
        """A daemon."""
        return self.desk.daemon(*arguments)


ONE_A_RACK = guard("racks", budget={"maxDisrupted": 1, "per": "rack"}, match={"kinds": ["Machine"]})
FREEZE = guard("freeze", windows={"deny": [{"from": "2000-01-01T00:00", "to": "2999-01-01T00:00", "reason": "why"}]})
NO_LIMIT = ("--max-disrupted", "100%")


@pytest.fixture
def lab(desk: Desk, emulators: EmulatorFleet) -> Lab:
    """Four machines that run, and a guard that lets one of each rack go."""
    desk.environment |= {"LAB_BMC_USERNAME": emulators.username, "LAB_BMC_PASSWORD": emulators.password}
    desk.allow("lab", "LAB_BMC", emulators.ca_file)
    found = Lab(desk, emulators)
    found.commit("On", ONE_A_RACK)
    done = found.run("apply", "--yes", *NO_LIMIT)
    assert done.code == 0, done
    return found


def going(lab: Lab, *options: str) -> list[str]:
    changes = lab.run("plan", "-o", "json", *NO_LIMIT, *options).json["changes"]
    return [change["key"]["name"] for change in changes if change["goes"]]


def off(lab: Lab) -> list[str]:
    """By what the store saw last."""
    machines = lab.run("get", "machines", "-o", "json").json["items"]
    return [one["metadata"]["name"] for one in machines if one["status"]["observed"]["power"] == "Off"]


def taken_down(lab: Lab) -> list[str]:
    """By the ledger."""
    sent = (event for event in lab.desk.told("ActionSent") if "power-off" in event.message)
    return sorted(event.key.name for event in sent if event.key is not None)


def test_apply_does_what_plan_shows_and_nothing_else(lab: Lab) -> None:
    lab.commit("Off", ONE_A_RACK)
    assert going(lab) == ["a1", "b1"]
    done = lab.run("apply", "--yes", *NO_LIMIT)
    assert done.code == 3, done
    assert off(lab) == ["a1", "b1"]
    assert going(lab) == []


def test_the_daemon_does_what_plan_shows_and_says_it_in_the_same_words(lab: Lab) -> None:
    lab.commit("Off", ONE_A_RACK)
    shown = {
        change["key"]["name"]: change["held_by"][0]["reason"]
        for change in lab.run("plan", "-o", "json", *NO_LIMIT).json["changes"]
        if not change["goes"]
    }
    assert sorted(shown) == ["a2", "b2"]
    with lab.daemon(*NO_LIMIT) as running:
        for name in ("a1", "b1"):
            running.logged("ActionConfirmed", key=f"Machine/{name}")
        held = {name: running.logged("Held", key=f"Machine/{name}")["message"] for name in shown}
        running.until(
            lambda: 'groundstate_holds{guard="guard/racks"} 2.0' in get(running, "/metrics").text, "the metric"
        )
    assert all(held[name].startswith(f"guard/racks: {shown[name]}; to proceed:") for name in shown)
    assert taken_down(lab) == ["a1", "b1"]


def test_get_and_explain_say_who_is_held_and_by_what(lab: Lab) -> None:
    lab.commit("Off", ONE_A_RACK, FREEZE)
    assert going(lab) == []
    table = lab.run("get", "guards", "-o", "wide").out
    assert "closed" in table
    assert "Sun 2999" not in table
    freeze = next(
        one for one in lab.run("get", "guards", "-o", "json").json["items"] if one["metadata"]["name"] == "freeze"
    )
    assert freeze["status"]["holds"] == [f"Machine/{name}" for name in NAMES]
    found = lab.run("explain-guard", "machine/a1", *NO_LIMIT, "-o", "json")
    assert (found.code, found.json["held"]) == (3, True)
    by_name = {one["guard"]: one for one in found.json["guards"]}
    assert by_name["guard/freeze"]["holds"] is True
    assert by_name["guard/racks"]["budgets"][0]["allowed"] == 1
    used = {(one["guard"], one["scope"]): (one["used"], one["allowed"]) for one in found.json["budgets"]}
    assert used["guard/racks", "rack=lab/a"] == (0, 1)
    assert any(guard == "disruption-budget" for guard, _ in used)
    later = lab.run("explain-guard", "machine/a1", *NO_LIMIT, "--at", "2999-01-02T00:00Z")
    assert later.code == 0, later.out
    assert "guard/freeze (Mandatory): lets the change pass" in later.out


def test_where_nothing_is_to_be_done_no_guard_is_said_to_let_it_pass(lab: Lab) -> None:
    """Beside a closed window, that reads as leave to power the machine off."""
    lab.commit("On", FREEZE)
    found = lab.run("explain-guard", "machine/a1", *NO_LIMIT)
    assert found.code == 0, found.err
    assert "guard/freeze (Mandatory): no change to judge\n  window: closed" in found.out


def test_built_in_guards_are_listed_and_explained_like_declared_ones(lab: Lab) -> None:
    lab.commit("Off", ONE_A_RACK)
    rows = lab.run("get", "guards", "--no-headers").out.splitlines()
    assert [row.split()[:2] for row in rows[:2]] == [["racks", "Declared"], ["another-system", "Built-in"]]
    assert "guard/mass-removal" not in lab.run("get", "-o", "name").out.lower(), "only where guards are asked for"
    described = lab.run("describe", "guard/mass-removal").out
    assert "Holds all changes if one commit removes more machines from git than the limit." in described
    assert "the limit is 10% (--max-removed)" in described

    lab.run("apply", "--yes", "--max-disrupted", "0")  # Nothing goes, and all are observed.
    found = lab.run("explain-guard", "guard/disruption-budget", "--max-disrupted", "1", "-o", "json")
    assert found.code == 3, found
    (spec,) = found.json["specs"]
    assert spec["built_in"] is True
    assert spec["budgets"][0]["allowed"] == 1
    assert list(spec["holds"]) == ["Machine/b1"], "a2 and b2 are held by the racks' guard"
    racks = lab.run("explain-guard", "guard/racks", *NO_LIMIT).out
    assert "guards 4 declared resources" in racks
    assert "0 down of 2 guarded machines of rack a in partition lab; the limit is 1" in racks


def test_what_apply_observed_is_shown_though_all_was_held(lab: Lab) -> None:
    lab.commit("Off", FREEZE)
    assert lab.run("apply", "--yes").code == 3
    machines = lab.run("get", "machines", "-o", "json").json["items"]
    assert [one["status"]["observed"]["power"] for one in machines] == ["On"] * 4


def test_a_guard_cannot_have_the_name_of_a_built_in_one(lab: Lab) -> None:
    lab.commit("On", guard("mass-removal", protection="All"))
    done = lab.run("validate")
    assert done.code == 1
    assert "reserved-name" in done.out + done.err


def test_an_override_by_name_lets_it_pass_and_is_refused_for_what_is_not_there(lab: Lab) -> None:
    lab.commit("Off", FREEZE)
    assert going(lab) == []
    done = lab.run("override", "guard/freeze", "machine/a1", "--for", "1h", "--reason", "INC-7")
    assert done.code == 0, done.err
    assert going(lab) == ["a1"]


def test_an_unknown_guard_cannot_be_overridden(lab: Lab) -> None:
    done = lab.run("override", "guard/rack", "--for", "1h", "--reason", "INC-7")
    assert done.code == 1
    assert "did you mean racks?" in done.err


def test_an_absolute_guard_cannot_be_overridden(lab: Lab) -> None:
    lab.commit("On", {**FREEZE, "spec": {**FREEZE["spec"], "level": "Absolute"}})
    done = lab.run("override", "guard/freeze", "--for", "1h", "--reason", "INC-7")
    assert done.code == 1
    assert "Absolute" in done.err


def test_a_commit_does_not_use_what_it_loosens_in_plan_and_apply(lab: Lab) -> None:
    loose = guard("racks", budget={"maxDisrupted": 4, "per": "rack"}, match={"kinds": ["Machine"]})
    lab.commit("Off", loose)
    assert going(lab) == ["a1", "b1"]
    lab.run("apply", "--yes", *NO_LIMIT)
    assert off(lab) == ["a1", "b1"]
    plan = lab.run("plan", *NO_LIMIT).out
    assert "the former spec stays in force until" in plan


def test_the_daemon_keeps_a_removed_guard_for_an_hour_also_after_a_restart(lab: Lab) -> None:
    lab.commit("Off")

    def settled(running: Running) -> None:
        for name in ("a2", "b2"):
            running.logged("Held", key=f"Machine/{name}")

    with lab.daemon(*NO_LIMIT) as running:
        running.logged("GuardLoosening", key="Guard/racks")
        settled(running)
    with lab.daemon(*NO_LIMIT) as running:
        settled(running)
        assert get(running, "/healthz").status == 200
    assert taken_down(lab) == ["a1", "b1"]


def test_a_plan_without_a_store_is_judged_by_the_guards_of_the_commit_before(lab: Lab) -> None:
    """As in a pull request, where no daemon's store is at hand: the guards that are in force are those of git."""
    empty = ("--store", str(lab.desk.folder / "other.db"))
    lab.commit("Off", guard("racks", budget={"maxDisrupted": 4, "per": "rack"}))
    assert going(lab, *empty) == ["a1", "b1"]
    lab.commit("Off")
    assert going(lab, *empty) == ["a1", "b1"], "the guard before lets four go, and the one of the same day does not"


def test_an_apply_to_a_new_store_does_not_forget_the_guard_that_its_commit_removes(lab: Lab) -> None:
    empty = ("--store", str(lab.desk.folder / "other.db"))
    lab.commit("Off")
    for _ in range(2):
        assert lab.run("apply", "--yes", *NO_LIMIT, *empty, "--new-store").code != 0
    assert going(lab, *empty) == []
    assert len(lab.run("plan", "-o", "json", *NO_LIMIT, *empty).json["changes"]) == 3


def test_a_plan_of_a_work_tree_without_a_store_is_judged_by_the_guards_that_are_committed(lab: Lab) -> None:
    """Before a commit is made the files on disk follow HEAD and what HEAD follows; once they are committed, they follow
    its parents. What was in force on the same day judges too."""
    empty = ("--work-tree", "--store", str(lab.desk.folder / "other.db"))
    lab.commit("Off", ONE_A_RACK)
    lab.desk.write(guards=[guard("racks", budget={"maxDisrupted": 4, "per": "rack"})])
    assert going(lab, *empty) == ["a1", "b1"]
    lab.desk.git("commit", "--quiet", "--all", "--message", "Loosen it")
    assert going(lab, *empty) == ["a1", "b1"], "clean, so it is the commit itself"
    (lab.desk.repo / "guards.yaml").unlink()
    assert going(lab, *empty) == ["a1", "b1"], "HEAD lets four go, and the commit before it does not"


def test_a_work_tree_of_a_branch_is_judged_by_the_guards_where_the_branch_began(lab: Lab) -> None:
    empty = ("--work-tree", "--store", str(lab.desk.folder / "other.db"))
    lab.commit("Off", ONE_A_RACK)
    lab.desk.git("update-ref", "refs/remotes/origin/main", "HEAD")
    lab.commit("Off", guard("racks", budget={"maxDisrupted": 4, "per": "rack"}))
    lab.desk.write(guards=[])
    assert going(lab, *empty) == ["a1", "b1"]


def test_all_that_shows_a_plan_in_a_new_store_is_judged_by_the_guards_of_the_commit_before(lab: Lab) -> None:
    """One policy, whoever asks: `explain-guard` names the former spec that `plan` is judged by."""
    empty = ("--store", str(lab.desk.folder / "other.db"))
    lab.commit("Off", guard("racks", budget={"maxDisrupted": 4, "per": "rack"}))
    found = lab.run("explain-guard", "machine/a1", *NO_LIMIT, *empty, "-o", "json").json["guards"]
    assert [one["budgets"][0]["allowed"] for one in found if one["guard"] == "guard/racks"] == [4, 1]


def test_a_guard_that_the_commit_makes_mandatory_cannot_be_overridden_yet(lab: Lab) -> None:
    """No override is accepted that lifts nothing: the plan would go on to hold without a word of why."""
    absolute = guard("abs", level="Absolute", budget={"maxDisrupted": 0})
    lab.commit("On", ONE_A_RACK, absolute)
    assert lab.run("apply", "--yes", *NO_LIMIT).code == 0
    lab.commit("Off", ONE_A_RACK, {**absolute, "spec": {**absolute["spec"], "level": "Mandatory"}})
    done = lab.run("override", "guard/abs", "--for", "1h", "--reason", "INC-7")
    assert done.code == 1
    assert "had this level within the last hour" in done.err
    assert going(lab) == []


def test_a_plan_in_a_shallow_clone_without_a_store_says_that_former_guards_are_unknown(lab: Lab) -> None:
    lab.commit("Off")
    clone = lab.desk.folder / "shallow"
    lab.desk.git("clone", "--quiet", "--depth", "1", f"file://{lab.desk.repo}", str(clone))
    empty = ("--store", str(lab.desk.folder / "other.db"))
    said = "this plan does not check the guards of that commit"
    assert said in lab.run("plan", "--repo", str(clone), *empty).out
    assert said not in lab.run("plan", *empty).out


def test_exchanged_addresses_power_nothing_off_until_each_machine_is_confirmed_by_name(lab: Lab) -> None:
    """metal3-io/baremetal-operator#2022: a document with the BMC of another machine acts on that machine."""
    trust = {"credentialRef": {"name": "lab"}, "tls": {"caFile": str(lab.emulators.ca_file)}}
    places = list(enumerate(lab.emulators.addresses))
    turned = [places[1], places[0], *places[2:]]
    powers = ["Off", "On", "On", "On"]
    lab.desk.commit(
        "Exchange a1 and a2",
        lab=[
            partition(driver="redfish", **trust),
            *(
                machine(name, address, system=ID.format(number), power=power, rack=name[0])
                for name, power, (number, address) in zip(NAMES, powers, turned, strict=True)
            ),
        ],
        guards=[ONE_A_RACK],
    )
    held = lab.run("apply", "--yes", *NO_LIMIT)
    assert held.code == 3
    for one, other, system in (("a1", "a2", ID.format(1)), ("a2", "a1", ID.format(0))):
        assert f"the BMC of Machine/{one} reports UUID {system}" in held.out
        assert f"UUID {system} is the system of Machine/{other}" in held.out
    assert off(lab) == []
    refused = lab.run("override", "system-identity", "--for", "1h", "--reason", "moved")
    assert refused.code == 1
    assert "name resources" in refused.err
    done = lab.run("override", "system-identity", "machine/a1", "machine/a2", "--for", "1h", "--reason", "moved")
    assert done.code == 0, done
    assert lab.run("apply", "--yes", *NO_LIMIT).code == 0
    assert off(lab) == ["a1"]
    assert lab.run("plan", *NO_LIMIT).code == 0

"""No commit uses what it loosens itself, or what a commit within the hour before it loosened, whatever they change.

hashicorp/terraform#17599: the commit that removes `prevent_destroy` may use the removal at once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from drivers.base import PowerState, SystemState
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.resource import ResourceKey
from reconciler.planning.base_guards import carried_from_bases
from reconciler.planning.carry_over import carried_over, with_changes
from reconciler.planning.guards.standing import Standing
from reconciler.planning.planner import plan
from tests.unit.guard_worlds import OPEN, guard, racked
from tests.unit.planning_worlds import NOW, desired, seen

CLOSED = {"deny": [{"from": "2000-01-01T00:00", "to": "2999-01-01T00:00"}]}
BEFORE: dict[str, Any] = {
    "guard": "freeze",
    "rule": {"windows": CLOSED, "match": {"kinds": ["Machine"], "selector": "role=db", "partitions": ["p"]}},
    "machine": "r1-0",
    "address": "bmc-1",
    "labels": {"role": "db"},
    "spec": {"partition": "p", "power": "On"},
    "others": 2,
    "decoy": None,
    "uuid": "0000-r1-0",
}

Attack = Callable[[dict[str, Any]], dict[str, Any]]


def rule(**changes: Any) -> Attack:
    return lambda now: {**now, "rule": {**now["rule"], **changes}}


def match(**changes: Any) -> Attack:
    return lambda now: {**now, "rule": {**now["rule"], "match": {**now["rule"].get("match", {}), **changes}}}


def put(**changes: Any) -> Attack:
    return lambda now: {**now, **changes}


def spec(**changes: Any) -> Attack:
    return lambda now: {**now, "spec": {**now["spec"], **changes}}


ATTACKS: dict[str, Attack] = {
    "remove the guard": put(guard=None),
    "rename the guard": put(guard="frost"),
    "add the guard again": put(guard="freeze"),
    "match another kind": match(kinds=["Network"]),
    "match another label": match(selector="role=web"),
    "match a label that is not there": match(selector="!role"),
    "match another partition": match(partitions=["q"]),
    "match a project": match(projects=["shop"]),
    "match other names": match(names=["x-*"]),
    "judge nothing that matters": rule(actions=["set-indicator"]),
    "judge other causes": rule(causes=["release"]),
    "only warn": rule(level="Advisory"),
    "open the window": rule(windows={"allow": [{"from": "00:00", "to": "24:00"}]}),
    "protect instead": rule(windows=None, protection="Delete"),
    "remove the label": put(labels={}),
    "change the label": put(labels={"role": "web"}),
    "move to another partition": spec(partition="q"),
    "rename the machine": put(machine="r2-9"),
    "spell the BMC in another way": put(address="https://BMC-1:443/"),
    "name the BMC in another way": put(machine="r3-9", address="10.0.0.1"),
    "remove the others": put(others=0),
    "give its BMC to a new machine": put(machine="r4-9", decoy="r1-0"),
    "give its BMC to another machine": put(machine="r9-1", decoy="r1-0", others=1),
    "go back": lambda _: BEFORE,
}
names = st.sampled_from(sorted(ATTACKS))


def state_of(now: dict[str, Any]) -> Any:
    machines = [racked(now["machine"], **now["spec"], labels=now["labels"], bmc={"address": now["address"]})]
    machines += [racked(f"r9-{n}", bmc={"address": f"other-{n}"}) for n in range(now["others"])]
    if now["decoy"] and now["machine"] != now["decoy"]:
        machines.append(racked(now["decoy"], bmc={"address": "elsewhere"}))
    machines = list({one.key: one for one in reversed(machines)}.values())
    rules = {name: value for name, value in now["rule"].items() if value is not None}
    return desired(*machines, *([guard(now["guard"], **rules)] if now["guard"] else []))


def begin(uuid: str | None = "0000-r1-0") -> dict[ResourceKey, ResourceFacts]:
    """What is remembered of the state before, once it has been in force for long. `uuid`: of the machine's system."""
    first = carried_over(state_of(BEFORE), {}, NOW)
    known = with_changes({}, first)
    return {
        key: msgspec.structs.replace(one, uuid=uuid) if isinstance(one, MachineFacts) and key.name == "r1-0" else one
        for key, one in known.items()
    }


def going(now: dict[str, Any], known: dict[ResourceKey, ResourceFacts], at: Any) -> list[str]:
    state = state_of(now)
    facts = with_changes(known, carried_over(state, known, at))
    looks = {
        key: seen(key, SystemState(power=PowerState.ON, uuid=now["uuid"] if key.name == now["machine"] else None))
        for key in state.resources
        if key.kind == "Machine"
    }
    found = plan(state, looks, Facts(facts, {}), at, Standing(OPEN, "10.0.0.1"))
    return [one.key.name for one in found.changes if one.goes and one.key.name == now["machine"]]


@pytest.mark.parametrize("uuid", ["0000-r1-0", None])
@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_one_commit_that_loosens_and_powers_off(attack: str, uuid: str | None) -> None:
    assert going(spec(power="Off")(put(uuid=uuid)(ATTACKS[attack](BEFORE))), begin(uuid), NOW) == []


@given(
    st.sampled_from(["0000-r1-0", None]),
    st.lists(st.tuples(st.lists(names, min_size=1, max_size=3), st.integers(-5, 25)), min_size=1, max_size=3),
)
def test_several_commits_within_the_hour(uuid: str | None, commits: list[tuple[list[str], int]]) -> None:
    """`uuid`: what the BMC of the machine reports."""
    now, known, at = BEFORE, begin(uuid), NOW
    for attacks, minutes in commits[:-1]:
        for attack in attacks:
            now = ATTACKS[attack](now)
        known = with_changes(known, carried_over(state_of(now), known, at))
        at += timedelta(minutes=min(minutes, 19))
    for attack in commits[-1][0]:
        now = ATTACKS[attack](now)
    # Without a UUID and a serial number, a system at another address and under another name is another one.
    assume(uuid or not (now["decoy"] and now["address"] == "10.0.0.1"))
    assert going(spec(power="Off")(put(uuid=uuid)(now)), known, at) == []


@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_one_commit_in_a_plan_without_a_store_that_knows_the_commit_before(attack: str) -> None:
    """A plan in a pull request foresees what the daemon will hold, also for a machine under another name."""
    now = put(uuid=None)(spec(power="Off")(ATTACKS[attack](BEFORE)))
    facts = carried_from_bases([state_of(BEFORE)], state_of(now), NOW)
    assert going(now, facts, NOW) == []


def test_an_hour_after_the_commit_its_looser_guard_is_in_force() -> None:
    now, known = ATTACKS["remove the guard"](BEFORE), begin()
    known = with_changes(known, carried_over(state_of(now), known, NOW))
    off = spec(power="Off")(now)
    assert going(off, known, NOW + timedelta(minutes=59)) == []
    assert going(off, known, NOW + timedelta(minutes=61)) == ["r1-0"]

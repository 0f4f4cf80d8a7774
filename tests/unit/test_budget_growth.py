"""A share of a group, or what must stay available of it, permits more where the group is larger. A commit that makes a
group larger cannot use that: what came into it counts an hour later."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from drivers.base import PowerState, SystemState
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.model.facts import Facts
from reconciler.model.resource import Resource
from reconciler.planning.base_guards import carried_from_bases
from reconciler.planning.carry_over import carried_over, with_changes
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.guard_marks import marks_follow
from reconciler.planning.guards.standing import Standing
from tests.unit.guard_worlds import ALL, OPEN, change_of, going, guard, key, planned_at, racked
from tests.unit.guard_worlds import fleet as known_fleet
from tests.unit.planning_worlds import NOW, World, desired, seen

LATER = NOW + timedelta(hours=1)
BUILT_IN = Standing(GuardLimits(), "10.0.0.1")
GUARDED = Standing(OPEN, "10.0.0.1")
TEN, HUNDRED = range(10), range(100)


def machines(numbers: range, power: str = "On", **spec: Any) -> list[Resource[Any]]:
    return [racked(f"r1-{number:03}", power, **spec) for number in numbers]


def then(before: World, *resources: Resource[Any]) -> World:
    """These are declared after the fleet before, at NOW; all machines run."""
    state, known = desired(*resources), before.facts.resources
    looks = {one.key: seen(one.key, SystemState(power=PowerState.ON)) for one in state.of_kind("Machine")}
    return World(state, looks, Facts(with_changes(known, carried_over(state, known, NOW)), {}))


def count(world: World, standing: Standing = GUARDED, now: datetime = NOW) -> int:
    return len(going(planned_at(world, now, standing)))


RULES = [
    pytest.param([], BUILT_IN, id="the built-in budget"),
    pytest.param([guard("g", budget={"maxDisrupted": "10%"})], GUARDED, id="a share"),
    pytest.param([guard("g", budget={"maxDisrupted": "10%", "per": "rack"})], GUARDED, id="a share of each rack"),
    pytest.param([guard("g", budget={"minAvailable": 9})], GUARDED, id="what must stay available"),
    pytest.param([guard("g", budget={"minAvailable": "90%"})], GUARDED, id="a share that must stay available"),
]


@pytest.mark.parametrize(("rules", "standing"), RULES)
def test_added_machines_make_room_after_an_hour(rules: list[Resource[Any]], standing: Standing) -> None:
    before = known_fleet(*rules, *machines(TEN))
    grown = then(before, *rules, *machines(TEN, "Off"), *machines(range(10, 100)))
    assert count(grown, standing) == 1
    assert count(grown, standing, LATER) == 10


@pytest.mark.parametrize(("rules", "standing"), RULES)
def test_a_plan_without_a_store_knows_which_machines_the_commit_adds(
    rules: list[Resource[Any]], standing: Standing
) -> None:
    base = desired(*rules, *machines(TEN))
    grown = then(known_fleet(), *rules, *machines(TEN, "Off"), *machines(range(10, 100)))
    facts = Facts(carried_from_bases([base], grown.desired, NOW), {})
    assert count(msgspec.structs.replace(grown, facts=facts), standing) == 1


def test_machines_that_are_moved_into_a_rack_make_room_after_an_hour() -> None:
    elsewhere = machines(range(10, 100), rack="r2")
    before = known_fleet(*machines(TEN), *elsewhere)
    grown = then(before, *machines(TEN, "Off"), *machines(range(10, 100)))
    assert count(grown, BUILT_IN) == 1
    assert count(grown, BUILT_IN, LATER) == 10


def test_machines_that_are_relabelled_into_a_group_make_room_after_an_hour() -> None:
    rule = guard("g", match={"selector": "role=db"}, budget={"maxDisrupted": "10%"})
    others = [racked(f"x-{number:02}", labels={"role": "web"}) for number in range(90)]
    before = known_fleet(rule, *machines(TEN, labels={"role": "db"}), *others)
    now_db = [racked(one.key.name, labels={"role": "db"}) for one in others]
    grown = then(before, rule, *machines(TEN, "Off", labels={"role": "db"}), *now_db)
    assert count(grown) == 1
    assert count(grown, now=LATER) == 10


def test_a_machine_that_comes_back_to_its_rack_makes_no_more_room_than_before() -> None:
    before = known_fleet(*machines(HUNDRED))
    away = then(before, *machines(range(50)), *machines(range(50, 100), rack="r2"))
    back = then(away, *machines(range(50), "Off"), *machines(range(50, 100)))
    assert count(back, BUILT_IN) == 10


def test_the_first_fleet_of_a_store_is_counted_at_once() -> None:
    assert count(then(known_fleet(), *machines(HUNDRED, "Off")), BUILT_IN) == 10


def test_a_guard_that_is_new_counts_the_machines_that_were_there_before() -> None:
    before = known_fleet(*machines(HUNDRED))
    rule = guard("g", budget={"maxDisrupted": "10%", "per": "label:rack"})
    assert count(then(before, rule, *machines(HUNDRED, "Off"))) == 10


def test_a_renamed_machine_is_not_taken_for_one_that_was_added() -> None:
    before = known_fleet(*machines(HUNDRED))
    renamed = [
        racked(f"new-{one.key.name}", "Off", rack="r1", bmc=msgspec.to_builtins(one.spec.bmc))
        for one in machines(HUNDRED)
    ]
    found = going(planned_at(then(before, *renamed), standing=Standing(GuardLimits(max_removed=ALL))))
    assert len([name for name in found if name.startswith("new-")]) == 10


def test_a_number_lets_added_machines_go_like_others() -> None:
    rule = guard("g", budget={"maxDisrupted": 3})
    before = known_fleet(rule, *machines(TEN))
    assert count(then(before, rule, *machines(TEN), *machines(range(10, 20), "Off"))) == 3


def test_a_hold_says_that_machines_make_no_room_yet() -> None:
    before = known_fleet(*machines(TEN))
    grown = then(before, *machines(TEN, "Off"), *machines(range(10, 100)))
    hold = change_of(planned_at(grown, NOW, BUILT_IN), "r1-001").held_by[0]
    assert "90" in hold.reason


def test_a_budget_that_counts_what_is_unavailable_counts_an_added_machine_too() -> None:
    rule = guard("g", budget={"maxDisrupted": 2, "countUnavailable": True})
    before = known_fleet(rule, *machines(TEN))
    grown = then(before, rule, *machines(TEN, "Off"), *machines(range(10, 12), "Off"))
    off = {key(f"r1-{n:03}"): seen(key(f"r1-{n:03}"), SystemState(power=PowerState.OFF)) for n in (10, 11)}
    assert count(msgspec.structs.replace(grown, observed=grown.observed | off)) == 0


def test_who_is_claimed_is_guarded_from_then_on_and_leaves_an_hour_after_the_commit() -> None:
    """A project's guard guards a machine that was claimed after the last commit; the next commit cannot relabel it."""
    rule = guard("g", match={"projects": ["shop"], "selector": "role=db"}, budget={"maxDisrupted": 0})
    before = known_fleet(rule, *machines(TEN, labels={"role": "db"}))
    known, first = before.facts.resources, key("r1-000")
    claimed = {first: msgspec.structs.replace(known[first], project="shop")}
    assert isinstance(claimed[first], MachineFacts)
    followed = with_changes(known, marks_follow(before.desired, claimed, known, NOW))
    others = machines(range(1, 10), labels={"role": "db"})
    after = then(msgspec.structs.replace(before, facts=Facts(followed, {})), rule, *machines(range(1), "Off"), *others)
    assert count(after) == 0
    assert count(after, now=LATER) == 1

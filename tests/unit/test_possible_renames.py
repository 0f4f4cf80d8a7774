"""A machine under another name, whose BMC is spelled another way: its guards hold on, until its UUID tells it apart."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from drivers.base import PowerState, SystemState
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.model.facts import Facts
from reconciler.planning.carry_over import carried_over, with_changes
from tests.unit.guard_worlds import fleet, going, guard, holders, key, planned_at, racked
from tests.unit.planning_worlds import NOW, World, desired, seen

UUID = "33221100-5544-7766-8899-aabbccddeeff"
SWAPPED = "00112233-4455-6677-8899-aabbccddeeff"
OTHER = "11111111-2222-3333-4444-555555555555"
CLOSED: dict[str, Any] = {"deny": [{"from": "2026-01-01T00:00", "to": "2027-01-01T00:00", "reason": "freeze"}]}
DB = {"selector": "role=db"}
WINDOWS = guard("db", match=DB, windows=CLOSED, level="Absolute")
PROTECTED = guard("db", match=DB, windows=CLOSED, level="Absolute", protection="All")


def renamed(one: Any, before: str | None, after: str | None, *, declared: Any = None) -> World:
    """One commit removes db-2, which was guarded, and adds q-2, which is to go off. What their BMCs report."""
    first = fleet(one, racked("db-2", labels={"role": "db"}), racked("a-1"))
    known = dict(first.facts.resources)
    known[key("db-2")] = msgspec.structs.replace(known[key("db-2")], uuid=before)
    state = desired(one, racked("a-1"), declared or racked("q-2", "Off"))
    looks = {
        key("a-1"): seen(key("a-1"), SystemState(power=PowerState.ON)),
        key("q-2"): seen(key("q-2"), SystemState(power=PowerState.ON, uuid=after)),
        key("db-2"): seen(key("db-2"), None),
    }
    return World(state, looks, Facts(with_changes(known, carried_over(state, known, NOW)), {}))


@pytest.mark.parametrize("one", [WINDOWS, PROTECTED])
@pytest.mark.parametrize(
    ("before", "after"), [(UUID, UUID), (UUID, SWAPPED), (UUID, UUID.upper()), (None, UUID), (UUID, None), (None, None)]
)
def test_what_may_be_the_same_machine_is_guarded_for_an_hour(one: Any, before: str | None, after: str | None) -> None:
    world = renamed(one, before, after)
    found = planned_at(world)
    assert holders(found, "db-2") == ["guard/db"]
    assert holders(found, "q-2") == [*by_identity(before, after), "guard/db"]
    assert going(found) == []
    assert "guard/db" in holders(planned_at(world, NOW + timedelta(minutes=59)), "q-2")
    assert holders(planned_at(world, NOW + timedelta(hours=1)), "q-2") == by_identity(before, after)


def by_identity(before: str | None, after: str | None) -> list[str]:
    """What else holds a machine that reports the system of a removed one, as long as the store has that one."""
    return ["system-identity"] if before and after else []


def test_another_machine_is_not_guarded_and_the_removed_one_is_forgotten() -> None:
    assert going(planned_at(renamed(WINDOWS, UUID, OTHER))) == ["db-2", "q-2"]


def test_another_machine_goes_though_the_removed_one_is_protected() -> None:
    assert going(planned_at(renamed(PROTECTED, UUID, OTHER))) == ["q-2"]


def test_a_machine_that_was_known_before_is_not_taken_for_the_removed_one() -> None:
    assert "a-1" in going(planned_at(renamed(WINDOWS, None, None, declared=racked("a-1", "Off"))))


def test_a_rename_at_the_same_address_leaves_others_alone() -> None:
    world = renamed(WINDOWS, None, None)
    again = desired(WINDOWS, racked("a-1"), racked("q-2", "Off"), racked("db-3", bmc={"address": "db-2.bmc"}))
    first = fleet(WINDOWS, racked("db-2", labels={"role": "db"}), racked("a-1"))
    known = dict(first.facts.resources)
    after = with_changes(known, carried_over(again, known, NOW))
    assert holders(planned_at(World(again, world.observed, Facts(after, {}))), "q-2") == []


def test_a_budget_counts_it_in_the_group_of_the_removed_one() -> None:
    one = guard("db", match=DB, budget={"maxDisrupted": 1})
    world = renamed(one, None, UUID)
    down = MachineFacts(disrupted_at=NOW, guarded=world.facts.resources[key("db-2")].guarded)
    others = [racked(f"a-{n}") for n in range(9)]
    state = desired(one, racked("q-2", "Off"), racked("db-1", labels={"role": "db"}), *others)
    more = {other.key: MachineFacts() for other in others}
    facts = Facts({**world.facts.resources, **more, key("db-1"): down}, {})
    assert holders(planned_at(World(state, world.observed, facts)), "q-2") == ["guard/db"]

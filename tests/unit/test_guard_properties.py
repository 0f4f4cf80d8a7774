"""What holds for guards whatever the fleet: budgets are kept in each group, by names, and no window holds an end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import PowerState, SystemState
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.model.facts import Facts
from tests.unit.guard_worlds import fleet, going, guard, key, planned_at, racked
from tests.unit.planning_worlds import NOW, World, seen

NAMES = [f"r{rack}-{number}" for rack in (1, 2, 3) for number in range(4)]
names = st.sets(st.sampled_from(NAMES))
limits = st.sampled_from([0, 1, 2, "25%", "50%", "100%"])


def allowed(limit: int | str) -> int:
    """Of a rack of four."""
    return limit if isinstance(limit, int) else int(float(limit.rstrip("%")) / 25)


def world_of(rule: dict[str, Any], off: set[str], down: set[str], order: list[str]) -> World:
    facts = {key(name): MachineFacts(disrupted_at=NOW - timedelta(minutes=5)) for name in down}
    machines = [racked(name, "Off" if name in off else "On") for name in order]
    return fleet(guard("g", **rule), *machines, facts=facts)


@given(limits, names, names, st.permutations(NAMES))
def test_no_group_is_disrupted_beyond_its_budget_and_names_decide(
    limit: int | str, off: set[str], down: set[str], order: list[str]
) -> None:
    rule = {"budget": {"maxDisrupted": limit, "per": "rack"}}
    found = going(planned_at(world_of(rule, off, down, order)))
    assert found == going(planned_at(world_of(rule, off, down, NAMES))), "the order of documents is nothing"
    for rack in ("r1", "r2", "r3"):
        wanting = sorted(name for name in off - down if name.startswith(rack))
        taken = sorted(name for name in found if name.startswith(rack) and name not in down)
        room = max(0, allowed(limit) - sum(name.startswith(rack) for name in down))
        assert taken == wanting[:room]


@given(limits, names, names)
def test_machines_that_are_off_for_any_reason_count_where_asked_for(
    limit: int | str, off: set[str], gone: set[str]
) -> None:
    rule = {"budget": {"maxDisrupted": limit, "per": "rack", "countUnavailable": True}}
    world = world_of(rule, off, set(), NAMES)
    looks = {key(name): seen(key(name), SystemState(power=PowerState.OFF)) for name in gone}
    found = going(planned_at(msgspec.structs.replace(world, observed=world.observed | looks)))
    for rack in ("r1", "r2", "r3"):
        fresh = [name for name in found if name.startswith(rack) and name not in gone]
        assert len(fresh) <= max(0, allowed(limit) - sum(name.startswith(rack) for name in gone))


@given(names, names, st.integers(0, 59))
def test_no_window_holds_what_ends_what_was_begun(off: set[str], down: set[str], ago: int) -> None:
    rule = {"windows": {"deny": [{"from": "2000-01-01T00:00"}]}}
    world = world_of(rule, off, set(), NAMES)
    facts = dict(world.facts.resources)
    for name in down:
        facts[key(name)] = msgspec.structs.replace(facts[key(name)], disrupted_at=NOW - timedelta(minutes=ago))
    found = going(planned_at(msgspec.structs.replace(world, facts=Facts(facts, {}))))
    assert set(found) == off & down

"""What the metrics count of resources: the same as `get` and `capacity` show, however often it was counted before."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import PowerState, SystemState
from reconciler.kinds.common.machine_facts import LifecycleFacts, MachineFacts
from reconciler.model.plans.fleet_count import BudgetLevel, FleetCount
from reconciler.placement.capacity import MACHINE_CAPACITY, capacity
from reconciler.planning.guards.fleet_survey import survey
from reconciler.planning.guards.guard import GuardWorld
from reconciler.planning.guards.reports.guard_report import budget_levels
from reconciler.planning.guards.standing import Standing
from reconciler.views.resource_tally import RESOURCE_STATUS, ResourceTally, Series, fleet_count, guard_holds
from tests.unit.guard_worlds import fleet, guard, key, racked
from tests.unit.planning_worlds import LIMITS, NOW, World, planned, seen, unreachable, worlds

PHASES = "groundstate_machine_phase"
MANAGED: dict[str, Any] = {"lifecycle": {"mode": "Managed"}, "power": None}


def judged(world: World) -> GuardWorld:
    standing = Standing(LIMITS, "10.0.0.1")
    fleet_survey = survey(world.desired, world.observed, world.facts)
    return GuardWorld(world.desired, world.observed, world.facts, fleet_survey, standing, NOW)


def count(world: World, tally: ResourceTally | None = None) -> Series:
    return (tally or ResourceTally()).count(judged(world), planned(world))


@given(worlds(), worlds(), st.data())
def test_what_was_counted_before_makes_no_difference(first: World, second: World, data: st.DataObject) -> None:
    between = data.draw(
        st.sampled_from(
            [
                second,
                msgspec.structs.replace(first, observed=second.observed),
                msgspec.structs.replace(first, facts=second.facts),
            ]
        )
    )
    tally = ResourceTally()
    for world in (first, between, first):
        assert count(world, tally) == count(world)


@given(worlds())
def test_capacity_is_counted_as_the_command_shows_it(world: World) -> None:
    shown = Counter[tuple[str, ...]]()
    for row in capacity(world.desired, world.observed, world.facts):
        for state in ("free", "claimed", "faulty", "waiting"):
            shown[row.partition, row.size or "", state] += len(getattr(row, state))
    assert count(world)[MACHINE_CAPACITY.name] == +shown


def test_machines_are_counted_by_status_and_phase_and_a_phase_without_machines_is_zero() -> None:
    new, ready, hurt = (racked(f"r1-{name}", **MANAGED) for name in ("new", "ready", "hurt"))
    inspected = MachineFacts(lifecycle=LifecycleFacts(inspected_at=NOW))
    world = fleet(new, ready, hurt, racked("r2-plain"), facts={ready.key: inspected, hurt.key: inspected})
    looks = {
        **world.observed,
        ready.key: seen(ready.key, SystemState(power=PowerState.OFF)),
        hurt.key: unreachable(hurt.key),
    }
    found = count(msgspec.structs.replace(world, observed=looks))
    assert {labels: number for labels, number in found[PHASES].items() if number} == {
        ("Discovered",): 1,
        ("Available",): 2,
    }
    assert found[PHASES]["Error",] == 0
    assert found[RESOURCE_STATUS]["Machine", "Unknown"] == 1
    assert found[MACHINE_CAPACITY.name]["p", "", "free"] == 2
    assert found[MACHINE_CAPACITY.name]["p", "", "faulty"] == 1


def test_a_resource_that_is_gone_is_counted_no_more() -> None:
    machines = [racked(f"r1-{number}") for number in range(3)]
    tally = ResourceTally()
    assert count(fleet(*machines), tally)[RESOURCE_STATUS] == {("Machine", "Ready"): 3}
    assert count(fleet(machines[0]), tally)[RESOURCE_STATUS] == {("Machine", "Ready"): 1}


def test_each_group_of_a_budget_shows_how_much_of_it_is_used() -> None:
    racks = guard("racks", budget={"maxDisrupted": "50%", "per": "rack"}, match={"kinds": ["Machine"]})
    machines = [racked(f"{rack}-{number}") for rack in ("r1", "r2") for number in range(4)]
    down = MachineFacts(disrupted_at=NOW, taken_down_at=NOW)
    world = judged(fleet(racks, *machines, facts={key("r1-0"): down}))
    assert list(budget_levels(world)) == [
        BudgetLevel("disruption-budget", "machines", 1, max(1, int(LIMITS.max_disrupted.of(8))), is_whole=True),
        BudgetLevel("disruption-budget", "p/r1", 1, 1),
        BudgetLevel("guard/racks", "p/r1", 1, 2),
        BudgetLevel("guard/racks", "p/r2", 0, 2),
    ]


def test_a_fleet_in_numbers_leaves_out_what_is_zero_and_counts_documents_that_are_only_declared() -> None:
    racks = guard("racks", budget={"maxDisrupted": "50%", "per": "rack"}, match={"kinds": ["Machine"]})
    machines = [racked(f"{rack}-{number}", power="Off") for rack in ("r1", "r2") for number in range(4)]
    down = MachineFacts(disrupted_at=NOW, taken_down_at=NOW)
    world = fleet(racks, *machines, facts={key("r1-0"): down})
    guards = judged(world)
    budgets = tuple(budget_levels(guards))
    found = fleet_count(world.desired, count(world), guard_holds(planned(world).changes), budgets)
    assert found.statuses["Guard"] == {"Ready": 1}
    assert found.statuses["Machine"] == {"Held": 7, "Reconciling": 1}
    assert list(found.held.items()) == [("guard/racks", 4), ("disruption-budget", 3)]
    assert [(one.guard, one.group) for one in found.budgets] == [
        ("disruption-budget", "machines"),
        ("disruption-budget", "p/r1"),
        ("guard/racks", "p/r1"),
    ]
    assert msgspec.json.decode(msgspec.json.encode(found), type=FleetCount) == found

"""What holds of every plan, whatever the world."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import PowerState, SystemState
from reconciler.kinds import RECONCILED
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.model.actions.action_base import Disruption
from reconciler.model.facts import Facts
from reconciler.model.resource import DesiredState
from reconciler.planning.guards.fleet_survey import disrupted
from reconciler.planning.guards.guard_limits import GuardLimits
from tests.unit.planning_worlds import NOW, World, carried_out, desired, machine, planned, seen, worlds

K = TypeVar("K")
V = TypeVar("V")
OPEN = GuardLimits(
    max_disrupted=FleetShare(percent=100),
    max_removed=FleetShare(percent=100),
    max_unreachable=FleetShare(percent=100),
    max_released=FleetShare(percent=100),
    allow_empty=True,
)
STANDARD = {"empty-desired-state", "mass-removal", "unreachable-fleet", "disruption-budget"} | {
    "mass-release",
    "mass-unclaim",
}
ROUNDS = 12
"""Enough: a resource needs at most three actions, and an address waits for one network."""


@given(worlds(), st.integers(0, 2**16))
def test_equal_input_gives_an_equal_plan_whatever_the_order_of_mappings(world: World, seed: int) -> None:
    order = random.Random(seed)
    other = World(
        DesiredState(world.desired.revision, _shuffled(world.desired.resources, order)),
        _shuffled(world.observed, order),
        Facts(_shuffled(world.facts.resources, order), {}),
    )
    assert planned(other) == planned(world)


@settings(max_examples=200)
@given(worlds())
def test_carrying_plans_out_leads_to_nothing_left_to_send(world: World) -> None:
    for _ in range(ROUNDS):
        going = [change for change in planned(world, OPEN).changes if change.goes]
        if not going:
            break
        for change in going:
            world = carried_out(change.actions[0], world)
    rest = planned(world, OPEN)
    assert not [change for change in rest.changes if change.goes]
    assert all(change.held_by for change in rest.changes)


@given(worlds())
def test_nothing_is_planned_for_what_could_not_be_read(world: World) -> None:
    plan = planned(world, OPEN)
    # Of a claim nothing outside is looked at.
    looked_at = [key for key in world.desired.resources if key.kind in RECONCILED and key.kind != "MachineClaim"]
    blind = {key for key in looked_at if key not in world.observed or world.observed[key].error}
    assert not blind & {change.key for change in plan.changes}
    assert blind <= {unknown.key for unknown in plan.unknown}


@given(worlds(), st.integers(0, 12) | st.none(), st.sampled_from([0.0, 10.0, 35.0]))
def test_no_plan_exceeds_the_disruption_budget(world: World, count: int | None, percent: float) -> None:
    limit = FleetShare(count=count) if count is not None else FleetShare(percent=percent)
    plan = planned(world, msgspec.structs.replace(OPEN, max_disrupted=limit))
    going = {c.key for c in plan.changes if c.goes and c.disruption is Disruption.DISRUPTIVE}
    machines = world.desired.count("Machine")
    allowed = 0 if not limit.of(1) else max(1, int(limit.of(machines)))
    down = {k for k, one in disrupted(world.facts).items() if one.in_flight or NOW - one.since < GuardLimits().window}
    assert not going - down or len(going | down) <= allowed


@given(worlds())
def test_a_held_field_has_no_action(world: World) -> None:
    for change in planned(world).changes:
        held = {hold.path for hold in change.held_by}
        assert not [action for action in change.actions if action.path in held]


@given(worlds())
def test_every_hold_says_why_and_names_a_way_out(world: World) -> None:
    for change in planned(world).changes:
        for hold in change.held_by:
            assert hold.reason
            assert hold.hint
            assert hold.by not in STANDARD or "--" in hold.hint


@given(st.integers(1, 60), st.integers(0, 60))
def test_a_fleet_is_powered_off_a_budget_at_a_time(machines: int, wanted: int) -> None:
    fleet = [machine(f"n{i:02d}", power="Off" if i < wanted else "On") for i in range(machines)]
    world = World(
        desired(*fleet),
        {one.key: seen(one.key, SystemState(power=PowerState.ON)) for one in fleet},
        Facts({}, {}),
    )
    going = [change for change in planned(world).changes if change.goes]
    assert len(going) == min(wanted, machines, max(1, machines // 10))


def _shuffled(mapping: Mapping[K, V], order: random.Random) -> dict[K, V]:
    return dict(order.sample(list(mapping.items()), len(mapping)))

"""The built-in budget counts the fleet, and each rack. Both are in force without any Guard document."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.model.plans.override import Override
from reconciler.model.plans.plan import Plan
from reconciler.model.resource import Resource
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.standing import Standing
from tests.unit.guard_worlds import change_of, fleet, going, holders, key, planned_at, racked
from tests.unit.planning_worlds import NOW, World

LIMITS = GuardLimits()


def planned(world: World, limits: GuardLimits = LIMITS, *overrides: Override) -> Plan:
    return planned_at(world, standing=Standing(limits, "10.0.0.1", overrides=overrides))


def racks(count: int, size: int, off: int) -> list[Resource[Any]]:
    """So many racks, of which the first ones are to go off."""
    return [
        racked(f"r{rack:02}-{machine:02}", "Off" if rack < off else "On")
        for rack in range(count)
        for machine in range(size)
    ]


def test_a_commit_that_switches_three_racks_off_takes_a_tenth_of_each() -> None:
    found = going(planned(fleet(*racks(25, 20, off=3))))
    assert found == ["r00-00", "r00-01", "r01-00", "r01-01", "r02-00", "r02-01"]


def test_the_budget_of_the_fleet_counts_beside_that_of_the_racks() -> None:
    found = going(planned(fleet(*racks(30, 5, off=30))))
    assert found == [f"r{rack:02}-00" for rack in range(15)]


@pytest.mark.parametrize(("size", "limit", "goes"), [(4, "10%", 1), (30, "10%", 3), (30, "5", 5), (30, "0", 0)])
def test_the_limit_of_a_rack_is_a_setting(size: int, limit: str, goes: int) -> None:
    limits = GuardLimits(max_disrupted_per_rack=FleetShare.parse(limit))
    assert len(going(planned(fleet(*racks(10, size, off=1)), limits))) == goes


def test_machines_without_a_rack_are_counted_in_the_fleet_alone() -> None:
    machines = [racked(f"x-{number:02}", "Off", rack=None) for number in range(30)]
    assert len(going(planned(fleet(*machines)))) == 3


def test_a_label_says_the_rack_where_the_field_does_not() -> None:
    machines = [racked(f"x-{number:02}", "Off", {"rack": "a"}, rack=None) for number in range(10)]
    others = [racked(f"y-{number:02}", rack=None) for number in range(90)]
    assert going(planned(fleet(*machines, *others))) == ["x-00"]


def test_racks_of_one_name_in_two_partitions_are_two_racks() -> None:
    both = [racked(f"r1-{where}{n}", "Off", partition=where) for where in ("a", "b") for n in range(5)]
    found = planned(fleet(*both, *racks(10, 9, off=0)))
    assert going(found) == ["r1-a0", "r1-b0"]
    assert "of 5 machines of rack r1 in partition b" in change_of(found, "r1-b1").held_by[0].reason


def test_a_commit_that_moves_machines_to_racks_of_their_own_cannot_use_that() -> None:
    before = fleet(*racks(10, 10, off=0))
    moved = [
        racked(f"r00-{number:02}", "Off", rack=f"new-{number}") if rack == 0 else racked(f"r{rack:02}-{number:02}")
        for rack in range(10)
        for number in range(10)
    ]
    after = fleet(*moved, facts=dict(before.facts.resources))
    assert going(planned(after)) == ["r00-00"]
    assert len(going(planned_at(after, NOW + timedelta(hours=1), Standing(LIMITS)))) == 10


def test_one_override_lifts_both_limits() -> None:
    lifting = Override("o1", "disruption-budget", "why", "ada", NOW, NOW + timedelta(hours=1), (), "", None)
    lifting = msgspec.structs.replace(lifting, targets=("machine/r00-*",))
    found = planned(fleet(*racks(10, 5, off=1)), LIMITS, lifting)
    assert len(going(found)) == 5
    assert change_of(found, "r00-04").passes == ("disruption-budget",)


def test_a_hold_of_a_rack_names_all_flags_that_let_it_pass() -> None:
    found = planned(fleet(*racks(2, 4, off=1)))
    hold = change_of(found, "r00-01").held_by[0]
    assert "groundstate apply --max-disrupted 4 --max-disrupted-per-rack 4`" in hold.hint
    raised = GuardLimits(max_disrupted=FleetShare(count=4), max_disrupted_per_rack=FleetShare(count=4))
    assert len(going(planned(fleet(*racks(2, 4, off=1)), raised))) == 4


def test_where_the_fleet_has_no_room_the_hold_says_when_the_fleet_has() -> None:
    down = {key("r01-00"): MachineFacts(disrupted_at=NOW - timedelta(minutes=20))}
    found = planned(fleet(*racks(2, 4, off=1), facts=down))
    assert holders(found, "r00-00") == ["disruption-budget"]
    assert "wait until 2026-03-01 12:40:00Z" in change_of(found, "r00-00").held_by[0].hint


def test_a_hold_of_the_fleet_names_all_flags_that_let_it_pass() -> None:
    down = {key("r00-00"): MachineFacts(disrupted_at=NOW - timedelta(minutes=20))}
    hold = change_of(planned(fleet(*racks(2, 4, off=1), facts=down)), "r00-01").held_by[0]
    assert "groundstate apply --max-disrupted 4 --max-disrupted-per-rack 4`" in hold.hint

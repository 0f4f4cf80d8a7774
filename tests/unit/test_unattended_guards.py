"""Machines that no daemon reaches at present are not taken for dead, and hold up nobody else."""

from __future__ import annotations

import pytest

from drivers.base import ErrorReason, PowerState, SystemState
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.model.facts import Facts
from reconciler.model.observation import Observation, ReadError
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import Plan
from reconciler.planning.guards.builtin_guards import hold_until_observed
from reconciler.planning.guards.fleet_survey import survey
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.standing import Standing
from reconciler.planning.planner import plan
from tests.unit.guard_worlds import ALL
from tests.unit.planning_worlds import NOW, World, desired, machine, seen, unreachable

LIMITS = GuardLimits(max_disrupted=ALL, max_disrupted_per_rack=ALL, max_unreachable=FleetShare.parse("10%"))


def fleet(well: int, *, unattended: int = 0, dead: int = 0, unseen: int = 0) -> World:
    """Machines that all are to go off. The well ones are On; the others have no daemon, do not answer, or were not
    observed since the start."""
    count = well + unattended + dead + unseen
    machines = [machine(f"n{number:03d}", power="Off") for number in range(count)]
    looks = {one.key: seen(one.key, SystemState(power=PowerState.ON)) for one in machines[:well]}
    for one in machines[well : well + unattended]:
        error = ReadError(ErrorReason.NO_WORKER, "none of its daemons is at work")
        looks[one.key] = Observation(one.key, NOW, error=error)
    for one in machines[well + unattended : well + unattended + dead]:
        looks[one.key] = unreachable(one.key)
    return World(desired(*machines), looks, Facts({one.key: MachineFacts() for one in machines}, {}))


def planned(world: World) -> Plan:
    standing = Standing(LIMITS, "10.0.0.1")
    return plan(
        world.desired, world.observed, world.facts, NOW, standing, transient_guards=(hold_until_observed(LIMITS),)
    )


def going(found: Plan) -> int:
    return sum(change.goes for change in found.changes)


def holds(found: Plan) -> set[str]:
    return {hold.by for change in found.changes for hold in change.held_by}


def test_they_are_counted_separately() -> None:
    world = fleet(5, unattended=3, dead=2, unseen=1)
    one = survey(world.desired, world.observed, world.facts).kinds["Machine"]
    assert (one.declared, one.observed, one.unreachable, one.unattended) == (11, 7, 2, 3)


@pytest.mark.parametrize(("well", "unattended"), [(10, 0), (10, 1), (10, 10), (10, 500)])
def test_others_go_on_however_many_there_are(well: int, unattended: int) -> None:
    found = planned(fleet(well, unattended=unattended))
    assert (going(found), holds(found)) == (well, set())


def test_nothing_is_planned_for_them() -> None:
    found = planned(fleet(1, unattended=3))
    assert [change.key.name for change in found.changes] == ["n000"]
    assert sorted(one.key.name for one in found.unknown) == ["n001", "n002", "n003"]


@pytest.mark.parametrize("unattended", [0, 100])
def test_machines_that_do_not_answer_stop_the_others_all_the_same(unattended: int) -> None:
    found = planned(fleet(8, unattended=unattended, dead=3))
    assert (going(found), holds(found)) == (0, {HoldName.UNREACHABLE_FLEET})


@pytest.mark.parametrize("unattended", [0, 100])
def test_machines_that_were_not_observed_yet_are_waited_for_all_the_same(unattended: int) -> None:
    found = planned(fleet(8, unattended=unattended, unseen=3))
    assert (going(found), holds(found)) == (0, {HoldName.FIRST_LOOK})

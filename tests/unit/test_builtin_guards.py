"""The guards: what is held, at which number, and what lets it pass."""

from __future__ import annotations

import re
from datetime import timedelta

import msgspec
import pytest

from drivers.base import PowerState, ResetType, SystemState
from reconciler.kinds.catalogue.tenancy import TenantSpec
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.model.actions.bmc_actions import PowerOff
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.facts import Facts
from reconciler.model.plans.plan import HoldKind, Plan
from reconciler.model.resource import ResourceKey
from reconciler.planning.guards.fleet_survey import Disrupted, disrupted
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.standing import Standing
from reconciler.planning.planner import plan
from tests.unit.planning_worlds import NOW, World, desired, machine, planned, resource, seen, unreachable


def fleet(count: int, *, off: int = 0, gone: int = 0, blind: int = 0, known: bool = True) -> World:
    """`count` machines On; the first `off` declared Off, the last `gone` not declared, `blind` before those mute."""
    names = [f"n{i:03d}" for i in range(count)]
    declared = [machine(n, power="Off" if i < off else "On") for i, n in enumerate(names[: count - gone])]
    looks = {one.key: seen(one.key, SystemState(power=PowerState.ON)) for one in declared}
    for one in declared[len(declared) - blind :]:
        looks[one.key] = unreachable(one.key)
    remembered = {ResourceKey("Machine", n): MachineFacts() for n in names} if known else {}
    return World(desired(*declared), looks, Facts(remembered, {}))


def held(found: Plan, guard: str) -> int:
    return sum(any(hold.by == guard for hold in change.held_by) for change in found.changes)


@pytest.mark.parametrize(
    ("count", "off", "limit", "going"),
    [
        (5, 5, "10%", 1),
        (100, 30, "10%", 10),
        (109, 30, "10%", 10),
        (100, 30, "3", 3),
        (100, 30, "0", 0),
        (100, 30, "0%", 0),
        (100, 30, "100%", 30),
    ],
)
def test_the_budget_lets_a_tenth_but_at_least_one_go(count: int, off: int, limit: str, going: int) -> None:
    found = planned(fleet(count, off=off), GuardLimits(max_disrupted=FleetShare.parse(limit)))
    assert sum(change.goes for change in found.changes) == going
    assert held(found, "disruption-budget") == off - going


def test_machines_that_are_down_already_use_the_budget_up() -> None:
    world = fleet(30, off=10)
    down = [ResourceKey("Machine", f"n{i:03d}") for i in (28, 29)]
    facts = dict(world.facts.resources) | {key: MachineFacts(disrupted_at=NOW - timedelta(minutes=9)) for key in down}
    found = planned(msgspec.structs.replace(world, facts=Facts(facts, {})))
    assert sum(change.goes for change in found.changes) == 1


def test_a_machine_within_the_budget_finishes_what_it_began() -> None:
    world = fleet(10, off=2)
    second = ResourceKey("Machine", "n001")
    facts = dict(world.facts.resources) | {second: MachineFacts(disrupted_at=NOW - timedelta(minutes=9))}
    found = planned(msgspec.structs.replace(world, facts=Facts(facts, {})))
    assert [change.key for change in found.changes if change.goes] == [second]


def test_disrupted_is_what_is_going_down_or_was_taken_down() -> None:
    a, b, c = (ResourceKey("Machine", n) for n in "abc")
    action = PowerOff(key=a, reset_type=ResetType.FORCE_OFF)
    facts = Facts(
        {
            b: MachineFacts(disrupted_at=NOW - timedelta(minutes=59)),
            c: MachineFacts(disrupted_at=NOW - timedelta(hours=1)),
        },
        {a: InFlight("1", a, action, NOW, NOW, "ada", "")},
    )
    assert disrupted(facts) == {
        a: Disrupted(NOW, in_flight=True),
        b: Disrupted(NOW - timedelta(minutes=59)),
        c: Disrupted(NOW - timedelta(hours=1)),
    }


@pytest.mark.parametrize(("gone", "stopped"), [(1, 0), (10, 0), (11, 11 + 1)])
def test_losing_more_than_a_tenth_of_the_machines_stops_everything(gone: int, stopped: int) -> None:
    assert held(planned(fleet(100, off=1, gone=gone)), "mass-removal") == stopped


def test_an_empty_desired_state_touches_nothing() -> None:
    found = planned(fleet(20, gone=20))
    assert held(found, "empty-desired-state") == len(found.changes) == 20
    assert found.exit_code == 3


def test_a_state_that_lost_all_its_machines_is_as_good_as_empty() -> None:
    world = fleet(20, gone=20)
    world = msgspec.structs.replace(world, desired=desired(resource("Tenant", "t", TenantSpec())))
    assert held(planned(world), "empty-desired-state") == 20


def test_a_fleet_without_machines_is_guarded_too() -> None:
    world = World(desired(), {}, Facts({ResourceKey("Machine", "only"): MachineFacts()}, {}))
    assert held(planned(world), "empty-desired-state") == 1


def test_a_new_fleet_is_not_taken_for_a_loss() -> None:
    assert held(planned(fleet(20, known=False, off=1)), "mass-removal") == 0


@pytest.mark.parametrize(("blind", "stopped"), [(10, 0), (11, 2)])
def test_too_many_unreachable_bmcs_stop_what_disrupts(blind: int, stopped: int) -> None:
    assert held(planned(fleet(100, off=2, blind=blind)), "unreachable-fleet") == stopped


@pytest.mark.parametrize(
    "world",
    [fleet(100, off=30), fleet(100, gone=20), fleet(20, gone=20), fleet(100, off=2, blind=30)],
    ids=["budget", "removal", "empty", "unreachable"],
)
def test_the_flag_that_a_guard_names_lets_it_pass(world: World) -> None:
    found = planned(world)
    ways = {hold.hint for change in found.changes for hold in change.held_by if hold.kind is HoldKind.GUARD}
    flags = {found.groups() for way in ways for found in re.finditer(r"apply --([a-z-]+)(?: (\d+))?", way)}
    ((name, number),) = flags
    value = FleetShare.parse(number) if number else True
    raised = GuardLimits(**{name.replace("-", "_"): value})  # type: ignore[arg-type]
    assert not any(change.held(HoldKind.GUARD) for change in planned(world, raised).changes)


def test_guards_judge_the_whole_fleet_also_for_a_part_of_it() -> None:
    world = fleet(100, off=1, gone=20)
    part = [ResourceKey("Machine", "n000")]
    found = plan(world.desired, world.observed, world.facts, NOW, Standing(), select=part, selected_by="machine/n000")
    assert held(found, "mass-removal") == 1


@pytest.mark.parametrize(
    ("text", "printed"), [("5", "5"), (" 10% ", "10%"), ("0", "0"), ("2.5%", "2.5%"), ("100%", "100%")]
)
def test_limits_are_numbers_or_shares(text: str, printed: str) -> None:
    assert str(FleetShare.parse(text)) == printed


@pytest.mark.parametrize("text", ["", "x", "-1", "101%", "-1%", "1.5", "nan%", "inf%", "%"])
def test_other_limits_are_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither a number|out of range"):
        FleetShare.parse(text)


@pytest.mark.parametrize(("percent", "total", "machines"), [(9.2, 750, 69), (4.4, 750, 33), (8.8, 1625, 143)])
def test_a_share_is_not_off_by_a_machine_because_of_floats(percent: float, total: int, machines: int) -> None:
    assert FleetShare(percent=percent).of(total) == machines

"""What is kept back for a project goes to no other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivers.base import PowerState, SystemState
from reconciler.kinds.common.field_types.fields import Taint
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.kinds.machine.spec import Pause
from reconciler.model.actions.record_actions import Bind
from reconciler.model.facts import Facts
from reconciler.model.plans.plan import HoldKind
from reconciler.model.resource import ResourceKey
from reconciler.placement.reservations import Stock
from reconciler.planning.guards.standing import Standing
from reconciler.planning.planner import plan
from tests.unit.planning_worlds import NOW, World, desired, machine, planned, reserved, seen, unreachable

projects = st.sampled_from(["red", "blue", "green"])
amounts = st.dictionaries(projects, st.integers(0, 6))
stocks = st.builds(Stock, st.integers(0, 12), amounts, amounts)


def test_a_surplus_of_one_project_does_not_eat_the_reservation_of_another() -> None:
    """Red reserves 5 and has none, blue reserves 1 and has 10: metal-stack lets green have all."""
    five = Stock(5, {"red": 5, "blue": 1}, {"blue": 10})
    six = Stock(6, {"red": 5, "blue": 1}, {"blue": 10})
    assert (five.allows("green"), six.allows("green")) == (False, True)
    assert (five.grants("green", 9), six.grants("green", 9)) == (0, 1)
    assert (five.grants("red", 9), five.grants("blue", 9)) == (5, 0)


@given(stocks, projects)
def test_the_order_of_reservations_does_not_matter(stock: Stock, project: str) -> None:
    turned = Stock(stock.free, dict(sorted(stock.reserved.items())), dict(sorted(stock.has.items())))
    assert turned.grants(project, 20) == stock.grants(project, 20)


@given(stocks, projects, st.integers(1, 12))
def test_as_long_as_what_is_kept_back_is_there_it_stays_there(stock: Stock, project: str, wanted: int) -> None:
    before = sum(stock.open(name) for name in ("red", "blue", "green"))
    for _ in range(stock.grants(project, wanted)):
        stock = stock.less_one(project)
    after = sum(stock.open(name) for name in ("red", "blue", "green"))
    assert stock.free >= 0
    assert stock.free >= after or after < before or stock.grants(project, 1) == 0


@given(stocks, projects)
def test_whoever_reserved_gets_what_is_left_to_it(stock: Stock, project: str) -> None:
    assert stock.grants(project, 20) >= min(stock.free, stock.open(project))


@given(stocks, projects)
def test_one_more_of_another_project_never_helps(stock: Stock, project: str) -> None:
    """Nothing is clamped across projects: what another has beyond its reservation changes nothing."""
    rich = Stock(stock.free, stock.reserved, {**stock.has, "other": 50})
    assert rich.grants(project, 20) == stock.grants(project, 20)


# -- in a plan ---------------------------------------------------------------------------------------------------------

ON = SystemState(power=PowerState.ON)


def fleet(*names: str, free: int, **claims: str) -> World:
    """`free` machines of nobody and one for each of `claims`, which are project by name; red has reserved 2."""
    machines = [machine(f"f{n}", size="c1") for n in range(free)]
    machines += [machine(name, size="c1", project=project) for name, project in claims.items()]
    looks = {one.key: seen(one.key, ON) for one in machines}
    return World(desired(reserved("red", 1, "one"), reserved("red", 1, "two"), *machines), looks, Facts({}, {}))


def bound(world: World) -> list[str]:
    return [
        change.key.name
        for change in planned(world).changes
        if any(isinstance(action, Bind) for action in change.actions)
    ]


def test_reservations_of_one_project_add_up() -> None:
    assert bound(fleet(free=1, g1="green")) == []
    assert bound(fleet(free=2, g1="green")) == ["g1"]


def test_machines_of_one_commit_are_judged_one_after_the_other() -> None:
    assert bound(fleet(free=2, g1="green", g2="green")) == ["g1", "g2"]
    assert bound(fleet(free=1, g1="green", g2="green")) == ["g1"]
    assert bound(fleet(free=0, r1="red", g1="green")) == ["r1"]


def test_one_machine_alone_is_judged_as_among_all() -> None:
    world = fleet(free=1, g1="green", g2="green")
    for name, held in (("g1", False), ("g2", True)):
        key = ResourceKey("Machine", name)
        (change,) = plan(world.desired, world.observed, world.facts, NOW, Standing(), select={key}).changes
        assert change.held(HoldKind.GUARD) is held


def test_a_machine_that_nobody_could_get_counts_for_nobody() -> None:
    world = fleet(free=2, g1="green")
    key = ResourceKey("Machine", "f0")
    for unfit in (
        machine("f0", size="c1", taints=(Taint(key="burn-in"),)),
        machine("f0", size="c1", maintenance=Pause(reason="x")),
        machine("f0", size="c1", suspend=Pause(reason="x")),
        machine("f0"),
    ):
        resources = {**world.desired.resources, key: unfit}
        assert bound(World(desired(*resources.values()), world.observed, world.facts)) == []
    assert bound(World(world.desired, {**world.observed, key: unreachable(key)}, world.facts)) == []


def test_what_is_bound_stays_bound_when_a_reservation_comes() -> None:
    world = fleet(free=0, g1="green")
    facts = Facts({ResourceKey("Machine", "g1"): MachineFacts(project="green")}, {})
    assert not planned(World(world.desired, world.observed, facts)).changes

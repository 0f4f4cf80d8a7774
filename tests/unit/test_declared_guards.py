"""Guards that documents declare: whom they guard, and what their windows, budgets and protections hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import msgspec
import pytest

from drivers.base import PowerState, SystemState
from reconciler.desired.rules.guard_references import check_guards
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.kinds.guard.spec import GuardedAction
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Disruption
from reconciler.model.actions.bmc_actions import PowerOff
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.diagnostic import Severity
from reconciler.model.facts import Facts
from reconciler.model.plans.override import Override
from reconciler.model.resource import Resource, ResourceKey
from reconciler.planning.base_guards import carried_from_bases
from reconciler.planning.guards.budgets import budget_holds
from reconciler.planning.guards.declared_budgets import declared_budgets
from reconciler.planning.guards.fleet_survey import survey
from reconciler.planning.guards.guard import GuardWorld
from reconciler.planning.guards.reports.guard_report import guard_verdicts
from reconciler.planning.guards.standing import Standing
from tests.unit.guard_worlds import OPEN, change_of, fleet, going, guard, holders, key, planned_at, racked
from tests.unit.planning_worlds import NOW, World, desired, seen, unreachable

FREEZE = {"deny": [{"from": "2026-01-01T00:00", "to": "2027-01-01T00:00", "reason": "year-end freeze"}]}
NIGHT = {"timeZone": "Europe/Berlin", "allow": [{"from": "22:00", "to": "04:00"}]}


def override(name: str, **more: Any) -> Standing:
    one = Override("3f2a91", name, "INC-7", "ada", NOW, NOW + timedelta(hours=1), **more)
    return Standing(OPEN, "10.0.0.1", "", (one,))


class TestMatch:
    @pytest.mark.parametrize(
        ("match", "guarded"),
        [
            ({}, ["r1-1", "r1-2", "r2-1"]),
            ({"kinds": ["Machine"]}, ["r1-1", "r1-2", "r2-1"]),
            ({"kinds": ["Network"]}, []),
            ({"names": ["r1-*"]}, ["r1-1", "r1-2"]),
            ({"names": ["r1-[2-9]", "r2-?"]}, ["r1-2", "r2-1"]),
            ({"selector": "role=db"}, ["r1-1"]),
            ({"selector": "role!=db"}, ["r1-2", "r2-1"]),
            ({"selector": "role in (db,web)"}, ["r1-1", "r1-2"]),
            ({"partitions": ["p"]}, ["r1-1", "r1-2", "r2-1"]),
            ({"partitions": ["other"]}, []),
            ({"projects": ["shop"]}, ["r2-1"]),
            ({"selector": "role=db", "names": ["r1-2"]}, []),
        ],
    )
    def test_all_that_is_given_must_hold(self, match: dict[str, Any], guarded: list[str]) -> None:
        machines = [
            racked("r1-1", "Off", {"role": "db"}),
            racked("r1-2", "Off", {"role": "web"}),
            racked("r2-1", "Off", project="shop"),
        ]
        found = planned_at(fleet(guard("g", match=match, windows=FREEZE), *machines))
        assert [name for name in ("r1-1", "r1-2", "r2-1") if holders(found, name)] == guarded

    def test_labels_of_the_inventory_count_and_cannot_be_declared(self) -> None:
        size = "groundstate/size"
        known = {key("r1-1"): MachineFacts(labels={size: "c1"}), key("r1-2"): MachineFacts(labels={size: "c2"})}
        lying = racked("r1-2", "Off", {size: "c1"})
        world = fleet(
            guard("g", match={"selector": f"{size}=c1"}, windows=FREEZE), racked("r1-1", "Off"), lying, facts=known
        )
        assert going(planned_at(world)) == ["r1-2"]

    def test_the_project_that_a_machine_was_claimed_for_counts(self) -> None:
        known = {key("r1-1"): MachineFacts(project="shop")}
        world = fleet(guard("g", match={"projects": ["shop"]}, windows=FREEZE), racked("r1-1", "Off"), facts=known)
        assert going(planned_at(world)) == []

    def test_all_guards_that_match_must_let_it_pass_and_each_says_so(self) -> None:
        world = fleet(guard("a", windows=FREEZE), guard("b", windows=FREEZE), racked("r1-1", "Off"))
        assert holders(planned_at(world), "r1-1") == ["guard/a", "guard/b"]


class TestLevels:
    def test_an_advisory_guard_warns_and_holds_nothing(self) -> None:
        found = planned_at(fleet(guard("g", level="Advisory", windows=FREEZE), racked("r1-1", "Off")))
        assert going(found) == ["r1-1"]
        assert [one.by for one in change_of(found, "r1-1").advice] == ["guard/g"]

    def test_an_override_by_name_lets_a_mandatory_guard_pass(self) -> None:
        world = fleet(guard("g", windows=FREEZE), racked("r1-1", "Off"), racked("r2-1", "Off"))
        found = planned_at(world, standing=override("guard/g", targets=("machine/r1-1",)))
        assert going(found) == ["r1-1"]
        assert change_of(found, "r1-1").passes == ("guard/g",)

    def test_no_override_lets_an_absolute_guard_pass(self) -> None:
        world = fleet(guard("g", level="Absolute", windows=FREEZE), racked("r1-1", "Off"))
        found = planned_at(world, standing=override("guard/g"))
        assert going(found) == []
        assert "an override does not help" in change_of(found, "r1-1").held_by[0].hint

    def test_a_hold_names_the_override_that_lifts_it(self) -> None:
        found = planned_at(fleet(guard("g", windows=FREEZE), racked("r1-1", "Off")))
        (hold,) = change_of(found, "r1-1").held_by
        assert "groundstate override guard/g machine/r1-1 --for 1h --reason WHY" in hold.hint
        assert "Fri 2027-01-01 00:00 UTC: year-end freeze" in hold.reason
        assert found.exit_code == 3


class TestWindows:
    @pytest.mark.parametrize(
        ("hour", "goes"), [(20, False), (21, True), (23, True), (2, True), (3, False), (12, False)]
    )
    def test_work_begins_while_a_window_is_open(self, hour: int, goes: bool) -> None:
        world = fleet(guard("g", windows=NIGHT), racked("r1-1", "Off"))
        found = planned_at(world, datetime(2026, 3, 2, hour, tzinfo=UTC))
        assert bool(going(found)) is goes

    def test_powering_on_is_never_held(self) -> None:
        world = fleet(guard("g", windows=FREEZE, actions=["set-boot", "disruptive"]), racked("r1-1", "On"))
        looks = {key("r1-1"): seen(key("r1-1"), SystemState(power=PowerState.OFF))}
        assert going(planned_at(msgspec.structs.replace(world, observed=looks))) == ["r1-1"]

    @pytest.mark.parametrize(("ago", "goes"), [(5, True), (59, True), (61, False)])
    def test_what_was_taken_down_within_the_hour_goes_on_to_its_end(self, ago: int, goes: bool) -> None:
        facts = {key("r1-1"): MachineFacts(disrupted_at=NOW - timedelta(minutes=ago))}
        world = fleet(guard("g", windows=FREEZE), racked("r1-1", "Off"), facts=facts)
        assert bool(going(planned_at(world))) is goes

    @pytest.mark.parametrize(("ago", "goes"), [(2, True), (59, True), (60, False)])
    def test_a_shutdown_that_ran_out_of_time_is_ended_however_long_it_was_given(self, ago: int, goes: bool) -> None:
        shutdown = {"timeoutSeconds": 7200, "escalate": "Force"}
        given_up = NOW - timedelta(minutes=ago)
        facts = MachineFacts(disrupted_at=given_up - timedelta(hours=2), shutdown_ignored=given_up)
        world = fleet(guard("g", windows=FREEZE), racked("r1-1", "Off", shutdown=shutdown), facts={key("r1-1"): facts})
        assert bool(going(planned_at(world))) is goes

    def test_an_action_in_flight_is_not_held(self) -> None:
        world = fleet(guard("g", windows=FREEZE), racked("r1-1", "Off"))
        action = PowerOff(key=key("r1-1"), reset_type="GracefulShutdown")  # type: ignore[arg-type]
        flight = InFlight("1", key("r1-1"), action, NOW, NOW, "ada", "")
        found = planned_at(msgspec.structs.replace(world, facts=Facts(world.facts.resources, {key("r1-1"): flight})))
        assert holders(found, "r1-1") == []

    @pytest.mark.parametrize(
        ("causes", "held"), [([], True), (["commit"], True), (["drift"], False), (["release"], False)]
    )
    def test_a_guard_may_be_about_some_causes(self, causes: list[str], held: bool) -> None:
        world = fleet(guard("g", windows=FREEZE, causes=causes), racked("r1-1", "Off"))
        assert bool(holders(planned_at(world), "r1-1")) is held

    @pytest.mark.parametrize(
        ("actions", "held"), [(["power-off"], True), (["destructive"], False), (["set-boot"], False)]
    )
    def test_a_guard_may_be_about_some_actions(self, actions: list[str], held: bool) -> None:
        world = fleet(guard("g", windows=FREEZE, actions=actions), racked("r1-1", "Off"))
        assert bool(holders(planned_at(world), "r1-1")) is held


class TestProtection:
    @pytest.mark.parametrize(("protection", "held"), [("Delete", True), ("All", True), ("Release", False)])
    def test_a_protected_machine_that_is_removed_from_git_is_not_forgotten(self, protection: str, held: bool) -> None:
        protecting = guard("g", protection=protection, match={"selector": "role=db"})
        before = fleet(protecting, racked("r1-1", labels={"role": "db"}), racked("r2-1"))
        after = fleet(protecting, facts=dict(before.facts.resources))
        assert bool(holders(planned_at(after), "r1-1")) is held
        assert holders(planned_at(after), "r2-1") == []


class TestBudget:
    def test_one_machine_a_rack_in_the_order_of_names(self) -> None:
        racks = [racked(f"r{rack}-{n}", "Off") for rack in (2, 1) for n in (3, 1, 2)]
        found = planned_at(fleet(guard("g", budget={"maxDisrupted": 1, "per": "rack"}), *racks))
        assert going(found) == ["r1-1", "r2-1"]
        (hold,) = change_of(found, "r1-2").held_by
        assert (
            hold.reason
            == "would take down 3 of 3 guarded machines of rack r1 in partition p within an hour; the limit is 1 (1)"
        )

    def test_a_machine_that_is_down_already_uses_its_racks_budget_up(self) -> None:
        facts = {key("r1-9"): MachineFacts(disrupted_at=NOW - timedelta(minutes=5))}
        racks = [racked("r1-1", "Off"), racked("r1-9"), racked("r2-1", "Off")]
        world = fleet(guard("g", budget={"maxDisrupted": 1, "per": "rack"}), *racks, facts=facts)
        assert going(planned_at(world)) == ["r2-1"]

    def test_the_smaller_of_two_budgets_counts_and_what_it_holds_uses_no_other_up(self) -> None:
        limits = msgspec.structs.replace(OPEN, max_disrupted=msgspec.convert({"count": 2}, type(OPEN.max_disrupted)))
        racks = [racked(f"r{rack}-{n}", "Off") for rack in (1, 2, 3) for n in (1, 2)]
        world = fleet(guard("g", budget={"maxDisrupted": 1, "per": "rack"}), *racks)
        assert going(planned_at(world, standing=Standing(limits, "10.0.0.1"))) == ["r1-1", "r2-1"]

    @pytest.mark.parametrize(("least", "count"), [(2, 1), (3, 0), ("50%", 1), ("34%", 1), ("33%", 2)])
    def test_so_many_must_stay_available(self, least: int | str, count: int) -> None:
        racks = [racked(f"r1-{n}", "Off") for n in range(3)]
        found = planned_at(fleet(guard("g", budget={"minAvailable": least, "per": "rack"}), *racks))
        assert len(going(found)) == count

    def test_a_machine_that_can_be_read_again_is_held_by_a_survey_of_a_moment_ago(self) -> None:
        """Else each machine of a shard that moved would go at once: none could be read for that moment."""
        resources = [guard("g", budget={"minAvailable": 2}), racked("m1", "Off"), racked("m2", "Off")]
        now = fleet(*resources)
        before = {one: unreachable(one) for one in (key("m1"), key("m2"))}
        old = survey(now.desired, before, now.facts)
        (budget,) = declared_budgets(GuardWorld(now.desired, before, now.facts, old, Standing(OPEN), NOW))
        wanting = planned_at(now).changes
        changes = [msgspec.structs.replace(one, held_by=()) for one in wanting]
        worlds = [
            GuardWorld(now.desired, looks, now.facts, old, Standing(OPEN), NOW) for looks in (before, now.observed)
        ]
        assert [set(budget_holds(budget, changes, world)) for world in worlds] == [set(), {key("m1"), key("m2")}]

    @pytest.mark.parametrize("budget", [{"minAvailable": 1}, {"maxDisrupted": 1, "countUnavailable": True}])
    def test_a_machine_that_was_not_observed_yet_is_not_taken_for_available(self, budget: dict[str, Any]) -> None:
        """At the start of a daemon the machines that hang are the last to be observed."""
        world = fleet(guard("g", budget=budget), racked("r1-1", "Off"), racked("r1-2"))
        seen_so_far = {key("r1-1"): world.observed[key("r1-1")]}
        assert going(planned_at(msgspec.structs.replace(world, observed=seen_so_far))) == []
        assert going(planned_at(world)) == ["r1-1"]

    @pytest.mark.parametrize("gone", ["off", "unreachable", "maintenance"])
    def test_machines_that_are_unavailable_for_any_reason_count_where_asked_for(self, gone: str) -> None:
        """openshift/machine-config-operator#662."""
        pause: dict[str, Any] = {"maintenance": {"reason": "fan"}} if gone == "maintenance" else {}
        racks = [racked("r1-1", "Off"), racked("r1-2", **pause)]
        for counted, names in ((True, []), (False, ["r1-1"])):
            world = fleet(guard("g", budget={"maxDisrupted": 1, "countUnavailable": counted}), *racks)
            view = {
                "off": seen(key("r1-2"), SystemState(power=PowerState.OFF)),
                "unreachable": unreachable(key("r1-2")),
                "maintenance": seen(key("r1-2"), SystemState(power=PowerState.ON)),
            }[gone]
            found = planned_at(msgspec.structs.replace(world, observed=world.observed | {key("r1-2"): view}))
            assert [name for name in going(found) if name == "r1-1"] == names

    def test_pacing_lets_one_go_at_a_time_also_when_the_last_one_serves_again(self) -> None:
        facts = {key("r1-9"): MachineFacts(taken_down_at=NOW - timedelta(minutes=4))}
        racks = [
            racked("r1-1", "Off"),
            racked("r1-2", "Off"),
            racked("r1-9"),
            racked("r2-1", "Off"),
            racked("r2-2", "Off"),
        ]
        world = fleet(guard("g", budget={"maxDisrupted": "100%", "per": "rack", "pacing": "5m"}), *racks, facts=facts)
        assert going(planned_at(world)) == ["r2-1"]
        assert going(planned_at(world, NOW + timedelta(minutes=1))) == ["r1-1", "r2-1"]
        (hold,) = change_of(planned_at(world), "r1-1").held_by
        assert "at most one machine is taken down in 5 minutes" in hold.reason
        assert "2026-03-01 12:01:00Z" in hold.hint

    def test_a_hold_says_when_both_budget_and_pacing_let_the_next_one_go(self) -> None:
        """The same before the first one goes and after, so that an event and a later plan agree."""
        rule = guard("g", budget={"maxDisrupted": 1, "per": "rack", "within": "30m", "pacing": "5m"})
        gone = {key("r1-1"): MachineFacts(disrupted_at=NOW, taken_down_at=NOW)}
        for facts in ({}, gone):
            world = fleet(rule, racked("r1-1", "Off"), racked("r1-2", "Off"), facts=facts)
            (hold,) = change_of(planned_at(world), "r1-2").held_by
            assert hold.hint.startswith("wait until 2026-03-01 12:30:00Z")
            assert "at most one machine" not in hold.reason
            assert "would take down 2 of 2" in hold.reason

    def test_within_says_for_how_long_a_machine_counts(self) -> None:
        facts = {key("r1-9"): MachineFacts(disrupted_at=NOW - timedelta(minutes=20))}
        racks = [racked("r1-1", "Off"), racked("r1-9")]
        for within, names in (("30m", []), ("10m", ["r1-1"])):
            world = fleet(guard("g", budget={"maxDisrupted": 1, "within": within}), *racks, facts=facts)
            assert going(planned_at(world)) == names

    def test_a_machine_that_was_removed_while_it_is_down_makes_no_room(self) -> None:
        rule = guard("g", budget={"maxDisrupted": 1, "per": "rack"})
        facts = {key("r1-9"): MachineFacts(disrupted_at=NOW - timedelta(minutes=20))}
        before = fleet(rule, racked("r1-1"), racked("r1-9", "Off"), facts=facts)
        after = fleet(rule, racked("r1-1", "Off"), facts=dict(before.facts.resources))
        assert going(planned_at(after)) == ["r1-9"], "which is only forgotten"


def test_an_explanation_says_which_of_two_specs_of_a_name_holds() -> None:
    before = fleet(guard("g", windows=FREEZE), racked("r1-1"))
    opened = guard("g", windows={"allow": [{"from": "00:00"}]})
    after = fleet(opened, racked("r1-1", "Off"), facts=dict(before.facts.resources))
    standing = Standing(OPEN, "10.0.0.1")
    numbers = survey(after.desired, after.observed, after.facts)
    world = GuardWorld(after.desired, after.observed, after.facts, numbers, standing, NOW)
    change = change_of(planned_at(after), "r1-1")
    found = guard_verdicts(key("r1-1"), change, world)
    assert [(one.in_force_until is not None, one.holds) for one in found if one.guard == "guard/g"] == [
        (False, False),
        (True, True),
    ]


class TestNoCommitUsesWhatItLoosens:
    """hashicorp/terraform#17599, by other ways than the removal of the guard."""

    def after(self, before: World, *resources: Resource[Any]) -> list[str]:
        """Those that go at once when these are declared after the fleet before."""
        return going(planned_at(fleet(*resources, facts=dict(before.facts.resources))))

    def roles(self, power: str, first: str, second: str) -> tuple[Resource[Any], Resource[Any]]:
        return racked("r1-1", power, {"role": first}), racked("r1-9", labels={"role": second})

    def test_a_share_of_a_match_that_was_widened(self) -> None:
        share = {"maxDisrupted": "10%"}
        others = [racked(f"r2-{n}") for n in range(40)]
        before = fleet(guard("g", match={"names": ["r1-*"]}, budget=share), *map(racked, ("r1-1", "r1-2")), *others)
        wide = guard("g", budget=share)
        assert self.after(before, wide, racked("r1-1", "Off"), racked("r1-2", "Off"), *others) == ["r1-1"]

    def test_a_machine_that_is_relabelled_along_with_the_match(self) -> None:
        before = fleet(guard("g", match={"selector": "role=db"}, windows=FREEZE), *self.roles("On", "db", "db"))
        opened = guard("g", match={"selector": "role=web"}, windows={"allow": [{"from": "00:00"}]})
        assert self.after(before, opened, *self.roles("Off", "web", "db")) == []

    @pytest.mark.parametrize("moved", [("web", "db"), ("db", "web")])
    def test_a_machine_that_moves_to_another_group(self, moved: tuple[str, str]) -> None:
        rule = guard("g", budget={"maxDisrupted": 1, "per": "label:role"})
        down = {key("r1-9"): MachineFacts(disrupted_at=NOW - timedelta(minutes=5))}
        before = fleet(rule, *self.roles("On", "db", "db"), facts=down)
        assert self.after(before, rule, *self.roles("Off", *moved)) == []

    def test_an_unavailable_machine_that_moves_to_another_group(self) -> None:
        rule = guard("g", budget={"maxDisrupted": 1, "per": "label:role", "countUnavailable": True})
        before = fleet(rule, *self.roles("On", "db", "db"))
        after = fleet(rule, *self.roles("Off", "db", "web"), facts=dict(before.facts.resources))
        after = msgspec.structs.replace(after, observed=after.observed | {key("r1-9"): unreachable(key("r1-9"))})
        assert going(planned_at(after)) == []
        assert going(planned_at(after, NOW + timedelta(hours=1))) == ["r1-1"]

    def test_a_machine_that_moves_to_another_group_in_a_plan_without_a_store(self) -> None:
        rule = guard("g", budget={"maxDisrupted": 1, "per": "label:role", "countUnavailable": True})
        base = desired(rule, *self.roles("On", "db", "db"))
        after = fleet(rule, *self.roles("Off", "db", "web"))
        looks = after.observed | {key("r1-9"): unreachable(key("r1-9"))}
        facts = Facts(carried_from_bases([base], after.desired, NOW), {})
        after = msgspec.structs.replace(after, observed=looks, facts=facts)
        assert going(planned_at(after)) == []


@pytest.mark.parametrize(
    ("kinds", "codes"), [(["Network"], ["not-guardable"]), (["Switch"], []), (["Network", "Machine"], []), ([], [])]
)
def test_a_budget_of_what_no_budget_counts_is_refused(kinds: list[str], codes: list[str]) -> None:
    rule = guard("g", match={"kinds": kinds}, budget={"maxDisrupted": 1})
    errors = (one for one in check_guards(desired(rule)) if one.severity is Severity.ERROR)
    assert [one.code for one in errors] == codes


def test_every_action_can_be_named_by_a_guard_or_is_never_held() -> None:
    never = {
        "power-on": "no guard keeps a machine down",
        "eject-media": "ends what was begun",
        "record-lifecycle": "writes down what has happened",
        "free": "writes down what has happened",
        "accept-system": "a person asks for it by the document",
        "retire-guard": "no guard guards a guard",
    }
    classes = {one.value for one in Disruption if one is not Disruption.NONE}
    names = {str(one.__struct_config__.tag) for one in union_members(Action)}
    assert {one.value for one in GuardedAction} == classes | names - never.keys()


def union_members(union: Any) -> list[Any]:
    return [one for part in get_args(union) for one in union_members(part)] or [union]


def test_no_guard_guards_a_guard() -> None:
    keys = [ResourceKey("Guard", "g")]
    world = fleet(guard("g", windows=FREEZE, protection="All", actions=["forget", "disruptive"]))
    after = fleet(facts=dict(world.facts.resources))
    (change,) = planned_at(after, NOW + timedelta(hours=2)).changes
    assert [change.key] == keys
    assert change.goes

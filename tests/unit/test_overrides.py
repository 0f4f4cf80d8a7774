"""What an override lifts, for whom and until when; and which policy judges."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from drivers.base import PowerState, SystemState
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.kinds.guard.built_in import BUILT_IN_GUARDS
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.plans.override import Override
from reconciler.model.plans.plan import Plan
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.standing import SILENT, CommandLimits, DaemonReport, Standing, standing_in_force
from reconciler.planning.override_scope import OVERRIDABLE, override_refusal, parse_duration
from reconciler.planning.planner import plan
from reconciler.views.render.plans import render_markdown, render_text
from tests.unit.planning_worlds import NOW, World, desired, machine, seen

HOUR = timedelta(hours=1)


def override(guard: str = "disruption-budget", **changes: Any) -> Override:
    return msgspec.structs.replace(Override("o1", guard, "INC-7", "ada", NOW, NOW + HOUR), **changes)


def fleet(count: int = 10, facts: Mapping[str, ResourceFacts] = {}) -> World:
    """Machines that are On and declared Off, those of the first half in rack a and the others in rack b."""
    found = [machine(f"n{n}", power="Off") for n in range(count)]
    placed = [
        msgspec.structs.replace(one, labels={"rack": "a" if n < count / 2 else "b"}) for n, one in enumerate(found)
    ]
    looks = {one.key: seen(one.key, SystemState(power=PowerState.ON)) for one in placed}
    remembered = {one.key: facts.get(one.key.name, MachineFacts()) for one in placed}
    return World(desired(*placed), looks, Facts(remembered, {}))


def planned(world: World, *overrides: Override, limits: GuardLimits = GuardLimits()) -> Plan:  # noqa: B008  a frozen value
    return plan(world.desired, world.observed, world.facts, NOW, Standing(limits, None, "", overrides))


def going(found: Plan) -> list[str]:
    return [change.key.name for change in found.changes if change.goes]


class TestWhatItLifts:
    @pytest.mark.parametrize(
        ("changes", "passing"),
        [
            ({}, [f"n{n}" for n in range(10)]),
            ({"targets": ("machine/n7",)}, ["n0", "n7"]),
            ({"targets": ("machine/n[78]", "networks")}, ["n0", "n7", "n8"]),
            ({"selector": "rack=b"}, ["n0", "n5", "n6", "n7", "n8", "n9"]),
            ({"selector": "rack=b", "targets": ("machine/n9",)}, ["n0", "n9"]),
            ({"selector": "rack=c"}, ["n0"]),
            ({"guard": "mass-removal"}, ["n0"]),
            ({"until": NOW}, ["n0"]),
            ({"revoked_at": NOW, "revoked_by": "eve"}, ["n0"]),
            ({"selector": "=="}, ["n0"]),
            ({"targets": ("nonsense/x",)}, ["n0"]),
        ],
    )
    def test_the_holds_of_its_guard_for_those_that_it_covers(self, changes: dict[str, Any], passing: list[str]) -> None:
        assert going(planned(fleet(), override(**changes))) == passing

    def test_what_it_lifts_is_said_by_the_change_and_the_plan(self) -> None:
        mine = override(targets=("machine/n7",))
        found = planned(fleet(), mine, override(until=NOW))
        assert found.overrides == (mine,)
        assert {change.key.name: change.passes for change in found.changes if change.passes} == {
            "n7": ("disruption-budget",)
        }
        assert {change.lifted for change in found.changes if change.passes} == {"disruption-budget (override o1)"}
        assert "passes guard disruption-budget (override o1)" in render_text(found)
        assert "override o1 of disruption-budget until" in render_text(found)
        assert "passes guard disruption-budget (override o1)" in render_markdown(
            found, next_command="groundstate apply"
        )

    @pytest.mark.parametrize("guard", sorted(BUILT_IN_GUARDS.keys() - OVERRIDABLE.keys()))
    def test_a_guard_that_is_never_overridden_is_not_by_a_row_either(self, guard: str) -> None:
        found = planned(fleet(), override(guard))
        assert found.overrides == ()

    def test_labels_that_follow_from_the_inventory_count(self) -> None:
        world = fleet(facts={"n8": MachineFacts(labels={"groundstate/size": "c1"})})
        assert going(planned(world, override(selector="groundstate/size=c1"))) == ["n0", "n8"]

    def test_a_selector_does_not_take_in_what_has_no_document_any_more(self) -> None:
        world = fleet(20)
        left = {key: one for key, one in world.desired.resources.items() if int(key.name[1:]) < 10}
        world = msgspec.structs.replace(world, desired=msgspec.structs.replace(world.desired, resources=left))
        negated = planned(world, override("mass-removal", selector="rack!=b"))
        assert all(change.key in left for change in negated.changes if change.passes)
        named = planned(world, override("mass-removal", targets=("machine/n19",)))
        assert [change.key.name for change in named.changes if change.passes] == ["n19"]


class TestWhatIsAccepted:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("2h", 2 * HOUR),
            ("90m", 1.5 * HOUR),
            ("1h30m", 1.5 * HOUR),
            ("7d", timedelta(days=7)),
            ("45s", timedelta(seconds=45)),
            (" 2H ", 2 * HOUR),
        ],
    )
    def test_spans(self, text: str, found: timedelta) -> None:
        assert parse_duration(text) == found

    @pytest.mark.parametrize("text", ["", "2", "h", "0h", "8d", "-1h", "1.5h", "for ever", "999999999999d", "1h 30m"])
    def test_no_spans(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"write 30m, 2h|at most 7d"):
            parse_duration(text)

    @pytest.mark.parametrize("guard", sorted(OVERRIDABLE))
    def test_guards_that_can_be_overridden(self, guard: str) -> None:
        assert override_refusal(guard, narrowed=True) is None

    @pytest.mark.parametrize(
        ("guard", "said"),
        [
            ("boot-service", "cannot be overridden. Instead: network boot needs the boot service"),
            ("running", "cannot be overridden. Instead: power the machine off"),
            ("quota", "is not a guard that can be overridden; these guards can: disruption-budget"),
            ("budget", "is not a guard that can be overridden; these guards can: disruption-budget"),
            ("first-sight", "cannot be overridden for all resources at once"),
        ],
    )
    def test_guards_that_cannot(self, guard: str, said: str) -> None:
        assert said in str(override_refusal(guard, narrowed=False))


class TestWhenTheNextMayGo:
    """A hold by the budget says when the override ends automaticallyf."""

    def hint(self, found: Plan) -> set[str]:
        told = {h.hint.partition("; or ")[0] for c in found.changes for h in c.held_by if h.by == "disruption-budget"}
        return {one for one in told if one.startswith("wait")}

    def test_an_hour_after_those_that_go_now(self) -> None:
        assert self.hint(planned(fleet())) == {
            "wait until 2026-03-01 13:00:00Z, when the next machine may be taken down"
        }

    def test_when_the_first_of_those_that_are_down_counts_no_more(self) -> None:
        down = {f"n{n}": MachineFacts(disrupted_at=NOW - timedelta(minutes=10 * n)) for n in (1, 2)}
        found = planned(fleet(facts=down), limits=GuardLimits(max_disrupted=FleetShare(count=2)))
        assert self.hint(found) == {"wait until 2026-03-01 12:40:00Z, when the next machine may be taken down"}

    def test_when_enough_of_them_do(self) -> None:
        down = {f"n{n}": MachineFacts(disrupted_at=NOW - timedelta(minutes=10 * n)) for n in (1, 2, 3)}
        assert self.hint(planned(fleet(facts=down))) == {
            ("wait until 2026-03-01 12:50:00Z, when the next machine may be taken down")
        }

    def test_never_where_none_may_go(self) -> None:
        assert self.hint(planned(fleet(), limits=GuardLimits(max_disrupted=FleetShare(count=0)))) == set()


class TestThePolicy:
    """It follows from the store: from the daemon that is at work, and else from what was asked for."""

    HALF = GuardLimits(max_disrupted=FleetShare(percent=50.0))
    WORKING = DaemonReport("ada (run)", NOW, HALF, "10.0.0.1", seen_at=NOW)

    def test_the_limits_of_the_daemon_count_while_it_is_at_work(self) -> None:
        assert standing_in_force(CommandLimits(), self.WORKING, (), NOW) == (Standing(self.HALF, "10.0.0.1"), ())

    @pytest.mark.parametrize(
        "daemon",
        [
            None,
            msgspec.structs.replace(WORKING, ended=True),
            msgspec.structs.replace(WORKING, seen_at=NOW - SILENT),
            msgspec.structs.replace(WORKING, seen_at=None),
        ],
        ids=["none", "ended", "silent", "never heard"],
    )
    def test_without_one_what_was_asked_for_counts_and_no_boot_service_is_there(
        self, daemon: DaemonReport | None
    ) -> None:
        found, told = standing_in_force(CommandLimits(GuardLimits()), daemon, (), NOW)
        assert (found.limits, found.boot_address, told) == (GuardLimits(), None, ())

    def test_what_the_command_line_says_is_told_where_the_daemon_has_another_limit(self) -> None:
        asked = CommandLimits(
            GuardLimits(max_disrupted=FleetShare(count=4), max_removed=FleetShare(count=9)),
            frozenset({"max_disrupted"}),
        )
        found, (told,) = standing_in_force(asked, self.WORKING, (), NOW)
        assert found.limits == msgspec.structs.replace(self.HALF, max_disrupted=FleetShare(count=4))
        assert "--max-disrupted 4, but the running daemon uses max-disrupted 50%" in told.summary

    def test_the_same_limit_is_not_told(self) -> None:
        asked = CommandLimits(self.HALF, frozenset({"max_disrupted"}))
        assert standing_in_force(asked, self.WORKING, (), NOW)[1] == ()

    def test_a_hold_for_want_of_a_boot_service_says_where_one_was(self) -> None:
        found, _ = standing_in_force(CommandLimits(), msgspec.structs.replace(self.WORKING, ended=True), (), NOW)
        assert found.last_boot == "10.0.0.1, last seen at 2026-03-01 12:00:00Z"

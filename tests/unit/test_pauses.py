"""What a pause holds, for whom and until when."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.daemon.housekeeping import work_count
from reconciler.kinds.common.machine_facts import LifecycleFacts, MachineFacts
from reconciler.model.facts import Facts
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.pause import ResourcePause
from reconciler.model.plans.plan import HoldKind, Plan
from reconciler.model.resource import ResourceKey
from reconciler.planning.guards.standing import Standing
from reconciler.planning.override_scope import override_refusal
from reconciler.planning.planner import plan
from tests.unit.planning_worlds import NOW, World, worlds
from tests.unit.test_overrides import fleet, override

HOUR = timedelta(hours=1)


def pause(**changes: Any) -> ResourcePause:
    return msgspec.structs.replace(ResourcePause("p1", "INC-7", "ada", NOW, NOW + HOUR), **changes)


def planned(world: World, *pauses: ResourcePause, **standing: Any) -> Plan:
    return plan(world.desired, world.observed, world.facts, NOW, Standing(pauses=pauses, **standing))


def paused(found: Plan) -> list[str]:
    return [change.key.name for change in found.changes if any(hold.by == HoldName.PAUSED for hold in change.held_by)]


def undeclared(world: World, *names: str) -> World:
    keys = {ResourceKey("Machine", name) for name in names}
    left = {key: one for key, one in world.desired.resources.items() if key not in keys}
    return World(msgspec.structs.replace(world.desired, resources=left), world.observed, world.facts)


class TestWhatItHolds:
    @pytest.mark.parametrize(
        ("changes", "held"),
        [
            ({}, [f"n{n}" for n in range(10)]),
            ({"until": None, "targets": ("machines",)}, [f"n{n}" for n in range(10)]),
            ({"targets": ("machine/n7",)}, ["n7"]),
            ({"targets": ("networks",)}, []),
            ({"selector": "rack=b"}, ["n5", "n6", "n7", "n8", "n9"]),
            ({"until": NOW}, []),
            ({"ended_at": NOW}, []),
            ({"targets": ("unreadable",)}, [f"n{n}" for n in range(10)]),
        ],
    )
    def test_of_the_fleet(self, changes: Mapping[str, Any], held: Collection[str]) -> None:
        assert paused(planned(fleet(), pause(**changes))) == held

    def test_its_hold_says_who_why_until_when_and_how_to_proceed(self) -> None:
        (change,) = (one for one in planned(fleet(), pause(targets=("machine/n7",))).changes if one.key.name == "n7")
        (hold,) = change.held_by
        assert (hold.kind, hold.by, change.goes) == (HoldKind.GUARD, HoldName.PAUSED, False)
        assert hold.reason == "paused by ada until 2026-03-01 13:00:00Z: INC-7"
        assert hold.hint == "`groundstate resume p1` ends the pause of machine/n7"

    def test_what_is_paused_uses_no_budget_up(self) -> None:
        found = planned(fleet(), pause(targets=("machine/n0",)))
        assert [change.key.name for change in found.changes if change.goes] == ["n1"]

    def test_no_override_lets_it_pass(self) -> None:
        everything = override(HoldName.PAUSED)
        assert "`groundstate resume`" in str(override_refusal(HoldName.PAUSED, narrowed=True))
        assert len(paused(planned(fleet(), pause(), overrides=(everything,)))) == 10

    def test_the_removal_of_what_was_selected_is_held_though_its_labels_are_gone(self) -> None:
        gone = undeclared(fleet(), "n7")
        known = frozenset({"Machine/n7"})
        assert "n7" in paused(planned(gone, pause(selector="rack=b", known=known)))
        assert "n7" not in paused(planned(gone, pause(selector="rack=b")))

    def test_of_a_claim_holds_its_machines(self) -> None:
        mine = MachineFacts(lifecycle=LifecycleFacts(claim="web", slot=0))
        assert paused(planned(fleet(facts={"n3": mine}), pause(targets=("machineclaim/web",)))) == ["n3"]

    def test_counts_as_paused_and_not_as_held(self) -> None:
        found = planned(fleet(), pause())
        assert work_count(found.changes, (), 0, 0).states["paused"] == 10

    @given(world=worlds())
    def test_of_everything_leaves_nothing_to_do(self, world: World) -> None:
        """Whatever the fleet and whatever is done to it: no action of any kind goes."""
        found = planned(world, pause(until=None))
        assert not [change for change in found.changes if change.goes]

    @given(world=worlds(), data=st.data())
    def test_leaves_what_it_does_not_cover_as_it_was(self, world: World, data: st.DataObject) -> None:
        """What is left alone is at least what went before, but for what a budget has free now."""
        keys = sorted(change.key for change in planned(world).changes)
        one = data.draw(st.sampled_from(keys)) if keys else ResourceKey("Machine", "none")
        before = {change.key for change in planned(world).changes if change.goes}
        after = planned(world, pause(targets=(f"{one.kind.lower()}/{one.name}",)))
        assert before - {one} <= {change.key for change in after.changes if change.goes}
        assert all(not change.goes for change in after.changes if change.key == one)


def test_facts_of_an_action_in_flight_are_untouched() -> None:
    """A pause is a hold: what is remembered, and what is in flight, is the same beside it."""
    world = fleet()
    assert world.facts == Facts(world.facts.resources, {})
    assert [one.key for one in planned(world, pause()).changes] == [one.key for one in planned(world).changes]

"""What one resource is made of costs the plan no other resource."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import PowerState, SystemState
from reconciler.kinds import RECONCILED
from reconciler.kinds.claim.spec import MachineClaimSpec
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.facts import Facts
from reconciler.model.observation import Observation
from reconciler.model.plans.plan import Change, Hold, HoldKind
from reconciler.model.resource import DesiredState, ResourceKey, Revision
from reconciler.placement import place
from reconciler.planning import plan_isolation as planning
from reconciler.planning.admission import or_why_not
from reconciler.planning.guards.fleet_survey import FleetSurvey
from reconciler.planning.guards.guard import GuardWorld
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.standing import Standing
from reconciler.planning.planner import plan
from tests.unit import planning_worlds as made

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Trap:
    """A value that nobody expected: whoever looks at it fails."""

    def fail(self, *_: object) -> Any:
        raise OverflowError("it does not fit: \x1b[2J\ud800")

    __eq__ = __bool__ = __iter__ = __len__ = __str__ = __lt__ = __contains__ = __getattr__ = fail
    __hash__ = fail


def trapped(seen: Observation, field: int) -> Observation:
    """The look with a trap in the place of one of its values."""
    fields = seen.value.__struct_fields__
    name = fields[field % len(fields)]
    return msgspec.structs.replace(seen, value=msgspec.structs.replace(seen.value, **{name: Trap()}))


@settings(max_examples=150)
@given(made.worlds(), st.data())
def test_a_look_that_nobody_expected_makes_that_resource_unknown_and_no_other(world: made.World, data: Any) -> None:
    looks = sorted(key for key, one in world.observed.items() if getattr(one.value, "__struct_fields__", ()))
    if not looks:
        return
    odd = data.draw(st.sampled_from(looks))
    view = trapped(world.observed[odd], data.draw(st.integers(0, 30)))
    found = made.planned(made.World(world.desired, {**world.observed, odd: view}, world.facts))
    # Where the odd look is harmless without another one, that other one may be left out.
    assert sum(one.reason == "Internal" for one in found.unknown) <= 1
    assert all(one.message.isprintable() for one in found.unknown)
    assert not [one for one in found.changes if any(hold.by == "unjudged" for hold in one.held_by)]


@given(made.worlds(), st.data())
def test_a_plan_of_some_names_the_look_that_was_left_out_of_the_count(world: made.World, data: Any) -> None:
    """What the guards count is the whole fleet, whatever is selected."""
    looks = sorted(key for key, one in world.observed.items() if key.kind == "IPAddress" and one.value is not None)
    if not looks:
        return
    odd = data.draw(st.sampled_from(looks))
    observed = {**world.observed, odd: trapped(world.observed[odd], data.draw(st.integers(0, 2)))}
    others = {key for key in world.desired.resources if key.kind in RECONCILED and key != odd}
    found = plan(world.desired, observed, world.facts, made.NOW, Standing(boot_address="x"), select=others)
    assert sum(one.reason == "Internal" for one in found.unknown) <= 1
    assert not [one for one in found.changes if any(hold.by == "unjudged" for hold in one.held_by)]


def test_a_resource_that_cannot_be_planned_is_unknown_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    odd, good = ResourceKey("Machine", "odd"), ResourceKey("Machine", "good")

    def planned(key: ResourceKey, *_: object) -> None:
        if key == odd:
            raise ValueError("a URL that cannot be: \x1b[2J\ud800")

    monkeypatch.setattr(planning, "plan_resource", planned)
    found = plan(
        DesiredState(Revision("a" * 40, "main", "r"), {}), {}, Facts({}, {}), NOW, Standing(), select={odd, good}
    )
    (one,) = found.unknown
    assert (one.key, one.reason) == (odd, "Internal")
    assert one.message.isprintable()


FLEET = [made.machine(name, power="On") for name in ("a", "b", "c")]
OFF = {one.key: made.seen(one.key, SystemState(power=PowerState.OFF)) for one in FLEET}
B = ResourceKey("Machine", "b")


def guarded(guard: Any) -> Mapping[ResourceKey, Change]:
    found = plan(made.desired(*FLEET), OFF, Facts({}, {}), NOW, Standing(boot_address="x"), transient_guards=(guard,))
    return {change.key: change for change in found.changes}


def test_a_change_that_a_guard_cannot_judge_is_held_and_the_guard_judges_the_others() -> None:
    def guard(changes: Iterable[Change], _world: GuardWorld) -> Mapping[ResourceKey, tuple[Hold, ...]]:
        keys = [change.key for change in changes]
        if B in keys:
            raise ValueError("odd")
        return {key: (Hold(HoldKind.GUARD, "mine", "why", "how"),) for key in keys[:1]}

    changes = guarded(guard)
    assert [[hold.by for hold in one.held_by] for one in changes.values()] == [["mine"], ["unjudged"], []]
    assert "a bug in groundstate (ValueError: odd" in changes[B].held_by[0].reason


def test_what_a_guard_cannot_judge_at_all_goes_nowhere() -> None:
    def guard(*_: object) -> Mapping[ResourceKey, tuple[Hold, ...]]:
        raise ValueError("odd")

    assert not [one for one in guarded(guard).values() if one.goes]


def test_what_cannot_be_surveyed_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    def survey(*_: object) -> FleetSurvey:
        raise OverflowError("odd")

    monkeypatch.setattr(planning, "survey", survey)
    found = plan(made.desired(*FLEET), OFF, Facts({}, {}), NOW, Standing(GuardLimits(), "x"))
    assert [change.goes for change in found.changes] == [False] * 3


def test_a_claim_that_cannot_be_placed_is_held_and_the_others_are_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = place._Pass.claim

    def odd(self: Any, one: Any, **options: Any) -> Any:
        if one.key.name == "b":
            raise ValueError("odd")
        return claim(self, one, **options)

    monkeypatch.setattr(place._Pass, "claim", odd)
    claims = [made.resource("MachineClaim", name, MachineClaimSpec(**CLAIM)) for name in ("a", "b", "c")]
    found = place.place_all(made.desired(*claims), {}, Facts({}, {}), NOW)
    assert {name: [hold.by for hold in one.holds] == ["unjudged"] for name, one in found.items()} == {
        "a": False,
        "b": True,
        "c": False,
    }


CLAIM: dict[str, Any] = {"project": "shop", "partitions": ("p",), "image": "debian"}


def test_warnings_that_a_defect_prevents_are_a_warning() -> None:
    def odd() -> Iterator[Diagnostic]:
        raise KeyError("limit")

    (found,) = or_why_not(odd)
    assert (found.code, found.severity) == ("warnings-failed", Severity.WARNING)
    assert "KeyError: 'limit'" in found.summary

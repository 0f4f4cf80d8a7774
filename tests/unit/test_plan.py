"""The plan function: what a plan is about, who is said to have moved, and what is remembered against it."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from drivers.base import BootEnabled, BootTarget, IndicatorLED, PowerState, SystemState
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.kinds.ipam.network import NetworkSpec, NetworkState, PrefixSpec, declared_prefixes
from reconciler.kinds.machine.spec import BootSpec
from reconciler.model.actions.bmc_actions import PowerOn, SetBoot, SetIndicator
from reconciler.model.facts import Applied, Facts, Failure, ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.outcome import ActionFailure
from reconciler.model.plans.plan import CauseKind, HoldKind, Verb
from reconciler.model.resource import ResourceKey
from reconciler.planning.guards.standing import Standing
from reconciler.planning.planner import plan, with_commits
from reconciler.planning.resource_plan import plan_resource
from reconciler.planning.universe import universe
from reconciler.views.render.plans import plan_from_json, render_json
from tests.unit.planning_worlds import COMMIT, NOW, World, desired, machine, planned, resource, seen, unreachable

KEY = ResourceKey("Machine", "n1")
ON, OFF = SystemState(power=PowerState.ON), SystemState(power=PowerState.OFF)
LONG_AGO = NOW - timedelta(days=2)


def world(state: SystemState, facts: ResourceFacts = MachineFacts(), **spec: object) -> World:  # noqa: B008
    return World(desired(machine("n1", **spec)), {KEY: seen(KEY, state)}, Facts({KEY: facts}, {}))


def applied(**fields: object) -> Applied:
    return Applied({f"spec.{name}": value for name, value in fields.items()}, "old", LONG_AGO)


@pytest.mark.parametrize(
    ("facts", "kind", "since"),
    [
        (MachineFacts(), CauseKind.COMMIT, None),
        (MachineFacts(applied=applied(power="Off")), CauseKind.COMMIT, None),
        (MachineFacts(applied=applied(power="On")), CauseKind.DRIFT, NOW - timedelta(seconds=12)),
        (MachineFacts(applied=applied(power="On"), drift={"spec.power": LONG_AGO}), CauseKind.DRIFT, LONG_AGO),
        (MachineFacts(applied=applied(power="Off"), drift={"spec.power": LONG_AGO}), CauseKind.BOTH, LONG_AGO),
    ],
    ids=["never applied", "git moved", "the fleet moved just now", "the fleet moved", "both moved"],
)
def test_who_moved_follows_from_what_was_applied(facts: ResourceFacts, kind: CauseKind, since: object) -> None:
    (change,) = planned(world(OFF, facts, power="On")).changes
    assert (change.cause.kind, change.cause.since) == (kind, since)


def test_fields_that_differ_for_different_reasons_are_both() -> None:
    facts = MachineFacts(applied=applied(power="On", indicatorLED="Off"))
    (change,) = planned(
        world(SystemState(power=PowerState.OFF, indicator=IndicatorLED.OFF), facts, power="On", indicator_led="Lit")
    ).changes
    assert change.cause.kind is CauseKind.BOTH
    assert {d.path: d.cause for d in change.differences} == {
        "spec.power": CauseKind.DRIFT,
        "spec.indicatorLED": CauseKind.COMMIT,
    }


def test_what_was_applied_is_known_again_after_a_round_trip_through_json() -> None:
    net = resource("Network", "net", NetworkSpec(prefixes=(PrefixSpec(cidr="10.0.0.0/24", gateway="10.0.0.1"),)))
    state = World(desired(net), {net.key: seen(net.key, NetworkState(None))}, Facts({}, {}))
    (change,) = planned(state).changes
    kept = Applied({"spec.prefixes": change.differences[0].desired}, "old", LONG_AGO)
    stored = msgspec.json.decode(msgspec.json.encode(kept), type=Applied)
    again = msgspec.structs.replace(state, facts=Facts({net.key: ResourceFacts(applied=stored)}, {}))
    assert planned(again).changes[0].cause.kind is CauseKind.DRIFT
    assert declared_prefixes(net.spec)[0].reserved == ("10.0.0.1",)


def test_a_commit_is_named_where_git_moved_and_nowhere_else() -> None:
    moved, drifted = machine("n1", power="On"), machine("n2", power="On")
    facts = Facts({drifted.key: MachineFacts(applied=applied(power="On"))}, {})
    state = World(desired(moved, drifted), {one.key: seen(one.key, OFF) for one in (moved, drifted)}, facts)
    named = with_commits(planned(state), {moved.key: COMMIT, drifted.key: COMMIT})
    assert [change.cause.commit for change in named.changes] == [COMMIT, None]


def test_a_removal_names_the_commit_of_the_revision() -> None:
    state = World(desired(machine("n1")), {}, Facts({ResourceKey("Machine", "n0"): MachineFacts()}, {}))
    (change,) = with_commits(planned(state), {}).changes
    assert (change.verb, change.cause.commit) == (Verb.FORGET, COMMIT)


@pytest.mark.parametrize("view", [None, unreachable(KEY)], ids=["not looked at", "unreachable"])
def test_what_could_not_be_read_is_unknown(view: Observation | None) -> None:
    state = world(ON, power="Off")
    state = msgspec.structs.replace(state, observed={KEY: view} if view else {})
    found = planned(state)
    assert not found.changes
    assert [unknown.key for unknown in found.unknown] == [KEY]
    assert found.exit_code == 1, "nothing at all could be read"


def test_a_machine_gone_from_git_is_forgotten_even_when_its_bmc_is_gone_too() -> None:
    state = World(desired(machine("n2")), {KEY: unreachable(KEY)}, Facts({KEY: MachineFacts()}, {}))
    assert plan_resource(KEY, state.desired, state.observed, state.facts, NOW) is not None
    assert not any(unknown.key == KEY for unknown in planned(state).unknown)


def test_what_an_older_program_remembered_of_an_unknown_kind_is_passed_over() -> None:
    facts = Facts({ResourceKey("Toaster", "t1"): ResourceFacts()}, {})
    state = msgspec.structs.replace(world(ON, power="On"), facts=facts)
    assert not planned(state).changes
    assert universe(state.desired, facts)[-1].kind == "Toaster"


def failure(field: Field, *, terminal: bool = True, **spec: object) -> Failure:
    return Failure(ActionFailure.REJECTED, "400", NOW, terminal, 1, field.fingerprint(machine("n1", **spec).spec))


LED = Field("spec.indicatorLED", "Lit", IndicatorLED.OFF, equal=False)


@pytest.mark.parametrize(
    ("declared", "state", "terminal", "sent"),
    [
        ("Lit", IndicatorLED.OFF, True, False),
        ("Lit", IndicatorLED.OFF, False, True),
        ("Blinking", IndicatorLED.OFF, True, True),
        ("Lit", IndicatorLED.BLINKING, True, True),
    ],
    ids=["the same", "not for good", "git moved", "the BMC moved"],
)
def test_what_failed_for_good_is_tried_again_when_something_moves(
    declared: str, state: IndicatorLED, terminal: bool, sent: bool
) -> None:
    facts = MachineFacts(failures={LED.path: failure(LED, terminal=terminal, indicator_led="Lit")})
    (change,) = planned(world(SystemState(indicator=state), facts, indicator_led=declared)).changes
    assert change.goes is sent
    assert change.held(HoldKind.FAILED) is not sent


def test_a_field_that_failed_does_not_stop_the_others() -> None:
    state = SystemState(power=PowerState.OFF, indicator=IndicatorLED.OFF)
    facts = MachineFacts(failures={LED.path: failure(LED, power="On", indicator_led="Lit")})
    (change,) = planned(world(state, facts, power="On", indicator_led="Lit")).changes
    assert change.goes
    assert [type(action) for action in change.actions] == [PowerOn]


def test_a_machine_whose_boot_order_failed_is_not_powered_on() -> None:
    boot = BootSpec(target=BootTarget.PXE, enabled=BootEnabled.ONCE)
    (change,) = planned(world(SystemState(power=PowerState.OFF), power="On", boot=boot)).changes
    assert not change.goes
    assert {hold.path: hold.kind for hold in change.held_by} == {
        "spec.boot": HoldKind.FAILED,
        "spec.power": HoldKind.BLOCKED,
    }


def test_a_once_order_that_failed_is_not_given_again_whatever_the_bmc_says() -> None:
    boot = {"target": "Pxe", "enabled": "Once"}
    refused = Field("spec.boot", boot, {"target": "None", "enabled": "Disabled", "mode": None}, equal=False, once=True)
    later = msgspec.structs.replace(refused, observed=None)
    assert refused.fingerprint(machine("n1").spec) == later.fingerprint(machine("n1", power="On").spec)


def test_a_filtered_plan_says_how_much_it_left_out() -> None:
    fleet = [machine(f"n{i}", power="On") for i in range(10)]
    looks = {one.key: seen(one.key, OFF) for one in fleet}
    found = plan(desired(*fleet), looks, Facts({}, {}), NOW, Standing(), select={KEY}, selected_by="machine/n1")
    assert (found.scope.observed, found.scope.total, found.scope.total_fleet) == (1, 10, {"Machine": 10})
    assert [change.key for change in found.changes] == [KEY]


def test_a_fingerprint_stands_while_the_same_is_to_be_done() -> None:
    first = planned(world(OFF, power="On")).changes[0]
    later = planned(world(OFF, MachineFacts(applied=applied(power="On")), power="On")).changes[0]
    other = planned(world(SystemState(power=PowerState.PAUSED), power="On")).changes[0]
    assert first.fingerprint == later.fingerprint != other.fingerprint


def test_a_saved_plan_has_the_fingerprints_of_a_new_one() -> None:
    found = planned(world(OFF, power="On"))
    saved = plan_from_json(render_json(found).encode())
    assert saved.changes[0].fingerprint == planned(world(OFF, power="On")).changes[0].fingerprint


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"power": "On"}, 0),
        ({"power": "Off"}, 2),
        ({"power": "Off", "suspend": {"reason": "x"}}, 0),
        ({"power": "Off", "maintenance": {"reason": "x"}}, 0),
        ({"power": "Off", "indicatorLED": "Lit", "maintenance": {"reason": "x"}}, 2),
    ],
)
def test_exit_codes(spec: dict[str, object], code: int) -> None:
    base = {"partition": "p", "bmc": {"address": "a"}} | spec
    typed = msgspec.convert(base, type(machine("n1").spec))
    state = World(
        desired(resource("Machine", "n1", typed)),
        {KEY: seen(KEY, SystemState(power=PowerState.ON, indicator=IndicatorLED.OFF))},
        Facts({}, {}),
    )
    assert planned(state).exit_code == code


def test_boot_goes_before_power_and_the_led_last() -> None:
    boot = BootSpec(target=BootTarget.PXE, enabled=BootEnabled.CONTINUOUS)
    found = {"power": PowerState.OFF, "indicator": IndicatorLED.OFF, "boot": {"target": "None", "enabled": "Disabled"}}
    state = msgspec.convert(found, SystemState)
    (change,) = planned(world(state, power="On", boot=boot, indicator_led="Lit")).changes
    assert [type(action) for action in change.actions] == [SetBoot, PowerOn, SetIndicator]

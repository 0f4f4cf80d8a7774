"""Conditions: Ready always and once, the others while they are true, and one word for a table."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given

from drivers.base import (
    BootEnabled,
    BootOverride,
    BootTarget,
    ErrorReason,
    IndicatorLED,
    PowerState,
    ResetType,
    SystemState,
    Task,
    TaskState,
)
from reconciler.kinds.catalogue.tenancy import TenantSpec
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.kinds.guard.guard_fact_rules import FormerGuard, GuardFacts
from reconciler.kinds.ipam.ipaddress import AddressState, IPAddressSpec
from reconciler.kinds.ipam.network import NetworkSpec, NetworkState, PrefixSpec
from reconciler.kinds.machine.spec import BootSpec, LifecycleSpec, Mode, Pause, once_order
from reconciler.model.actions.bmc_actions import PowerOff
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.facts import Applied, Facts, Failure, ResourceFacts
from reconciler.model.observation import Observation, ReadError
from reconciler.model.outcome import ActionFailure, Condition, ConditionType, Status
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import Cause, CauseKind, Change, Hold, HoldKind, Unknown, Verb
from reconciler.model.resource import ResourceKey
from reconciler.planning.universe import universe
from reconciler.views.conditions import conditions, status_word
from tests.unit.planning_worlds import (
    LIMITS,
    NOW,
    World,
    desired,
    machine,
    planned,
    resource,
    seen,
    unreachable,
    worlds,
)

KEY = ResourceKey("Machine", "n1")
WORDS = {"Ready", "Reconciling", "Held", "Observed", "Suspended", "Maintenance", "Stalled", "Unknown", "Forgotten"}
ON = SystemState(power=PowerState.ON, indicator=IndicatorLED.OFF)
PAUSE = Pause(reason="fan swap")


def of(world: World, key: ResourceKey = KEY, max_disrupted: str = "100%") -> tuple[Condition, ...]:
    plan = planned(world, msgspec.structs.replace(LIMITS, max_disrupted=FleetShare.parse(max_disrupted)))
    found: dict[ResourceKey, Change | Unknown] = {one.key: one for one in plan.changes}
    found |= {one.key: one for one in plan.unknown}
    return conditions(key, world.desired, world.observed, world.facts, NOW, found.get(key))


def told(found: tuple[Condition, ...]) -> dict[str, str]:
    return {one.type: f"{one.status} {one.reason}" for one in found}


def world(facts: ResourceFacts | None = None, state: SystemState = ON, **spec: object) -> World:
    remembered = {} if facts is None else {KEY: facts}
    return World(desired(machine("n1", **spec)), {KEY: seen(KEY, state)}, Facts(remembered, {}))


@given(worlds())
def test_every_resource_has_exactly_one_ready_and_a_word(state: World) -> None:
    for key in universe(state.desired, state.facts):
        found = of(state, key, "10%")
        assert [one.type for one in found].count(ConditionType.READY) == 1
        assert found[0].type == "Ready"
        assert len({one.type for one in found}) == len(found)
        assert status_word(found) in WORDS
        assert all(one.message for one in found)


@pytest.mark.parametrize(
    ("state", "conditions_", "word"),
    [
        (world(power="On"), {"Ready": "True Reconciled"}, "Ready"),
        (world(power="Off"), {"Ready": "False Changed", "Reconciling": "True Changed"}, "Reconciling"),
        (
            world(MachineFacts(applied=Applied({"spec.power": "Off"}, "r", NOW)), power="Off"),
            {"Ready": "False Drifted", "Reconciling": "True Drifted"},
            "Reconciling",
        ),
        (
            world(
                MachineFacts(failures={"spec.power": Failure(ActionFailure.BUSY, "503", NOW, False, 2, "print")}),
                power="Off",
            ),
            {"Ready": "False Retrying", "Reconciling": "True Retrying"},
            "Reconciling",
        ),
        (world(power="On", suspend=PAUSE), {"Ready": "True Reconciled", "Suspended": "True Declared"}, "Suspended"),
        (world(power="Off", suspend=PAUSE), {"Ready": "False Suspended", "Suspended": "True Declared"}, "Suspended"),
        (
            world(power="Off", maintenance=PAUSE),
            {"Ready": "False Maintenance", "Maintenance": "True Declared"},
            "Maintenance",
        ),
        (
            world(state=SystemState(power=PowerState.ON), indicator_led="Lit"),
            {"Ready": "False Unsupported", "Stalled": "True Unsupported"},
            "Stalled",
        ),
        (
            world(state=SystemState(power=PowerState.POWERING_ON), power="On"),
            {"Ready": "False Changing", "Reconciling": "True Changing"},
            "Reconciling",
        ),
    ],
    ids=[
        "ready",
        "changed",
        "drifted",
        "retrying",
        "suspended",
        "suspended apart",
        "maintenance",
        "unsupported",
        "moving",
    ],
)
def test_a_machine(state: World, conditions_: dict[str, str], word: str) -> None:
    found = of(state)
    assert told(found) == conditions_
    assert status_word(found) == word


@pytest.mark.parametrize(
    ("view", "conditions_"),
    [
        (None, {"Ready": "Unknown NotObserved"}),
        (unreachable(KEY), {"Ready": "Unknown Unreachable"}),
        (
            Observation(KEY, NOW, error=ReadError(ErrorReason.AUTHENTICATION_FAILED, "401")),
            {"Ready": "Unknown AuthenticationFailed", "Stalled": "True AuthenticationFailed"},
        ),
    ],
)
def test_a_machine_that_could_not_be_read_is_unknown(view: Observation | None, conditions_: dict[str, str]) -> None:
    found = of(World(desired(machine("n1")), {KEY: view} if view else {}, Facts({}, {})))
    assert told(found) == conditions_
    assert status_word(found) == "Unknown"


def test_what_a_guard_holds_says_the_way_out() -> None:
    found = of(world(power="Off"), max_disrupted="0")
    assert status_word(found) == "Held"
    assert "--max-disrupted" in found[0].message


def test_an_action_under_way_is_said_with_its_time_and_when_it_is_overdue() -> None:
    action = PowerOff(key=KEY, reset_type=ResetType.FORCE_OFF)
    flight = InFlight("1", KEY, action, NOW - timedelta(minutes=5), NOW, "ada@host", "")
    state = msgspec.structs.replace(world(power="Off"), facts=Facts({}, {KEY: flight}))
    found = of(state)
    assert told(found) == {"Ready": "False Confirming", "Reconciling": "True Confirming"}
    assert found[0].since == flight.sent_at
    assert "overdue" in found[0].message


def test_the_progress_of_its_task_is_said_of_an_action_under_way() -> None:
    action = PowerOff(key=KEY, reset_type=ResetType.FORCE_OFF)
    task = Task(TaskState.RUNNING, "OK", 40, ("Powering off.",))
    flight = InFlight("1", KEY, action, NOW, NOW + timedelta(minutes=5), "ada@host", "", handle="/tasks/1", task=task)
    found = of(msgspec.structs.replace(world(power="Off"), facts=Facts({}, {KEY: flight})))
    assert found[0].message.endswith("; its Task reports Running, 40 %: Powering off.")


@pytest.mark.parametrize(("known", "word"), [(20, "Forgotten"), (2, "Held")])
def test_a_machine_that_git_no_longer_declares_is_forgotten_or_held(known: int, word: str) -> None:
    rest = [machine(f"o{i:02d}") for i in range(known - 1)]
    facts = Facts({KEY: MachineFacts()} | {one.key: MachineFacts() for one in rest}, {})
    state = World(desired(*rest), {one.key: seen(one.key, ON) for one in rest}, facts)
    assert status_word(of(state)) == word


def test_a_removed_guard_that_still_holds_is_not_called_forgotten() -> None:
    key = ResourceKey("Guard", "g")
    kept = GuardFacts(former=(FormerGuard({"protection": "All"}, NOW + timedelta(minutes=30)),))
    found = of(World(desired(machine("m1")), {}, Facts({key: kept}, {})), key)
    assert status_word(found) == "Reconciling"
    assert "the former spec stays in force until" in found[0].message
    later = msgspec.structs.replace(kept, former=())
    assert status_word(of(World(desired(machine("m1")), {}, Facts({key: later}, {})), key)) == "Forgotten"


def test_a_hold_of_a_documents_field_that_no_word_is_kept_for_is_shown_as_held() -> None:
    """A kind that is added may have fields of its own that hold."""
    hold = Hold(HoldKind.DECLARED, "frozen", "Switch is frozen", "remove spec.frozen from the document")
    change = Change(KEY, Verb.UPDATE, Cause(CauseKind.COMMIT), held_by=(hold,))
    state = world()
    found = conditions(KEY, state.desired, state.observed, state.facts, NOW, change)
    assert (status_word(found), found[0].message) == ("Held", "Switch is frozen")


@pytest.mark.parametrize(
    ("enabled", "target", "said"),
    [("Continuous", "Pxe", True), ("Continuous", "Hdd", False), ("Disabled", "None", False), ("Once", "Pxe", False)],
)
def test_a_once_order_that_reads_continuous_is_said_and_does_not_stop_it_being_ready(
    enabled: str, target: str, said: bool
) -> None:
    boot = BootSpec(target=BootTarget.PXE, enabled=BootEnabled.ONCE)
    override = msgspec.convert({"target": target, "enabled": enabled}, BootOverride)
    found = of(world(MachineFacts(once_done=once_order(boot)), SystemState(boot=override), boot=boot))
    assert told(found) == {"Ready": "True Reconciled"} | ({"BootOverride": "False OnceReadsContinuous"} if said else {})
    assert status_word(found) == "Ready"


def test_a_value_that_is_not_reported_is_unknown_and_no_failure() -> None:
    """ibm-openbmc/bmcweb#246."""
    found = of(world(state=SystemState(), power="On"))
    assert told(found) == {"Ready": "Unknown NotReported"}
    assert status_word(found) == "Unknown"


def test_what_waits_for_its_next_attempt_is_retrying_and_says_when() -> None:
    """And not DependencyNotReady: no other resource is in its way."""
    failure = Failure(ActionFailure("TaskFailed"), "the Task of the action reports Killed", NOW, False, 2, "print")
    state = world(MachineFacts(failures={"spec.power": failure}), power="Off")
    reason, hint = f"attempt 2 failed: {failure.message}", "wait until 12:00:40Z"
    hold = Hold(HoldKind.BLOCKED, HoldName.BACK_OFF, reason, hint, "spec.power")
    change = Change(KEY, Verb.UPDATE, Cause(CauseKind.COMMIT), held_by=(hold,))
    found = conditions(KEY, state.desired, state.observed, state.facts, NOW, change)
    assert told(found) == {"Ready": "False Retrying", "Reconciling": "True Retrying"}
    said = "attempt 2 failed: the Task of the action reports Killed; wait until 12:00:40Z"
    assert (found[0].message, found[0].since) == (said, NOW)


def test_an_address_waits_for_its_network() -> None:
    net = resource("Network", "net", NetworkSpec(prefixes=(PrefixSpec(cidr="10.0.0.0/24"),)))
    vip = resource("IPAddress", "vip", IPAddressSpec(network="net"))
    looks = {net.key: seen(net.key, NetworkState(None)), vip.key: seen(vip.key, AddressState())}
    found = of(World(desired(net, vip), looks, Facts({}, {})), vip.key)
    assert told(found)["Reconciling"] == "True DependencyNotReady"


def test_what_is_only_declared_is_accepted() -> None:
    tenant = resource("Tenant", "t", TenantSpec())
    (ready,) = of(World(desired(tenant), {}, Facts({}, {})), tenant.key)
    assert (ready.status, ready.reason) == (Status.TRUE, "Accepted")


@pytest.mark.parametrize(
    ("declared", "word", "reason"), [("Lit", "Observed", "Observed"), ("Off", "Ready", "Reconciled")]
)
def test_a_machine_that_is_only_looked_at_says_so_when_it_is_not_as_declared(
    declared: str, word: str, reason: str
) -> None:
    found = of(world(indicator_led=declared, lifecycle=LifecycleSpec(mode=Mode.OBSERVE)))
    assert status_word(found) == word
    assert found[0].reason == reason

"""A driver, or a rule of groundstate, that fails in a way that none should: nothing is lost, nothing is silent, and no
other resource waits. What was sent may have arrived, so the resource is observed before anything is sent again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from drivers.base import ErrorReason, PowerState, ResetType, Unreachable
from drivers.bmc.fake.fake import FakeBmc
from drivers.ipam.embedded.embedded import EmbeddedIpam
from reconciler.applying import reconcile
from reconciler.kinds import KINDS
from reconciler.kinds.common.machine_facts import FactType
from reconciler.model.event import Event
from reconciler.model.facts import Facts
from reconciler.model.outcome import Condition, ConditionReason, Failed
from reconciler.model.plans.plan import Change, Unknown
from reconciler.model.resource import ResourceKey
from reconciler.planning import drift, plan_isolation, resource_plan
from reconciler.planning.pacing import WRITES_AN_HOUR
from reconciler.views.conditions import conditions
from tests.loop.world import World, declare, machine

M = ResourceKey("Machine", "m1")
A = ResourceKey("IPAddress", "a")
ADDRESS = (("Network", "n", {"prefixes": [{"cidr": "10.0.0.0/24"}]}), ("IPAddress", "a", {"network": "n"}))
HOUR = 3600.0
WRITES: dict[str, tuple[str, Mapping[str, Any]]] = {
    "power": ("reset", {"power": "On"}),
    "boot": ("set_boot", {"boot": {"target": "Pxe", "enabled": "Continuous"}}),
    "indicator": ("set_indicator", {"indicatorLED": "Lit"}),
}


def odd(*_args: Any, **_options: Any) -> Any:
    raise KeyError("@odata.id")


def leaves(*_args: Any, **_options: Any) -> Any:
    """What a script does that was made a driver: threading ignores this error, and the thread is gone."""
    sys.exit(0)


def after(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, which does what it should and fails then."""

    def called(*args: Any, **options: Any) -> Any:
        method(*args, **options)
        raise KeyError("@odata.id")

    return called


def told(world: World, reason: str) -> list[Event]:
    return [event for event in world.events if event.reason == reason]


def shown(world: World, key: ResourceKey = M) -> dict[str, Condition]:
    """The conditions of a resource, by what the engine knows."""
    assert world.desired is not None
    observed = {one.key: one for one in world.engine.observations(key.kind)}
    plan = world.engine.plan()
    found: tuple[Change | Unknown, ...] = (*plan.changes, *plan.unknown)
    change = next((one for one in found if one.key == key), None)
    facts = Facts(world.facts(), world.store.in_flight())
    return {one.type: one for one in conditions(key, world.desired, observed, facts, world.now(), change)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("wish", WRITES)
def test_a_write_that_the_driver_breaks_off_is_observed_and_paced(
    world: World, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    method, spec = WRITES[wish]
    monkeypatch.setattr(FakeBmc, method, odd)
    world.commit(declare(machine("m1", **spec), machine("m2")))
    world.run(0.5)
    first = told(world, "ActionInterrupted")[0]
    assert "KeyError: '@odata.id' (test_defects.py, line" in first.message
    assert "observes before it sends the action again" in first.message
    assert "report this bug to the author of the driver" in first.message
    assert first.action_id is not None
    ready = shown(world)["Ready"]
    assert (ready.reason, "KeyError" in ready.message) == (ConditionReason.INTERNAL, True)
    world.run(HOUR)
    assert 2 <= len(told(world, "ActionInterrupted")) <= WRITES_AN_HOUR
    assert told(world, "ActionNotConfirmed")
    assert world.machines()[M].failures
    assert world.crashes == []


@pytest.mark.parametrize("wish", WRITES)
def test_a_write_that_arrived_before_the_driver_broke_off_is_sent_once(
    world: World, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    method, spec = WRITES[wish]
    monkeypatch.setattr(FakeBmc, method, after(getattr(FakeBmc, method)))
    world.commit(declare(machine("m1", **spec)))
    world.run(60)
    assert [event.reason for event in world.events if event.key == M][:3] == [
        "ActionSent",
        "ActionInterrupted",
        "ActionConfirmed",
    ]
    assert len(world.fleet.writes) == 1
    assert shown(world)["Ready"].reason == "Reconciled"


def test_an_answer_that_is_none_is_a_defect_of_the_driver(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeBmc, "reset", lambda *_: None)
    world.commit(declare(machine("m1", power="On")))
    world.run(1)
    assert "TypeError: the driver returned NoneType, not Accepted" in told(world, "ActionInterrupted")[0].message


def test_a_graceful_shutdown_that_may_never_have_left_is_no_reason_to_cut_the_power(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bmc = world.bmc("m1")
    bmc.state = replace(bmc.state, power=PowerState.ON)
    reset = FakeBmc.reset
    monkeypatch.setattr(
        FakeBmc, "reset", lambda self, how: odd() if how is ResetType.GRACEFUL_SHUTDOWN else reset(self, how)
    )
    world.commit(declare(machine("m1", power="Off", shutdown={"escalate": "Force", "timeoutSeconds": 30})))
    world.run(HOUR)
    assert world.bmc("m1").state.power is PowerState.ON
    assert told(world, "ActionInterrupted")


def test_a_task_that_the_driver_cannot_read_is_said_once_and_the_action_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeBmc, "task", odd)
    world.bmc("m1").on_after = world.bmc("m1").task_after = 20.0
    world.commit(declare(machine("m1", power="On")))
    world.run(60)
    assert len(told(world, "ActionInterrupted")) == 1
    assert world.reasons("m1")[-1] == "ActionConfirmed"


def test_a_read_that_the_driver_breaks_off_is_unknown_until_it_works(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(FakeBmc, "read", odd)
        world.commit(declare(machine("m1", power="On")))
        world.run(600)
        (event,) = told(world, "Internal")
        assert "KeyError" in event.message
        assert "author of the driver" in event.message
        assert (shown(world)["Ready"].status, shown(world)["Ready"].reason) == ("Unknown", "Internal")
        assert world.fleet.writes == []
    world.run(600)
    assert world.reasons("m1")[:2] == ["Internal", "ReadableAgain"]
    assert world.bmc("m1").state.power is PowerState.ON


@pytest.mark.parametrize("arrives", [False, True])
def test_an_ipam_driver_that_breaks_off_loses_no_address_and_takes_none_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, arrives: bool
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(EmbeddedIpam, "acquire", after(EmbeddedIpam.acquire) if arrives else odd)
        world.commit(declare(*ADDRESS))
        world.run(600)
        interrupted = told(world, "ActionInterrupted")
        assert "author of the driver" in interrupted[0].message
        assert len(interrupted) < 10
    world.run(HOUR)
    assert [one.owner for one in world.ipam.list()] == ["IPAddress/a"]
    assert shown(world, A)["Ready"].reason == "Reconciled"
    assert world.crashes == []


def test_an_ipam_that_loses_each_reply_is_asked_less_and_less_often(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was asked every second, for as long as it took."""

    def lost(*_args: Any, **_options: Any) -> Any:
        raise Unreachable("no answer within 30 s", maybe_sent=True)

    monkeypatch.setattr(EmbeddedIpam, "acquire", lost)
    world.commit(declare(*ADDRESS))
    world.run(HOUR)
    assert 10 < sum("acquire" in event.message for event in told(world, "ActionSent")) < 25


def test_an_ipam_that_cannot_be_read_because_of_a_defect_is_unknown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EmbeddedIpam, "holding", odd)
    world.commit(
        declare(("Network", "n", {"prefixes": [{"cidr": "10.0.0.0/24"}]}), ("IPAddress", "a", {"network": "n"}))
    )
    world.run(600)
    assert [(event.key, event.reason) for event in told(world, "Internal")] == [
        (ResourceKey("IPAddress", "a"), "Internal")
    ]


def test_a_reconcile_that_a_defect_ends_is_an_event_a_condition_and_tried_less_often(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.commit(declare(machine("m1", power="On"), machine("m2", power="On")))
    steps: list[float] = []

    def learn(resource: Any, *args: Any) -> Any:
        if resource.key == M:
            steps.append(world.at)
            odd()
        return kept(resource, *args)

    kept = drift.learn
    with monkeypatch.context() as broken:
        broken.setattr(reconcile, "learn", learn)
        world.run(HOUR)
        (event,) = told(world, "Internal")
        assert event.key == M
        assert "a bug in groundstate (KeyError: '@odata.id' (test_defects.py, line" in event.message
        assert "report this bug" in event.message
        assert (shown(world)["Ready"].status, shown(world)["Ready"].reason) == ("Unknown", "Internal")
        waits = [later - at for at, later in pairwise(steps)]
        assert waits[0] < waits[-1] == 300
        assert {type(error) for error in world.crashes} == {KeyError}
        assert world.bmc("m2").state.power is PowerState.ON
    world.run(600)
    assert world.bmc("m1").state.power is PowerState.ON
    assert shown(world)["Ready"].reason == "Reconciled"


def test_a_resource_that_cannot_be_planned_is_never_taken_for_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_resource = resource_plan.plan_resource
    monkeypatch.setattr(
        plan_isolation, "plan_resource", lambda key, *args: odd() if key == M else plan_resource(key, *args)
    )
    world.commit(declare(machine("m1", power="On")))
    world.run(600)
    outcome = world.outcomes[M]
    assert isinstance(outcome, Failed)
    assert outcome.reason is ErrorReason.INTERNAL
    (event,) = told(world, "Internal")
    assert "cannot be planned because of a bug in groundstate" in event.message
    assert world.fleet.writes == []


def test_a_report_of_an_agent_that_a_defect_refuses_is_an_event_of_its_machine(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.commit(declare(machine("m1", lifecycle={"mode": "Managed"})))
    world.run(10)
    monkeypatch.setattr(type(KINDS["Machine"].fact_rules), "report", odd)
    for _ in range(3):
        with pytest.raises(KeyError):
            world.engine.report(M, "1", FactType.REGISTERED, "agent 1")
    (event,) = told(world, "Internal")
    assert event.key == M
    assert "`registered`" in event.message.lower()


@pytest.mark.parametrize("wish", WRITES)
def test_a_driver_that_leaves_during_a_write_has_a_defect(
    world: World, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    method, spec = WRITES[wish]
    monkeypatch.setattr(FakeBmc, method, leaves)
    world.commit(declare(machine("m1", **spec), machine("m2", power="On")))
    world.run(600)
    assert "SystemExit: 0 (test_defects.py, line" in told(world, "ActionInterrupted")[0].message
    assert "report this bug to the author of the driver" in told(world, "ActionInterrupted")[0].message
    assert ("m2" in {event.key.name for event in told(world, "ActionConfirmed") if event.key}) or wish == "power"
    assert world.crashes == []


def test_a_driver_that_leaves_during_a_read_makes_its_machine_unknown_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = FakeBmc.read
    monkeypatch.setattr(
        FakeBmc, "read", lambda self, **named: leaves() if "m1" in repr(vars(self)) else read(self, **named)
    )
    world.commit(declare(machine("m1", power="On"), machine("m2", power="On")))
    world.run(600)
    (event,) = told(world, "Internal")
    assert (event.key, "SystemExit: 0" in event.message) == (M, True)
    assert world.bmc("m2").state.power is PowerState.ON


def test_an_ipam_driver_that_leaves_is_a_defect_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(EmbeddedIpam, "acquire", leaves)
        world.commit(declare(*ADDRESS))
        world.run(600)
        assert "SystemExit" in told(world, "ActionInterrupted")[0].message
    world.run(HOUR)
    assert [one.owner for one in world.ipam.list()] == ["IPAddress/a"]


def test_a_rule_that_leaves_costs_the_resource_that_meets_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = KINDS["Machine"].rules
    assert rules is not None
    fields = rules.fields
    monkeypatch.setattr(
        type(rules), "fields", lambda _, resource, view: leaves() if resource.key == M else fields(resource, view)
    )
    world.commit(declare(machine("m1", power="On"), machine("m2", power="On")))
    world.run(600)
    assert world.bmc("m2").state.power is PowerState.ON
    assert "SystemExit" in told(world, "Internal")[0].message


def test_who_waits_behind_a_resource_is_requeued_when_a_defect_ends_its_reconcile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = ResourceKey("Machine", "m2")
    world.commit(declare(machine("m1"), machine("m2")))
    world.run(1)
    world.engine._reconciler.memory.wait_behind(M, behind)
    monkeypatch.setattr(reconcile, "learn", odd)
    world.stepped.clear()
    world.engine.reconcile(M)
    while world.loop.turn():
        pass
    assert world.stepped == [behind]

"""What daemons say to each other arrives as it was sent: each call, each value, each error."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given

from drivers.base import (
    ACCEPTED,
    Accepted,
    AuthenticationFailed,
    Busy,
    Conflict,
    DriverError,
    Exhausted,
    Forbidden,
    Inventory,
    LeaseEnded,
    NoSuchTask,
    NoWorker,
    Rejected,
    SecretUnavailable,
    SystemState,
    Task,
    Unreachable,
    Unreadable,
    Unsupported,
)
from reconciler.model.facts import NO_FACTS
from reconciler.model.plans.plan import Plan
from reconciler.model.resource import ResourceKey
from reconciler.observed.backend import DriverDefect
from reconciler.observed.relay.relay_messages import (
    CALLS,
    MESSAGES,
    CallAnswer,
    ChangeHint,
    EndpointCall,
    InventoryCall,
    RelayedCall,
    RelayedError,
    SendCall,
    TaskCall,
    error_message,
    error_of_message,
    facts_of_call,
    observe_call,
    value_of_answer,
)
from tests.unit.planning_worlds import World, plans, worlds

M1 = ResourceKey("Machine", "m1")
READ = observe_call(NO_FACTS)


def sent(call: EndpointCall) -> EndpointCall:
    """The call as the other daemon gets it."""
    return CALLS.decode(msgspec.json.encode(RelayedCall("1", M1, "3f2a91c0", call))).call


def answered(call: EndpointCall, value: Any) -> Any:
    """The value of the call as it comes back."""
    message = MESSAGES.decode(msgspec.json.encode(CallAnswer("1", msgspec.Raw(msgspec.json.encode(value)))))
    assert isinstance(message, CallAnswer)
    return value_of_answer("Machine", call, message.value)


def raised(error: DriverError) -> DriverError:
    """The error as it comes back."""
    message = MESSAGES.decode(msgspec.json.encode(CallAnswer("1", error=error_message(error))))
    assert isinstance(message, CallAnswer)
    assert message.error is not None
    return error_of_message(message.error)


@given(worlds())
def test_what_is_remembered_of_a_resource_arrives(world: World) -> None:
    for key, facts in world.facts.resources.items():
        assert facts_of_call(key.kind, msgspec.convert(sent(observe_call(facts)), type(READ))) == facts


@given(plans())
def test_an_action_arrives(found: Plan) -> None:
    for action in (one for change in found.changes for one in change.actions):
        assert sent(SendCall(action)) == SendCall(action)


def test_the_other_calls_arrive() -> None:
    assert sent(TaskCall("/redfish/v1/Tasks/7")) == TaskCall("/redfish/v1/Tasks/7")
    assert sent(InventoryCall()) == InventoryCall()


@pytest.mark.parametrize(
    ("call", "value"),
    [
        (READ, SystemState()),
        (READ, None),
        (TaskCall("/7"), Task(percent=40, messages=("ü",), is_gone=True)),
        (InventoryCall(), Inventory(memory=1 << 40)),
    ],
)
def test_a_value_comes_back(call: EndpointCall, value: Any) -> None:
    assert answered(call, value) == value


@pytest.mark.parametrize("value", [ACCEPTED, Accepted("/7"), Accepted("/7", Task(percent=1))])
@given(found=plans())
def test_that_an_action_was_accepted_comes_back(value: Accepted, found: Plan) -> None:
    for action in (one for change in found.changes for one in change.actions):
        assert answered(SendCall(action), value) == value


@given(worlds())
def test_what_was_seen_comes_back(world: World) -> None:
    for key, look in world.observed.items():
        if look.value is not None:
            text = msgspec.Raw(msgspec.json.encode(look.value))
            assert value_of_answer(key.kind, READ, text) == look.value


@pytest.mark.parametrize(
    "error",
    [
        DriverError("d"),
        Unreachable("not sent"),
        Unreachable("perhaps sent", maybe_sent=True),
        Unreadable("u", maybe_sent=True),
        Busy("b"),
        Busy("b", retry_after=7.5),
        LeaseEnded("nothing was sent"),
        AuthenticationFailed("a", retry_after=600.0),
        AuthenticationFailed("a"),
        Forbidden("f"),
        SecretUnavailable("s", retry_after=30.0),
        Rejected("r"),
        NoSuchTask("t"),
        Unsupported("u"),
        Exhausted("e"),
        Conflict("c"),
        NoWorker("n"),
        DriverDefect("d"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_as_it_was(error: DriverError) -> None:
    back = raised(error)
    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))


def test_each_error_of_drivers_comes_back_as_itself() -> None:
    """One that is added is in the table too; a driver's own class comes back as the one that it is made of."""
    known, left = set[type[DriverError]](), [DriverError]
    while left:
        one = left.pop()
        if one.__module__ in (DriverError.__module__, DriverDefect.__module__):
            known.add(one)
        left += one.__subclasses__()
    assert {one for one in known if error_message(one("x")).name != one.__name__} == set()


def test_a_drivers_own_error_comes_back_as_the_nearest_one_that_is_known() -> None:
    class LockedOut(AuthenticationFailed):
        pass

    back = raised(LockedOut("three tries", retry_after=60.0))
    assert (type(back), str(back)) == (AuthenticationFailed, "three tries")
    assert isinstance(back, AuthenticationFailed)
    assert back.retry_after == 60.0


def test_an_error_of_a_newer_version_is_an_error() -> None:
    assert type(error_of_message(RelayedError("Evaporated", "gone"))) is DriverError


def test_a_hint_arrives() -> None:
    hint = ChangeHint((M1, ResourceKey("Switch", "leaf1")))
    assert MESSAGES.decode(msgspec.json.encode(hint)) == hint

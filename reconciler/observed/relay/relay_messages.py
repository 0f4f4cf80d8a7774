"""What the daemon that decides and the other daemons say to each other. Pure; as JSON in the store."""

from __future__ import annotations

from typing import Any

import msgspec

from drivers.base import (
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
    Task,
    Unreachable,
    Unreadable,
    Unsupported,
)
from reconciler.kinds import KINDS
from reconciler.model.actions.action import Action
from reconciler.model.facts import NO_FACTS, ResourceFacts
from reconciler.model.resource import ResourceKey
from reconciler.model.values.redact import redacted
from reconciler.observed.backend import DriverDefect

_ERRORS: dict[str, type[DriverError]] = {
    one.__name__: one
    for one in (
        *(DriverError, Unreachable, Unreadable, Busy, LeaseEnded, AuthenticationFailed, Forbidden, SecretUnavailable),
        *(Rejected, NoSuchTask, Unsupported, Exhausted, Conflict, NoWorker, DriverDefect),
    )
}


class ObserveCall(msgspec.Struct, frozen=True, tag="observe"):
    """Read the resource now. `facts`: what is remembered of it, as JSON."""

    facts: msgspec.Raw


class SendCall(msgspec.Struct, frozen=True, tag="send"):
    """Send the action, once."""

    action: Action


class TaskCall(msgspec.Struct, frozen=True, tag="task"):
    """Read the Task of an action."""

    handle: str


class InventoryCall(msgspec.Struct, frozen=True, tag="inventory"):
    """Read the hardware inventory."""


EndpointCall = ObserveCall | SendCall | TaskCall | InventoryCall


class RelayedCall(msgspec.Struct, frozen=True):
    """One call. `revision`: the desired state that says how the endpoint is reached."""

    id: str
    key: ResourceKey
    revision: str
    call: EndpointCall


class RelayedError(msgspec.Struct, frozen=True, omit_defaults=True):
    """A driver's error. `name`: of its class, or of the nearest one that every version knows."""

    name: str
    message: str
    retry_after: float | None = None
    maybe_sent: bool = False


class CallAnswer(msgspec.Struct, frozen=True, tag="answer", omit_defaults=True):
    """The answer to a call: a value or an error."""

    id: str
    value: msgspec.Raw = msgspec.Raw(b"null")
    error: RelayedError | None = None


class ChangeHint(msgspec.Struct, frozen=True, tag="changed"):
    """These resources are not as they were last answered. What they are is asked for."""

    keys: tuple[ResourceKey, ...]


class ControlCall(msgspec.Struct, frozen=True, tag="call"):
    """Another daemon has the daemon that decides carry out a call, and waits for the reply. `asker`: its process.
    `version`: of its program, the only one that can read `call`."""

    id: str
    asker: str
    version: str
    call: msgspec.Raw


class ControlReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The reply to a ControlCall: a value, or in words why there is none."""

    id: str
    value: msgspec.Raw = msgspec.Raw(b"null")
    failure: str | None = None


Message = CallAnswer | ChangeHint | ControlCall

# Made here: where several threads are the first to make a decoder of a type, the process crashes (msgspec 0.22).
CALLS = msgspec.json.Decoder(RelayedCall)
MESSAGES = msgspec.json.Decoder(Message)
REPLIES = msgspec.json.Decoder(ControlReply)
_FACTS = {kind.name: msgspec.json.Decoder[Any](kind.facts) for kind in KINDS.values() if kind.facts is not None}
_VALUES = {kind.name: msgspec.json.Decoder[Any](kind.observed_type) for kind in KINDS.values() if kind.observed_type}
_ACCEPTED, _TASK, _INVENTORY = (msgspec.json.Decoder[Any](one) for one in (Accepted, Task, Inventory))


def observe_call(facts: ResourceFacts) -> ObserveCall:
    """The call to read a resource of which this is remembered."""
    return ObserveCall(msgspec.Raw(msgspec.json.encode(facts)))


def facts_of_call(kind: str, call: ObserveCall) -> ResourceFacts:
    """What is remembered of the resource. Raises msgspec.ValidationError."""
    found: ResourceFacts = _FACTS[kind].decode(call.facts) if kind in _FACTS else NO_FACTS
    return found


def value_of_answer(kind: str, call: EndpointCall, value: msgspec.Raw) -> Any:
    """The value of an answer, in the type that the call has. Raises msgspec.ValidationError."""
    match call:
        case ObserveCall():
            return None if bytes(value) == b"null" else _VALUES[kind].decode(value)
        case SendCall():
            return _ACCEPTED.decode(value)
        case TaskCall():
            return _TASK.decode(value)
        case InventoryCall():
            return _INVENTORY.decode(value)


def error_message(error: DriverError) -> RelayedError:
    """The error, to be sent without credentials: the daemon that reads it does not know those of a site."""
    name = next((one.__name__ for one in type(error).__mro__ if one in _ERRORS.values()), DriverError.__name__)
    maybe_sent = isinstance(error, Unreachable) and error.maybe_sent
    return RelayedError(name, redacted(str(error)), getattr(error, "retry_after", None), maybe_sent)


def error_of_message(sent: RelayedError) -> DriverError:
    """The error that was sent; one of a newer version is the most general one."""
    error = _ERRORS.get(sent.name, Unreachable if sent.maybe_sent else DriverError)(sent.message)
    if isinstance(error, Unreachable):
        error.maybe_sent = sent.maybe_sent
    if isinstance(error, Busy | AuthenticationFailed):
        error.retry_after = sent.retry_after
    return error

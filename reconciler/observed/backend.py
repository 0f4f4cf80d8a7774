"""A backend is the one door to a sort of endpoint. It observes what a kind has there, and carries out its actions.

A kind names its backend (`Kind.backend`); nothing else decides who is asked for a resource.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec

from drivers.base import (
    OUTSIDE_ERRORS,
    Accepted,
    AuthenticationFailed,
    DriverError,
    ErrorReason,
    Inventory,
    Task,
    Unsupported,
    clean,
    excerpt,
    permitted_by,
    require_permit,
)
from reconciler.kinds import KINDS
from reconciler.kinds.common.defect import error_words
from reconciler.model.actions.action import Action
from reconciler.model.facts import NO_FACTS, ResourceFacts
from reconciler.model.observation import Observation, ReadError
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.model.values.redact import redacted
from reconciler.observed.crew import each_done

_MAX_WORDS = 500
"""Characters of what an error says that was not expected."""

T = TypeVar("T")

# Made here: where several threads are the first to make a decoder of a type, the process crashes (msgspec 0.22).
_DECODERS = {kind.name: msgspec.json.Decoder[Any](kind.observed_type) for kind in KINDS.values() if kind.observed_type}
_ACCEPTED, _TASK = msgspec.json.Decoder(Accepted), msgspec.json.Decoder(Task)

FactsByKey = Mapping[ResourceKey, ResourceFacts]


class Backend(Protocol):
    """One sort of endpoint. May be shared by threads."""

    def observe(self, key: ResourceKey, desired: DesiredState, facts: ResourceFacts) -> Any:
        """The current state, as the kind's observed type. Raises DriverError."""

    def observe_all(
        self, keys: Sequence[ResourceKey], desired: DesiredState, facts: FactsByKey, concurrency: int
    ) -> Iterator[Observation]:
        """Observe these, in the way that is the quickest for many. What is found beside them may come too. Never raises
        for what it finds."""

    def holdings(self) -> Mapping[ResourceKey, Any]:
        """All that it holds for resources that groundstate creates, for every owner. Raises DriverError."""

    def send(self, action: Action, desired: DesiredState) -> Accepted:
        """Send one request, once. Raises DriverError."""

    def task(self, handle: str, key: ResourceKey, desired: DesiredState) -> Task:
        """What the other side says of an action that it accepted with this handle. Raises DriverError."""


@runtime_checkable
class ReadsInventory(Protocol):
    """A backend that also reads hardware inventories, as kinds with `Kind.inventoried` need."""

    def inventory(self, key: ResourceKey, desired: DesiredState) -> Inventory:
        """What is in the declared resource now. Raises DriverError."""


class EndpointBackend:
    """What backends have in common whose endpoints are contacted one by one, many at the same time."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def observe(self, key: ResourceKey, desired: DesiredState, facts: ResourceFacts) -> Any:
        """The current state of one resource. Raises DriverError."""
        raise NotImplementedError

    def observe_all(
        self, keys: Sequence[ResourceKey], desired: DesiredState, facts: FactsByKey, concurrency: int
    ) -> Iterator[Observation]:
        """Each as it comes."""

        def one(key: ResourceKey) -> Observation:
            return observation_of(key, lambda: self.observe(key, desired, facts.get(key, NO_FACTS)), self._now)

        return each_done(one, keys, concurrency, "observe", answered=lambda seen: seen.error is None)

    def holdings(self) -> Mapping[ResourceKey, Any]:
        """None: such resources are found, and not made."""
        return {}


class NoBackend:
    """Of kinds that consist of what is written down. Implements Backend."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def observe(self, key: ResourceKey, desired: DesiredState, facts: ResourceFacts) -> Any:
        """The kind's value where nothing is."""
        return KINDS[key.kind].absent if key.kind in KINDS else None

    def observe_all(
        self,
        keys: Sequence[ResourceKey],
        desired: DesiredState,
        facts: FactsByKey,
        concurrency: int,
    ) -> Iterator[Observation]:
        """The same of each."""
        at = self._now()
        return (Observation(key, at, KINDS[key.kind].absent if key.kind in KINDS else None) for key in keys)

    def holdings(self) -> Mapping[ResourceKey, Any]:
        """It holds nothing."""
        return {}

    def send(self, action: Action, desired: DesiredState) -> Accepted:
        """Raise Unsupported: there is no endpoint."""
        raise not_carried_out(action, "a kind without an endpoint")

    def task(self, handle: str, key: ResourceKey, desired: DesiredState) -> Task:
        """Raise Unsupported: there is no endpoint."""
        raise no_tasks(key)


def not_carried_out(action: Action, to: str) -> Unsupported:
    """The error of an action that came to a backend which does not carry it out: a defect of the kind's rules."""
    return Unsupported(
        f"internal error: {action.name} of {action.key} was given to {to}, which cannot carry out such an action; "
        "report this bug"
    )


def no_tasks(key: ResourceKey) -> Unsupported:
    """The error of a handle that came to a backend which gives none."""
    return Unsupported(
        f"internal error: a Task of {key} was requested, but actions for the kind {key.kind} have no Tasks; "
        "report this bug"
    )


def observation_of(key: ResourceKey, read: Callable[[], Any], now: Callable[[], datetime]) -> Observation:
    """One observation. A driver's error, or a defect in a driver, makes the resource unknown, and no other one."""
    try:
        value = read()
        _check(key.kind, value)
    except OUTSIDE_ERRORS as error:  # a defect in one driver must not stop the others
        return Observation(key, now(), error=read_failure_of(error))
    return Observation(key, now(), value=value)


def checked_observation(seen: Observation) -> Observation:
    """The observation, or why its value cannot be kept."""
    try:
        _check(seen.key.kind, seen.value)
    except OUTSIDE_ERRORS as error:  # it is this object's
        return Observation(seen.key, seen.taken_at, error=read_failure_of(error))
    return seen


def _check(kind: str, value: Any) -> None:
    """Raise for what a driver says that could be kept and not be read again. An unpaired surrogate, a number in the
    place of a text. The store would give it back to every command, as an error."""
    if value is not None and (decoder := _DECODERS.get(kind)) is not None:
        decoder.decode(msgspec.json.encode(value))


def read_failure_of(error: BaseException) -> ReadError:
    """Why a read failed, in words that can be kept and shown."""
    failed = driver_error_of(error)
    soon = failed.retry_after if isinstance(failed, AuthenticationFailed) else None
    return ReadError(failed.reason, redacted(clean(str(failed))), soon)


class DriverDefect(DriverError):
    """A driver raised or returned what none should. A write may have reached the endpoint before."""

    reason = ErrorReason.INTERNAL


def driver_error_of(error: BaseException) -> DriverError:
    """The error as a DriverError: one that is none is a defect of the driver, and says where to report it."""
    if isinstance(error, DriverError):
        return error
    words = redacted(excerpt(f"the driver failed unexpectedly: {error_words(error)}", 2 * _MAX_WORDS))[:_MAX_WORDS]
    return DriverDefect(f"{words}; report this bug to the author of the driver")


def sent_by(backend: Backend, action: Action, desired: DesiredState, permit: Callable[[], None]) -> Accepted:
    """Have the backend send one action, once. `permit` raises LeaseEnded where nothing may be sent any more.

    Raises DriverError: a DriverDefect for all that is no such error, and for an answer that cannot be kept."""
    try:
        with permitted_by(permit):
            require_permit()
            return _as_it_can_be_kept(backend.send(action, desired), Accepted, _ACCEPTED)
    except OUTSIDE_ERRORS as error:
        raise driver_error_of(error) from error


def task_of(backend: Backend, handle: str, key: ResourceKey, desired: DesiredState) -> Task:
    """Have the backend read the Task of an action. Raises DriverError, as `sent_by` does."""
    try:
        return _as_it_can_be_kept(backend.task(handle, key, desired), Task, _TASK)
    except OUTSIDE_ERRORS as error:
        raise driver_error_of(error) from error


def _as_it_can_be_kept(answer: T, form: type[T], decoder: msgspec.json.Decoder[T]) -> T:
    if not isinstance(answer, form):
        raise TypeError(f"the driver returned {type(answer).__name__}, not {form.__name__}")
    decoder.decode(msgspec.json.encode(answer))
    return answer

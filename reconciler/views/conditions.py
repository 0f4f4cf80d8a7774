"""The conditions that people read: derived from an observation, the facts and the plan each time, and never stored.

Ready, Reconciling and Stalled are kstatus': Ready is always there; the other two only while they are true. A kind has
more of its own (`Kind.conditions`); Suspended and Maintenance are also status words of the table, for every kind that
has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from drivers.base import ErrorReason
from reconciler.kinds import KINDS, remembered_of
from reconciler.model.actions.action import Action
from reconciler.model.facts import Facts, Failure, ResourceFacts
from reconciler.model.observation import Observation, ObservedState
from reconciler.model.outcome import Condition, ConditionReason, ConditionType, Status
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import CauseKind, Change, Hold, HoldKind, Unknown, UnknownReason
from reconciler.model.resource import DesiredState, Resource, ResourceKey

READY, RECONCILING, STALLED = ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED

_DECLARED: dict[str, ConditionReason] = {
    HoldName.SUSPEND: ConditionReason.SUSPENDED,
    HoldName.MAINTENANCE: ConditionReason.MAINTENANCE,
    HoldName.OBSERVE: ConditionReason.OBSERVED,
}
_NEEDS_PEOPLE = frozenset(
    UnknownReason(one)
    for one in (
        ErrorReason.AUTHENTICATION_FAILED,
        ErrorReason.SECRET_UNAVAILABLE,
        ErrorReason.REJECTED,
        ErrorReason.UNSUPPORTED,
    )
)
"""Read errors that do not go away by waiting."""


def conditions(
    key: ResourceKey,
    desired: DesiredState,
    observed: ObservedState,
    facts: Facts,
    now: datetime,
    change: Change | Unknown | None,
) -> tuple[Condition, ...]:
    """The resource's conditions, Ready first. `change`: what the plan says of it; None: nothing to do.

    A condition's `since` is None if no fact has the time.
    """
    resource, remembered = desired.resources.get(key), remembered_of(facts.resources, key)
    if isinstance(change, Unknown):
        found = tuple(_unknown(change))
    elif change is None:
        found = (_gone(()) if resource is None else _reconciled(resource, remembered, desired),)
    elif resource is None and change.goes and key not in facts.in_flight:
        found = (_gone(change.actions),)
    else:
        found = tuple(_differing(change, remembered, facts, now))
    return (*found, *_own(resource, remembered, observed.get(key)))


_NO_ACTION = (
    "differs from the document, and no action of groundstate can change that; `groundstate plan` shows the fields"
)
STATUS_WORDS = (
    *(READY, RECONCILING, ConditionReason.HELD, ConditionReason.OBSERVED),
    *(ConditionType.SUSPENDED, ConditionType.MAINTENANCE),
    *(STALLED, "Unknown", ConditionReason.FORGOTTEN),
)
"""All that `status_word` says."""


def status_word(found: tuple[Condition, ...]) -> str:
    """A word for a table."""
    true = {condition.type for condition in found if condition.status is Status.TRUE}
    ready = next(condition for condition in found if condition.type == READY)
    for word in (ConditionType.SUSPENDED, ConditionType.MAINTENANCE):
        if word in true:
            return word
    if ready.status is Status.UNKNOWN:
        return "Unknown"
    if ready.status is Status.TRUE:
        return READY
    if ready.reason in (ConditionReason.HELD, ConditionReason.FORGOTTEN, ConditionReason.OBSERVED):
        return ready.reason
    return STALLED if STALLED in true else RECONCILING


def _unknown(change: Unknown) -> Iterator[Condition]:
    reason = ConditionReason(change.reason)
    yield Condition(READY, Status.UNKNOWN, reason, change.message, change.at)
    if change.reason in _NEEDS_PEOPLE:
        yield Condition(STALLED, Status.TRUE, reason, change.message, change.at)


def _gone(actions: tuple[Action, ...]) -> Condition:
    message = "; ".join(action.reason for action in actions) or "not declared"
    return Condition(READY, Status.FALSE, ConditionReason.FORGOTTEN, message)


def _reconciled(resource: Resource[object], remembered: ResourceFacts, desired: DesiredState) -> Condition:
    if KINDS[resource.key.kind].rules is None:
        return Condition(READY, Status.TRUE, ConditionReason.ACCEPTED, f"document is valid in {desired.revision}")
    since = remembered.applied.at if remembered.applied else None
    return Condition(READY, Status.TRUE, ConditionReason.RECONCILED, f"matches {desired.revision}", since)


def _differing(change: Change, remembered: ResourceFacts, facts: Facts, now: datetime) -> Iterator[Condition]:
    """What is not as declared. In order: what is under way, what a guard or the document holds, what failed."""
    flight = facts.in_flight.get(change.key)
    if flight is not None:
        late = " and is overdue" if now >= flight.deadline else ""
        sent = f"{flight.action.name} was sent by {flight.by}{late}"
        message = f"{sent}; the next observation shows whether the action took effect{flight.task_words}"
        reason = ConditionReason.CONFIRMING if flight.defect is None else ConditionReason.INTERNAL
        yield from _under_way(reason, message, flight.sent_at)
    elif change.goes:
        yield from _under_way(*_next_step(change, remembered))
    elif change.held(HoldKind.GUARD):
        yield _held(change)
    elif change.held(HoldKind.DECLARED):
        hold = _first(change, HoldKind.DECLARED)
        yield Condition(
            READY, Status.FALSE, _DECLARED.get(hold.by, ConditionReason.HELD), hold.reason, change.cause.since
        )
    elif change.held(HoldKind.FAILED):
        yield from _stalled(change, remembered)
    elif any(hold.by == HoldName.UNREPORTED for hold in change.held_by):
        hold = next(hold for hold in change.held_by if hold.by == HoldName.UNREPORTED)
        yield Condition(READY, Status.UNKNOWN, ConditionReason.NOT_REPORTED, f"{hold.reason}; {hold.hint}")
    elif change.held(HoldKind.BLOCKED):
        yield from _waiting(_first(change, HoldKind.BLOCKED), remembered)
    else:
        message = change.held_by[0].reason if change.held_by else _NO_ACTION
        yield from _under_way(ConditionReason.CHANGING, message, None)


def _waiting(hold: Hold, remembered: ResourceFacts) -> Iterator[Condition]:
    """For its own next attempt, or for another resource."""
    if hold.by != HoldName.BACK_OFF:
        yield from _under_way(ConditionReason.DEPENDENCY_NOT_READY, hold.reason, None)
        return
    failure = remembered.failures.get(hold.path or "")
    since = failure.at if failure is not None else None
    yield from _under_way(ConditionReason.RETRYING, f"{hold.reason}; {hold.hint}", since)


def _under_way(reason: ConditionReason, message: str, since: datetime | None) -> Iterator[Condition]:
    yield Condition(READY, Status.FALSE, reason, message, since)
    yield Condition(RECONCILING, Status.TRUE, reason, message, since)


def _next_step(change: Change, remembered: ResourceFacts) -> tuple[ConditionReason, str, datetime | None]:
    path = change.actions[0].path
    failure = remembered.failures.get(path)
    if failure is not None:
        return (
            ConditionReason.RETRYING,
            f"{change.actions[0].name} failed {failure.attempts} times: {failure.message}",
            failure.at,
        )
    fields = ", ".join(difference.path for difference in change.differences)
    reason = ConditionReason.DRIFTED if change.cause.kind is CauseKind.DRIFT else ConditionReason.CHANGED
    passing = f"; the change passes guard {change.lifted}" if change.passes else ""
    return reason, f"{fields} not as declared; the next action is {change.actions[0].name}{passing}", change.cause.since


def _stalled(change: Change, remembered: ResourceFacts) -> Iterator[Condition]:
    hold = _first(change, HoldKind.FAILED)
    failure: Failure | None = remembered.failures.get(hold.path or "")
    reason = ConditionReason(failure.reason if failure is not None and failure.terminal else ErrorReason.UNSUPPORTED)
    since = failure.at if failure is not None and failure.terminal else None
    message = f"{hold.reason}; {hold.hint}"
    yield Condition(READY, Status.FALSE, reason, message, since)
    yield Condition(STALLED, Status.TRUE, reason, message, since)


def _held(change: Change) -> Condition:
    hold = _first(change, HoldKind.GUARD)
    return Condition(READY, Status.FALSE, ConditionReason.HELD, f"{hold.by}: {hold.reason}; to proceed: {hold.hint}")


def _first(change: Change, kind: HoldKind) -> Hold:
    return next(hold for hold in change.held_by if hold.kind is kind)


def _own(resource: Resource[object] | None, remembered: ResourceFacts, seen: Observation | None) -> Iterable[Condition]:
    return () if resource is None else KINDS[resource.key.kind].conditions(resource, remembered, seen)

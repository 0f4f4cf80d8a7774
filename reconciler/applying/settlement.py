"""How an action is settled: confirmed, refused, or out of time. Pure, so that a crash test needs no crash."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from drivers.base import Busy, DriverError, ErrorReason, Forbidden, Rejected, Unsupported
from reconciler.kinds import KINDS
from reconciler.kinds.common.fact_rules import FactRules, taken_down, undone
from reconciler.kinds.common.kind import KindView
from reconciler.model.actions.action import Action
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.facts import Failure, ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.outcome import ActionFailure, Failed, Outcome, OutcomeReason
from reconciler.model.plans.plan import digest
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.model.retry import (
    OBSERVATIONS_BEFORE_REPEAT,
    POLICIES,
    REPEAT,
    error_outcome,
    refused_delay,
    retry_policy,
    write_delay,
)
from reconciler.planning.pacing import count_write, uncount_write

ANSWERED_NO = (Rejected, Unsupported, Busy, Forbidden)
"""The endpoint's own answer to an action. A refused login is no answer to the action: the BMC has not considered the
action."""


class Settled(msgspec.Struct, frozen=True):
    """An action that is in flight no more: what is remembered of it, and what is reported. `outcome`: how the reconcile
    ends by that; None: the reconcile continues with the plan."""

    facts: ResourceFacts
    event: Event
    outcome: Outcome | None = None


def new_flight(id_: str, action: Action, desired: DesiredState, now: datetime, by: str, cause: str) -> InFlight:
    """The action from the moment at which it is written down. Its kind says how long it may take."""
    kind, resource = KINDS[action.key.kind], desired.resources.get(action.key)
    patience = kind.rules.patience(action, resource) if kind.rules else 0.0
    place = kind.endpoint_of(resource)
    return InFlight(id_, action.key, action, now, now + timedelta(seconds=patience), by, cause, place)


def lock_holder(
    key: ResourceKey, desired: DesiredState, flights: Iterable[InFlight], now: datetime
) -> ResourceKey | None:
    """Who else has an action in flight on what an action of this resource would exclude, as on its BMC.

    Not after the deadline of that action, as it may be that nothing observes that resource in this run.
    """
    lock = KINDS[key.kind].lock_of(desired.resources.get(key))
    others = (flight for flight in flights if lock and flight.lock == lock and flight.key != key)
    return next((one.key for one in others if now < deadline(one, desired.resources.get(one.key))), None)


def settle(
    flight: InFlight,
    seen: Observation,
    resource: Resource[Any] | None,
    facts: ResourceFacts,
    now: datetime,
    *,
    observations: int = 0,
) -> Settled | None:
    """None while the action may still take effect; else what an observation of `seen` says has become of it.

    What is seen decides, whatever the action's Task says. An unreadable resource settles nothing: the action may have
    been done. `observations`: how many, this one among them, showed nothing of it.
    """
    rules = KINDS[flight.key.kind].rules
    if rules is None or seen.error is not None:
        return None
    elsewhere = _elsewhere(flight, resource)
    if not elsewhere and rules.confirmed(flight.action, seen.value):
        result = _rules(flight).result(flight.action, seen.value)
        said = f"took effect{f': {result}' if result else ''}"
        reported = _event(flight, now, EventReason.ACTION_CONFIRMED, said, outcome=result or "")
        return Settled(_confirmed(flight, seen, resource, facts), reported)
    if not elsewhere and flight.task is not None and flight.task.failed and not _may_be_ignored(flight, facts, now):
        return _task_failed(flight, seen, resource, facts, now)
    if now < deadline(flight, resource) and not _may_be_repeated(flight, seen, now, observations=observations):
        return None
    if elsewhere:
        why = f"is abandoned: {KINDS[flight.key.kind].endpoint_field} now names another system"
        return Settled(facts, _event(flight, now, EventReason.ACTION_ABANDONED, why, EventType.WARNING))
    return _expired(flight, seen, resource, facts, now)


def is_awaited(flight: InFlight, seen: Observation, resource: Resource[Any] | None) -> bool:
    """Whether its resource can be read, is the one that it was sent to, and shows nothing of it."""
    rules = KINDS[flight.key.kind].rules
    if rules is None or resource is None or seen.error is not None or _elsewhere(flight, resource):
        return False
    return not rules.confirmed(flight.action, seen.value)


def _may_be_repeated(flight: InFlight, seen: Observation, now: datetime, *, observations: int) -> bool:
    """Whether it may never have been sent, and sending it again does no harm. A fleet whose daemon was killed in the
    middle of a start does not stay dark for all the patience that slow BMCs need."""
    late = (now - flight.sent_at).total_seconds() >= REPEAT
    return (
        not flight.accepted
        and late
        and observations >= OBSERVATIONS_BEFORE_REPEAT
        and _rules(flight).repeatable(flight.action, seen.value)
    )


def deadline(flight: InFlight, resource: Resource[Any] | None) -> datetime:
    """When it counts as failed: as declared when it was sent, or later if the document now declares more patience."""
    rules = KINDS[flight.key.kind].rules
    if rules is None or resource is None:
        return flight.deadline
    return max(flight.deadline, flight.sent_at + timedelta(seconds=rules.patience(flight.action, resource)))


def refuse_action(
    flight: InFlight, error: DriverError, fingerprint: str | None, facts: ResourceFacts, now: datetime, jitter: float
) -> tuple[Settled, Outcome]:
    """An action that was certainly not carried out, because the other side, or the way to it, said no.

    `fingerprint`: of the field that it serves, None where nothing is declared.
    """
    reason = error.reason
    rule = retry_policy(reason)
    if rule.terminal and not KINDS[flight.key.kind].refusal_is_final:
        # An IPAM refuses for what other resources are just now, which shows nowhere in what is observed of this one.
        rule = POLICIES[ErrorReason.CONFLICT]
    if flight.action.retries_refusal:
        rule = POLICIES[ErrorReason.CONFLICT]
    if reason in (ErrorReason.UNREACHABLE, ErrorReason.UNREADABLE, ErrorReason.NO_WORKER):
        facts = uncount_write(facts, flight.action.served_path)
    facts = _rules(flight).refused(flight.action, facts, str(error), is_final=rule.terminal, now=now)
    remembered = _failure(facts, flight, ActionFailure(reason), str(error), fingerprint, rule.terminal, now)
    failure = remembered.failures[flight.action.served_path]
    floor = error.retry_after if isinstance(error, Busy) else None
    if flight.place:
        delay = write_delay(failure.attempts, jitter, base=rule.wait.first, floor=floor)
    else:
        delay = refused_delay(rule, failure.attempts, jitter, floor)
    if _may_be_ignored(flight, facts, now):
        # What follows at its deadline is declared, and does not wait for a busy endpoint's Retry-After.
        delay = min(delay, (flight.deadline - flight.sent_at).total_seconds())
    remembered = _retry_after(remembered, flight.action, now, delay)
    event = _event(flight, now, EventReason.ACTION_REFUSED, f"was refused: {error}", EventType.WARNING, outcome=reason)
    return Settled(remembered, event), error_outcome(reason, str(error), delay, terminal=rule.terminal)


def sent_facts(flight: InFlight, facts: ResourceFacts, goal: str) -> ResourceFacts:
    """What is remembered from the moment of sending: what is asked of a BMC, `goal` being the digest of the value. That
    this machine is being taken down. And what is not as it was applied any more by our own doing."""
    facts = undone(flight.action, facts)
    if flight.place:
        facts = count_write(facts, flight.action.served_path, goal, flight.sent_at)
    return _rules(flight).sent(flight.action, taken_down(flight.action, facts, flight.sent_at))


def _elsewhere(flight: InFlight, resource: Resource[Any] | None) -> bool:
    """Whether the system that is now observed under this name is another one than the one that the action was sent
    to."""
    kind = KINDS[flight.key.kind]
    if resource is None:
        return not kind.made
    return kind.endpoint is not None and flight.place not in ("", kind.endpoint_of(resource))


def _confirmed(
    flight: InFlight, seen: Observation, resource: Resource[Any] | None, facts: ResourceFacts
) -> ResourceFacts:
    failures = {path: failure for path, failure in facts.failures.items() if path != flight.action.served_path}
    facts = msgspec.structs.replace(facts, failures=failures)
    return _rules(flight).confirmed(flight.action, facts, seen, resource)


def _task_failed(
    flight: InFlight, seen: Observation, resource: Resource[Any] | None, facts: ResourceFacts, now: datetime
) -> Settled:
    """The other side says that what it accepted came to nothing, and nothing of it is seen."""
    action = flight.action
    message = f"{_failure_words(flight)}{_how_to_send_again(flight, resource)}"
    event = _event(flight, now, EventReason.ACTION_FAILED, f"failed: {message}", EventType.WARNING)
    reason, words = OutcomeReason.TASK_FAILED, f"{describe(flight)} failed: {message}"
    failed = _failure(
        facts, flight, ActionFailure.TASK_FAILED, message, _fingerprint(flight, seen, resource, facts), action.once, now
    )
    delay = write_delay(failed.failures[action.served_path].attempts, 0.0)
    return Settled(_retry_after(failed, action, now, delay), event, Failed(reason, words, action.once, delay))


def _failure_words(flight: InFlight) -> str:
    return f"the Task of the action reports {flight.task}"


def failure_event(flight: InFlight, facts: ResourceFacts, now: datetime) -> Event | None:
    """That the Task of an action failed that ends at its deadline alone, as its effect may come all the same. An
    operating system has all the time that is declared for it. None for any other action, or Task."""
    if flight.task is None or not flight.task.failed or not _may_be_ignored(flight, facts, now):
        return None
    return _event(flight, now, EventReason.ACTION_FAILED, f"failed: {_failure_words(flight)}", EventType.WARNING)


def wait_out(
    flight: InFlight,
    error: DriverError,
    seen: Observation,
    fingerprint: str | None,
    facts: ResourceFacts,
    now: datetime,
) -> tuple[InFlight, Event] | None:
    """What may be ignored, as a graceful shutdown, and was refused stays in flight until its deadline, when its kind
    decides what follows. Returns the action, and what is reported. None for what is refused in the usual way. That is
    any other action, and an error of the way to the endpoint. A "not now" also, while there is time to ask again."""
    if not isinstance(error, ANSWERED_NO) or not _may_be_ignored(flight, facts, now):
        return None
    idle = isinstance(error, Busy) and not _rules(flight).begun(flight.action, seen.value)
    if idle and _time_to_ask_again(flight, error, _in_a_row(facts, flight, fingerprint), now):
        return None
    event = _event(
        flight, now, EventReason.ACTION_REFUSED, f"was refused: {error}", EventType.WARNING, outcome=error.reason
    )
    return msgspec.structs.replace(flight, accepted=True, refusal=str(error)), event


def _time_to_ask_again(flight: InFlight, error: DriverError, before: Failure | None, now: datetime) -> bool:
    """Whether the next attempt comes within the patience for the action, which counts from the first "not now". The
    first one is always followed by another attempt."""
    if before is None or before.busy_since is None:
        return True
    floor = error.retry_after if isinstance(error, Busy) else None
    wait = write_delay(before.attempts + 1, 0.0, base=retry_policy(error.reason).wait.first, floor=floor)
    return now + timedelta(seconds=wait) < before.busy_since + (flight.deadline - flight.sent_at)


def _in_a_row(facts: ResourceFacts, flight: InFlight, fingerprint: str | None) -> Failure | None:
    """The attempt that failed before this one, for the same desired and observed value."""
    before = facts.failures.get(flight.action.served_path)
    return before if before is not None and before.fingerprint == (fingerprint or digest(flight.action.name)) else None


def _expired(
    flight: InFlight, seen: Observation, resource: Resource[Any] | None, facts: ResourceFacts, now: datetime
) -> Settled:
    action, accepted = flight.action, flight.accepted
    ignored = _rules(flight).ignored(action, facts, now) if _arrived(flight, seen, facts) else None
    if ignored is not None:
        answer = "was refused" if flight.refusal else "was accepted" if accepted else _no_reply(flight)
        why = f"{answer}, and {ignored.message}{flight.task_words}"
        return Settled(ignored.facts, _event(flight, now, ignored.reason, why, EventType.WARNING))
    # A power state may come late and is worth another try; what reads back as something else was not kept.
    terminal = action.once or (accepted and action.reads_back)
    message = f"{_why_not(flight)}{flight.task_words}{_how_to_send_again(flight, resource)}"
    event = _event(flight, now, EventReason.ACTION_NOT_CONFIRMED, message, EventType.WARNING)
    fingerprint = _fingerprint(flight, seen, resource, facts)
    reason = OutcomeReason.NOT_CONFIRMED if flight.defect is None or accepted else ErrorReason.INTERNAL
    failed = _failure(facts, flight, ActionFailure(reason), message, fingerprint, terminal, now)
    attempts = failed.failures[action.served_path].attempts
    # What may never have been sent is not waited for once more, the first time.
    if attempts == 1 and not accepted:
        return Settled(_retry_after(failed, action, now, 0.0), event)
    if flight.place:  # Paced by what is remembered, so that other fields go on.
        return Settled(_retry_after(failed, action, now, write_delay(attempts, 0.0)), event)
    delay = POLICIES[ErrorReason.UNREACHABLE].wait.delay(attempts, 0.0)
    outcome = Failed(reason, f"{describe(flight)} {message}", terminal, delay)
    return Settled(_retry_after(failed, action, now, delay), event, outcome)


def _may_be_ignored(flight: InFlight, facts: ResourceFacts, now: datetime) -> bool:
    return _rules(flight).ignored(flight.action, facts, now) is not None


def _arrived(flight: InFlight, seen: Observation, facts: ResourceFacts) -> bool:
    """Whether the other side has the action: it said so, or shows it at work, or did not answer twice."""
    before = facts.failures.get(flight.action.served_path)
    unanswered = before is not None and before.reason is ActionFailure.NOT_CONFIRMED
    return flight.accepted or unanswered or _rules(flight).begun(flight.action, seen.value)


def _how_to_send_again(flight: InFlight, resource: Resource[Any] | None) -> str:
    """Of an action that is not sent again automatically."""
    how = _rules(flight).to_send_again(flight.action, resource)
    return f"; to send the action again, {how}" if how else ""


def _fingerprint(
    flight: InFlight, seen: Observation, resource: Resource[Any] | None, facts: ResourceFacts
) -> str | None:
    """Of the field that the action serves; None where nothing is declared."""
    rules = KINDS[flight.key.kind].rules
    if rules is None or resource is None:
        return None
    fields = rules.fields(resource, KindView(flight.key, seen.value, facts, {flight.key: seen}))
    return next((f.fingerprint(resource.spec) for f in fields if f.path == flight.action.served_path), None)


def _retry_after(facts: ResourceFacts, action: Action, now: datetime, delay: float) -> ResourceFacts:
    """The facts, with the time from which on the action that failed may be sent again."""
    failure = msgspec.structs.replace(facts.failures[action.served_path], retry_at=now + timedelta(seconds=delay))
    return msgspec.structs.replace(facts, failures={**facts.failures, action.served_path: failure})


def _no_reply(flight: InFlight) -> str:
    if flight.defect is not None:
        return "was interrupted"
    return "got no reply" if flight.unclear is None else f"got no clear answer ({flight.unclear})"


def _why_not(flight: InFlight) -> str:
    if flight.accepted:
        return "was accepted, but the observations show no effect of the action"
    no_reply = _no_reply(flight)
    if flight.action.once:
        return f"{no_reply}; {flight.action.doubt}, so the action is not sent again automatically"
    return f"{no_reply}, and the observations show no effect of the action"


def _failure(
    facts: ResourceFacts,
    flight: InFlight,
    reason: ActionFailure,
    message: str,
    fingerprint: str | None,
    terminal: bool,
    now: datetime,
) -> ResourceFacts:
    previous = _in_a_row(facts, flight, fingerprint)
    attempts = previous.attempts + 1 if previous else 1
    busy_since = previous.busy_since if previous else None
    if reason == ActionFailure.BUSY:
        busy_since = busy_since or now
    failure = Failure(
        reason, message, now, terminal, attempts, fingerprint or digest(flight.action.name), busy_since=busy_since
    )
    return msgspec.structs.replace(facts, failures={**facts.failures, flight.action.served_path: failure})


def _event(
    flight: InFlight,
    now: datetime,
    reason: EventReason,
    what: str,
    severity: EventType = EventType.NORMAL,
    *,
    outcome: str = "",
) -> Event:
    """`outcome`: what the action came to, in a word: an error's reason, or what was acquired."""
    return Event(
        at=now,
        type=severity,
        reason=reason,
        message=f"{describe(flight)} {what}",
        key=flight.key,
        action_id=flight.id,
        by=flight.by,
        about=(*action_words(flight.action), outcome),
    )


def action_words(action: Action) -> tuple[str, ...]:
    """What one action shares with those that ask the same, for the events about it."""
    return action.name, action.served_path, action.detail


def describe(flight: InFlight) -> str:
    """The action in words: `power-off (GracefulShutdown)`."""
    detail = flight.action.detail
    return f"{flight.action.name} ({detail})" if detail else flight.action.name


def _rules(flight: InFlight) -> FactRules:
    return KINDS[flight.key.kind].fact_rules

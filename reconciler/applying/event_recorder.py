"""What is recorded: events, for the ledger (the audit trail) and listeners; and what happens to an action in flight."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from drivers.base import Accepted, Task
from reconciler.applying.context import Context
from reconciler.applying.key_memory import KeyMemory
from reconciler.applying.settlement import (
    Settled,
    action_words,
    describe,
    failure_event,
    new_flight,
    sent_facts,
)
from reconciler.applying.state import EngineState
from reconciler.kinds import KINDS, record_action
from reconciler.kinds.common.fact_rules import Occasion
from reconciler.model.actions.action import Action
from reconciler.model.actions.in_flight import InFlight, task_report
from reconciler.model.actions.record_actions import RecordAction
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.facts import ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.outcome import Outcome, OutcomeReason
from reconciler.model.plans.plan import CauseKind, Change, HoldKind, digest
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.model.retry import waiting
from reconciler.observed.backend import DriverDefect
from reconciler.planning.guards.guard_marks import marks_follow
from reconciler.views.render import words

PERHAPS_DONE = "the action may have been carried out; groundstate observes before it sends the action again"


class EventCause(msgspec.Struct, frozen=True):
    """Why something is done: in words, such as `commit 1a2b3c4 (author Ada, not verified)`. `origin` is the same for
    all that is done for one cause: the commit's id, or that it is drift."""

    words: str
    origin: str


class EventRecorder:
    """Makes events, with the revision that is in force and who speaks, and sees that they are heard."""

    def __init__(self, state: EngineState, context: Context) -> None:
        self._state, self._context = state, context

    def event(
        self,
        key: ResourceKey | None,
        reason: EventReason,
        message: str,
        severity: EventType = EventType.NORMAL,
        action_id: str | None = None,
        of: DesiredState | None = None,
        about: tuple[str, ...] = (),
    ) -> Event:
        """An event of now. `action_id`: of the action that it is about; `of`: as in `record_each`; `about`: what
        repeats of it are equal in."""
        desired = of or self._state.desired
        return Event(
            at=self._context.now(),
            type=severity,
            reason=reason,
            message=message,
            key=key,
            revision=desired.revision.id if desired else None,
            action_id=action_id,
            by=self._context.by,
            about=about,
        )

    def record(
        self,
        key: ResourceKey | None,
        reason: EventReason,
        message: str,
        severity: EventType = EventType.NORMAL,
        *,
        about: tuple[str, ...] = (),
    ) -> None:
        """Write an event down, and report it once it is on disk. Only in `EngineState.changing()`."""
        event = self.event(key, reason, message, severity, about=about)
        self._state.append([event])
        self.report_when_written(event)

    def record_each(
        self,
        messages: Mapping[ResourceKey, str],
        reason: EventReason,
        severity: EventType = EventType.NORMAL,
        *,
        of: DesiredState | None = None,
    ) -> None:
        """The same of many, each in its own words. `of`: the state that the events are about, when it is not in force
        yet. Only in `EngineState.changing()`."""
        events = [self.event(key, reason, message, severity, of=of) for key, message in messages.items()]
        if events:
            self._state.append(events)
        for event in events:
            self.report_when_written(event)

    def report_when_written(self, event: Event) -> None:
        """Report the event to listeners, once all current changes are on disk."""
        self._state.when_written(lambda: self._context.report(event))

    def record_hold(self, change: Change, holds: str) -> None:
        """Record that guards hold a change. `holds`: who holds it and why. Only in `EngineState.changing()`."""
        hints = "; ".join(hold.hint for hold in change.held_by if hold.kind is HoldKind.GUARD)
        about = tuple(sorted({f"{hold.by} {hold.path or ''}".rstrip() for hold in change.held_by}))
        self.record(change.key, EventReason.HELD, f"{holds}; to proceed: {hints}", EventType.WARNING, about=about)

    def save_facts(self, changed: Mapping[ResourceKey, ResourceFacts | None]) -> None:
        """Save the new facts, with the guards that match the resource, and record what ended with them."""
        if self._state.desired is not None:
            changed = marks_follow(self._state.desired, changed, self._state.facts, self._context.now())
        ended = {
            key: KINDS[key.kind].fact_rules.ended(self._state.of(key), after)
            for key, after in changed.items()
            if after is not None and key.kind in KINDS
        }
        self._state.save(changed)
        for key, end in ended.items():
            if end is not None:
                self.record(key, *end)

    def cause(self, change: Change, desired: DesiredState) -> EventCause:
        """Why a change is made. An action on behalf of another resource has the commit of that resource as its
        cause."""
        rules = KINDS[change.key.kind].fact_rules
        behalf = rules.on_behalf_of(change.actions[0], self._state.of(change.key))
        if isinstance(behalf, str):
            return EventCause(behalf, behalf)
        if change.cause.kind is CauseKind.LEAK:
            return EventCause("a leak", change.cause.kind)
        if change.cause.kind is CauseKind.DRIFT:
            return EventCause(f"drift since {change.cause.since:%Y-%m-%d %H:%M:%S}Z", change.cause.kind)
        speaks = behalf or change.key
        commit = self._context.commit_of(speaks) if change.source else desired.revision.commit
        if commit is None:
            return EventCause(str(desired.revision), desired.revision.id)
        return EventCause(f"commit {commit.short} ({words.author(commit)})", commit.sha)


class ActionRecorder:
    """Records what happens to an action: done in the store alone, or begun, accepted, its Task, interrupted, ended. The
    record is on disk when `EngineState.changing()` ends."""

    def __init__(self, state: EngineState, events: EventRecorder, context: Context, memory: KeyMemory) -> None:
        self._state, self._events, self._context, self._memory = state, events, context, memory
        self._ids = 0

    def new_id(self) -> str:
        """An id that is unique in this and all other runs.

        With its time: a store that was restored from a backup counts again from what it had then. An installation that
        it has forgotten must not be taken for one of its own. Receivers of events, too, must not meet one id twice."""
        self._ids += 1
        return f"{self._context.epoch}-{self._ids}-{self._context.now():%Y%m%d%H%M%S}"

    def begin(self, change: Change, action: Action, desired: DesiredState) -> InFlight:
        """Record an action as in flight. It must not be sent before the record is on disk."""
        cause = self._events.cause(change, desired)
        flight = new_flight(self.new_id(), action, desired, self._context.now(), self._context.by, cause.words)
        lifted = f"; the change passes guard {change.lifted}" if change.passes else ""
        lifted += "".join(f"; {hold.by} advises against the action: {hold.reason}" for hold in change.advice)
        message = f"{describe(flight)}, because of {cause.words}{lifted}"
        about = (*action_words(action), cause.origin)
        event = self._events.event(change.key, EventReason.ACTION_SENT, message, action_id=flight.id, about=about)
        wanted = next((one.desired for one in change.differences if one.path == action.served_path), action.name)
        before = self._state.of(change.key)
        facts = sent_facts(flight, before, digest(wanted))
        self._state.begin(flight, facts, event, self._context.epoch)
        self._memory.down_before[flight.key] = (before.disrupted_at, before.taken_down_at)
        self._events.report_when_written(event)
        return flight

    def record_alone(self, change: Change, action: RecordAction, desired: DesiredState, seen: Observation) -> Outcome:
        """Do an action that is done in the store alone."""
        now, why = self._context.now(), self._events.cause(change, desired).words
        occasion = Occasion(now, self.new_id(), why, seen.value)
        recorded = record_action(action, self._state.facts, occasion)
        self._state.save(recorded.facts)
        for key, (reason, message) in recorded.events.items():
            self._events.record(key, reason, f"{message}, because of {why}", recorded.severity)
        self._context.requeue([key for key in recorded.events if key != change.key])
        return waiting(OutcomeReason.RECORDED, recorded.events[change.key][1])

    def accept(self, flight: InFlight, accepted: Accepted) -> None:
        """Record that the endpoint accepted the action. The handle of a Task must survive the process."""
        taken = msgspec.structs.replace(flight, accepted=True, handle=accepted.handle, task=accepted.task)
        if accepted.handle is not None or accepted.task is not None:
            self.record_progress(taken, failure_event(taken, self._state.of(flight.key), self._context.now()))
            return
        with self._state.lock:
            self._state.update_flight(taken)

    def note_unclear(self, flight: InFlight, error: str) -> None:
        """Remember what came in place of a clear answer, for the event of its end."""
        with self._state.lock:
            self._state.update_flight(msgspec.structs.replace(flight, unclear=error))

    def record_task(self, flight: InFlight, task: Task) -> None:
        """Record the state of the Task; a change other than the percentage is an event."""
        noted, event = msgspec.structs.replace(flight, task=task), None
        if task.failed:
            event = failure_event(noted, self._state.of(flight.key), self._context.now())
        elif flight.task is None or (flight.task.state, flight.task.is_gone) != (task.state, task.is_gone):
            message = f"{describe(flight)}: {task_report(task, 'the Task of the action')}"
            about = (*action_words(flight.action), "Gone" if task.is_gone else task.state or "")
            event = self._events.event(
                flight.key, EventReason.ACTION_PROGRESSED, message, action_id=flight.id, about=about
            )
        self.record_progress(noted, event)

    def interrupt(self, flight: InFlight, defect: DriverDefect) -> None:
        """Record how the driver failed. The action stays in flight, as it may have been carried out."""
        if flight.defect != str(defect):
            event = self._events.event(
                flight.key,
                EventReason.ACTION_INTERRUPTED,
                f"{describe(flight)}: {defect}; {PERHAPS_DONE}",
                EventType.WARNING,
                action_id=flight.id,
                about=action_words(flight.action),
            )
            self.record_progress(msgspec.structs.replace(flight, defect=str(defect)), event)

    def record_progress(self, flight: InFlight, event: Event | None) -> None:
        """Record new knowledge of an action in flight, with its event."""
        with self._state.changing():
            self._state.record_progress(flight, event)
            if event is not None:
                self._events.report_when_written(event)

    def end(self, flight: InFlight, settled: Settled) -> None:
        """Record that an action is no longer in flight."""
        self._state.end(flight, settled.facts, settled.event)
        self._events.report_when_written(settled.event)
        self._memory.forget_action(flight)

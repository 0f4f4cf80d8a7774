"""What is reported: to the ledger, which is the audit trail, and to listeners."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from reconciler.applying.context import Context
from reconciler.applying.state import EngineState
from reconciler.kinds import KINDS
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.plans.plan import CauseKind, Change
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.views.render import words


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

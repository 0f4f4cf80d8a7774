"""One reconcile of one resource, from top to bottom in the order of its verbs. These are observe, settle what is in
flight, learn, plan, guard, record, send, requeue.

`apply` and the daemon call the same one. Nothing here sleeps: every outcome says when to come back.
"""

from __future__ import annotations

from typing import Any

import msgspec

from drivers.base import DriverError, ErrorReason, NoSuchTask, Task, Unreachable
from reconciler.applying.context import Context
from reconciler.applying.event_recorder import PERHAPS_DONE, ActionRecorder, EventRecorder
from reconciler.applying.fleet_plan import FleetPlanner
from reconciler.applying.key_memory import EarlierObservations, KeyMemory, held_words, hold_reason, serves_for
from reconciler.applying.settlement import (
    ANSWERED_NO,
    Settled,
    describe,
    is_awaited,
    lock_holder,
    refuse_action,
    settle,
    wait_out,
)
from reconciler.applying.state import EngineState
from reconciler.kinds import KINDS, shown_key
from reconciler.kinds.common.defect import REPORT
from reconciler.kinds.common.kind import REFUSALS
from reconciler.kinds.common.turn_order import TurnOrder
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Disruption, Forget
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.actions.record_actions import RecordAction
from reconciler.model.event import EventReason, EventType
from reconciler.model.observation import Observation
from reconciler.model.outcome import Done, Failed, Outcome, OutcomeReason, Waiting
from reconciler.model.plans.plan import Change, HoldKind, Unknown, digest
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.model.retry import FIRST_CONFIRM, MAYBE_SENT, error_outcome, requeue_delay, retry_policy, waiting
from reconciler.observed.backend import DriverDefect, sent_by, task_of
from reconciler.observed.backends import Backends
from reconciler.observed.poller import Poller
from reconciler.planning.carry_over import carried_over
from reconciler.planning.drift import drift_message, learn


class Reconciler:
    """Reconciles one key: it takes the resource one action further. Each key is reconciled by one thread at a time;
    different keys run in parallel."""

    def __init__(
        self,
        backends: Backends,
        poller: Poller,
        state: EngineState,
        events: EventRecorder,
        planner: FleetPlanner,
        context: Context,
    ) -> None:
        self._backends, self._poller, self._planner, self._context = backends, poller, planner, context
        self._state, self._events = state, events
        self.earlier, self.memory = EarlierObservations(), KeyMemory()
        self._actions = ActionRecorder(state, events, context, self.memory)

    def reconcile(self, key: ResourceKey) -> Outcome:
        """Observe one resource and take it one action further. Raises StoreError; then nothing was sent unrecorded."""
        desired = self._state.desired
        if desired is None:
            return waiting(
                OutcomeReason.NO_DESIRED_STATE,
                ("no commit is in force yet; the daemon continues when it has read the repository"),
            )
        earlier = self._seen_earlier(key, desired)
        seen = earlier or self._observe_with_task(key, desired)  # Slow, so without the lock; sending too.
        with self._state.changing():  # All that it changes is on disk when this ends, in one piece.
            result: Outcome | InFlight | None = (
                self._unread(seen) or self._superseded(desired) or self._settle(key, desired, seen)
            )
            if result is None:
                self._learn(key, desired, seen)
                change = self._plan(key, desired)
                if isinstance(change, Unknown):
                    result = self.failed(key, f"{change.message}; {REPORT}")
                elif change is None:
                    result = Done()
                else:
                    result = self._guard(change, desired)
                    result = result or self._too_early(change, earlier) or self._record(change, desired, seen)
        outcome = self._send(result, desired, seen) if isinstance(result, InFlight) else result
        return self.requeue(key, outcome)

    # -- observe -----------------------------------------------------------------------------------------------------

    def _seen_earlier(self, key: ResourceKey, desired: DesiredState) -> Observation | None:
        """The observation that the plan made a moment ago; None: observe the resource now."""
        seen = self.earlier.take(key, desired.resources.get(key), self._context.now())
        if seen is None or key in self._state.flights or self._former_names(key, desired, seen):
            return None
        return seen

    def _observe_with_task(self, key: ResourceKey, desired: DesiredState) -> Observation:
        """The observation of the resource. If it does not show the effect of an action in flight, the Task of the
        action is read too. A failed Task counts only if a later observation shows no effect either."""
        seen = self._observe(key, desired)
        flight = self._state.flights.get(key)
        if flight is None or flight.handle is None or (flight.task and flight.task.failed):
            return seen
        if not is_awaited(flight, seen, desired.resources.get(key)):
            return seen
        try:
            task: Task | None = task_of(self._backends.of(key), flight.handle, key, desired)
        except NoSuchTask:
            task = flight.task_if_gone
        except DriverDefect as defect:
            self._actions.interrupt(flight, defect)
            return seen
        except DriverError:  # What became of the action is to be seen on the resource alone.
            return seen
        if task is None or task == flight.task:
            return seen
        self._actions.record_task(flight, task)
        return self._observe(key, desired) if task.failed or task.is_gone else seen

    def _observe(self, key: ResourceKey, desired: DesiredState) -> Observation:
        """The observation of the resource, and of its former names, which must be readable too."""
        seen = self._poller.observe(key, desired, self._state.of(key))
        former = [self._poller.observe(old, desired) for old in self._former_names(key, desired, seen)]
        seen = next((msgspec.structs.replace(seen, error=one.error) for one in former if one.error), seen)
        with self._state.lock:
            for one in (*former, seen):
                if self._state.same_endpoint(one.key, desired):
                    self._state.set_observation(one)
        return seen

    def _former_names(self, key: ResourceKey, desired: DesiredState, seen: Observation) -> list[ResourceKey]:
        """The former names under which the backend may hold values of the resource."""
        # One look-up each, so without the lock: most reconciles find nothing to do, and would only queue for it.
        holds, last = KINDS[key.kind].is_held, self._state.observed
        olds = KINDS[key.kind].former_names(key, desired, self._state.of(key))
        return [
            old
            for old in olds
            if not holds(seen.value) or ((before := last.get(old)) is not None and holds(before.value))
        ]

    def _unread(self, seen: Observation) -> Outcome | None:
        """The outcome of an observation that failed: the resource is unknown, and is observed again later. None: the
        observation succeeded."""
        if seen.error is None:
            before = self.memory.read_again(seen.key)
            if before is not None and not retry_policy(ErrorReason(before)).of_many:
                self._events.record(seen.key, EventReason.READABLE_AGAIN, f"{seen.key} can be read again")
            return None
        reason = seen.error.reason
        failed = self.memory.read_failed(seen.key, reason)
        policy = retry_policy(reason)
        if failed.is_new and not policy.of_many:
            self._events.record(seen.key, EventReason(reason), seen.error.message, EventType.WARNING)
        delay = seen.error.retry_after or policy.wait.delay(failed.in_a_row, self._context.random())
        return error_outcome(reason, seen.error.message, delay, terminal=policy.terminal)

    def _superseded(self, desired: DesiredState) -> Outcome | None:
        if desired is self._state.desired:
            return None
        return waiting(
            OutcomeReason.NEW_REVISION,
            "a new revision came into force during the observation; groundstate observes the resource again",
        )

    # -- settle what is in flight ------------------------------------------------------------------------------------

    def _settle(self, key: ResourceKey, desired: DesiredState, seen: Observation) -> Outcome | None:
        flight = self._state.flights.get(key)
        if flight is None:
            return None
        settled = self.settle(flight, seen, desired.resources.get(key))
        if settled is not None:
            return settled.outcome
        age = (self._context.now() - flight.sent_at).total_seconds()
        message = f"{describe(flight)} was sent and is not confirmed yet{flight.task_words}"
        return waiting(OutcomeReason.CONFIRMING, message, age)

    def settle(self, flight: InFlight, seen: Observation, resource: Resource[Any] | None) -> Settled | None:
        """The result of an action, by an observation; the action is then no longer in flight. None: no result yet."""
        now = self._context.now()
        if flight.sent_at > now:  # By a clock that was put back since: the action has all its time from now on.
            flight = msgspec.structs.replace(flight, sent_at=now, deadline=now + (flight.deadline - flight.sent_at))
            self._state.retime(flight)
        count = self.memory.count_observation(flight.id, is_readable=seen.error is None)
        settled = settle(flight, seen, resource, self._state.of(flight.key), now, observations=count)
        if settled is not None:
            self._actions.end(flight, settled)
        return settled

    # -- learn -------------------------------------------------------------------------------------------------------

    def _learn(self, key: ResourceKey, desired: DesiredState, seen: Observation) -> None:
        resource = desired.resources.get(key)
        if resource is None:
            return
        before, fields = self._state.of(key), self._state.compare(resource, seen)
        learned, drifted = learn(resource, seen.value, fields, before, desired.revision.id, self._context.now())
        if learned is not before:
            self._events.save_facts({key: learned})
        for field in drifted:
            about = (field.path, digest([field.desired, field.observed]))
            self._events.record(key, EventReason.DRIFT_DETECTED, drift_message(field), EventType.WARNING, about=about)

    # -- plan --------------------------------------------------------------------------------------------------------

    def _plan(self, key: ResourceKey, desired: DesiredState) -> Change | Unknown | None:
        """The change of one resource; None: it is as declared, or not managed. Unknown: a defect prevents a plan."""
        if not (key in desired.resources or KINDS[key.kind].made or key in self._state.facts):
            return None
        return self._planner.plan_one(key)

    # -- guard -------------------------------------------------------------------------------------------------------

    def _guard(self, change: Change, desired: DesiredState) -> Outcome | None:
        """The outcome of a change that must wait now; None: it may be sent."""
        if not change.goes:
            return self._hold(change)
        if not self._context.approves(change):
            message = (
                "the change differs from the plan that was approved; nothing was sent; run `groundstate plan` again"
            )
            return Failed(OutcomeReason.STALE, message, True, requeue_delay(OutcomeReason.STALE))
        kind = KINDS[change.key.kind]
        lock = kind.lock_of(desired.resources.get(change.key))
        busy = lock_holder(change.key, desired, self._state.flights_on(lock) if lock else (), self._context.now())
        if busy is not None:
            return waiting(
                OutcomeReason.ENDPOINT_BUSY, (f"another action uses the {kind.lock_name} of {change.key}: {busy}")
            )
        first = self._first_in_turn(kind.turns, change.actions[0], desired) if kind.turns is not None else None
        if kind.turns is not None and first is not None:
            self.memory.wait_behind(first, change.key)
            return waiting(OutcomeReason.IN_TURN, f"{shown_key(first)} {kind.turns.words}")
        return None

    def _too_early(self, change: Change, earlier: Observation | None) -> Outcome | None:
        """The outcome of a change that must wait, by the observation of the plan; None: it may be sent, or the
        observation is current."""
        if earlier is None or serves_for(change.actions[0], earlier):
            return None
        return waiting(OutcomeReason.OBSERVED_EARLIER, f"{change.key} is observed again just before the action")

    def _hold(self, change: Change) -> Outcome:
        """The outcome of a held change. The hold is reported when it is new, and then once a day."""
        holds, now = held_words(change), self._context.now()
        if change.held(HoldKind.GUARD) and self.memory.is_new_hold(change, now):
            self._events.record_hold(change, holds)
        reason = hold_reason(change)
        if reason is OutcomeReason.STALLED:
            return Failed(reason, holds, True, requeue_delay(reason))
        return waiting(reason, holds, self.memory.waited(change.key, now))

    def _first_in_turn(self, turns: TurnOrder, action: Action, desired: DesiredState) -> ResourceKey | None:
        """The nearest resource that must acquire a value of the same parent before this one."""
        for key in turns.ahead(action, desired, self._state.observed):
            if not self._context.follows(key):
                continue
            if key in self._state.flights or key not in self._state.observed:
                return key
            change = self._plan(key, desired)
            tried = self._state.of(key).failures
            if (
                not isinstance(change, Change)
                or not change.goes
                or any(action.served_path in tried for action in change.actions)
            ):
                continue
            if turns.takes(change.actions) and self._context.approves(change):
                return key
        return None

    # -- record ------------------------------------------------------------------------------------------------------

    def _record(self, change: Change, desired: DesiredState, seen: Observation) -> Outcome | InFlight:
        """Record the action that is about to be done. An action on the store alone is then done, and has an outcome.
        Any other action is in flight, and must not be sent before the record is on disk."""
        action = change.actions[0]
        if isinstance(action, Forget):
            return self._forget(action, desired)
        if isinstance(action, RecordAction):
            return self._actions.record_alone(change, action, desired, seen)
        self.memory.note_progress(change.key)
        return self._actions.begin(change, action, desired)

    def _forget(self, action: Forget, desired: DesiredState) -> Outcome:
        self._state.save({action.key: None})
        self._planner.survey_again()
        self._events.record(action.key, EventReason.FORGOTTEN, action.reason)
        if not self._planner.fleet().lost:
            since = self._state.since_beginning
            self._state.save(carried_over(desired, self._state.facts, self._context.now(), since_beginning=since))
        return Done()

    # -- send --------------------------------------------------------------------------------------------------------

    def _send(self, flight: InFlight, desired: DesiredState, seen: Observation) -> Outcome:
        """Send the action, once."""
        try:
            accepted = sent_by(self._backends.of(flight.key), flight.action, desired, self._context.permit)
        except DriverDefect as defect:
            self._actions.interrupt(flight, defect)
            return Waiting(defect.reason, f"{describe(flight)}: {defect}; {PERHAPS_DONE}", MAYBE_SENT)
        except DriverError as error:
            if isinstance(error, Unreachable) and error.maybe_sent:
                self._actions.note_unclear(flight, str(error))
                return Waiting(OutcomeReason.CONFIRMING, f"{describe(flight)}: {error}; {PERHAPS_DONE}", MAYBE_SENT)
            return self._refused(flight, error, desired, seen)
        self._actions.accept(flight, accepted)
        return Waiting(OutcomeReason.CONFIRMING, f"{describe(flight)} was sent", FIRST_CONFIRM if flight.place else 0.0)

    def _refused(self, flight: InFlight, error: DriverError, desired: DesiredState, seen: Observation) -> Outcome:
        """The endpoint refused the action. Some BMCs refuse and act nevertheless, so the resource is observed once
        more."""
        resource = desired.resources.get(flight.key)
        if flight.place and isinstance(error, ANSWERED_NO):
            seen = self._observe(flight.key, desired)
            if seen.error is None and not is_awaited(flight, seen, resource):
                with self._state.changing():
                    self.settle(flight, seen, resource)
                return waiting(
                    OutcomeReason.RECORDED,
                    f"{describe(flight)} was refused ({error}), but the observation shows that the action took effect",
                )
        fingerprint = self._state.fingerprint(flight.action.served_path, resource, seen)
        with self._state.lock:
            waits = wait_out(flight, error, seen, fingerprint, self._state.of(flight.key), self._context.now())
        if waits is not None:
            self._actions.record_progress(*waits)
            return Waiting(OutcomeReason.CONFIRMING, f"{describe(flight)} was refused: {error}", FIRST_CONFIRM)
        return self._end_refused(flight, error, fingerprint)

    def _end_refused(self, flight: InFlight, error: DriverError, fingerprint: str | None) -> Outcome:
        with self._state.changing():
            before = self._state.of(flight.key)
            if flight.action.disruption is Disruption.DISRUPTIVE:
                down, last = self.memory.down_before.get(flight.key, (None, None))
                before = msgspec.structs.replace(before, disrupted_at=down, taken_down_at=last)
            now, random = self._context.now(), self._context.random()
            settled, outcome = refuse_action(flight, error, fingerprint, before, now, random)
            self._actions.end(flight, settled)
            return self._other_fields_first(flight, error, outcome)

    def _other_fields_first(self, flight: InFlight, error: DriverError, outcome: Outcome) -> Outcome:
        """What was refused for itself holds up no other field and no other item: these go at once. An endpoint that is
        busy, or refuses the login, gets no further request. Neither does one whose writes are not paced by recorded
        facts."""
        desired = self._state.desired
        if (
            not flight.place
            or desired is None
            or error.reason not in REFUSALS
            or not isinstance(outcome, Waiting | Failed)
        ):
            return outcome
        change = self._plan(flight.key, desired)
        if (
            not isinstance(change, Change)
            or not change.goes
            or change.actions[0].served_path == flight.action.served_path
        ):
            return outcome
        return Waiting(outcome.reason, outcome.message, 0.0)

    # -- what a defect prevents --------------------------------------------------------------------------------------

    def failed(self, key: ResourceKey, why: str) -> Failed:
        """The outcome of a reconcile that a defect ended. The resource is unknown until its next observation, and the
        ledger has an event, unless the reconcile before failed for the same reason. Raises StoreError."""
        defect = self.memory.reconcile_failed(key, why)
        with self._state.changing():
            self._state.mark_unreadable(key, self._context.now(), why)
            if defect.is_new:
                self._events.record(key, EventReason.INTERNAL, why, EventType.WARNING, about=("reconcile",))
        delay = retry_policy(ErrorReason.INTERNAL).wait.delay(defect.in_a_row, self._context.random())
        return Failed(ErrorReason.INTERNAL, why, False, delay)

    # -- requeue -----------------------------------------------------------------------------------------------------

    def requeue(self, key: ResourceKey, outcome: Outcome) -> Outcome:
        """Requeue the key as its outcome says, and the keys that waited for it at once."""
        if isinstance(outcome, Done):
            self.memory.note_progress(key)
        if isinstance(outcome, Done) or outcome.reason is not ErrorReason.INTERNAL:
            self.memory.reconciled(key)
        waits = isinstance(outcome, Waiting) and outcome.reason in (OutcomeReason.CONFIRMING, OutcomeReason.IN_TURN)
        if self.memory.is_awaited(key) and not waits:  # Who comes behind it from now on sees what became of it.
            with self._state.lock:
                behind = self.memory.waiting_behind(key)
            self._context.requeue(behind)
        return outcome

"""Actions under way: written down, sent once, and settled by what a look shows or by a refusal."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from drivers.base import DriverError, Unreachable
from reconciler.applying.bmc_lock import bmc_system_of
from reconciler.applying.context import Context
from reconciler.applying.events import EventRecorder
from reconciler.applying.settlement import Settled, describe, refuse_action, sent_facts, settle
from reconciler.applying.state import EngineState
from reconciler.kinds import KINDS
from reconciler.model.action import Action, Disruption, InFlight
from reconciler.model.observation import Observation
from reconciler.model.outcome import Outcome, Waiting
from reconciler.model.plan import Change, digest
from reconciler.model.resource import DesiredState, Resource
from reconciler.model.retry import FIRST_CONFIRM, MAYBE_SENT
from reconciler.observed.backends import Backends
from reconciler.observed.connections import Connections


class Sender:
    """Numbers what is sent, sends it, and knows what the other side is known to have taken."""

    def __init__(self, connections: Connections, memory: EngineState, teller: EventRecorder, context: Context) -> None:
        self._backends = Backends(connections, context.now)
        self._memory, self._teller, self._context = memory, teller, context
        self._accepted: set[str] = set()
        self._in_vain: dict[str, int] = {}
        """How many looks showed nothing of an action under way."""
        self._sent = 0

    def name(self) -> str:
        """A name that nothing else has, in this run or another: of an action."""
        self._sent += 1
        return f"{self._context.epoch}-{self._sent}"

    def order_name(self) -> str:
        """A name for a boot order, with its time: a store that was restored from a backup counts again from what it
        had then, and an installation that it has forgotten must not be taken for one of its own."""
        return f"{self.name()}-{self._context.now():%Y%m%d%H%M%S}"

    def begin(self, change: Change, action: Action, desired: DesiredState) -> InFlight:
        """Write down that it is about to be sent. Raises StoreError; then it must not be."""
        now, key = self._context.now(), change.key
        rules = KINDS[key.kind].rules
        patience = rules.patience(action, desired.resources.get(key)) if rules else 0.0
        flight = InFlight(
            id=self.name(),
            key=key,
            action=action,
            sent_at=now,
            deadline=now + timedelta(seconds=patience),
            by=self._context.by,
            cause=self._teller.cause(change, desired),
            place=bmc_system_of(key, desired),
        )
        message = f"{describe(flight)}, because of {flight.cause}"
        if change.passes:
            message += f"; it passes guard {change.lifted}"
        event = self._teller.event(key, "ActionSent", message, action_id=flight.id)
        wanted = next((one.desired for one in change.differences if one.path == action.path), action.name)
        facts = sent_facts(flight, self._memory.of(key), digest(wanted))
        self._memory.begin(flight, facts, event, self._context.epoch)
        self._teller.report(event)
        return flight

    def send(self, flight: InFlight, desired: DesiredState, seen: Observation) -> Outcome:
        """Send it, once; slow, so without the gate."""
        key = flight.key
        try:
            self._backends.of(key).send(flight.action, desired)
        except DriverError as error:
            if isinstance(error, Unreachable) and error.maybe_sent:
                return Waiting(
                    "Confirming", f"{describe(flight)}: {error}; it may have arrived, so look first", MAYBE_SENT
                )
            return self._refused(flight, error, desired, seen)
        self._accepted.add(flight.id)
        return Waiting("Confirming", f"{describe(flight)} was sent", FIRST_CONFIRM if flight.place else 0.0)

    def settle(self, flight: InFlight, seen: Observation, resource: Resource[Any] | None) -> bool:
        """Whether a look says what has become of it; then it is under way no more."""
        now = self._context.now()
        if flight.sent_at > now:  # By a clock that was put back since: it has all its time from now on.
            flight = msgspec.structs.replace(flight, sent_at=now, deadline=now + (flight.deadline - flight.sent_at))
            self._memory.retime(flight)
        facts, accepted = self._memory.of(flight.key), flight.id in self._accepted
        looks = self._in_vain.get(flight.id, 0) + (seen.error is None)
        settled = settle(flight, seen, resource, facts, now, accepted=accepted, looks=looks)
        if settled is None:
            self._in_vain[flight.id] = looks
            return False
        self._end(flight, settled)
        return True

    def _refused(self, flight: InFlight, error: DriverError, desired: DesiredState, seen: Observation) -> Outcome:
        resource, key = desired.resources.get(flight.key), flight.key
        fields = self._memory.compare(resource, seen) if resource else ()
        prints = (f.fingerprint(resource.spec) for f in fields if resource and f.path == flight.action.path)
        now, random = self._context.now(), self._context.random()
        with self._memory.gate:
            before = self._memory.of(key)
            if flight.action.disruption is Disruption.DISRUPTIVE:
                before = msgspec.structs.replace(before, disrupted_at=None)
            settled, outcome = refuse_action(flight, error, next(prints, None), before, now, random)
            self._end(flight, settled)
        return outcome

    def _end(self, flight: InFlight, settled: Settled) -> None:
        with self._memory.gate:
            self._memory.end(flight, settled.facts, settled.event)
            self._accepted.discard(flight.id)
            self._in_vain.pop(flight.id, None)
        self._teller.report(settled.event)

"""One pass over one resource: look, settle what is under way, plan, and send at most one action.

`apply` and the daemon drive the same engine; the daemon does what `plan` prints because both call one plan function.
Nothing here sleeps: every outcome says when to come back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from drivers.base import DriverError, Unreachable
from reconciler.applying.decide import confirm_delay, deadline, describe, learn, refuse, sent_facts, settle, unreadable
from reconciler.applying.execute import execute
from reconciler.applying.remember import remember
from reconciler.kinds import KINDS, RECONCILED
from reconciler.kinds.access import place
from reconciler.kinds.ipaddress import IPAddressSpec
from reconciler.kinds.kind import BEGINNING, Field, Look
from reconciler.kinds.lifecycle import take
from reconciler.kinds.living import leaks
from reconciler.kinds.machine import MachineSpec
from reconciler.kinds.media import watched
from reconciler.kinds.network import NetworkSpec, NetworkState
from reconciler.model.action import Action, Disruption, Forget, InFlight, Remembered
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.event import Event, EventType
from reconciler.model.facts import NO_FACTS, Facts, ResourceFacts
from reconciler.model.life import FactType, Life
from reconciler.model.observation import Observation
from reconciler.model.outcome import Done, Failed, Outcome, Waiting
from reconciler.model.plan import CauseKind, Change, HoldKind, Plan
from reconciler.model.resource import Commit, DesiredState, Resource, ResourceKey
from reconciler.observed.connections import Connections, way_to
from reconciler.observed.poller import Poller
from reconciler.planning.admission import admit
from reconciler.planning.guards import Fleet, Guard, Limits, disrupted, standard_guards, survey
from reconciler.planning.known import take_in
from reconciler.planning.plan import plan

SURVEY_SECONDS = 1.0
HELD_SECONDS = 30.0
HEARD_KEPT = timedelta(seconds=30)


class Ledger(Protocol):
    """What the engine must not lose; the store. Every call is durable when it returns. Raises StoreError."""

    def put_facts(self, facts: dict[ResourceKey, ResourceFacts | None]) -> None:
        """Write, or with None remove, what is remembered of each."""

    def begin_action(self, flight: InFlight, facts: ResourceFacts, event: Event, epoch: int) -> None:
        """Write down that this is about to be sent. Raises Fenced when another instance has taken over."""

    def end_action(self, flight: InFlight, facts: ResourceFacts | None, event: Event) -> None:
        """The action is under way no more."""

    def append(self, events: Iterable[Event]) -> None:
        """Add to the ledger."""

    def put_observations(self, observations: Iterable[Observation]) -> None:
        """Keep the latest look at each."""


class Context(msgspec.Struct, frozen=True):
    """What the engine is given: time and chance among it, so that a simulation can own them."""

    now: Callable[[], datetime]
    random: Callable[[], float]
    by: str
    epoch: int
    limits: Limits = Limits()
    guards: tuple[Guard, ...] = ()
    commit_of: Callable[[ResourceKey], Commit | None] = lambda _: None
    tell: Callable[[Event], None] = lambda _: None
    approves: Callable[[Change], bool] = lambda _: True
    moved: Callable[[Collection[ResourceKey]], None] = lambda _: None
    """Is told of keys for which something is to do now because of another one."""


class Engine:
    """Steps resources towards what is declared. One key is stepped by one thread at a time; keys run side by side."""

    def __init__(self, ledger: Ledger, connections: Connections, facts: Facts, context: Context) -> None:
        self._ledger, self._connections, self._context = ledger, connections, context
        self._poller = Poller(connections, context.now)
        self._guards = (*standard_guards(context.limits), *context.guards)
        self._gate = threading.RLock()
        self._facts = {key: _listening(one, context.now()) for key, one in facts.resources.items()}
        self._flights = dict(facts.in_flight)
        self._down = {key for key, fact in self._facts.items() if fact.disrupted_at is not None}
        self._observed: dict[ResourceKey, Observation] = {}
        self._accepted: set[str] = set()
        self._unsaved: dict[ResourceKey, Observation] = {}
        self._failures_in_a_row: dict[ResourceKey, int] = {}
        self._unreadable_because: dict[ResourceKey, str] = {}
        self._said: dict[ResourceKey, str] = {}
        self._waiting_since: dict[ResourceKey, datetime] = {}
        self._desired: DesiredState | None = None
        self._fleet: tuple[datetime, Fleet] | None = None
        self._sent = 0
        self._heard: dict[ResourceKey, datetime] = {}

    # -- what is desired ---------------------------------------------------------------------------------------------

    @property
    def desired(self) -> DesiredState | None:
        """The state in force."""
        return self._desired

    def concerned(self, desired: DesiredState) -> list[ResourceKey]:
        """The keys that a desired state would concern if it took force now, removed ones among them."""
        with self._gate:
            declared = [key for key in desired.resources if key.kind in RECONCILED]
            removed = [key for key in self._facts if key not in desired.resources]
            if self._desired is None:
                return [*declared, *removed]
            own = [key for key in declared if _concerned(key, self._desired, desired)]
            return [*dict.fromkeys([*own, *self._bound_to(own, removed)]), *removed]

    def _bound_to(self, *changed: Iterable[ResourceKey]) -> list[ResourceKey]:
        """The machines of claims that have changed or are gone."""
        claims = {key.name for keys in changed for key in keys if key.kind == "MachineClaim"}
        return [key for key, facts in self._facts.items() if facts.life.claim in claims] if claims else []

    def admit(self, desired: DesiredState) -> tuple[Diagnostic, ...]:
        """Why the state must not take force, for what is remembered: see planning.admission."""
        with self._gate:
            return admit(desired, Facts(self._facts, self._flights))

    def adopt(self, desired: DesiredState) -> list[ResourceKey]:
        """Put a desired state in force; return the keys that it concerns."""
        with self._gate:
            keys = self.concerned(desired)
            self._desired, self._fleet = desired, None
            self._take_in(desired)
            return keys

    def _take_in(self, desired: DesiredState) -> None:
        changed = take_in(desired, self._facts)
        self._ledger.put_facts(dict(changed))
        for key, facts in changed.items():
            self._remember(key, facts)

    def absorb(self, observations: Iterable[Observation]) -> None:
        """Learn from looks that were taken before, all in one write: the guards judge the whole fleet by them."""
        with self._gate:
            assert self._desired is not None  # noqa: S101
            learned: dict[ResourceKey, ResourceFacts | None] = {}
            for seen in observations:
                self._record(seen)
                resource = self._desired.resources.get(seen.key)
                flight = self._flights.get(seen.key)
                # A look that is older than the sending says nothing of it.
                if flight and (seen.taken_at <= flight.sent_at or not self._settle(flight, seen, resource)):
                    continue
                if resource is None or seen.error is not None:
                    continue
                before = self._facts.get(seen.key, NO_FACTS)
                fields = self._fields(resource, seen)
                facts, _ = learn(resource, fields, before, self._desired.revision.id, self._context.now())
                if facts is not before:
                    learned[seen.key] = facts
                    self._remember(seen.key, facts)
            self._ledger.put_facts(learned)

    def knows(self, key: ResourceKey) -> bool:
        """Whether it is declared, or was and is not forgotten yet."""
        return key in self._facts

    def collect(self) -> list[ResourceKey]:
        """Look at all that the IPAM holds for owners that are neither declared nor remembered; return their keys, whose
        steps release what has leaked. Raises DriverError."""
        with self._gate:
            known = {*self._facts, *(self._desired.resources if self._desired is not None else ())}
        found = self._poller.strays(known)
        for seen in found:
            self._record(seen)
        return [seen.key for seen in found if leaks(seen.value)]

    def label(self, labels: Mapping[ResourceKey, Mapping[str, str]]) -> list[ResourceKey]:
        """Remember what follows from machines' inventories; returns those of which it is new. Raises StoreError."""
        with self._gate:
            changed = {
                key: msgspec.structs.replace(facts, labels=dict(labels.get(key, {})))
                for key, facts in self._facts.items()
                if key.kind == "Machine" and facts.labels != labels.get(key, {})
            }
            self._ledger.put_facts(dict(changed))
            for key, facts in changed.items():
                self._remember(key, facts)
            return list(changed)

    # -- what machines report ----------------------------------------------------------------------------------------

    def remembered(self, key: ResourceKey) -> ResourceFacts:
        """What is remembered of it."""
        with self._gate:
            return self._facts.get(key, NO_FACTS)

    def looks(self, kind: str) -> list[Observation]:
        """The last look at each resource of a kind."""
        with self._gate:
            return [seen for key, seen in self._observed.items() if key.kind == kind]

    def report(self, key: ResourceKey, order: str | None, fact: FactType, detail: str = "") -> bool:
        """Take up what the boot service, the agent or an installed system says of a machine.

        `order`: for which boot order it is said. False when that is not the machine's any more: then only the ledger
        says so. Raises StoreError; then nothing was taken up.
        """
        now = self._context.now()
        with self._gate:
            before = self._facts.get(key)
            current = _spoken_for(before.life, fact) if before is not None else None
            if before is None or (order is not None and order != current):
                self._tell(key, "UnexpectedFact", f"{fact}, for order {order}, which is over", EventType.WARNING)
                return False
            taken = take(before.life, fact, detail, before.image, now)
            if taken.life != before.life:
                after = msgspec.structs.replace(before, life=taken.life)
                if fact is FactType.PHONED_HOME and taken.expected:
                    after = msgspec.structs.replace(after, disrupted_at=None)
                if fact is FactType.REGISTERED and (uuid := self._uuid(key)) is not None:
                    after = msgspec.structs.replace(after, life=msgspec.structs.replace(after.life, system=uuid))
                # Signs of life come every few seconds; after a crash one of half a minute ago will do.
                if fact is not FactType.ALIVE or now - self._heard.get(key, BEGINNING) >= HEARD_KEPT:
                    self._ledger.put_facts({key: after})
                    self._heard[key] = now
                self._remember(key, after)
                # What follows may follow soon, however long it took to come to this.
                self._waiting_since.pop(key, None)
            if taken.reason:
                severity = EventType.NORMAL if taken.expected and taken.life.trouble is None else EventType.WARNING
                self._tell(key, taken.reason, taken.message, severity)
            return True

    def _uuid(self, key: ResourceKey) -> str | None:
        seen = self._observed.get(key)
        return getattr(seen.value, "uuid", None) if seen is not None else None

    @property
    def in_flight(self) -> int:
        """How many actions are under way."""
        return len(self._flights)

    # -- one pass ----------------------------------------------------------------------------------------------------

    def step(self, key: ResourceKey) -> Outcome:
        """Look at one resource and take it one action further. Raises StoreError; then nothing was sent unrecorded."""
        desired = self._desired
        if desired is None:
            return Waiting("NoDesiredState", "no desired state is in force yet", HELD_SECONDS)
        seen = self._poller.look(key, desired, media=watched(self.remembered(key).life))
        with self._gate:
            self._record(seen)
            if seen.error is not None:
                return self._unknown(key, seen)
            self._known_again(key)
            if desired is not self._desired:
                return Waiting("NewRevision", "a new revision came while it was looked at", 0.0)
            outcome = self._judge(key, desired, seen)
        return outcome or self._advance(key, desired, seen)

    def _judge(self, key: ResourceKey, desired: DesiredState, seen: Observation) -> Outcome | None:
        """What a look says of what was sent and of what is declared; None when it may be taken further."""
        flight = self._flights.get(key)
        resource = desired.resources.get(key)
        if flight is not None and not self._settle(flight, seen, resource):
            delay = confirm_delay(flight, self._context.now())
            return Waiting("Confirming", f"{describe(flight)} was sent and is not confirmed yet", delay)
        if resource is not None:
            self._learn(resource, seen, desired)
            return None
        return Done() if key.kind == "Machine" and key not in self._facts else None

    def _advance(self, key: ResourceKey, desired: DesiredState, seen: Observation) -> Outcome:
        with self._gate:
            if desired is not self._desired:
                return Waiting("NewRevision", "a new revision came while it was looked at", 0.0)
            planned = self.plan(select={key})
            change = planned.changes[0] if planned.changes else None
            if change is None:
                self._said.pop(key, None)
                self._waiting_since.pop(key, None)
                return Done()
            if not change.goes:
                return self._held(change)
            if not self._context.approves(change):
                return Failed("Stale", "it is not what was approved any more; plan again", terminal=True, retry_after=0)
            busy = self._lane_holder(key, desired)
            if busy is not None:
                return Waiting("BmcBusy", f"its BMC is at work for {busy}", 1.0)
            action = change.actions[0]
            if isinstance(action, Forget):
                return self._forget(change, action)
            if isinstance(action, Remembered):
                return self._note(change, action)
            flight = self._begin(change, action, desired)
        return self._send(flight, desired, seen)

    def plan(self, select: set[ResourceKey] | None = None) -> Plan:
        """The plan as of what was last seen. Raises RuntimeError while no desired state is in force."""
        with self._gate:
            if self._desired is None:
                raise RuntimeError("no desired state is in force")
            return plan(
                self._desired,
                self._observed,
                Facts(self._facts, self._flights),
                self._context.now(),
                self._guards,
                select=select,
                fleet=self._surveyed,
            )

    # -- parts of a pass ---------------------------------------------------------------------------------------------

    def _record(self, seen: Observation) -> None:
        if isinstance(seen.value, NetworkState) and seen.value.usage is not None:
            # It is out of date with the first address that is taken, and the IPAM has the last word.
            seen = msgspec.structs.replace(seen, value=msgspec.structs.replace(seen.value, usage=None))
        with self._gate:
            self._observed[seen.key] = seen
            self._unsaved[seen.key] = seen

    def flush(self) -> None:
        """Save what was seen since the last time; a batch, as losing it costs no more than another look."""
        with self._gate:
            batch, self._unsaved = self._unsaved, {}
        if batch:
            self._ledger.put_observations(batch.values())

    def _unknown(self, key: ResourceKey, seen: Observation) -> Outcome:
        assert seen.error is not None  # noqa: S101
        attempts = self._failures_in_a_row.get(key, 0) + 1
        self._failures_in_a_row[key] = attempts
        if self._unreadable_because.get(key) != seen.error.reason:
            self._unreadable_because[key] = seen.error.reason
            self._tell(key, seen.error.reason, seen.error.message, EventType.WARNING)
        return unreadable(seen.error, attempts, self._context.random())

    def _known_again(self, key: ResourceKey) -> None:
        self._failures_in_a_row.pop(key, None)
        if self._unreadable_because.pop(key, None):
            self._tell(key, "ReadableAgain", "it answers again")

    def _settle(self, flight: InFlight, seen: Observation, resource: Resource[Any] | None) -> bool:
        settled = settle(
            flight,
            seen,
            resource,
            self._facts.get(flight.key, NO_FACTS),
            self._context.now(),
            accepted=flight.id in self._accepted,
        )
        if settled is None:
            return False
        self._end(flight, settled.facts, settled.event)
        return True

    def _learn(self, resource: Resource[Any], seen: Observation, desired: DesiredState) -> None:
        facts = self._facts.get(resource.key, NO_FACTS)
        fields = self._fields(resource, seen)
        learned, drifted = learn(resource, fields, facts, desired.revision.id, self._context.now())
        if learned is not facts:
            self._ledger.put_facts({resource.key: learned})
            self._remember(resource.key, learned)
        for field in drifted:
            message = f"{field.path} is {_short(field.observed)}, declared and applied is {_short(field.desired)}"
            self._tell(resource.key, "DriftDetected", message, EventType.WARNING)

    def _fields(self, resource: Resource[Any], seen: Observation) -> tuple[Field, ...]:
        rules = KINDS[resource.key.kind].rules
        facts = self._facts.get(resource.key, NO_FACTS)
        look = Look(resource.key, seen.value, facts, self._observed, self._desired, self._facts)
        return rules.fields(resource, look) if rules else ()

    def _begin(self, change: Change, action: Action, desired: DesiredState) -> InFlight:
        self._sent += 1
        self._waiting_since.pop(change.key, None)
        now, key = self._context.now(), change.key
        rules = KINDS[key.kind].rules
        patience = rules.patience(action, desired.resources.get(key)) if rules else 0.0
        flight = InFlight(
            id=f"{self._context.epoch}-{self._sent}",
            key=key,
            action=action,
            sent_at=now,
            deadline=now + timedelta(seconds=patience),
            by=self._context.by,
            cause=self._cause(change, desired),
            place=_place(key, desired),
        )
        facts = sent_facts(flight, self._facts.get(key, NO_FACTS))
        event = self._event(key, "ActionSent", f"{describe(flight)}, because of {flight.cause}", flight=flight)
        self._ledger.begin_action(flight, facts, event, self._context.epoch)
        self._remember(key, facts)
        self._flights[key] = flight
        self._context.tell(event)
        return flight

    def _send(self, flight: InFlight, desired: DesiredState, seen: Observation) -> Outcome:
        key = flight.key
        try:
            execute(
                flight.action,
                self._connections.ipam,
                self._connections.pools,
                lambda: self._connections.bmc(key, way_to(desired.resources[key], desired)),
            )
        except DriverError as error:
            if isinstance(error, Unreachable) and error.maybe_sent:
                return Waiting("Confirming", f"{describe(flight)}: {error}; it may have arrived, so look first", 1.0)
            return self._refused(flight, error, desired, seen)
        self._accepted.add(flight.id)
        return Waiting("Confirming", f"{describe(flight)} was sent", 0.0 if key.kind != "Machine" else 0.5)

    def _refused(self, flight: InFlight, error: DriverError, desired: DesiredState, seen: Observation) -> Outcome:
        resource, key = desired.resources.get(flight.key), flight.key
        fields = self._fields(resource, seen) if resource else ()
        prints = (f.fingerprint(resource.spec) for f in fields if resource and f.path == flight.action.path)
        now, random = self._context.now(), self._context.random()
        with self._gate:
            before = self._facts.get(key, NO_FACTS)
            if flight.action.disruption is Disruption.DISRUPTIVE:
                before = msgspec.structs.replace(before, disrupted_at=None)
            settled, outcome = refuse(flight, error, next(prints, None), before, now, random)
            self._end(flight, settled.facts, settled.event)
        return outcome

    def _end(self, flight: InFlight, facts: ResourceFacts, event: Event) -> None:
        with self._gate:
            self._ledger.end_action(flight, facts, event)
            self._flights.pop(flight.key, None)
            self._accepted.discard(flight.id)
            self._remember(flight.key, facts)
        self._context.tell(event)

    def _note(self, change: Change, action: Remembered) -> Outcome:
        """What is only remembered is done when it is written down."""
        self._sent += 1
        noted = remember(action, self._facts, self._context.now(), f"{self._context.epoch}-{self._sent}")
        self._ledger.put_facts(dict(noted.facts))
        for key, facts in noted.facts.items():
            self._remember(key, facts)
        why = f", because of {self._cause(change, self._desired)}" if self._desired is not None else ""
        for key, (reason, message) in noted.told.items():
            self._tell(key, reason, f"{message}{why}")
        self._context.moved([key for key in noted.told if key != change.key])
        reason, message = noted.told[change.key]
        return Waiting(reason, message, 0.0)

    def _forget(self, change: Change, action: Forget) -> Outcome:
        self._ledger.put_facts({change.key: None})
        self._facts.pop(change.key, None)
        self._down.discard(change.key)
        self._observed.pop(change.key, None)
        self._unsaved.pop(change.key, None)
        self._fleet = None
        self._tell(change.key, "Forgotten", action.reason)
        if self._desired is not None and not self._surveyed().lost:
            self._take_in(self._desired)
        return Done()

    def _held(self, change: Change) -> Outcome:
        holds = "; ".join(f"{hold.by}: {hold.reason}" for hold in change.held_by) or "no action would help"
        guarded = change.held(HoldKind.GUARD)
        if guarded and self._said.get(change.key) != holds:
            self._said[change.key] = holds
            ways_out = "; ".join(hold.way_out for hold in change.held_by if hold.kind is HoldKind.GUARD)
            self._tell(change.key, "Held", f"{holds}; {ways_out}", EventType.WARNING)
        if change.held(HoldKind.FAILED):
            return Failed("Stalled", holds, terminal=True, retry_after=HELD_SECONDS)
        for kind, reason, delay in (
            (HoldKind.GUARD, "Held", HELD_SECONDS),
            (HoldKind.DECLARED, "Paused", HELD_SECONDS),
            (HoldKind.BLOCKED, "Blocked", self._patience(change.key)),
        ):
            if change.held(kind):
                return Waiting(reason, holds, delay)
        return Waiting("Changing", holds, self._patience(change.key))

    def _patience(self, key: ResourceKey) -> float:
        """Seconds until the next look at what only waits: half a second at first, a quarter of its wait, at most 30."""
        now = self._context.now()
        waited = (now - self._waiting_since.setdefault(key, now)).total_seconds()
        return min(HELD_SECONDS, max(0.5, waited / 4))

    def _lane_holder(self, key: ResourceKey, desired: DesiredState) -> ResourceKey | None:
        """Who else has an action under way on the same BMC: one at a time (chaos/powerman#67 tells why).

        Not after its deadline, as it may be that nobody looks after that one in this run.
        """
        lane, now = _place(key, desired).partition("#")[0], self._context.now()
        others = (f for f in self._flights.values() if lane and f.lane == lane and f.key != key)
        return next((f.key for f in others if now < deadline(f, desired.resources.get(f.key))), None)

    def _surveyed(self) -> Fleet:
        assert self._desired is not None  # noqa: S101
        now, window = self._context.now(), self._context.limits.window
        # A clock that was put back must not keep an old one in use.
        if self._fleet is None or not 0 <= (now - self._fleet[0]).total_seconds() < SURVEY_SECONDS:
            everything = Facts(self._facts, self._flights)
            self._fleet = (now, survey(self._desired, self._observed, everything, now, window))
        # The budget is counted exactly, however old the rest of the survey.
        down = disrupted(Facts({key: self._facts[key] for key in self._down}, self._flights), now, window)
        return msgspec.structs.replace(self._fleet[1], disrupted=down)

    def _remember(self, key: ResourceKey, facts: ResourceFacts) -> None:
        self._facts[key] = facts
        if facts.disrupted_at is not None:
            self._down.add(key)
        else:
            self._down.discard(key)

    def _cause(self, change: Change, desired: DesiredState) -> str:
        if change.cause.kind is CauseKind.LEAK:
            return "a leak"
        if change.cause.kind is CauseKind.DRIFT:
            return f"drift since {change.cause.since:%Y-%m-%d %H:%M:%S}Z"
        commit = self._context.commit_of(change.key) if change.source else desired.revision.commit
        return f"commit {commit.short} by {commit.author}" if commit else str(desired.revision)

    def _event(
        self,
        key: ResourceKey | None,
        reason: str,
        message: str,
        severity: EventType = EventType.NORMAL,
        flight: InFlight | None = None,
    ) -> Event:
        return Event(
            at=self._context.now(),
            type=severity,
            reason=reason,
            message=message,
            key=key,
            revision=self._desired.revision.id if self._desired else None,
            action_id=flight.id if flight else None,
            by=self._context.by,
        )

    def _tell(self, key: ResourceKey | None, reason: str, message: str, severity: EventType = EventType.NORMAL) -> None:
        event = self._event(key, reason, message, severity)
        self._ledger.append([event])
        self._context.tell(event)


def _spoken_for(life: Life, fact: FactType) -> str | None:
    """The order for which this may be said: a system calls for the one that installed it."""
    if fact is FactType.PHONED_HOME:
        return life.written.order if life.written is not None else None
    return life.order.id if life.order is not None else None


def _listening(facts: ResourceFacts, now: datetime) -> ResourceFacts:
    """While nobody listened no agent could be heard: its silence begins now."""
    if facts.life.registered_at is None or facts.life.ended_at is not None:
        return facts
    return msgspec.structs.replace(facts, life=msgspec.structs.replace(facts.life, heard_at=now))


def _place(key: ResourceKey, desired: DesiredState) -> str:
    resource = desired.resources.get(key)
    return place(resource.spec.bmc) if resource is not None and key.kind == "Machine" else ""


def _concerned(key: ResourceKey, before: DesiredState, after: DesiredState) -> bool:
    old, new = before.resources.get(key), after.resources[key]
    if old is None or old.spec != new.spec:
        return True
    return any(_spec(one, before) != _spec(one, after) for one in _leans_on(new))


def _leans_on(resource: Resource[Any]) -> list[ResourceKey]:
    """Other documents that say something about this resource."""
    match resource.spec:
        case MachineSpec(partition=partition):
            return [ResourceKey("Partition", partition)]
        case IPAddressSpec(network=network, machine=machine):
            found = [ResourceKey("Network", network)]
            return found if machine is None else [*found, ResourceKey("Machine", machine)]
        case NetworkSpec(parent=parent) if parent is not None:
            return [ResourceKey("Network", parent)]
        case _:
            return []


def _spec(key: ResourceKey, state: DesiredState) -> object:
    resource = state.resources.get(key)
    return None if resource is None else resource.spec


def _short(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()

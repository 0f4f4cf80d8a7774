"""What `apply` and the daemon drive: puts desired states in force, reconciles keys, and takes in what others report."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from drivers.base import OUTSIDE_ERRORS
from reconciler.applying.context import Context, Ledger
from reconciler.applying.event_recorder import EventRecorder
from reconciler.applying.fleet_plan import FleetPlanner
from reconciler.applying.reconcile import Reconciler
from reconciler.applying.state import EngineState
from reconciler.kinds import KINDS, RECONCILED
from reconciler.kinds.common.defect import REPORT, defect
from reconciler.kinds.common.kind import BEGINNING
from reconciler.kinds.common.kind_metrics import FillLevel
from reconciler.kinds.common.machine_facts import FactType
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.outcome import Outcome
from reconciler.model.plans.access import AccessChange
from reconciler.model.plans.plan import Plan
from reconciler.model.plans.restart import RestartRequest, RestartResult
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.observed.backends import Backends
from reconciler.observed.connections import Connections
from reconciler.observed.poller import Poller
from reconciler.onboarding.inventory_comparison import relabelled
from reconciler.planning.access_changes import access_changes, access_words
from reconciler.planning.admission import admit
from reconciler.planning.affected import affected_keys
from reconciler.planning.base_guards import carried_from_bases, guards_of_bases
from reconciler.planning.carry_over import carried_over
from reconciler.planning.drift import learn
from reconciler.planning.guards.guard import GuardWorld
from reconciler.planning.guards.guards_in_force import loosening_words
from reconciler.planning.restarts import restarts_taken
from reconciler.services.boot.rate_limit import EventLimit
from reconciler.store.sql.store_errors import StoreError

_SAVED_EVERY = timedelta(seconds=30)
"""How often a report that may be lost is written to the store."""


class Engine:
    """Takes resources towards what is declared. Any thread may call it; one key is reconciled by one at a time."""

    def __init__(self, ledger: Ledger, connections: Connections, facts: Facts, context: Context) -> None:
        now = context.now()
        remembered = {key: _facts_for_listening(key, one, now) for key, one in facts.resources.items()}
        self._context = context
        self._poller = Poller(connections, context.now)
        self._levels: Mapping[ResourceKey, tuple[FillLevel, ...]] = {}
        self._state = EngineState(ledger, msgspec.structs.replace(facts, resources=remembered))
        self._lock = self._state.lock
        self._events = EventRecorder(self._state, context)
        self._planner = FleetPlanner(self._state, context)
        backends = Backends(connections, context.now)
        self._reconciler = Reconciler(backends, self._poller, self._state, self._events, self._planner, context)
        self._changed = self._state.watch()
        self._reports_saved: dict[ResourceKey, datetime] = {}
        self._report_events = EventLimit()

    def reconcile(self, key: ResourceKey) -> Outcome:
        """Observe one resource and take it one action further: see `Reconciler.reconcile`. Raises StoreError; then
        nothing was sent unrecorded."""
        try:
            return self._reconciled(key)
        except StoreError:
            raise
        except OUTSIDE_ERRORS as error:  # it is this resource's; its next reconcile observes first
            self._context.failed(key, error)
            failed = self._reconciler.failed(key, f"the reconcile ended because of {defect(error)}; {REPORT}")
            return self._reconciler.requeue(key, failed)

    def _reconciled(self, key: ResourceKey) -> Outcome:
        """One reconcile. Resources that wait for what changed, and now have something to do, are reconciled at once."""
        outcome = self._reconciler.reconcile(key)
        with self._lock:
            changed, desired = self._changed(), self._state.desired
            if not changed or desired is None:
                return outcome
            found = {after for one in changed if one.kind in KINDS for after in KINDS[one.kind].follows(one, desired)}
            waiting = [after for after in found - {key} if after in desired.resources and self._planner.plan_one(after)]
        if waiting:
            self._context.requeue(waiting)
        return outcome

    def plan(self, select: set[ResourceKey] | None = None) -> Plan:
        """The plan as of what was last observed. Raises RuntimeError while no desired state is in force."""
        if select is None:
            return self._planner.plan_all()
        with self._lock:
            return self._planner.plan(select)

    def plan_rest(self) -> Plan:
        """The plan as of what was last observed, of all but the machines that are known to be as declared. It is for
        who counts what there is to do every few seconds. Raises RuntimeError as `plan` does."""
        return self._planner.plan_rest()

    # -- what is desired ---------------------------------------------------------------------------------------------

    @property
    def desired(self) -> DesiredState | None:
        """The state in force."""
        return self._state.desired

    def affected(self, desired: DesiredState) -> list[ResourceKey]:
        """The keys that a desired state would concern if it took force now, removed ones among them."""
        with self._lock:
            return affected_keys(self._state.desired, desired, self._state.facts)

    def admit(self, desired: DesiredState) -> tuple[Diagnostic, ...]:
        """Why the state must not take force, for what is remembered: see planning.admission."""
        with self._lock:
            return admit(desired, self._state.all_facts())

    def put_in_force(self, desired: DesiredState, bases: Sequence[DesiredState] = ()) -> list[ResourceKey]:
        """Put a desired state in force; return the keys that it concerns. `bases`: the states before, whose guards are
        those in force where nothing is remembered. Raises StoreError."""
        with self._state.changing():  # In the ledger before a login goes there.
            changed = {one.key: access_words(one) for one in self._access_changes(desired)}
            self._events.record_each(changed, EventReason.ACCESS_CHANGED, EventType.WARNING, of=desired)
        with self._state.changing():
            keys = self.affected(desired)
            now = self._context.now()
            known: Mapping[ResourceKey, ResourceFacts] = self._state.facts
            carried: Mapping[ResourceKey, ResourceFacts | None]
            if bases and not known:
                known, carried = (
                    guards_of_bases(bases, now),
                    carried_from_bases(bases, desired, now, since_beginning=self._state.since_beginning),
                )
            else:
                carried = carried_over(desired, known, now, since_beginning=self._state.since_beginning)
            # From here on nothing depends on what the documents say.
            self._state.put_desired(desired)
            self._reconciler.earlier.forget()
            self._planner.survey_again()
            loosened = loosening_words(carried, known)
            self._events.record_each(loosened, EventReason.GUARD_LOOSENING, EventType.WARNING)
            self._events.save_facts(carried)
            # What was in flight under a name that is gone is settled too.
            more = [*(key for key, one in carried.items() if one is not None), *self._state.flights]
            return list(dict.fromkeys([*keys, *(key for key in more if key.kind in RECONCILED)]))

    def _access_changes(self, desired: DesiredState) -> list[AccessChange]:
        return [one for one in access_changes(desired, self._state.facts) if not one.is_new]

    # -- what is observed and reported -------------------------------------------------------------------------------

    def use_observations(
        self,
        observations: Iterable[Observation],
        own: Collection[ResourceKey] = (),
        stored: Iterable[Observation] = (),
    ) -> None:
        """Settle and learn by observations that were taken for the present documents, all in one write. A desired state
        must be in force. Raises StoreError.

        `own`: those that this process has just taken itself, while no other one was at work on the store. A first write
        may use them (`EarlierObservations`). `stored`: those of the store, for guards alone, which judge the whole
        fleet. Nothing is learned from them: `spec.bmc` may have named another BMC when they were taken."""
        with self._state.changing():
            for seen in stored:
                self._state.set_observation(seen)
            desired = self._state.desired
            assert desired is not None  # noqa: S101
            learned: dict[ResourceKey, ResourceFacts] = {}
            for seen in observations:
                at_rest = seen.key not in self._state.flights
                self._state.set_observation(seen)
                try:
                    facts = self._learned(seen, desired)
                except OUTSIDE_ERRORS as error:  # one observation; the others are learned from
                    self._reconciler.failed(
                        seen.key, f"the observation cannot be used because of {defect(error)}; {REPORT}"
                    )
                    continue
                if at_rest and seen.key in own:
                    self._reconciler.earlier.keep(seen, desired.resources.get(seen.key))
                if facts is not None:
                    learned[seen.key] = facts
            self._events.save_facts(learned)

    def _learned(self, seen: Observation, desired: DesiredState) -> ResourceFacts | None:
        """What is remembered of it after this observation; None when that is what was remembered before."""
        resource = desired.resources.get(seen.key)
        flight = self._state.flights.get(seen.key)
        # An observation that is older than the sending says nothing of it.
        if flight and (seen.taken_at <= flight.sent_at or self._reconciler.settle(flight, seen, resource) is None):
            return None
        if resource is None or seen.error is not None:
            return None
        before = self._state.of(seen.key)
        fields = self._state.compare(resource, seen)
        facts, _ = learn(resource, seen.value, fields, before, desired.revision.id, self._context.now())
        return facts if facts is not before else None

    def collect(self) -> list[ResourceKey]:
        """Observe all that the IPAM holds for owners that are neither declared nor remembered; return the keys of what
        has leaked, whose reconciles release it. Raises DriverError."""
        known = self._state.keys()
        held = self._poller.holdings()
        self._levels = _levels(held)
        found = self._poller.strays(held, known)
        for seen in found:
            self._state.set_observation(seen)
        return [seen.key for seen in found if KINDS[seen.key.kind].leaks(seen.value)]

    @property
    def levels(self) -> Mapping[ResourceKey, tuple[FillLevel, ...]]:
        """How full all networks and pools are, as of the last `collect`."""
        return self._levels

    def label(
        self, labels: Mapping[ResourceKey, Mapping[str, str]], only: Collection[ResourceKey] | None = None
    ) -> list[ResourceKey]:
        """Remember what follows from inventories; returns those of which it is new. `only`: those that the labels are
        of; None: of all. Raises StoreError."""
        with self._state.changing():
            changed = relabelled(self._state.facts, labels, only)
            self._events.save_facts(changed)
            return list(changed)

    def take_restarts(self, requests: Iterable[RestartRequest]) -> tuple[list[ResourceKey], list[RestartResult]]:
        """Take up the restarts that were asked for and are new, and drop those that were cancelled. Returns the keys
        of these, and how others have ended. `requests`: the oldest first. Raises StoreError."""
        with self._state.changing():
            changed, results = restarts_taken(self._state.facts, self._state.desired, tuple(requests))
            self._state.save(changed)
        return list(changed), results

    def report(self, key: ResourceKey, request_id: str | None, fact: FactType, detail: str = "") -> bool:
        """Take in what the boot service, the agent or an installed system reports of a machine.

        `request_id`: the boot request that the report is about. False when that is not the machine's any more: then
        only the ledger has it. Raises StoreError; then nothing was taken in.
        """
        try:
            with self._state.changing():
                return self._take_report(key, request_id, fact, detail)
        except StoreError:
            raise
        except OUTSIDE_ERRORS as error:
            why = f"the report `{fact}` of the agent was not recorded because of {defect(error)}; {REPORT}"
            if self._is_news(key, fact):
                with self._state.changing():
                    self._events.record(key, EventReason.INTERNAL, why, EventType.WARNING, about=("report", fact))
            raise

    def _take_report(self, key: ResourceKey, request_id: str | None, fact: FactType, detail: str) -> bool:
        """The kind of the resource judges the report; what is new is recorded."""
        now, before, seen = self._context.now(), self._state.facts.get(key), self._state.observed.get(key)
        value, rules = seen.value if seen is not None else None, KINDS[key.kind].fact_rules
        heard = rules.report(before, request_id, fact, detail, value, now) if before is not None else None
        if heard is None:
            if self._is_news(key, fact):
                message = (
                    f"the agent reported `{fact}` for boot request {request_id}, but that boot request has ended; "
                    "groundstate ignores the report"
                )
                self._events.record(key, EventReason.UNEXPECTED_FACT, message, EventType.WARNING, about=(fact,))
            return False
        if heard.facts is not before:
            if heard.may_be_lost and now - self._reports_saved.get(key, BEGINNING) < _SAVED_EVERY:
                self._state.set_volatile_facts(key, heard.facts)
            else:
                self._state.save({key: heard.facts})
                self._reports_saved[key] = now
            # What follows may follow soon, however long it took to come to this.
            self._reconciler.memory.note_progress(key)
        if heard.reason and (heard.reason != EventReason.UNEXPECTED_FACT or self._is_news(key, fact)):
            self._events.record(key, heard.reason, heard.message, heard.severity, about=(fact,))
        return True

    def _is_news(self, key: ResourceKey, fact: FactType) -> bool:
        """Whether such a report of the resource may be an event: who repeats itself does not fill the ledger."""
        return self._report_events.passes(str(key), str(fact), self._context.now()) is not None

    # -- what is known -----------------------------------------------------------------------------------------------

    def is_remembered(self, key: ResourceKey) -> bool:
        """Whether it is declared, or was and is not forgotten yet."""
        return key in self._state.facts

    def reconciled_keys(self) -> list[ResourceKey]:
        """All that is declared or remembered and can be reconciled, in order."""
        return sorted(key for key in self._state.keys() if key.kind in RECONCILED)  # noqa: SIM118

    def facts_of(self, key: ResourceKey) -> ResourceFacts:
        """What is remembered of it."""
        with self._lock:
            return self._state.of(key)

    def described(self, event: Event) -> Event:
        """The event with whose it is now: the project and the labels of its resource."""
        return self._state.described(event)

    def observations(self, kind: str) -> list[Observation]:
        """The last observation of each resource of a kind."""
        with self._lock:
            return [seen for key, seen in self._state.observed.items() if key.kind == kind]

    def unobserved(self, kinds: Collection[str]) -> int:
        """How many declared resources of these kinds have not been observed since the start."""
        with self._lock:
            desired, observed = self._state.desired, self._state.observed
            return sum(one.key not in observed for kind in kinds for one in desired.of_kind(kind)) if desired else 0

    def is_reachable(self, key: ResourceKey) -> bool:
        """Whether the resource could be read at the last look; True before the first."""
        seen = self._state.observed.get(key)
        return seen is None or seen.error is None

    def world(self) -> GuardWorld:
        """What guards judge by, as of now. A desired state must be in force."""
        with self._lock:
            desired = self._state.desired
            assert desired is not None  # noqa: S101
            fleet, standing = self._planner.fleet(), self._context.standing()
            observed, facts = self._state.copy()
            return GuardWorld(desired, observed, facts, fleet, standing, self._context.now())

    @property
    def in_flight(self) -> int:
        """How many actions are in flight."""
        return len(self._state.flights)

    def flush(self) -> None:
        """Save what was observed since the last time."""
        self._state.flush()


def _levels(held: Mapping[ResourceKey, Any]) -> dict[ResourceKey, tuple[FillLevel, ...]]:
    gauges = {key: KINDS[key.kind].levels for key in held}
    return {key: tuple(gauge.levels_of(held[key])) for key, gauge in gauges.items() if gauge is not None}


def _facts_for_listening(key: ResourceKey, facts: ResourceFacts, now: datetime) -> ResourceFacts:
    """What is remembered of a resource when this process begins to take in reports."""
    return KINDS[key.kind].fact_rules.at_start(facts, now) if key.kind in KINDS else facts

"""One pass over one resource: look, settle what is under way, plan, and send at most one action.

`apply` and the daemon drive the same engine; the daemon does what `plan` prints because both call one plan function.
Nothing here sleeps: every outcome says when to come back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from reconciler.applying.affected import affected_keys
from reconciler.applying.bmc_lock import lock_holder
from reconciler.applying.context import Context, Ledger
from reconciler.applying.drift import learn
from reconciler.applying.events import EventRecorder
from reconciler.applying.fleet_survey import FleetSurveyor
from reconciler.applying.lifecycle_reports import facts_at_start
from reconciler.applying.record_actions import record_action
from reconciler.applying.reports import Reports
from reconciler.applying.requeue import HELD_SECONDS, IN_TURN, Requeues
from reconciler.applying.sending import Sender
from reconciler.applying.settlement import describe
from reconciler.applying.state import EngineState
from reconciler.kinds import RECONCILED
from reconciler.kinds.claim.renamed_from import olds_of
from reconciler.kinds.claim.spec import display_key
from reconciler.kinds.common.defect import defect
from reconciler.kinds.ipam.allocation_order import ahead_in_order, is_automatic
from reconciler.kinds.ipam.occupancy import is_held, leaks
from reconciler.kinds.machine.lifecycle import uuid_of
from reconciler.model.action import Action, Forget, RecordAction
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.event import EventType
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.lifecycle_facts import FactType
from reconciler.model.observation import INTERNAL, Observation
from reconciler.model.outcome import Done, Failed, Outcome, Waiting
from reconciler.model.plan import Change, Plan
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.model.retry import CONFIRM
from reconciler.observed.connections import Connections
from reconciler.observed.poller import Poller
from reconciler.onboarding.inventory_comparison import relabelled
from reconciler.planning.access_changes import access_changes, access_words
from reconciler.planning.admission import admit
from reconciler.planning.carry_over import carried_over
from reconciler.planning.planner import plan
from reconciler.store.store_errors import StoreError

LEFT = "it runs while it is left to people, and whatever was started there may be theirs"


class Engine:
    """Steps resources towards what is declared. One key is stepped by one thread at a time; keys run side by side."""

    def __init__(self, ledger: Ledger, connections: Connections, facts: Facts, context: Context) -> None:
        heard = {key: facts_at_start(one, context.now()) for key, one in facts.resources.items()}
        self._context = context
        self._poller = Poller(connections, context.now)
        self._memory = EngineState(ledger, Facts(heard, facts.in_flight))
        self._gate = self._memory.gate
        self._teller = EventRecorder(ledger, self._memory, context)
        self._waits = Requeues(self._teller, context)
        self._sender = Sender(connections, self._memory, self._teller, context)
        self._reports = Reports(self._memory, self._teller, self._waits, context.now)
        self._surveyor = FleetSurveyor(self._memory, context)
        self._behind: dict[ResourceKey, set[ResourceKey]] = {}

    # -- what is desired ---------------------------------------------------------------------------------------------

    @property
    def desired(self) -> DesiredState | None:
        """The state in force."""
        return self._memory.desired

    def affected(self, desired: DesiredState) -> list[ResourceKey]:
        """The keys that a desired state would concern if it took force now, removed ones among them."""
        with self._gate:
            return affected_keys(self._memory.desired, desired, self._memory.facts)

    def admit(self, desired: DesiredState) -> tuple[Diagnostic, ...]:
        """Why the state must not take force, for what is remembered: see planning.admission."""
        with self._gate:
            return admit(desired, self._memory.everything())

    def adopt(self, desired: DesiredState) -> list[ResourceKey]:
        """Put a desired state in force; return the keys that it concerns."""
        with self._gate:
            keys = self.affected(desired)
            access = access_changes(desired, self._memory.facts)
            taken_in = carried_over(desired, self._memory.facts)
            # From here on nothing depends on what the documents say.
            self._memory.desired = desired
            self._surveyor.again()
            # In the ledger before a login goes there.
            changed = {one.key: access_words(one) for one in access if not one.is_new}
            self._teller.record_each(changed, "AccessChanged", EventType.WARNING)
            self._learned(taken_in, "its BMC is another one")
            # What was under way under a name that is gone is settled too.
            more = [*(key for key, one in taken_in.items() if one is not None), *self._memory.flights]
            return list(dict.fromkeys([*keys, *(key for key in more if key.kind in RECONCILED)]))

    # -- what is known -----------------------------------------------------------------------------------------------

    def absorb(self, observations: Iterable[Observation]) -> None:
        """Learn from looks that were taken before, all in one write: the guards judge the whole fleet by them."""
        with self._gate:
            desired = self._memory.desired
            assert desired is not None  # noqa: S101
            learned: dict[ResourceKey, ResourceFacts] = {}
            for seen in observations:
                self._memory.record(seen)
                try:
                    facts = self._absorbed(seen, desired)
                except StoreError:
                    raise
                except Exception as error:  # noqa: BLE001  one look; the others are learned from
                    self._memory.set_aside(seen, f"nothing can be learned from it, which is {defect(error)}")
                    continue
                if facts is not None:
                    learned[seen.key] = facts
            self._learned(learned, LEFT)

    def _absorbed(self, seen: Observation, desired: DesiredState) -> ResourceFacts | None:
        """What is remembered of it after this look; None when that is what was remembered before."""
        resource = desired.resources.get(seen.key)
        flight = self._memory.flights.get(seen.key)
        # A look that is older than the sending says nothing of it.
        if flight and (seen.taken_at <= flight.sent_at or not self._sender.settle(flight, seen, resource)):
            return None
        if resource is None or seen.error is not None:
            return None
        before = self._memory.of(seen.key)
        fields = self._memory.compare(resource, seen)
        facts, _ = learn(resource, seen.value, fields, before, desired.revision.id, self._context.now())
        return facts if facts is not before else None

    def collect(self) -> list[ResourceKey]:
        """Look at all that the IPAM holds for owners that are neither declared nor remembered; return their keys, whose
        steps release what has leaked. Raises DriverError."""
        found = self._poller.strays(self._memory.keys())
        for seen in found:
            self._memory.record(seen)
        return [seen.key for seen in found if leaks(seen.value)]

    def label(self, labels: Mapping[ResourceKey, Mapping[str, str]]) -> list[ResourceKey]:
        """Remember what follows from machines' inventories; returns those of which it is new. Raises StoreError."""
        with self._gate:
            changed = relabelled(self._memory.facts, labels)
            self._memory.save(changed)
            return list(changed)

    def report(self, key: ResourceKey, order: str | None, fact: FactType, detail: str = "") -> bool:
        """Take up what the boot service, the agent or an installed system says of a machine.

        `order`: for which boot order it is said. False when that is not the machine's any more: then only the ledger
        says so. Raises StoreError; then nothing was taken up.
        """
        return self._reports.receive(key, order, fact, detail)

    def knows(self, key: ResourceKey) -> bool:
        """Whether it is declared, or was and is not forgotten yet."""
        return key in self._memory.facts

    def everything(self) -> list[ResourceKey]:
        """All that is declared or remembered and can be stepped."""
        return [key for key in self._memory.keys() if key.kind in RECONCILED]  # noqa: SIM118

    def remembered(self, key: ResourceKey) -> ResourceFacts:
        """What is remembered of it."""
        with self._gate:
            return self._memory.of(key)

    def observations(self, kind: str) -> list[Observation]:
        """The last look at each resource of a kind."""
        with self._gate:
            return [seen for key, seen in self._memory.observed.items() if key.kind == kind]

    @property
    def in_flight(self) -> int:
        """How many actions are under way."""
        return len(self._memory.flights)

    def flush(self) -> None:
        """Save what was seen since the last time."""
        self._memory.flush()

    # -- one pass ----------------------------------------------------------------------------------------------------

    def step(self, key: ResourceKey) -> Outcome:
        """Look at one resource and take it one action further. Raises StoreError; then nothing was sent unrecorded."""
        desired = self._memory.desired
        if desired is None:
            return Waiting("NoDesiredState", "no desired state is in force yet", HELD_SECONDS)
        seen = self._poller.observe(key, desired, self.remembered(key))
        # What it had under another name decides what is done about this one.
        before = [self._poller.observe(old, desired) for old in self._olds(key, desired, seen)]
        seen = next((msgspec.structs.replace(seen, error=one.error) for one in before if one.error), seen)
        with self._gate:
            for one in before:
                self._memory.record(one)
            self._memory.record(seen)
            if seen.error is not None:
                return self._waits.unreadable(key, seen.error)
            self._waits.readable(key)
            if desired is not self._memory.desired:
                return Waiting("NewRevision", "a new revision came while it was looked at", 0.0)
            outcome = self._judge(key, desired, seen)
        outcome = outcome or self._advance(key, desired, seen)
        if not (isinstance(outcome, Waiting) and outcome.reason in ("Confirming", IN_TURN)):
            with self._gate:
                behind = self._behind.pop(key, None)
            if behind:
                self._context.moved(behind)
        return outcome

    def plan(self, select: set[ResourceKey] | None = None) -> Plan:
        """The plan as of what was last seen. Raises RuntimeError while no desired state is in force."""
        with self._gate:
            if self._memory.desired is None:
                raise RuntimeError("no desired state is in force")
            planned = plan(
                self._memory.desired,
                self._memory.observed,
                self._memory.everything(),
                self._context.now(),
                self._context.policy(),
                waits=self._context.waits,
                select=select,
                fleet=self._surveyor.fleet,
            )
            for one in planned.unknown:
                # Or else each plan would have to find out anew whom to leave out.
                seen = self._memory.observed.get(one.key) if one.reason == INTERNAL else None
                if seen is not None and seen.error is None:
                    self._memory.set_aside(seen, one.message)
            return planned

    def _olds(self, key: ResourceKey, desired: DesiredState, seen: Observation) -> list[ResourceKey]:
        """The names under which something of it may be held: while it holds nothing, or one held something last."""
        with self._gate:
            last = self._memory.observed
            olds = olds_of(key, desired, self._memory.of(key))
            return [old for old in olds if not is_held(seen.value) or (old in last and is_held(last[old].value))]

    def _judge(self, key: ResourceKey, desired: DesiredState, seen: Observation) -> Outcome | None:
        """What a look says of what was sent and of what is declared; None when it may be taken further."""
        flight = self._memory.flights.get(key)
        resource = desired.resources.get(key)
        if flight is not None and not self._sender.settle(flight, seen, resource):
            delay = CONFIRM.delay((self._context.now() - flight.sent_at).total_seconds())
            return Waiting("Confirming", f"{describe(flight)} was sent and is not confirmed yet", delay)
        if resource is not None:
            self._learn(resource, seen, desired)
            return None
        return Done() if key.kind == "Machine" and not self.knows(key) else None

    def _learn(self, resource: Resource[Any], seen: Observation, desired: DesiredState) -> None:
        facts = self._memory.of(resource.key)
        fields = self._memory.compare(resource, seen)
        learned, drifted = learn(resource, seen.value, fields, facts, desired.revision.id, self._context.now())
        if learned is not facts:
            self._learned({resource.key: learned}, LEFT)
        for field in drifted:
            message = f"{field.path} is {_short(field.observed)}, declared and applied is {_short(field.desired)}"
            self._teller.record(resource.key, "DriftDetected", message, EventType.WARNING)

    def _learned(self, changed: Mapping[ResourceKey, ResourceFacts | None], why: str) -> None:
        """Keep it; boot orders that have gone with it are told of."""
        over = [key for key, one in changed.items() if one and self._memory.of(key).life.order and not one.life.order]
        self._memory.save(changed)
        for key in over:
            self._teller.record(key, "OrderEnded", why)

    def _advance(self, key: ResourceKey, desired: DesiredState, seen: Observation) -> Outcome:
        with self._gate:
            if desired is not self._memory.desired:
                return Waiting("NewRevision", "a new revision came while it was looked at", 0.0)
            planned = self.plan(select={key})
            change = planned.changes[0] if planned.changes else None
            if change is None:
                self._waits.done(key)
                return Done()
            if not change.goes:
                return self._waits.held(change)
            if not self._context.approves(change):
                return Failed("Stale", "it is not what was approved any more; plan again", terminal=True, retry_after=0)
            busy = lock_holder(key, desired, self._memory.flights.values(), self._context.now())
            if busy is not None:
                return Waiting("BmcBusy", f"its BMC is at work for {busy}", 1.0)
            action = change.actions[0]
            if isinstance(action, Forget):
                return self._forget(action, desired)
            if isinstance(action, RecordAction):
                return self._note(change, action, desired, seen)
            if (first := self._comes_first(action, desired)) is not None:
                return self._in_turn(key, first)
            self._waits.moves(key)
            flight = self._sender.begin(change, action, desired)
        return self._sender.send(flight, desired, seen)

    def _comes_first(self, action: Action, desired: DesiredState) -> ResourceKey | None:
        """The nearest of those that are to have the same before this one, and will have it before long."""
        for key in ahead_in_order(action, desired, self._memory.observed):
            if not self._context.follows(key):
                continue
            if key in self._memory.flights or key not in self._memory.observed:
                return key
            change = next(iter(self.plan(select={key}).changes), None)
            tried = self._memory.of(key).failures
            if change is None or not change.goes or any(action.path in tried for action in change.actions):
                continue
            if is_automatic(change.actions) and self._context.approves(change):
                return key
        return None

    def _in_turn(self, key: ResourceKey, first: ResourceKey) -> Outcome:
        self._behind.setdefault(first, set()).add(key)
        return self._waits.in_turn(f"{display_key(first)} is given one before")

    def _note(self, change: Change, action: RecordAction, desired: DesiredState, seen: Observation) -> Outcome:
        """What is only remembered is done when it is written down."""
        why, name = self._teller.cause(change, desired), self._sender.order_name()
        noted = record_action(action, self._memory.facts, self._context.now(), name, why, uuid_of(seen.value))
        self._memory.save(noted.facts)
        for key, (reason, message) in noted.events.items():
            self._teller.record(key, reason, f"{message}, because of {why}")
        self._context.moved([key for key in noted.events if key != change.key])
        reason, message = noted.events[change.key]
        return Waiting(reason, message, 0.0)

    def _forget(self, action: Forget, desired: DesiredState) -> Outcome:
        self._memory.forget(action.key)
        self._surveyor.again()
        self._teller.record(action.key, "Forgotten", action.reason)
        if not self._surveyor.fleet().lost:
            self._memory.save(carried_over(desired, self._memory.facts))
        return Done()


def _short(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()

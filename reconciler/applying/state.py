"""The state of the engine: the desired state in force, facts, actions in flight, observations.

A change of the state is made in `changing()`, which holds `lock`. Changes are written to the store after the lock is
released. Other threads plan with them meanwhile, but nothing is sent before they are on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec

from reconciler import runtime
from reconciler.applying.context import Ledger, Pending
from reconciler.kinds import KINDS, remembered_of
from reconciler.kinds.common.event_subject import with_subject
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import KindView
from reconciler.model.actions.action_base import Disruption
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.event import Event
from reconciler.model.facts import Facts, IndexedFacts, ResourceFacts
from reconciler.model.ledger_write import AppendEvents, BeginAction, EndAction, LedgerWrite, NoteAction, PutFacts
from reconciler.model.observation import INTERNAL, Observation, ReadError
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.store.sql.store_errors import StoreError

_FACTS, _FLIGHTS = "facts", "flights"


class _ChangeSet:
    """The changes of one holder of the lock: the values to write, the previous values, and callbacks."""

    __slots__ = ("before", "is_lost", "keys", "pending", "then", "writes")

    def __init__(self) -> None:
        self.writes: list[LedgerWrite] = []
        self.keys: set[ResourceKey] = set()
        self.before: dict[tuple[str, ResourceKey], Any] = {}
        self.then: list[Callable[[], None]] = []
        self.pending: Pending | None = None
        self.is_lost = False

    def finish(self) -> None:
        """Wait until the changes are on disk, and run the callbacks. Raises StoreError."""
        if self.pending is not None:
            self.pending.wait()
            if self.pending.is_decided:
                # Nothing is taken back any more. The engine knows this until the next change, which may be hours later.
                self.writes, self.before = [], {}
        for follow in self.then:
            follow()


LONGEST_PACING = timedelta(days=1)


class EngineState:
    """Facts and flights are changed by the methods alone, as the ledger has to have them first."""

    def __init__(self, ledger: Ledger, facts: Facts) -> None:
        self._ledger = ledger
        self.lock = runtime.rlock()
        self.desired: DesiredState | None = None
        self.since_beginning = facts.since_beginning
        self._facts = IndexedFacts(facts.resources)
        self._flights = dict(facts.in_flight)
        self._down = {key for key, fact in self._facts.items() if fact.disrupted_at or fact.taken_down_at}
        self._observed: dict[ResourceKey, Observation] = {}
        self._unsaved: dict[ResourceKey, Observation] = {}
        self._watches: list[set[ResourceKey]] = []
        self._cells: dict[str, MutableMapping[ResourceKey, Any]] = {_FACTS: self._facts, _FLIGHTS: self._flights}
        self._busy: dict[str, dict[ResourceKey, InFlight]] = {}
        self._disrupting: dict[ResourceKey, InFlight] = {}
        for flight in self._flights.values():
            self._move_flight(None, flight)
        self._changing: _ChangeSet | None = None
        # In the order in which they were handed over; of some it is known by now that they are on disk.
        self._undecided: list[_ChangeSet] = []

    # -- what is remembered ------------------------------------------------------------------------------------------

    @property
    def facts(self) -> Mapping[ResourceKey, ResourceFacts]:
        """What is remembered of each; only a holder of the lock sees one state of it."""
        return self._facts

    def of(self, key: ResourceKey) -> ResourceFacts:
        """The facts of one resource."""
        return remembered_of(self._facts, key)

    def all_facts(self) -> Facts:
        """All facts and all actions in flight."""
        return Facts(self._facts, self._flights)

    def down(self, now: datetime) -> Facts:
        """Of those that were taken down and are not known to serve again, or were taken down lately, and the disruptive
        actions in flight."""
        for key in [key for key in self._down if not _was_down_lately(self._facts[key], now)]:
            self._down.discard(key)
        return Facts({key: self._facts[key] for key in self._down}, self._disrupting)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock. At the end, all changes made in it are on disk in one piece. Inside another `changing()` of
        the same thread, they are written at the end of the outer one. A thread must not begin it while it holds the
        lock in another way. Raises StoreError when the changes cannot be written. Then they are undone, with all that
        other threads derived from them."""
        mine: _ChangeSet | None = None
        try:
            with self.lock:
                if self._changing is None:
                    mine = self._changing = _ChangeSet()
                try:
                    yield
                finally:
                    if mine is not None:
                        self._changing = None
                        self._hand_over(mine)
        finally:
            if mine is not None:
                mine.finish()

    def _hand_over(self, changes: _ChangeSet) -> None:
        if changes.writes:
            self._undecided = [one for one in self._undecided if one.pending and not one.pending.is_decided]
            changes.pending = self._ledger.enqueue(changes.writes, lambda: self._revert(changes))
            self._undecided.append(changes)

    def _revert(self, changes: _ChangeSet) -> None:
        """Restore the previous values after a failed write. Later changes of the same resources depend on them, and are
        undone too."""
        with self.lock:
            if changes.is_lost:
                return
            lost, keys = [changes], set(changes.keys)
            for later in self._undecided[self._undecided.index(changes) + 1 :]:
                if not later.is_lost and keys & later.keys:
                    lost.append(later)
                    keys |= later.keys
            for one in lost:
                one.is_lost = True
            for (name, key), value in ((cell, value) for one in reversed(lost) for cell, value in one.before.items()):
                self._set(name, key, value)
        why = StoreError("nothing was sent: an earlier change of the same resource could not be written to the store")
        for one in lost[1:]:
            if one.pending is not None:
                one.pending.refuse(why)

    def _write(self, write: LedgerWrite) -> _ChangeSet:
        if self._changing is None:
            raise RuntimeError(
                "internal error: stored state was changed outside of `changing()`, so the change would be lost; "
                "report this bug"
            )
        self._changing.writes.append(write)
        self._changing.keys |= write.keys
        return self._changing

    def _set_revertibly(self, changes: _ChangeSet, name: str, key: ResourceKey, value: Any) -> None:
        changes.before.setdefault((name, key), self._cells[name].get(key))
        self._set(name, key, value)

    def _set(self, name: str, key: ResourceKey, value: Any) -> None:
        cells = self._cells[name]
        if name == _FLIGHTS:
            self._move_flight(cells.get(key), value)
        if value is not None:
            cells[key] = value
        elif key in cells:
            del cells[key]
        self._changed(key)
        if name == _FACTS:
            is_down = value is not None and (value.disrupted_at or value.taken_down_at)
            (self._down.add if is_down else self._down.discard)(key)

    def _move_flight(self, before: InFlight | None, after: InFlight | None) -> None:
        if before is not None:
            there = self._busy.get(before.lock, {})
            there.pop(before.key, None)
            if not there:
                self._busy.pop(before.lock, None)
            self._disrupting.pop(before.key, None)
        if after is not None and after.action.disruption is Disruption.DISRUPTIVE:
            self._disrupting[after.key] = after
        if after is not None:
            self._busy.setdefault(after.lock, {})[after.key] = after

    def flights_on(self, bmc: str) -> Iterable[InFlight]:
        """The actions in flight that hold a lock, such as a BMC."""
        return self._busy.get(bmc, {}).values()

    def when_written(self, follow: Callable[[], None]) -> None:
        """Run this callback once all changes so far are on disk, without the lock."""
        if self._changing is None:
            raise RuntimeError("internal error: `afterwards()` was called outside of `changing()`; report this bug")
        self._changing.then.append(follow)

    def append(self, events: Iterable[Event]) -> None:
        """Append events to the ledger."""
        self._write(AppendEvents(tuple(map(self.described, events))))

    def described(self, event: Event) -> Event:
        """The event with whose it is now: the project and the labels of its resource."""
        before = self._changing.before.get((_FACTS, event.key)) if self._changing is not None and event.key else None
        return with_subject(event, self.desired, self._facts.get(event.key) if event.key else None, before)

    def save(self, changed: Mapping[ResourceKey, ResourceFacts | None]) -> None:
        """Set the facts of each resource; None: forget them."""
        if not changed:
            return
        changes = self._write(PutFacts(dict(changed)))
        for key, facts in changed.items():
            self._set_revertibly(changes, _FACTS, key, facts)
            if facts is None:
                self._drop_unless_held(key)

    def set_volatile_facts(self, key: ResourceKey, facts: ResourceFacts) -> None:
        """Set facts that may be lost with the process."""
        self._set(_FACTS, key, facts)

    def _drop_unless_held(self, key: ResourceKey) -> None:
        seen = self._observed.get(key)
        if (
            seen is None or key.kind not in KINDS or not KINDS[key.kind].is_held(seen.value)
        ):  # What stays in the IPAM is another's to keep clear of.
            self.drop_observation(key)

    def drop_observation(self, key: ResourceKey) -> None:
        """Drop the observation of a resource that does not exist any more, or whose endpoint is another one now."""
        with self.lock:
            self._observed.pop(key, None)
            self._unsaved.pop(key, None)
            self._changed(key)

    # -- what is under way -------------------------------------------------------------------------------------------

    @property
    def flights(self) -> Mapping[ResourceKey, InFlight]:
        """The actions in flight."""
        return self._flights

    def begin(self, flight: InFlight, facts: ResourceFacts, event: Event, epoch: int) -> None:
        """Record an action as in flight. It must not be sent before the record is on disk. Other threads see the action
        as in flight at once."""
        changes = self._write(BeginAction(flight, facts, self.described(event), epoch))
        self._set_revertibly(changes, _FACTS, flight.key, facts)
        self._set_revertibly(changes, _FLIGHTS, flight.key, flight)

    def retime(self, flight: InFlight) -> None:
        """Set the times of an action in flight; the ledger keeps the time at which it was sent."""
        self._set(_FLIGHTS, flight.key, flight)

    def record_progress(self, flight: InFlight, event: Event | None = None) -> None:
        """Record new knowledge of an action in flight: its handle, its Task. An action that was settled meanwhile is
        not changed."""
        changes = self._write(NoteAction(flight, None if event is None else self.described(event)))
        if self._is_in_flight(flight):
            self._set_revertibly(changes, _FLIGHTS, flight.key, flight)

    def update_flight(self, flight: InFlight) -> None:
        """Set what is known of an action, if it is still in flight; for values that may be lost."""
        if self._is_in_flight(flight):
            self._set(_FLIGHTS, flight.key, flight)

    def _is_in_flight(self, flight: InFlight) -> bool:
        current = self._flights.get(flight.key)
        return current is not None and current.id == flight.id

    def end(self, flight: InFlight, facts: ResourceFacts, event: Event) -> None:
        """Record that an action is no longer in flight."""
        changes = self._write(EndAction(flight, facts, self.described(event)))
        self._set_revertibly(changes, _FLIGHTS, flight.key, None)
        self._set_revertibly(changes, _FACTS, flight.key, facts)

    # -- what is seen ------------------------------------------------------------------------------------------------

    @property
    def observed(self) -> Mapping[ResourceKey, Observation]:
        """The latest observation of each resource."""
        return self._observed

    def put_desired(self, desired: DesiredState) -> None:
        """Put a desired state in force. An observation belongs to the endpoint that was read. A resource whose document
        names another endpoint now is unknown until that endpoint was read."""
        with self.lock:
            before, self.desired = self.desired, desired
            if before is not None:
                for key in [key for key in self._observed if not self.same_endpoint(key, before)]:
                    self.drop_observation(key)

    def same_endpoint(self, key: ResourceKey, desired: DesiredState) -> bool:
        """Whether the resource has the same endpoint in a desired state as in the one in force. True also where one of
        the two states does not declare the resource."""
        kind = KINDS.get(key.kind)
        ours = self.desired.resources.get(key) if self.desired is not None else None
        theirs = desired.resources.get(key)
        if kind is None or ours is None or theirs is None or ours is theirs:
            return True
        return kind.endpoint_of(ours) == kind.endpoint_of(theirs)

    def set_observation(self, seen: Observation) -> None:
        """It is the last look from now on."""
        kind = KINDS.get(seen.key.kind)
        believed = seen
        if kind is not None and seen.value is not None:
            seen = _with_value(seen, kind.kept(seen.value))
            believed = _with_value(seen, kind.believed(seen.value))
        with self.lock:
            before = self._observed.get(seen.key)
            if before is None or (before.value, before.error) != (believed.value, believed.error):
                self._changed(seen.key)
            self._observed[seen.key] = believed
            self._unsaved[seen.key] = seen

    def watch(self) -> Callable[[], set[ResourceKey]]:
        """A function that returns the keys whose facts, actions or observations changed since its last call. An equal
        observation is no change. Only the holder of the lock calls it."""
        changed: set[ResourceKey] = set()
        self._watches.append(changed)

        def drain() -> set[ResourceKey]:
            found = changed.copy()
            changed.clear()
            return found

        return drain

    def _changed(self, key: ResourceKey) -> None:
        for watch in self._watches:
            watch.add(key)

    def copy(self) -> tuple[dict[ResourceKey, Observation], Facts]:
        """A snapshot of the observations and facts."""
        with self.lock:
            return dict(self._observed), Facts(dict(self._facts), dict(self._flights))

    def mark_unreadable(self, key: ResourceKey, at: datetime, why: str) -> None:
        """Treat the resource as unknown until its next observation, because the rules cannot use the last one."""
        self.set_observation(Observation(key, at, error=ReadError(INTERNAL, why)))

    def flush(self) -> None:
        """Save the observations since the last call, in one batch. A lost batch costs only another observation."""
        with self.lock:
            batch, self._unsaved = self._unsaved, {}
        if batch:
            self._ledger.put_observations(batch.values())

    def compare(self, resource: Resource[Any], seen: Observation) -> tuple[Field, ...]:
        """The managed fields of a resource: declared beside observed."""
        rules = KINDS[resource.key.kind].rules
        view = KindView(resource.key, seen.value, self.of(resource.key), self._observed, self.desired, self._facts)
        return rules.fields(resource, view) if rules else ()

    def fingerprint(self, path: str, resource: Resource[Any] | None, seen: Observation) -> str | None:
        """The digest of one field as declared and observed; None if nothing is declared there."""
        fields = self.compare(resource, seen) if resource is not None else ()
        return next((field.fingerprint(resource.spec) for field in fields if resource and field.path == path), None)

    def keys(self) -> set[ResourceKey]:
        """The keys of all declared and recorded resources."""
        with self.lock:
            return {*self._facts, *(self.desired.resources if self.desired is not None else ())}


def _was_down_lately(facts: ResourceFacts, now: datetime) -> bool:
    at = facts.taken_down_at
    return facts.disrupted_at is not None or (at is not None and now - at < LONGEST_PACING)


def _with_value(seen: Observation, value: Any) -> Observation:
    return seen if value is seen.value else msgspec.structs.replace(seen, value=value)

"""What the engine knows: what is in force, remembered, under way and seen. What must last is in the ledger first.

Whoever reads and then writes holds `gate` all the while; it may be taken again by the thread that has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from reconciler import runtime
from reconciler.applying.context import Ledger
from reconciler.kinds import KINDS
from reconciler.kinds.common.kind import Field, KindView
from reconciler.kinds.ipam.network import NetworkState
from reconciler.kinds.ipam.occupancy import is_held
from reconciler.kinds.ipam.pool import PoolState
from reconciler.model.action import InFlight
from reconciler.model.event import Event
from reconciler.model.facts import NO_FACTS, Facts, ResourceFacts
from reconciler.model.observation import INTERNAL, Observation, ReadError
from reconciler.model.resource import DesiredState, Resource, ResourceKey

LONGEST_PACING = timedelta(days=1)


class EngineState:
    """Facts and flights are changed by the methods alone, as the ledger has to have them first."""

    def __init__(self, ledger: Ledger, facts: Facts) -> None:
        self._ledger = ledger
        self.gate = runtime.rlock()
        self.desired: DesiredState | None = None
        self._facts = dict(facts.resources)
        self._flights = dict(facts.in_flight)
        self._down = {key for key, fact in self._facts.items() if fact.disrupted_at or fact.taken_down_at}
        self._observed: dict[ResourceKey, Observation] = {}
        self._unsaved: dict[ResourceKey, Observation] = {}
        self._changed: set[ResourceKey] = set()

    # -- what is remembered ------------------------------------------------------------------------------------------

    @property
    def facts(self) -> Mapping[ResourceKey, ResourceFacts]:
        """What is remembered of each; it changes under whoever does not hold the gate."""
        return self._facts

    def of(self, key: ResourceKey) -> ResourceFacts:
        """What is remembered of one."""
        return self._facts.get(key, NO_FACTS)

    def everything(self) -> Facts:
        """What is remembered and what is under way."""
        return Facts(self._facts, self._flights)

    def down(self, now: datetime) -> Facts:
        """Of those that were taken down and are not known to serve again, or were taken down lately, and what is under
        way."""
        for key in [key for key in self._down if not _lately_down(self._facts[key], now)]:
            self._down.discard(key)
        return Facts({key: self._facts[key] for key in self._down}, self._flights)

    def save(self, changed: Mapping[ResourceKey, ResourceFacts | None]) -> None:
        """Write down, in one piece, and then believe; None: nothing is remembered any more. Raises StoreError; then it
        is not believed."""
        self._ledger.put_facts(dict(changed))
        for key, facts in changed.items():
            if facts is not None:
                self.assume(key, facts)
            else:
                self._disbelieve(key)

    def assume(self, key: ResourceKey, facts: ResourceFacts) -> None:
        """Go by this from now on: it is written down already, or may be lost."""
        self._facts[key] = facts
        self._changed.add(key)
        if facts.disrupted_at or facts.taken_down_at:
            self._down.add(key)
        else:
            self._down.discard(key)

    def forget(self, key: ResourceKey) -> None:
        """Nothing is remembered of it any more. Raises StoreError."""
        self._ledger.put_facts({key: None})
        self._disbelieve(key)

    def _disbelieve(self, key: ResourceKey) -> None:
        self._facts.pop(key, None)
        self._changed.add(key)
        self._down.discard(key)
        seen = self._observed.get(key)
        if seen is None or not is_held(seen.value):  # What stays in the IPAM is another's to keep clear of.
            self.drop_observation(key)

    def drop_observation(self, key: ResourceKey) -> None:
        """It is not there any more, and nobody declares it or remembers it."""
        with self.gate:
            self._observed.pop(key, None)
            self._unsaved.pop(key, None)
            self._changed.add(key)

    # -- what is under way -------------------------------------------------------------------------------------------

    @property
    def flights(self) -> Mapping[ResourceKey, InFlight]:
        """What is under way."""
        return self._flights

    def begin(self, flight: InFlight, facts: ResourceFacts, event: Event, epoch: int) -> None:
        """It is about to be sent. Raises StoreError, Fenced among them; then it must not be."""
        self._ledger.begin_action(flight, facts, event, epoch)
        self.assume(flight.key, facts)
        self._flights[flight.key] = flight
        self._changed.add(flight.key)

    def retime(self, flight: InFlight) -> None:
        """Go by these times of it from now on; the ledger keeps when it was sent."""
        self._flights[flight.key] = flight
        self._changed.add(flight.key)

    def note(self, flight: InFlight, event: Event | None = None) -> None:
        """Write down what is known of it by now: its handle, its Task. Raises StoreError. The gate is not needed: one
        thread at a time works on a key, and what was settled meanwhile is left alone."""
        self._ledger.note_action(flight, event)
        with self.gate:
            self.believe(flight)

    def believe(self, flight: InFlight) -> None:
        """Go by this of it from now on, as far as it is under way still; for what may be lost."""
        current = self._flights.get(flight.key)
        if current is not None and current.id == flight.id:
            self._flights[flight.key] = flight
            self._changed.add(flight.key)

    def end(self, flight: InFlight, facts: ResourceFacts, event: Event) -> None:
        """It is under way no more. Raises StoreError."""
        self._ledger.end_action(flight, facts, event)
        self._flights.pop(flight.key, None)
        self._changed.add(flight.key)
        self.assume(flight.key, facts)

    # -- what is seen ------------------------------------------------------------------------------------------------

    @property
    def observed(self) -> Mapping[ResourceKey, Observation]:
        """The last look at each."""
        return self._observed

    def record(self, seen: Observation) -> None:
        """It is the last look from now on."""
        if isinstance(seen.value, NetworkState) and seen.value.usage is not None:
            # It is out of date with the first address that is taken, and the IPAM has the last word.
            seen = msgspec.structs.replace(seen, value=msgspec.structs.replace(seen.value, usage=None))
        believed = seen
        if isinstance(seen.value, PoolState) and seen.value.pool is not None:
            # So is this; who holds a number of it is looked at by itself.
            pool = msgspec.structs.replace(seen.value.pool, held=0)
            believed = msgspec.structs.replace(seen, value=PoolState(pool))
        with self.gate:
            before = self._observed.get(seen.key)
            if before is None or (before.value, before.error) != (believed.value, believed.error):
                self._changed.add(seen.key)
            self._observed[seen.key] = believed
            self._unsaved[seen.key] = seen

    def drain_changed(self) -> set[ResourceKey]:
        """The keys of which something else is remembered, under way or seen than at the last call; to see the same
        again is no change. For one caller, who holds the gate."""
        changed, self._changed = self._changed, set()
        return changed

    def copy(self) -> tuple[dict[ResourceKey, Observation], Facts]:
        """What is seen and what is remembered as of now, which change no more."""
        with self.gate:
            return dict(self._observed), Facts(dict(self._facts), dict(self._flights))

    def set_aside(self, seen: Observation, why: str) -> None:
        """Go by the resource as unknown until the next look: what was seen of it makes no sense to the rules."""
        self.record(Observation(seen.key, seen.taken_at, error=ReadError(INTERNAL, why)))

    def flush(self) -> None:
        """Save what was seen since the last time; a batch, as losing it costs no more than another look."""
        with self.gate:
            batch, self._unsaved = self._unsaved, {}
        if batch:
            self._ledger.put_observations(batch.values())

    def compare(self, resource: Resource[Any], seen: Observation) -> tuple[Field, ...]:
        """What is declared of one beside what was seen of it."""
        rules = KINDS[resource.key.kind].rules
        look = KindView(resource.key, seen.value, self.of(resource.key), self._observed, self.desired, self._facts)
        return rules.fields(resource, look) if rules else ()

    def keys(self) -> set[ResourceKey]:
        """Whatever is declared or remembered."""
        with self.gate:
            return {*self._facts, *(self.desired.resources if self.desired is not None else ())}


def _lately_down(facts: ResourceFacts, now: datetime) -> bool:
    at = facts.taken_down_at
    return facts.disrupted_at is not None or (at is not None and now - at < LONGEST_PACING)

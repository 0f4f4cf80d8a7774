"""What the engine hands to the ledger, as values. Those that are handed over together are on disk together, or not at
all."""

from __future__ import annotations

import msgspec

from reconciler.model.actions.in_flight import InFlight
from reconciler.model.event import Event
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import ResourceKey


class PutFacts(msgspec.Struct, frozen=True):
    """What is remembered of each from now on. None: nothing, and the last observation goes with it."""

    facts: dict[ResourceKey, ResourceFacts | None]

    @property
    def keys(self) -> frozenset[ResourceKey]:
        """The resources that it is about."""
        return frozenset(self.facts)


class BeginAction(msgspec.Struct, frozen=True):
    """This action is about to be sent, by the instance of this epoch."""

    flight: InFlight
    facts: ResourceFacts
    event: Event
    epoch: int

    @property
    def keys(self) -> frozenset[ResourceKey]:
        """The resource that it is about."""
        return frozenset((self.flight.key,))


class NoteAction(msgspec.Struct, frozen=True):
    """The current state of an action in flight, and an event about it. Nothing, when it is in flight no more."""

    flight: InFlight
    event: Event | None

    @property
    def keys(self) -> frozenset[ResourceKey]:
        """The resource that it is about."""
        return frozenset((self.flight.key,))


class EndAction(msgspec.Struct, frozen=True):
    """This action is in flight no more."""

    flight: InFlight
    facts: ResourceFacts
    event: Event

    @property
    def keys(self) -> frozenset[ResourceKey]:
        """The resource that it is about."""
        return frozenset((self.flight.key,))


class AppendEvents(msgspec.Struct, frozen=True):
    """These events happened, in this order."""

    events: tuple[Event, ...]

    @property
    def keys(self) -> frozenset[ResourceKey]:
        """Nothing follows from an event."""
        return frozenset()


LedgerWrite = PutFacts | BeginAction | NoteAction | EndAction | AppendEvents

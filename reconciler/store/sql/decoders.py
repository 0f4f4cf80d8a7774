"""Decoders of what the store keeps, made while the module is loaded, by one thread.

Where several threads make the first decoder of a type at the same time, the process crashes. (msgspec 0.22 reads the
type without a lock.) Once there is one, or any of a type that contains it, others are made safely."""

from __future__ import annotations

import msgspec

from reconciler.kinds import KINDS
from reconciler.kinds.common.machine_inventory import Kept
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.event import Event
from reconciler.model.facts import ResourceFacts
from reconciler.model.observation import ReadError

EVENT = msgspec.json.Decoder(Event)
_FACTS = {name: msgspec.json.Decoder(kind.facts) for name, kind in KINDS.items() if kind.facts is not None}
_FACTS_OF_OTHERS = msgspec.json.Decoder(ResourceFacts)
FLIGHT = msgspec.json.Decoder(InFlight)
KEPT_DECODER = msgspec.json.Decoder(Kept)
READ_ERROR = msgspec.json.Decoder(ReadError)


def facts_decoder(kind: str) -> msgspec.json.Decoder[ResourceFacts]:
    """How the facts of a kind are read: as its own type, or as what is so of every kind."""
    return _FACTS.get(kind, _FACTS_OF_OTHERS)

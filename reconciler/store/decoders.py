"""Decoders of what the store keeps, made while the module is loaded, by one thread.

Where several threads make the first decoder of a type side by side the process crashes (msgspec 0.22: it looks at the
type without a lock); once there is one, or any of a type that contains it, others are made safely.
"""

from __future__ import annotations

import msgspec

from reconciler.kinds.common.inventory import Kept
from reconciler.model.action import InFlight
from reconciler.model.event import Event
from reconciler.model.facts import ResourceFacts
from reconciler.model.observation import ReadError

EVENT = msgspec.json.Decoder(Event)
FACTS = msgspec.json.Decoder(ResourceFacts)
FLIGHT = msgspec.json.Decoder(InFlight)
KEPT_DECODER = msgspec.json.Decoder(Kept)
READ_ERROR = msgspec.json.Decoder(ReadError)

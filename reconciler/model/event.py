"""The audit ledger's record, which logs, metrics and the event bus carry too."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from reconciler.model.resource import ResourceKey


class EventType(StrEnum):
    """Kubernetes' two types."""

    NORMAL = "Normal"
    WARNING = "Warning"


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened. `key` None: to the fleet as a whole. `reason` is CamelCase and stable.

    `message` is for people; it holds no secret, being made from references and observations. `by` is who acted.
    `count`: how often it happened from `at` to `last`, where the ledger keeps the repeats of one story as one event.
    """

    at: datetime
    type: EventType
    reason: str
    message: str
    key: ResourceKey | None = None
    revision: str | None = None
    action_id: str | None = None
    by: str | None = None
    count: int = 1
    last: datetime | None = None

    @property
    def latest(self) -> datetime:
        """When it happened last."""
        return self.at if self.last is None else max(self.at, self.last)

    @property
    def times(self) -> str:
        """How often and until when, in words; empty for once."""
        return f" ({self.count} times, last at {self.last:%Y-%m-%d %H:%M:%S}Z)" if self.last is not None else ""


def repeated(event: Event, count: int | None, last: datetime | None) -> Event:
    """The event with its repeats, if there were any."""
    return event if count is None else msgspec.structs.replace(event, count=count, last=last)

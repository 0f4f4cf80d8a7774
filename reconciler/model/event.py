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
    """

    at: datetime
    type: EventType
    reason: str
    message: str
    key: ResourceKey | None = None
    revision: str | None = None
    action_id: str | None = None
    by: str | None = None

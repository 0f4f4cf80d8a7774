"""How a pass over one resource ended, and the conditions that people read."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec


class Done(msgspec.Struct, frozen=True):
    """Nothing is left to do."""


class Waiting(msgspec.Struct, frozen=True):
    """Come back after `retry_after` seconds. `reason` is CamelCase."""

    reason: str
    message: str
    retry_after: float


class Failed(msgspec.Struct, frozen=True):
    """It did not work. `terminal`: not tried again until the revision or the observation changes."""

    reason: str
    message: str
    terminal: bool
    retry_after: float


Outcome = Done | Waiting | Failed


class Status(StrEnum):
    """A condition's status."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(msgspec.Struct, frozen=True):
    """One observation about a resource: Ready, Reconciling, Stalled (kstatus), or a kind's own."""

    type: str
    status: Status
    reason: str
    message: str
    since: datetime | None = None

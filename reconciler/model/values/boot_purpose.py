"""What a machine is started into the agent for, and what keeps it from going on: the words of its actions."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec


class Purpose(StrEnum):
    """What a machine is started from the network for."""

    INSPECT = "inspect"
    INSTALL = "install"
    WIPE = "wipe"


class LifecycleFailure(msgspec.Struct, frozen=True):
    """What keeps a machine's lifecycle from going on."""

    reason: str
    """A reason of the list of events."""
    message: str
    """What happened, in words."""
    at: datetime
    """When it was noticed."""
    final: bool = False
    """It is not tried again until a person asks for another try."""

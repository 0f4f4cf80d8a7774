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


class LifecycleFailureReason(StrEnum):
    """Why a machine's lifecycle does not go on. An event of the same name is recorded, and a condition shown."""

    BOOT_REQUEST_FAILED = "BootRequestFailed"
    """The BMC refused the CD image or the boot override, or the reply was lost. groundstate tries a boot request
    three times, then the machine is in Error."""
    AGENT_MISSING = "AgentMissing"
    """No agent registered in time."""
    AGENT_SILENT = "AgentSilent"
    """A working agent sent no report for three minutes."""
    AGENT_GONE = "AgentGone"
    """The machine of a working agent was observed to be off."""
    AGENT_TIMED_OUT = "AgentTimedOut"
    """A working agent did not finish in time."""
    AGENT_FAILED = "AgentFailed"
    """The agent cannot continue. The message says why."""
    CRASH_LOOP = "CrashLoop"
    """The installed system was started three times within 15 minutes and has not phoned home."""
    FAILED_RECLAIM = "FailedReclaim"
    """The old system of a machine that is being released phoned home."""

    @classmethod
    def _missing_(cls, _value: object) -> LifecycleFailureReason:
        """What another version recorded."""
        return cls.BOOT_REQUEST_FAILED


class LifecycleFailure(msgspec.Struct, frozen=True):
    """What keeps a machine's lifecycle from going on."""

    reason: LifecycleFailureReason
    """Which failure."""
    message: str
    """What happened, in words."""
    at: datetime
    """When it was noticed."""
    final: bool = False
    """It is not tried again until a person asks for another try."""

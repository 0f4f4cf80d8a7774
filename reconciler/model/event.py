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


class EventReason(StrEnum):
    """What happened. `docs/reference/events.md` says what each means; a failed read has an ErrorReason instead.

    Closed, and in this module alone: whatever counts, filters or decides by events goes by these.
    """

    ACTION_SENT = "ActionSent"
    ACTION_PROGRESSED = "ActionProgressed"
    ACTION_CONFIRMED = "ActionConfirmed"
    ACTION_REFUSED = "ActionRefused"
    ACTION_FAILED = "ActionFailed"
    ACTION_NOT_CONFIRMED = "ActionNotConfirmed"
    ACTION_ABANDONED = "ActionAbandoned"
    ACTION_INTERRUPTED = "ActionInterrupted"
    SHUTDOWN_IGNORED = "ShutdownIgnored"
    BOUND = "Bound"
    UNBOUND = "Unbound"
    PLACED = "Placed"
    CLAIMED = "Claimed"
    RENAMED = "Renamed"
    RELEASING = "Releasing"
    FREED = "Freed"
    RELEASED = "Released"
    IMAGE_PINNED = "ImagePinned"
    FORGOTTEN = "Forgotten"
    ACCESS_CHANGED = "AccessChanged"
    IPAM_IMPORTED = "IpamImported"
    IPAM_REBUILT = "IpamRebuilt"
    RECONCILE_REQUESTED = "ReconcileRequested"
    OVERRIDE_BEGAN = "OverrideBegan"
    OVERRIDE_REVOKED = "OverrideRevoked"
    OVERRIDE_EXPIRED = "OverrideExpired"
    OVERRIDE_IN_FORCE = "OverrideInForce"
    PAUSE_BEGAN = "PauseBegan"
    PAUSE_IN_FORCE = "PauseInForce"
    PAUSE_ENDED = "PauseEnded"
    PAUSE_EXPIRED = "PauseExpired"
    RESTART_REQUESTED = "RestartRequested"
    RESTART_CANCELLED = "RestartCancelled"
    RESTARTED = "Restarted"
    RESTART_FAILED = "RestartFailed"
    BOOT_REQUESTED = "BootRequested"
    SCRIPT_SERVED = "ScriptServed"
    SENT_TO_DISK = "SentToDisk"
    AGENT_REGISTERED = "AgentRegistered"
    IMAGE_WRITTEN = "ImageWritten"
    DISKS_WIPED = "DisksWiped"
    BOOT_REQUEST_ENDED = "BootRequestEnded"
    PHONED_HOME = "PhonedHome"
    BOOT_REQUEST_FAILED = "BootRequestFailed"
    AGENT_MISSING = "AgentMissing"
    AGENT_SILENT = "AgentSilent"
    AGENT_GONE = "AgentGone"
    AGENT_TIMED_OUT = "AgentTimedOut"
    AGENT_FAILED = "AgentFailed"
    CRASH_LOOP = "CrashLoop"
    FAILED_RECLAIM = "FailedReclaim"
    RECOVERED = "Recovered"
    SYSTEM_ACCEPTED = "SystemAccepted"
    UNEXPECTED_FACT = "UnexpectedFact"
    DRIFT_DETECTED = "DriftDetected"
    HELD = "Held"
    GUARD_LOOSENING = "GuardLoosening"
    GUARD_LOOSENED = "GuardLoosened"
    INVENTORY_TAKEN = "InventoryTaken"
    INVENTORY_CHANGED = "InventoryChanged"
    INVENTORY_UNREADABLE = "InventoryUnreadable"
    INVENTORY_ACCEPTED = "InventoryAccepted"
    READABLE_AGAIN = "ReadableAgain"
    MACHINE_FOUND = "MachineFound"
    MACHINES_PROPOSED = "MachinesProposed"
    PROPOSAL_FAILED = "ProposalFailed"
    BMC_NOT_READ = "BmcNotRead"
    BMC_NOT_FOUND = "BmcNotFound"
    NETWORK_TOO_LARGE = "NetworkTooLarge"
    HOUSEKEEPING_FAILED = "HousekeepingFailed"
    REVISION_APPLIED = "RevisionApplied"
    REVISION_REFUSED = "RevisionRefused"
    REVISION_UNREADABLE = "RevisionUnreadable"
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    SOURCE_SLOW = "SourceSlow"
    SOURCE_AVAILABLE = "SourceAvailable"
    WATCH_UNAVAILABLE = "WatchUnavailable"
    NOT_DESCENDANT = "NotDescendant"
    DESCENT_UNKNOWN = "DescentUnknown"
    REWIND_ALLOWED = "RewindAllowed"
    REVISION_REWOUND = "RevisionRewound"
    BOOT_ADDRESS_REFUSED = "BootAddressRefused"
    BOOT_MACHINE_DOUBTFUL = "BootMachineDoubtful"
    TOKEN_REFUSED = "TokenRefused"  # noqa: S105  a reason
    AGENT_OF_ANOTHER_MACHINE = "AgentOfAnotherMachine"
    BOOT_SERVICE_FAILED = "BootServiceFailed"
    BOOT_REQUEST_NOT_CURRENT = "BootRequestNotCurrent"


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened. `key` None: to the fleet as a whole. `reason`: an EventReason or an ErrorReason;
    a ledger may hold those of other versions.

    `message` is for people; it holds no secret, being made from references and observations. `by` is who acted.
    `about`: what of the resource it is about, such as an action and its field, or what was found. Events of one reason
    that are equal in it repeat each other, whatever their messages say.
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
    about: tuple[str, ...] = ()
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


def repeated(event: Event, count: int | None, last: datetime | None, message: str | None = None) -> Event:
    """The event with its repeats, if there were any, in the words of the last one."""
    if count is None:
        return event
    return msgspec.structs.replace(event, count=count, last=last, message=message or event.message)

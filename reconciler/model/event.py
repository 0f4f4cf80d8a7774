"""The audit ledger's record, which logs, metrics and the event bus carry too."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from drivers.base import ErrorReason
from reconciler.model.resource import ResourceKey
from reconciler.model.values.boot_purpose import LifecycleFailureReason


class EventType(StrEnum):
    """Kubernetes' two types."""

    NORMAL = "Normal"
    WARNING = "Warning"


class EventReason(StrEnum):
    """What happened. `docs/reference/events.md` says what each means. Of a failed read, it is the error's reason.

    Closed, and in this module alone: code that counts, filters or decides by events uses these.
    """

    UNREACHABLE = ErrorReason.UNREACHABLE.value
    UNREADABLE = ErrorReason.UNREADABLE.value
    BUSY = ErrorReason.BUSY.value
    AUTHENTICATION_FAILED = ErrorReason.AUTHENTICATION_FAILED.value
    SECRET_UNAVAILABLE = ErrorReason.SECRET_UNAVAILABLE.value
    REJECTED = ErrorReason.REJECTED.value
    UNSUPPORTED = ErrorReason.UNSUPPORTED.value
    EXHAUSTED = ErrorReason.EXHAUSTED.value
    CONFLICT = ErrorReason.CONFLICT.value
    FAILED = ErrorReason.FAILED.value
    NO_WORKER = ErrorReason.NO_WORKER.value
    INTERNAL = ErrorReason.INTERNAL.value
    WORKER_AVAILABLE = "WorkerAvailable"
    """Normal. Of a Partition with daemons of its own: one of them is at work again, after `NoWorker`."""
    UNKNOWN = "Unknown"
    """Normal, Warning. Another version of groundstate recorded the event, with a reason that this version does not
    have. The message says what happened."""
    ACTION_SENT = "ActionSent"
    """Normal. The action and its cause were recorded. The action is sent right after that."""
    ACTION_PROGRESSED = "ActionProgressed"
    """Normal. The BMC carries the action out by a Redfish Task. The message has the state of the Task and its
    percentage, or that the BMC no longer has the Task."""
    ACTION_CONFIRMED = "ActionConfirmed"
    """Normal. An observation shows that the action took effect."""
    ACTION_REFUSED = "ActionRefused"
    """Warning. The BMC, the IPAM or the connection to it refused the action. Nothing was done."""
    ACTION_FAILED = "ActionFailed"
    """Warning. The BMC accepted the action, and its Task reports that the action failed. The message has the words of
    the BMC. No observation shows the effect."""
    ACTION_NOT_CONFIRMED = "ActionNotConfirmed"
    """Warning. The deadline passed, and no observation shows the effect. The message says whether the action was
    accepted."""
    ACTION_ABANDONED = "ActionAbandoned"
    """Warning. The deadline passed, and the machine is not declared any more, or has another BMC or system. The
    effect was not observed."""
    ACTION_INTERRUPTED = "ActionInterrupted"
    """Warning. The driver failed in an unexpected way while it sent the action, or read its Task. The action may have
    been carried out, so it stays in flight, and the resource is observed before anything is sent again. The message
    has the error and the line of the driver. Report the error to the author of the driver."""
    SHUTDOWN_IGNORED = "ShutdownIgnored"
    """Warning. A graceful shutdown was sent, and the machine is still on after `spec.shutdown.timeoutSeconds`. The
    message says whether the BMC accepted the shutdown. `spec.shutdown.escalate` decides what follows."""
    BOUND = "Bound"
    """Normal. The project of a machine was recorded. Nothing was sent."""
    UNBOUND = "Unbound"
    """Normal. The project of a machine was cleared. Nothing was sent."""
    PLACED = "Placed"
    """Normal. Of a MachineClaim: these machines are bound to it. Nothing was sent."""
    CLAIMED = "Claimed"
    """Normal. Of a Machine: the machine is bound to a MachineClaim, in this slot. Nothing was sent."""
    RENAMED = "Renamed"
    """Normal. A claim or an event sink has a new name (`spec.renamedFrom`). The machines of a claim stay, and nothing
    is wiped. A sink keeps its place in the ledger."""
    RELEASING = "Releasing"
    """Normal. A MachineClaim releases machines. Each is stopped and wiped, and is free after that."""
    FREED = "Freed"
    """Normal. The machine is off, wiped and unclaimed."""
    RELEASED = "Released"
    """Normal. Of a MachineClaim: a released machine is free."""
    IMAGE_PINNED = "ImagePinned"
    """Normal. The image of a machine was chosen and recorded. Nothing was sent."""
    FORGOTTEN = "Forgotten"
    """Normal. The facts of a resource that git no longer declares were deleted. Nothing was sent for this."""
    ACCESS_CHANGED = "AccessChanged"
    """Warning. A new revision changes the access of a machine: its BMC's address, driver, credential or trust. The
    message has the old and the new access. No login was sent there yet."""
    IPAM_IMPORTED = "IpamImported"
    """Normal. A person imported a copy into the IPAM (`groundstate ipam`)."""
    IPAM_REBUILT = "IpamRebuilt"
    """Normal. A person had the free blocks of the IPAM computed again (`groundstate ipam`)."""
    RECONCILE_REQUESTED = "ReconcileRequested"
    """Normal. A person asked the daemon to observe and reconcile a resource now (`groundstate reconcile`)."""
    OVERRIDE_BEGAN = "OverrideBegan"
    """Warning. A person overrides a guard. The message says which guard, for which resources, until when and why."""
    OVERRIDE_REVOKED = "OverrideRevoked"
    """Normal. A person ended an override."""
    OVERRIDE_EXPIRED = "OverrideExpired"
    """Normal. An override ended because its time was over."""
    OVERRIDE_IN_FORCE = "OverrideInForce"
    """Warning. Only in the log of the daemon: an override is in force from now on."""
    PAUSE_BEGAN = "PauseBegan"
    """Warning. A person paused resources. The message says which, until when and why."""
    PAUSE_IN_FORCE = "PauseInForce"
    """Warning. Only in the log of the daemon: a pause is in force from now on."""
    PAUSE_ENDED = "PauseEnded"
    """Normal. A person ended a pause (`groundstate resume`)."""
    PAUSE_EXPIRED = "PauseExpired"
    """Normal. A pause ended because its time was over."""
    HOST_DRAINED = "HostDrained"
    """Warning. A person drained a host (`groundstate drain`): its daemons leave the work to those of other hosts. The
    message says why."""
    HOST_UNCORDONED = "HostUncordoned"
    """Normal. A person ended the drain of a host (`groundstate uncordon`)."""
    RESTART_REQUESTED = "RestartRequested"
    """Warning. A person asked for a restart of the machine (`groundstate restart`). The actions of the restart have
    its id."""
    RESTART_CANCELLED = "RestartCancelled"
    """Normal. A person cancelled the restart (`groundstate restart --cancel`) before its power-off was sent."""
    RESTARTED = "Restarted"
    """Normal. The restart has ended: the machine was observed off, and is on again."""
    RESTART_FAILED = "RestartFailed"
    """Warning. The restart was cancelled, or its result is unknown. Nothing is sent again. The message says why."""
    BOOT_REQUESTED = "BootRequested"
    """Normal. A boot request was recorded: the machine is to start the agent once, for this purpose."""
    SCRIPT_SERVED = "ScriptServed"
    """Normal. The boot program of the machine asked for its script, and was sent to the agent."""
    SENT_TO_DISK = "SentToDisk"
    """Normal. The boot program asked for its script without a boot request, and was sent to the disk."""
    AGENT_REGISTERED = "AgentRegistered"
    """Normal. The agent is up and has proved on which machine it runs."""
    IMAGE_WRITTEN = "ImageWritten"
    """Normal. The image is on the disk. The message has the checksum that was read back."""
    DISKS_WIPED = "DisksWiped"
    """Normal. The disks are empty. The message is the proof."""
    BOOT_REQUEST_ENDED = "BootRequestEnded"
    """Normal. The agent has finished and the machine is off, or the boot request was cancelled. The message says
    why."""
    PHONED_HOME = "PhonedHome"
    """Normal. The installed system reported that it is up."""
    BOOT_REQUEST_FAILED = LifecycleFailureReason.BOOT_REQUEST_FAILED.value
    """Warning. The BMC refused the CD image or the boot override, or the reply was lost. groundstate tries a boot
    request three times, then the machine is in Error."""
    AGENT_MISSING = LifecycleFailureReason.AGENT_MISSING.value
    """Warning. No agent registered in time."""
    AGENT_SILENT = LifecycleFailureReason.AGENT_SILENT.value
    """Warning. A working agent sent no report for three minutes."""
    AGENT_GONE = LifecycleFailureReason.AGENT_GONE.value
    """Warning. The machine of a working agent was observed to be off."""
    AGENT_TIMED_OUT = LifecycleFailureReason.AGENT_TIMED_OUT.value
    """Warning. A working agent did not finish in time."""
    AGENT_FAILED = LifecycleFailureReason.AGENT_FAILED.value
    """Warning. The agent cannot continue. The message says why."""
    CRASH_LOOP = LifecycleFailureReason.CRASH_LOOP.value
    """Warning. The installed system was started three times within 15 minutes and has not phoned home."""
    FAILED_RECLAIM = LifecycleFailureReason.FAILED_RECLAIM.value
    """Warning. The old system of a machine that is being released phoned home."""
    RECOVERED = "Recovered"
    """Normal. A failure ended without an action. Example: in a crash loop, the system was not started again for 15
    minutes."""
    SYSTEM_ACCEPTED = "SystemAccepted"
    """Warning. The BMC reports another UUID or serial number, and groundstate now records this system for the machine.
    The document or an override accepted the system, or the address is the same and no other machine has the system. If
    no part was replaced, check `spec.bmc`."""
    UNEXPECTED_FACT = "UnexpectedFact"
    """Warning. A report came that was not expected in this phase. The report changed nothing."""
    DRIFT_DETECTED = "DriftDetected"
    """Warning. A field was as declared, and differs now. The document did not change."""
    HELD = "Held"
    """Warning. A guard holds the change. Recorded again only when the hold changes."""
    GUARD_LOOSENING = "GuardLoosening"
    """Warning. A commit loosens or removes a guard. The former spec stays in force beside the new one for an hour."""
    GUARD_LOOSENED = "GuardLoosened"
    """Normal. The former spec of a guard is not in force any more."""
    INVENTORY_TAKEN = "InventoryTaken"
    """Normal. The first inventory of a machine, from its BMC or from the agent."""
    INVENTORY_CHANGED = "InventoryChanged"
    """Normal, Warning. Parts of a machine are new, changed or missing. A Warning if a part is missing or smaller."""
    INVENTORY_UNREADABLE = "InventoryUnreadable"
    """Warning. The inventory of a machine could not be read. Recorded once for each new reason."""
    INVENTORY_ACCEPTED = "InventoryAccepted"
    """Normal. A person accepted the present inventory (`groundstate inventory --accept`)."""
    READABLE_AGAIN = "ReadableAgain"
    """Normal. A resource that could not be read can be read again."""
    MACHINE_FOUND = "MachineFound"
    """Warning. An undeclared machine reached the boot service. The message has what it reports."""
    MACHINES_PROPOSED = "MachinesProposed"
    """Normal. The branch of found machines was pushed. The message says what was added, and what was left out because
    it is declared now."""
    PROPOSAL_FAILED = "ProposalFailed"
    """Warning. The remote did not answer or refused the push, or groundstate has a defect. groundstate tries again.
    Recorded once for each new reason."""
    BMC_NOT_READ = "BmcNotRead"
    """Warning. A BMC was found and not read, because of its certificate, its login, or a missing declaration in its
    Partition. Recorded once."""
    BMC_NOT_FOUND = "BmcNotFound"
    """Warning. No BMC was found for an undeclared machine, so no document can be proposed. Recorded once."""
    NETWORK_TOO_LARGE = "NetworkTooLarge"
    """Warning. These bmcNetworks have more addresses than one search may ask (65,536 in all). Recorded once."""
    HOUSEKEEPING_FAILED = "HousekeepingFailed"
    """Warning. A part of the daemon that works beside the reconciles failed in an unexpected way, such as the search
    for leaks. The message names the part. groundstate tries the part again every few seconds; report the bug."""
    REVISION_APPLIED = "RevisionApplied"
    """Normal. A revision is in force now. The message says how many resources are affected."""
    REVISION_REFUSED = "RevisionRefused"
    """Warning. The newest revision has errors; the message names the first 20. The revision in force stays."""
    REVISION_UNREADABLE = "RevisionUnreadable"
    """Warning. The newest revision could not be read because of a defect of groundstate. The revision in force
    stays."""
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    """Warning. The repository cannot be read. The revision in force stays. Recorded once for each new reason."""
    SOURCE_SLOW = "SourceSlow"
    """Warning. Reading the repository takes long: 3 s at the start, or 90 s later. After a slow start the last sound
    revision is in force meanwhile."""
    SOURCE_AVAILABLE = "SourceAvailable"
    """Normal. The repository can be read again."""
    WATCH_UNAVAILABLE = "WatchUnavailable"
    """Warning. The system offers no file watch (limits of inotify). The daemon reads the repository at each
    interval."""
    NOT_DESCENDANT = "NotDescendant"
    """Warning. The newest revision does not follow the revision in force: a forced push reset the branch. The revision
    in force stays until `groundstate rewind` allows the newest revision."""
    DESCENT_UNKNOWN = "DescentUnknown"
    """Warning. A shallow clone is too short to show whether the newest revision follows the former revision in force.
    The newest revision is in force now."""
    REWIND_ALLOWED = "RewindAllowed"
    """Warning. A person allowed a revision that does not follow the revision in force (`groundstate rewind`)."""
    REVISION_REWOUND = "RevisionRewound"
    """Warning. A revision is in force that does not follow the previous revision. The message says why this was
    allowed."""
    BOOT_ADDRESS_REFUSED = "BootAddressRefused"
    """Warning. A machine asked for its script, or showed its token, from outside of its Partition's
    `spec.boot.networks`. The request was refused."""
    BOOT_MACHINE_DOUBTFUL = "BootMachineDoubtful"
    """Warning. A machine with a known MAC address, but with another UUID than its BMC reports, asked for a script. It
    was sent to its disk. Compare the UUIDs, and write the MAC addresses into `spec.macs`."""
    TOKEN_REFUSED = "TokenRefused"  # noqa: S105  a reason
    """Warning. A request was refused: its token is unknown, used, replaced, expired, or valid only for another kind of
    request."""
    AGENT_OF_ANOTHER_MACHINE = "AgentOfAnotherMachine"
    """Warning. The token of one machine was shown by a machine with another UUID or other MAC addresses."""
    BOOT_SERVICE_FAILED = "BootServiceFailed"
    """Warning. The boot service failed in an unexpected way at a request. The machine got the answer 503, and asks
    again. Report the bug."""
    BOOT_REQUEST_NOT_CURRENT = "BootRequestNotCurrent"
    """Warning. An agent or a system reported for a boot request that is not current any more."""
    SINK_FAILED = "SinkFailed"
    """Warning. An event sink took no events: it did not answer, or refused. groundstate tries again. Recorded once
    until the sink takes events again, at most once an hour, and never sent to that sink."""
    SINK_RECOVERED = "SinkRecovered"
    """Normal. The event sink takes events again after a SinkFailed, or has caught up after a SinkBehind. Never sent to
    that sink."""
    SINK_BEHIND = "SinkBehind"
    """Warning. An event has waited for an event sink for 72 hours, because the sink fails, is slow or is suspended.
    Nothing is skipped: the events are kept until the sink takes them, or its document is removed. Recorded once until
    the sink has caught up, and never sent to that sink."""
    SINK_REMOVED = "SinkRemoved"
    """Normal, Warning. The document of an event sink was removed. A Warning if events waited for the sink: the message
    says how many, and since when. groundstate does not send them any more."""
    SINK_REPLAYED = "SinkReplayed"
    """Normal. A person asked for events to be sent to an event sink once more (`groundstate sink replay`)."""
    TEST = "Test"
    """Normal. Only sent to an event sink, and not recorded: `groundstate sink test`."""

    CONSOLE_OPENED = "ConsoleOpened"
    """Normal. A person connected to the console of a machine. The message has the key and the address."""
    CONSOLE_CLOSED = "ConsoleClosed"
    """Normal. The session of a person on a console ended. The message says why."""
    CONSOLE_WRITER = "ConsoleWriter"
    """Normal. A person types on a console in place of another one."""
    CONSOLE_BREAK = "ConsoleBreak"
    """Normal. A person sent a break to a machine."""
    CONSOLE_REFUSED = "ConsoleRefused"
    """Warning. A login to a console was refused: its key may not use this console, or there is no such console. Or
    connections were cut before a login, because there were too many."""
    CONSOLE_NOT_RECORDED = "ConsoleNotRecorded"
    """Warning. A console cannot be recorded, for example because the disk is full. The daemon tries again every minute.
    Recorded once until the console is recorded again."""
    CONSOLE_LINE_OPEN = "ConsoleLineOpen"
    """Normal. The serial line of a machine is open."""
    CONSOLE_LINE_LOST = "ConsoleLineLost"
    """Warning. The serial line of a machine was lost, or could not be opened. The daemon tries again. Recorded once
    until the line is open again."""

    @classmethod
    def _missing_(cls, _value: object) -> EventReason:
        """What another version wrote into the ledger; the message says what it was."""
        return cls.UNKNOWN


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened. `key` None: to the fleet as a whole.

    `message` is for people; it holds no secret, being made from references and observations. `by` is who acted.
    `about`: what of the resource it is about, such as an action and its field, or what was found. Events of one reason
    that are equal in it repeat each other, whatever their messages say.
    `count`: how often it happened from `at` to `last`, where the ledger keeps the repeats of one story as one event.
    """

    at: datetime
    """When it happened."""
    type: EventType
    """Normal or Warning."""
    reason: EventReason
    """What happened."""
    message: str
    """What happened, for people. It holds no secret."""
    key: ResourceKey | None = None
    """The resource; None: it happened to the fleet as a whole."""
    revision: str | None = None
    """The revision in force."""
    action_id: str | None = None
    """The action that it is about."""
    by: str | None = None
    """Who acted."""
    about: tuple[str, ...] = ()
    """What of the resource it is about. Events of one reason that are equal in it repeat each other."""
    count: int = 1
    """How often it happened from `at` to `last`."""
    last: datetime | None = None
    """When it happened last, where it happened several times."""
    project: str | None = None
    """The Project that the resource belonged to when it happened. An event that says that a resource leaves a Project
    belongs to that Project."""
    labels: Mapping[str, str] | None = None
    """The labels that the resource had when it happened, with the derived ones. None: the resource was not declared, or
    an older groundstate recorded the event."""

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

"""How a reconcile of one resource ended, and the conditions that people read."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from drivers.base import ErrorReason
from reconciler.model.values.boot_purpose import LifecycleFailureReason


class OutcomeReason(StrEnum):
    """Why a reconcile ended before the resource is as declared, where no driver's error is the reason.

    Closed: decisions use these, and never the text of a message.
    """

    HELD = "Held"
    """A guard holds the change; people may lift it."""
    PAUSED = "Paused"
    """The document holds the change: suspend, maintenance, or observe."""
    BLOCKED = "Blocked"
    """The change waits for another resource, or for the pace of writes to one BMC."""
    STALLED = "Stalled"
    """The change failed and is not tried again until the declared or the observed value changes."""
    CHANGING = "Changing"
    """The resource differs, and changes on its own, such as a machine that powers off. Nothing is sent meanwhile."""
    CONFIRMING = "Confirming"
    """An action was sent, and no observation has confirmed it yet."""
    TASK_FAILED = "TaskFailed"
    """The other side accepted an action, and its Task reports that the action failed."""
    NOT_CONFIRMED = "NotConfirmed"
    """The deadline of an action passed, and no observation shows its effect."""
    RECORDED = "Recorded"
    """The action was a record in the store, and nothing was sent. The next action may follow at once."""
    IN_TURN = "InTurn"
    """Another resource gets its address, prefix or number first. Then this resource is reconciled at once."""
    ENDPOINT_BUSY = "EndpointBusy"
    """The same endpoint, such as a BMC, has an action for another resource in flight."""
    STALE = "Stale"
    """The change differs from the one that a person approved, so it is not carried out."""
    OBSERVED_EARLIER = "ObservedEarlier"
    """The observation was made for the plan, and the action needs a newer one."""
    NEW_REVISION = "NewRevision"
    """A new revision took force during the observation."""
    NO_DESIRED_STATE = "NoDesiredState"
    """No revision is in force yet."""


Reason = OutcomeReason | ErrorReason


class Done(msgspec.Struct, frozen=True):
    """Nothing is left to do."""


class Waiting(msgspec.Struct, frozen=True):
    """Come back after `retry_after` seconds."""

    reason: Reason
    message: str
    retry_after: float


class Failed(msgspec.Struct, frozen=True):
    """It did not work. `terminal`: not tried again until the revision or the observation changes."""

    reason: Reason
    message: str
    terminal: bool
    retry_after: float


Outcome = Done | Waiting | Failed


class Status(StrEnum):
    """A condition's status."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class ActionFailure(StrEnum):
    """Why an action failed: the reason of a driver's error, or what became of an action that was accepted."""

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
    TASK_FAILED = "TaskFailed"
    """The other side accepted an action, and its Task reports that the action failed."""
    NOT_CONFIRMED = "NotConfirmed"
    """The deadline of an action passed, and no observation shows its effect."""

    @classmethod
    def _missing_(cls, _value: object) -> ActionFailure:
        """What another version wrote."""
        return cls.NOT_CONFIRMED


class ConditionType(StrEnum):
    """What a condition is about. Ready, Reconciling and Stalled are those of kstatus."""

    READY = "Ready"
    """Every resource has this condition. True: the resource is as declared. Unknown: the resource could not be read,
    or does not report a declared value."""
    RECONCILING = "Reconciling"
    """Shown while it is True: an action is under way, or follows without a person. Ready is False."""
    STALLED = "Stalled"
    """Shown while it is True: nothing is tried until a person acts. Ready is False, or Unknown."""
    SUSPENDED = "Suspended"
    """Shown while it is True: `spec.suspend` is set."""
    MAINTENANCE = "Maintenance"
    """Shown while it is True: `spec.maintenance` is set."""
    BOOT_OVERRIDE = "BootOverride"
    """Shown while it is False: the boot override of the BMC differs from `spec.boot`."""
    INVENTORY_READ = "InventoryRead"
    """Shown while it is False: the latest inventory could not be read. The previous inventory is kept."""
    INVENTORY_COMPLETE = "InventoryComplete"
    """Shown while it is False: a part of the machine is missing. The condition ends when the part is back, or with
    `groundstate inventory --accept`."""
    SIZE_AS_DECLARED = "SizeAsDeclared"
    """Shown while it is False: the inventory does not fit `spec.size`."""
    CABLED = "Cabled"
    """Of a machine with declared switch ports, and of a switch with machines. True: at each port, the switch or the
    machine reports the declared other end. False: one of the two reports another end. Unknown: neither reports one."""
    VLAN_FREE = "VlanFree"
    """Of a switch. Shown while it is False: the switch uses all VLANs of `spec.localVlans`, so no further VRF can come
    to it."""
    BOOT_REQUEST_FAILED = LifecycleFailureReason.BOOT_REQUEST_FAILED.value
    AGENT_MISSING = LifecycleFailureReason.AGENT_MISSING.value
    AGENT_SILENT = LifecycleFailureReason.AGENT_SILENT.value
    AGENT_GONE = LifecycleFailureReason.AGENT_GONE.value
    AGENT_TIMED_OUT = LifecycleFailureReason.AGENT_TIMED_OUT.value
    AGENT_FAILED = LifecycleFailureReason.AGENT_FAILED.value
    CRASH_LOOP = LifecycleFailureReason.CRASH_LOOP.value
    FAILED_RECLAIM = LifecycleFailureReason.FAILED_RECLAIM.value


class ConditionReason(StrEnum):
    """Why a condition has its status: one of these, the reason of an error, or that of a failed action. Closed: status
    words follow from these."""

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
    TASK_FAILED = ActionFailure.TASK_FAILED.value
    NOT_CONFIRMED = ActionFailure.NOT_CONFIRMED.value
    NOT_OBSERVED = "NotObserved"
    """The resource was not observed yet. Ready is Unknown."""
    SUSPENDED = "Suspended"
    """The resource differs, and `spec.suspend` holds the change. Ready is False."""
    MAINTENANCE = "Maintenance"
    """The resource differs, and `spec.maintenance` holds the change. Ready is False."""
    HELD = "Held"
    """A guard holds the change. Ready is False."""
    FORGOTTEN = "Forgotten"
    """The resource is no longer declared. If a hold or a failure keeps the resource, the reason is that hold or
    failure. Ready is False."""
    OBSERVED = "Observed"
    """The resource differs, and `lifecycle.mode` is Observe: nothing is sent. Ready is False."""
    ACCEPTED = "Accepted"
    """The document is valid. Resources of this kind are not reconciled. Ready is True."""
    RECONCILED = "Reconciled"
    """The resource is as declared. Ready is True."""
    CONFIRMING = "Confirming"
    """An action is in flight. The message has the progress that the BMC reports, where there is any. Ready is False
    and Reconciling is True."""
    RETRYING = "Retrying"
    """The last attempt failed, or the value changed back too often. The message names the time of the next attempt, if
    groundstate waits for it. Ready is False and Reconciling is True."""
    DRIFTED = "Drifted"
    """The resource differs by drift. The message names the next action. Ready is False and Reconciling is True."""
    CHANGED = "Changed"
    """The resource differs because of a commit. The message names the next action. Ready is False and Reconciling is
    True."""
    CHANGING = "Changing"
    """The resource differs, and the BMC is at work on it, such as on a power-off. Ready is False and Reconciling is
    True."""
    DEPENDENCY_NOT_READY = "DependencyNotReady"
    """The change waits for another resource. Ready is False and Reconciling is True."""
    NOT_REPORTED = "NotReported"
    """The BMC was read, and does not report a declared value now, such as the power state. Nothing is sent, and this
    is no drift. Ready is Unknown."""
    DECLARED = "Declared"
    """The document has `spec.suspend` or `spec.maintenance`. Suspended or Maintenance is True."""
    FINAL = "Final"
    """The last attempt of a boot request failed. Nothing is tried again until `lifecycle.request` changes. The
    condition of the failure is True."""
    NOTED = "Noted"
    """A boot request failed, and groundstate tries again. The condition of the failure is True."""
    CABLED_AS_DECLARED = "CabledAsDeclared"
    """LLDP reports the declared cabling. Cabled is True."""
    CABLED_OTHERWISE = "CabledOtherwise"
    """LLDP reports another cabling than the declared one. The message says what each end reports. Cabled is False."""
    NOT_HEARD = "NotHeard"
    """LLDP reports nothing about a declared port. That is no sign of a missing cable. Cabled is Unknown."""
    ONCE_READS_CONTINUOUS = "OnceReadsContinuous"
    """The one-time boot override was sent, and the BMC shows this override as Continuous. The machine may boot from
    that target every time. BootOverride is False."""
    PARTS_LOST = "PartsLost"
    """A part is missing that was there before. InventoryComplete is False."""
    SIZE_DIFFERS = "SizeDiffers"
    """The inventory fits another size than `spec.size`, or none. SizeAsDeclared is False."""


class Condition(msgspec.Struct, frozen=True):
    """One observation about a resource: Ready, Reconciling, Stalled (kstatus), or a kind's own."""

    type: Annotated[ConditionType, Meta(description="The condition, such as Ready.")]
    status: Annotated[Status, Meta(description="Whether the condition holds.")]
    reason: Annotated[ConditionReason, Meta(description="Why, in one word.")]
    message: Annotated[str, Meta(description="What happened, why, and how to proceed.")]
    since: Annotated[datetime | None, Meta(description="Since when the condition has this status.")] = None

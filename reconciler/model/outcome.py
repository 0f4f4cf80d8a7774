"""How a reconcile of one resource ended, and the conditions that people read."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from drivers.base import ErrorReason


class OutcomeReason(StrEnum):
    """Why a reconcile ended before the resource is as declared, where no driver's error is the reason.

    Closed: decisions go by these, and never by the text of a message.
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
    """The resource differs, and no action would help now: the endpoint is changing without an action."""
    CONFIRMING = "Confirming"
    """An action was sent, and no observation has confirmed it yet."""
    TASK_FAILED = "TaskFailed"
    """The other side accepted an action, and its Task reports that the action failed."""
    NOT_CONFIRMED = "NotConfirmed"
    """The deadline of an action passed, and no observation shows its effect."""
    RECORDED = "Recorded"
    """One action is done by writing it down; the next may follow at once."""
    IN_TURN = "InTurn"
    """Another resource is given an address, a prefix or a number first, and wakes this one then."""
    ENDPOINT_BUSY = "EndpointBusy"
    """The same endpoint, such as a BMC, has an action for another resource in flight."""
    STALE = "Stale"
    """The change is not the one that was approved any more."""
    OBSERVED_EARLIER = "ObservedEarlier"
    """The observation is of the plan, and the action wants one of just before."""
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


class ConditionReason(StrEnum):
    """Why a condition has its status, where no error is the reason. Closed: status words go by these."""

    HELD = "Held"
    """A guard holds the change."""
    FORGOTTEN = "Forgotten"
    """git no longer declares it."""
    OBSERVED = "Observed"
    """The document says that it is only observed."""
    ACCEPTED = "Accepted"
    """The document is valid; nothing is reconciled."""
    RECONCILED = "Reconciled"
    """It is as declared."""
    CONFIRMING = "Confirming"
    """An action was sent, and no observation has confirmed it yet."""
    RETRYING = "Retrying"
    """An action failed, or its value changed back too often, and it is tried again."""
    DRIFTED = "Drifted"
    """It was as declared, and is not any more."""
    CHANGED = "Changed"
    """A commit declares another value."""
    CHANGING = "Changing"
    """It differs, and no action would help now."""
    DEPENDENCY_NOT_READY = "DependencyNotReady"
    """It waits for another resource."""
    NOT_REPORTED = "NotReported"
    """It was observed, and a value is not said just now."""
    DECLARED = "Declared"
    """The document says so."""
    FINAL = "Final"
    """It is not tried again until a person asks for it."""
    NOTED = "Noted"
    """It is known, and tried again."""
    ONCE_READS_CONTINUOUS = "OnceReadsContinuous"
    """The BMC shows an override for one boot as one for every boot."""


class Condition(msgspec.Struct, frozen=True):
    """One observation about a resource: Ready, Reconciling, Stalled (kstatus), or a kind's own. `reason`: a
    ConditionReason, or that of an error or a failure."""

    type: Annotated[str, Meta(description="The condition, such as Ready.")]
    status: Annotated[Status, Meta(description="Whether the condition holds.")]
    reason: Annotated[str, Meta(description="Why, in one word; docs/reference/conditions.md lists the reasons.")]
    message: Annotated[str, Meta(description="What happened, why, and how to proceed.")]
    since: Annotated[datetime | None, Meta(description="Since when the condition has this status.")] = None

"""The plan as data. Every renderer reads its JSON form, and a saved plan is that form."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from drivers.base import ErrorReason
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Disruption
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.plans.access import AccessChange
from reconciler.model.plans.override import Override
from reconciler.model.resource import Commit, ResourceKey, Revision, Source

FORMAT_VERSION = "5.1"
"""Major: a reader must change. Minor: something was added."""


class CauseKind(StrEnum):
    """Who moved: git, the fleet, or both. LEAK: neither; an allocation is held for an owner that no longer exists."""

    COMMIT = "commit"
    DRIFT = "drift"
    BOTH = "both"
    LEAK = "leak"


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why something differs. `commit`: the last that touched the document; `since`: when drift was first seen."""

    kind: CauseKind
    """A commit, drift, or both."""
    commit: Commit | None = None
    """The commit, where it is known."""
    since: datetime | None = None
    """Since when it has drifted."""


class Difference(msgspec.Struct, frozen=True):
    """One field, `path` as in the document (`spec.power`): what is observed and what is desired."""

    path: str
    """The field."""
    observed: Any
    """Its observed value."""
    desired: Any
    """Its declared value."""
    cause: CauseKind
    """A commit, drift, or both."""


class HoldKind(StrEnum):
    """GUARD: a limit of the fleet. DECLARED: the document says so. IN_FLIGHT: an action is under way. FAILED: it was
    tried and refused. BLOCKED: it waits for another resource. ADVISORY: a guard that only warns; it stands in
    `Change.advice` and holds nothing."""

    GUARD = "guard"
    DECLARED = "declared"
    IN_FLIGHT = "in-flight"
    FAILED = "failed"
    BLOCKED = "blocked"
    ADVISORY = "advisory"


class Hold(msgspec.Struct, frozen=True, omit_defaults=True):
    """What holds a change back, and the flag or edit that lets it pass.

    `path`: it holds that field alone, whose actions are left out of the change; the rest goes on. None: all of it.
    """

    kind: HoldKind
    """Which sort of hold it is."""
    by: str
    """Which guard, field or resource holds it. Nothing is decided by it but by a `HoldName`, or the name of a guard."""
    reason: str
    """Why."""
    hint: str
    """How to proceed."""
    path: str | None = None
    """The field that it holds alone; None: it holds the whole change."""


class Verb(StrEnum):
    """What a change does to what exists."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    FORGET = "forget"


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One resource that is not as declared, and the actions, in order, that would make it so.

    `source` and `observed_at` are None where nothing is declared, or nothing was observed. `passes`: the guards that
    would hold it, and that an override lifts; `lifted_by`: the ids of these overrides, in the same order.
    `advice`: what Advisory guards would hold.
    """

    key: ResourceKey
    """The resource."""
    verb: Verb
    """What the change does to what exists."""
    cause: Cause
    """Why."""
    differences: tuple[Difference, ...] = ()
    """The fields that are not as declared."""
    actions: tuple[Action, ...] = ()
    """What is done, in order."""
    held_by: tuple[Hold, ...] = ()
    """What holds the change, or a field of it."""
    passes: tuple[str, ...] = ()
    """The guards that would hold it, and that an override lifts."""
    lifted_by: tuple[str, ...] = ()
    """The ids of these overrides, in the same order."""
    advice: tuple[Hold, ...] = ()
    """What Advisory guards would hold."""
    source: Source | None = None
    """Where the resource is declared; None: nowhere."""
    observed_at: datetime | None = None
    """When it was observed; None: it was not."""

    @property
    def disruption(self) -> Disruption:
        """The worst of its actions."""
        found = {action.disruption for action in self.actions}
        for level in (Disruption.DESTRUCTIVE, Disruption.DISRUPTIVE):
            if level in found:
                return level
        return Disruption.NONE

    @property
    def goes(self) -> bool:
        """Whether something would be sent now. A held field's actions are left out already; the rest goes on."""
        return bool(self.actions) and all(hold.path is not None for hold in self.held_by)

    def held(self, kind: HoldKind) -> bool:
        """Whether a hold of this kind is on it."""
        return any(hold.kind is kind for hold in self.held_by)

    @property
    def lifted(self) -> str:
        """`disruption-budget (override 3f2a91)`: the guards that it passes, in words; empty where there is none."""
        pairs = zip(self.passes, self.lifted_by, strict=True)
        return ", ".join(f"{guard} (override {name})" for guard, name in pairs)

    @property
    def fingerprint(self) -> str:
        """Equal while the same differences call for the same actions; what a saved plan is held against."""
        sent = [msgspec.structs.replace(action, reason="") for action in self.actions]
        return digest((self.key, [(d.path, d.observed, d.desired) for d in self.differences], sent))


class UnknownReason(StrEnum):
    """Why a resource is unknown: the reason of the error, where it could not be read."""

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
    NOT_OBSERVED = "NotObserved"
    """It was not observed yet."""

    @classmethod
    def _missing_(cls, _value: object) -> UnknownReason:
        """What another version wrote into a plan."""
        return cls.FAILED


class Unknown(msgspec.Struct, frozen=True):
    """A resource that could not be read: no change is planned for it, and it is not gone."""

    key: ResourceKey
    """The resource."""
    reason: UnknownReason
    """Why, in one word."""
    message: str
    """Why."""
    at: datetime | None = None
    """When it was tried; None: it was not."""


class PlanScope(msgspec.Struct, frozen=True):
    """How much was observed: `observed` of `total` resources; of the kinds that guards count, by kind, `fleet` of
    `total_fleet`; the filter in words."""

    total: int
    """How many resources there are."""
    observed: int
    """How many of them were observed."""
    fleet: Mapping[str, int]
    """How many members of the fleet were observed."""
    total_fleet: Mapping[str, int]
    """How many members the fleet has."""
    filter: str = ""
    """What the plan is limited to, in words."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What apply, or the daemon, would do now, and what it would not do and why. `overrides`: those in force.

    `access`: of all machines, whatever the plan is limited to: logins go there as soon as the state is in force."""

    format_version: str = FORMAT_VERSION
    """The version of this form."""
    revision: Revision
    """What is desired."""
    planned_at: datetime
    """When it was planned."""
    observed_at: datetime | None
    """When the oldest observation was made."""
    scope: PlanScope
    """How much was observed."""
    changes: tuple[Change, ...]
    """What is not as declared."""
    unknown: tuple[Unknown, ...] = ()
    """What could not be read."""
    diagnostics: tuple[Diagnostic, ...] = ()
    """Warnings."""
    overrides: tuple[Override, ...] = ()
    """The overrides in force."""
    access: tuple[AccessChange, ...] = ()
    """The resources that are reached in another way, whatever the plan is limited to."""

    @property
    def nothing_read(self) -> bool:
        """Whether none of what was to be observed could be read: then no difference says anything."""
        return bool(self.unknown) and len(self.unknown) == self.scope.observed

    @property
    def exit_code(self) -> int:
        """0 nothing to do, 2 changes, 3 at least one held by a guard, 1 when nothing at all could be read.

        A known machine that is to be reached by another way is a change.
        (1 is also an error for which there is no plan.)
        """
        if self.nothing_read:
            return 1
        if any(change.held(HoldKind.GUARD) for change in self.changes):
            return 3
        waiting = (change for change in self.changes if change.goes or not change.held(HoldKind.DECLARED))
        return 2 if any(waiting) or any(not one.is_new for one in self.access) else 0


def override_hint(guard: str, key: ResourceKey) -> str:
    """The command with which this resource passes the guard for an hour, as typed."""
    return f"`groundstate override {guard} {typed(key)} --for 1h --reason WHY`"


def typed(key: ResourceKey) -> str:
    """The resource as typed: `machine/r1-01`."""
    return f"{key.kind.lower()}/{key.name}"


def digest(value: object) -> str:
    """A short stable digest of a msgspec-encodable value."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]

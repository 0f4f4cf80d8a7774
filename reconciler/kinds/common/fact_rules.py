"""How the facts of a resource change: by its document, its actions, observations and reports. Pure.

Generic code calls these rules, and does not read the facts of a kind. This module has the rules for all kinds. A kind
with facts of its own, or with actions that leave something behind, extends them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec

from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Disruption
from reconciler.model.event import EventReason, EventType
from reconciler.model.facts import ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.plans.restart import RestartRequest, RestartResult
from reconciler.model.resource import DesiredState, Resource, ResourceKey


class Slot(msgspec.Struct, frozen=True):
    """A numbered place in another resource that only one resource can have: a machine is in a slot of a claim."""

    holder: ResourceKey
    number: int


class Recorded(msgspec.Struct, frozen=True):
    """The result of an action on the store alone: the changed facts, and an event (reason, message) for each. All
    events have one severity."""

    facts: dict[ResourceKey, ResourceFacts]
    events: Mapping[ResourceKey, tuple[EventReason, str]]
    severity: EventType = EventType.NORMAL


class Occasion(msgspec.Struct, frozen=True):
    """When and why an action on the store is done."""

    now: datetime
    name: str
    """A unique name, for an action that gives a name."""
    cause: str = ""
    """The cause in words: the commit."""
    value: Any = None
    """The observed value of the resource."""


class Ignored(msgspec.Struct, frozen=True):
    """An action that was accepted, and had no effect, and whose time is up: the facts then, and what is reported."""

    facts: ResourceFacts
    reason: EventReason
    message: str


class ReportOutcome(msgspec.Struct, frozen=True):
    """The result of a report: the new facts (the same object if nothing changed) and the event; no reason: no event.
    `may_be_lost`: the facts need not survive the process."""

    facts: ResourceFacts
    reason: EventReason | None
    message: str
    severity: EventType
    may_be_lost: bool = False


class FactRules:
    """The rules of a kind without facts of its own. A method that changes nothing returns the same object."""

    facts_type: type[ResourceFacts] = ResourceFacts
    takes_slots = False
    """The resource can be in a slot of another resource."""
    takes_restarts = False
    """A person can ask for a restart of the resource."""

    # -- by its document ---------------------------------------------------------------------------------------------

    def first(self, _spec: Any, _new_store: bool) -> ResourceFacts:
        """The facts of a resource that the store does not know, by its spec. `new_store`: the store knows no resource
        that guards count."""
        return self.facts_type()

    def declared(
        self, facts: ResourceFacts, _resource: Resource[Any], _desired: DesiredState, _now: datetime
    ) -> ResourceFacts:
        """The facts when the document comes into force at `now`."""
        return facts

    def removed(self, facts: ResourceFacts, _now: datetime) -> ResourceFacts:
        """The facts when the document is no longer in force, from `now`."""
        return facts

    def moved(self, facts: ResourceFacts) -> ResourceFacts:
        """The facts that remain after the endpoint changed."""
        return facts

    def former_names(self, _facts: ResourceFacts) -> tuple[str, ...]:
        """The former names of the resource, the latest last."""
        return ()

    # -- by its actions ----------------------------------------------------------------------------------------------

    def sent(self, _action: Action, facts: ResourceFacts) -> ResourceFacts:
        """The facts from the moment at which the action is sent."""
        return facts

    def refused(
        self, _action: Action, facts: ResourceFacts, _why: str, *, is_final: bool, now: datetime
    ) -> ResourceFacts:
        """The facts after an action that was certainly not carried out. `is_final`: it is not sent again."""
        return facts

    def confirmed(
        self, _action: Action, facts: ResourceFacts, _seen: Observation, _resource: Resource[Any] | None
    ) -> ResourceFacts:
        """The facts when an observation shows that the action took effect."""
        return facts

    def result(self, _action: Action, _value: Any) -> str:
        """What an action acquired, such as an address; empty if the action names it already."""
        return ""

    def repeatable(self, _action: Action, _value: Any) -> bool:
        """Whether the action does no harm when it is sent twice, by the current observation."""
        return False

    def ignored(self, _action: Action, _facts: ResourceFacts, _now: datetime) -> Ignored | None:
        """The outcome of an action that may be ignored, as a graceful shutdown may; None: without effect, the action
        has failed."""
        return None

    def begun(self, _action: Action, _value: Any) -> bool:
        """Whether the observation shows that the action is being carried out."""
        return False

    def to_send_again(self, _action: Action, _resource: Resource[Any] | None) -> str:
        """How a person can have the action sent again; empty: it is not possible."""
        return ""

    def record(self, action: Action, _facts: Mapping[ResourceKey, ResourceFacts], _occasion: Occasion) -> Recorded:
        """The facts after an action on the store. Raises TypeError for an action that the kind does not have."""
        raise TypeError(
            f"internal error: {action.name} of {action.key} was treated as a mere record in the store; report this bug"
        )

    def on_behalf_of(self, _action: Action, _facts: ResourceFacts) -> str | ResourceKey | None:
        """The cause of an action in words, or the resource whose commit is the cause. None: the resource itself."""
        return None

    # -- by requests of people ---------------------------------------------------------------------------------------

    def restart_asked(self, facts: ResourceFacts, _request: RestartRequest) -> ResourceFacts:
        """The facts after a restart was requested; the same object if it is known already."""
        return facts

    def restart_cancelled(self, facts: ResourceFacts, _open: Collection[str]) -> ResourceFacts:
        """The facts when only these restarts are still requested; the same object if none was cancelled."""
        return facts

    def restart_result(self, _facts: ResourceFacts, _request: RestartRequest) -> RestartResult | None:
        """How the restart ended; None: it has not ended."""
        return None

    # -- by observations and reports ---------------------------------------------------------------------------------

    def observed(
        self, facts: ResourceFacts, _resource: Resource[Any], _value: Any, _fields: tuple[Field, ...], _now: datetime
    ) -> ResourceFacts:
        """The facts after an observation, beside applied values and drift."""
        return facts

    def at_start(self, facts: ResourceFacts, _now: datetime) -> ResourceFacts:
        """The facts at the start of a process, which does not know what happened while no process ran."""
        return facts

    def ended(self, _before: ResourceFacts, _after: ResourceFacts) -> tuple[EventReason, str] | None:
        """What ended, and why, by a change of the facts without an action or report; None: nothing."""
        return None

    def report(
        self, _facts: ResourceFacts, _request: str | None, _fact: Any, _detail: str, _value: Any, _now: datetime
    ) -> ReportOutcome | None:
        """The outcome of a service's report about the resource, for the request with this id. None: that request has
        ended, or does not exist."""
        return None

    # -- what others must not have too -------------------------------------------------------------------------------

    def slot(self, _facts: ResourceFacts) -> Slot | None:
        """The slot that the resource is in."""
        return None

    def leaves_slot(self, _facts: ResourceFacts) -> bool:
        """Whether the resource is being released from its slot."""
        return False


def undone(action: Action, facts: ResourceFacts) -> ResourceFacts:
    """The facts when the action is sent: the values that it changes are not drift. In a repair of drift, they belong to
    that drift."""
    applied = facts.applied.fields if facts.applied else {}
    gone = [path for path in action.undoes if path in applied]
    if not gone or facts.applied is None:
        return facts
    since = [facts.drift[path] for path in action.undoes if path in facts.drift]
    if since:
        return msgspec.structs.replace(facts, drift={**dict.fromkeys(gone, min(since)), **facts.drift})
    kept = {path: value for path, value in applied.items() if path not in gone}
    return msgspec.structs.replace(facts, applied=msgspec.structs.replace(facts.applied, fields=kept))


def taken_down(action: Action, facts: ResourceFacts, at: datetime) -> ResourceFacts:
    """The facts when an action is sent that takes the resource down."""
    if action.disruption is not Disruption.DISRUPTIVE:
        return facts
    return msgspec.structs.replace(facts, disrupted_at=at, taken_down_at=at)

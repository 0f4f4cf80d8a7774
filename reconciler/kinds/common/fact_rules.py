"""How what is remembered of a resource changes: by its document, by its actions, by observations and reports. Pure.

Generic rooms ask a kind's rules, and know nothing of what the kind remembers. Here is what is so of every kind; a kind
that remembers more, or whose actions leave something behind, has rules of its own.
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
    """A numbered place of another resource, which one resource alone can have: a machine is in a claim's slot."""

    holder: ResourceKey
    number: int


class Recorded(msgspec.Struct, frozen=True):
    """What a record action comes to: the facts that are different now, and the event of each, (reason, message)."""

    facts: dict[ResourceKey, ResourceFacts]
    events: Mapping[ResourceKey, tuple[str, str]]


class Occasion(msgspec.Struct, frozen=True):
    """When and why a record action is done."""

    now: datetime
    name: str
    """A name that nothing else has, for what the action gives a name to."""
    cause: str = ""
    """Why it is done, in words: the commit."""
    value: Any = None
    """What was observed of the resource."""


class Ignored(msgspec.Struct, frozen=True):
    """An action that was accepted, and had no effect, and whose time is up: the facts then, and what is reported."""

    facts: ResourceFacts
    reason: EventReason
    message: str


class ReportOutcome(msgspec.Struct, frozen=True):
    """What a report comes to: the facts then (the very same object when nothing is new), and what is reported of it; no
    reason: nothing. `may_be_lost`: it is of no importance that it outlives the process."""

    facts: ResourceFacts
    reason: str
    message: str
    severity: EventType
    may_be_lost: bool = False


class FactRules:
    """The rules of a kind that remembers nothing of its own. A method whose facts change nothing gives the very same
    object."""

    facts_type: type[ResourceFacts] = ResourceFacts
    takes_slots = False
    """It can be in a slot of another resource."""

    # -- by its document ---------------------------------------------------------------------------------------------

    def first(self, _spec: Any, _new_store: bool) -> ResourceFacts:
        """What is remembered of a resource that was not known before, by its spec. `new_store`: no resource that guards
        count was known."""
        return self.facts_type()

    def declared(
        self, facts: ResourceFacts, _resource: Resource[Any], _desired: DesiredState, _now: datetime
    ) -> ResourceFacts:
        """What is remembered as soon as the document is in force, which is from `now` on."""
        return facts

    def removed(self, facts: ResourceFacts, _now: datetime) -> ResourceFacts:
        """What is remembered as soon as no document is in force, which is from `now` on."""
        return facts

    def moved(self, facts: ResourceFacts) -> ResourceFacts:
        """What stays when the endpoint is another than before."""
        return facts

    def former_names(self, _facts: ResourceFacts) -> tuple[str, ...]:
        """The names that it had before, the latest last."""
        return ()

    # -- by its actions ----------------------------------------------------------------------------------------------

    def sent(self, _action: Action, facts: ResourceFacts) -> ResourceFacts:
        """What is remembered from the moment at which the action is sent."""
        return facts

    def refused(
        self, _action: Action, facts: ResourceFacts, _why: str, *, is_final: bool, now: datetime
    ) -> ResourceFacts:
        """What is remembered of an action that was certainly not carried out. `is_final`: it is not sent again by
        itself."""
        return facts

    def confirmed(
        self, _action: Action, facts: ResourceFacts, _seen: Observation, _resource: Resource[Any] | None
    ) -> ResourceFacts:
        """What is remembered when an observation shows that the action took effect."""
        return facts

    def result(self, _action: Action, _value: Any) -> str:
        """What came of asking for any: who got which address; empty where the action says it."""
        return ""

    def repeatable(self, _action: Action, _value: Any) -> bool:
        """Whether the action does no harm when it is sent twice, by what was observed just now."""
        return False

    def ignored(self, _action: Action, _facts: ResourceFacts, _now: datetime) -> Ignored | None:
        """Of an action that asks somebody who may ignore it; None: that it has no effect is a failure."""
        return None

    def begun(self, _action: Action, _value: Any) -> bool:
        """Whether what is observed shows that the action is being carried out."""
        return False

    def to_send_again(self, _action: Action, _resource: Resource[Any] | None) -> str:
        """How a person has an action sent again that is not sent again by itself; empty: there is no way."""
        return ""

    def record(self, action: Action, _facts: Mapping[ResourceKey, ResourceFacts], _occasion: Occasion) -> Recorded:
        """What is remembered when a record action is done. Raises TypeError for one that the kind does not have."""
        raise TypeError(f"{action.name} of {action.key} is not done by writing it down")

    def on_behalf_of(self, _action: Action, _facts: ResourceFacts) -> str | ResourceKey | None:
        """For whom the action is done: a cause in words, or the resource whose commit is the cause. None: itself."""
        return None

    # -- by requests of people ---------------------------------------------------------------------------------------

    def restart_asked(self, facts: ResourceFacts, _request: RestartRequest) -> ResourceFacts:
        """What is remembered once a restart is asked for; the very same object where it is known already."""
        return facts

    def restart_cancelled(self, facts: ResourceFacts, _open: Collection[str]) -> ResourceFacts:
        """What is remembered once these restarts alone are wanted; the very same object where none was taken back."""
        return facts

    def restart_result(self, _facts: ResourceFacts, _request: RestartRequest) -> RestartResult | None:
        """How the restart ended; None: it has not."""
        return None

    # -- by observations and reports ---------------------------------------------------------------------------------

    def observed(
        self, facts: ResourceFacts, _resource: Resource[Any], _value: Any, _fields: tuple[Field, ...], _now: datetime
    ) -> ResourceFacts:
        """What an observation teaches beside what is as declared and what has drifted."""
        return facts

    def at_start(self, facts: ResourceFacts, _now: datetime) -> ResourceFacts:
        """What is remembered when a process begins, which does not know what happened while none was there."""
        return facts

    def ended(self, _before: ResourceFacts, _after: ResourceFacts) -> tuple[EventReason, str] | None:
        """What ended, and why, with a change of the facts that no action or report made; None: nothing."""
        return None

    def report(
        self, _facts: ResourceFacts, _request: str | None, _fact: Any, _detail: str, _value: Any, _now: datetime
    ) -> ReportOutcome | None:
        """What follows from what a service reports of the resource, for a request by its id. None: that request is
        over, or there is none."""
        return None

    # -- what others must not have too -------------------------------------------------------------------------------

    def slot(self, _facts: ResourceFacts) -> Slot | None:
        """The slot in which it is."""
        return None

    def leaves_slot(self, _facts: ResourceFacts) -> bool:
        """Whether it is being released, so that it may be in none from now on."""
        return False


def undone(action: Action, facts: ResourceFacts) -> ResourceFacts:
    """The facts from when the action is sent: what it undoes is not drift. Where it is done to repair drift, all that
    it undoes is part of that story."""
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
    """The facts from when an action is sent that takes the resource down."""
    if action.disruption is not Disruption.DISRUPTIVE:
        return facts
    return msgspec.structs.replace(facts, disrupted_at=at, taken_down_at=at)

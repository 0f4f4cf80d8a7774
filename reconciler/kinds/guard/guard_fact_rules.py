"""What is remembered of a guard, so that no commit uses what it loosens itself. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, assert_never

import msgspec

from reconciler.kinds.common.fact_rules import FactRules, Occasion, Recorded
from reconciler.kinds.guard.loosening import loosens
from reconciler.kinds.guard.spec import GuardSpec
from reconciler.model.actions.action import Action
from reconciler.model.actions.record_actions import GuardRecord, RetireGuard
from reconciler.model.event import EventReason
from reconciler.model.facts import NO_FACTS, ResourceFacts
from reconciler.model.resource import DesiredState, Resource, ResourceKey

LOOSENS_AFTER = timedelta(hours=1)
"""For so long the former spec judges beside a looser one."""


class FormerGuard(msgspec.Struct, frozen=True):
    """A spec that was loosened or removed."""

    spec: dict[str, Any]
    """As a document has it."""
    until: datetime
    """It is in force until then."""


class GuardFacts(ResourceFacts, frozen=True, omit_defaults=True):
    """What is remembered of a Guard."""

    declared_spec: dict[str, Any] | None = None
    """The spec that was declared last, as a document has it; None: the guard is not declared any more."""
    former: tuple[FormerGuard, ...] = ()
    """The stricter ones before it, which are in force still."""


class GuardFactRules(FactRules):
    """The rules of guards."""

    facts_type = GuardFacts

    def declared(
        self, facts: ResourceFacts, resource: Resource[Any], _desired: DesiredState, now: datetime
    ) -> ResourceFacts:
        """A former spec stays in force for an hour where the new one is looser; a stricter one is in force at once."""
        return _after(as_guard_facts(facts), resource.spec, now)

    def record(self, action: Action, facts: Mapping[ResourceKey, ResourceFacts], occasion: Occasion) -> Recorded:
        """A former spec is in force no more."""
        if not isinstance(action, GuardRecord):
            return super().record(action, facts, occasion)
        match action:
            case RetireGuard():
                after = msgspec.structs.replace(as_guard_facts(facts.get(action.key) or NO_FACTS), former=())
                reported = (EventReason.GUARD_LOOSENED, "the former, stricter spec of the guard is no longer in force")
                return Recorded({action.key: after}, {action.key: reported})
            case _:
                assert_never(action)

    def removed(self, facts: ResourceFacts, now: datetime) -> ResourceFacts:
        """The last spec stays in force for an hour."""
        return _after(as_guard_facts(facts), None, now)


def as_guard_facts(facts: ResourceFacts) -> GuardFacts:
    """The facts of a guard; of what is none, those of a guard of which nothing is known."""
    return facts if isinstance(facts, GuardFacts) else GuardFacts()


# Made here, as msgspec crashes where several threads are the first to read a type.
msgspec.json.Decoder(GuardSpec)


def remembered_spec(kept: dict[str, Any] | None) -> GuardSpec | None:
    """The spec of what was kept; None for what this version cannot read."""
    try:
        return None if kept is None else msgspec.convert(kept, GuardSpec)
    except msgspec.ValidationError:
        return None


def _after(facts: GuardFacts, spec: GuardSpec | None, now: datetime) -> GuardFacts:
    old = remembered_spec(facts.declared_spec)
    former = tuple(one for one in facts.former if now < one.until)
    if facts.declared_spec is not None and old is not None and old != spec and (spec is None or loosens(old, spec)):
        former = (*former, FormerGuard(facts.declared_spec, now + LOOSENS_AFTER))
    if old == spec and former == facts.former and (facts.declared_spec is None) is (spec is None):
        return facts
    # As it comes back from the store.
    kept = msgspec.json.decode(msgspec.json.encode(spec)) if spec is not None else None
    return msgspec.structs.replace(facts, declared_spec=kept, former=former)

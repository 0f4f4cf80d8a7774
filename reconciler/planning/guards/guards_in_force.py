"""Which guards judge now: those of documents, and the former specs that are in force for an hour. Pure.

What is worked out of a document is kept with the desired state, so that a step asks the guards of its own resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from reconciler.kinds import FLEET, find_kind
from reconciler.kinds.common.field_types.fleet_share import TENTH
from reconciler.kinds.common.field_types.label_selector import Requirement, parse_selector
from reconciler.kinds.common.machine_inventory import is_derived
from reconciler.kinds.guard.guard_fact_rules import GuardFacts, as_guard_facts, remembered_spec
from reconciler.kinds.guard.matching import RACK
from reconciler.kinds.guard.spec import DisruptionBudget, GuardMatch, GuardSpec, Level
from reconciler.kinds.guard.windows import EARLIEST
from reconciler.model.facts import NO_FACTS, Facts, ResourceFacts
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.guards.fleet_survey import FleetSurvey
from reconciler.planning.guards.guard import GuardWorld

GUARD = "Guard"
"""The built-in budget: of the whole fleet, and of each rack."""
_RACKS = GuardSpec(match=GuardMatch(kinds=FLEET), budget=DisruptionBudget(max_disrupted=str(TENTH), per=RACK))
DECLARED = f"{GUARD.lower()}/"
"""Of the name by which holds and overrides speak of a declared guard: `guard/db-racks`."""


class GuardInForce(msgspec.Struct, frozen=True, dict=True):
    """One spec that judges. `until`: it is the former one of a guard that was loosened or removed, and judges until
    then. `selector`: the parsed one. `dynamic`: what it matches follows from facts too."""

    name: str
    spec: GuardSpec
    until: datetime | None
    selector: tuple[Requirement, ...]
    dynamic: bool
    known: dict[Any, Any] = {}
    """What was worked out of the documents already."""

    @classmethod
    def of(cls, name: str, spec: GuardSpec, until: datetime | None = None) -> GuardInForce:
        """The guard of this name, ready to judge. A selector that cannot be read matches everything."""
        try:
            selector = parse_selector(spec.match.selector)
        except ValueError:
            selector = ()
        dynamic = bool(spec.match.projects) or any(is_derived(one.key) for one in selector)
        return cls(f"{DECLARED}{name}", spec, until, selector, dynamic or _groups_by_derived(spec.budget))


def guards_in_force(world: GuardWorld) -> tuple[GuardInForce, ...]:
    """All that judge now: those that are declared, and the former specs that are in force for an hour."""
    former = world.survey.once("former guards", lambda: _former(world.survey))
    return (*declared_guards(world.desired), *(one for one in former if one.until is None or world.now < one.until))


def _groups_by_derived(budget: DisruptionBudget | None) -> bool:
    return budget is not None and budget.per is not None and is_derived(budget.per.removeprefix("label:"))


def declared_guards(desired: DesiredState) -> tuple[GuardInForce, ...]:
    """Those that documents declare."""
    return desired.derived("guards in force", _build_declared)


def rack_guard(desired: DesiredState) -> GuardInForce:
    """The part of the built-in budget that counts each rack, as a guard that guards every machine. How many may be down
    in a rack is a limit of the settings, and not in it."""
    return desired.derived(
        "rack guard", lambda _: GuardInForce(HoldName.DISRUPTION_BUDGET, _RACKS, None, (), dynamic=False)
    )


def new_guards(desired: DesiredState, remembered: Mapping[ResourceKey, ResourceFacts]) -> frozenset[str]:
    """The names of the guards that guarded nothing so far, as they are declared only now."""
    known = {
        key
        for key, facts in remembered.items()
        if key.kind == GUARD and as_guard_facts(facts).declared_spec is not None
    }
    declared = {f"{DECLARED}{one.key.name}" for one in desired.of_kind(GUARD) if one.key not in known}
    counted = any(HoldName.DISRUPTION_BUDGET in facts.guarded for key, facts in remembered.items() if key.kind in FLEET)
    return frozenset(declared if counted else {*declared, HoldName.DISRUPTION_BUDGET})


def _build_declared(desired: DesiredState) -> tuple[GuardInForce, ...]:
    return tuple(GuardInForce.of(one.key.name, one.spec) for one in desired.of_kind(GUARD))


def _former(survey: FleetSurvey) -> tuple[GuardInForce, ...]:
    return tuple(GuardInForce.of(key.name, spec, until) for key, spec, until in survey.former)


def declared_guard_key(guard: str) -> ResourceKey | None:
    """The document of a guard that an override names: `guard/db-racks`; None for a built-in guard."""
    word, slash, name = guard.partition("/")
    kind = find_kind(word)
    return ResourceKey(kind.name, name) if slash and name and kind is not None and kind.name == GUARD else None


def is_absolute_guard(guard: str, desired: DesiredState, facts: Facts) -> bool:
    """Whether no override lifts what the guard holds: it is Absolute, or was so within the hour."""
    key = declared_guard_key(guard)
    if key is None:
        return False
    declared, remembered = desired.resources.get(key), as_guard_facts(facts.resources.get(key, NO_FACTS))
    former = (remembered_spec(one.spec) for one in remembered.former)
    specs = (declared.spec if declared is not None else None, *former)
    return any(spec is not None and spec.level is Level.ABSOLUTE for spec in specs)


def loosening_words(
    carried: Mapping[ResourceKey, ResourceFacts | None], remembered: Mapping[ResourceKey, ResourceFacts]
) -> dict[ResourceKey, str]:
    """Of each guard that a state loosens or removes when it takes force, until when the former spec judges too."""
    found = {}
    for key, after in carried.items():
        before = as_guard_facts(remembered.get(key, NO_FACTS))
        if not isinstance(after, GuardFacts) or after.former in ((), before.former):
            continue
        what = "a commit removed the guard" if after.declared_spec is None else "a commit made the guard less strict"
        ends = max(one.until for one in after.former)
        if ends > max((one.until for one in before.former), default=EARLIEST):
            found[key] = f"{what}; the former spec stays in force until {ends:%Y-%m-%d %H:%M:%S}Z"
    return found

"""Guards of the commit that a commit follows, for a store that remembers none: a plan in a pull request. Pure.

A commit must not use what it loosens itself, whoever plans it. A store of a daemon remembers the guards that are in
force; where nothing is remembered, they are those that git had before.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from reconciler.kinds import KINDS
from reconciler.kinds.guard.memory import LOOSENS_AFTER
from reconciler.model.facts import NO_FACTS, Facts, Guarded, ResourceFacts
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.carry_over import with_changes
from reconciler.planning.guards.guard_marks import after_move, marked
from reconciler.planning.guards.guards_in_force import GUARD


def guards_of_base(base: DesiredState, now: datetime) -> dict[ResourceKey, ResourceFacts]:
    """What would be remembered of the guards of the state, had it been in force."""
    rules = KINDS[GUARD].fact_rules
    return {one.key: rules.declared(rules.facts_type(), one, base, now) for one in base.of_kind(GUARD)}


def with_base_marks(base: DesiredState, facts: Facts, now: datetime) -> Facts:
    """The facts, in which resources that the state before had guarded are guarded for an hour more, and counted
    in the groups that they left."""
    changed: dict[ResourceKey, ResourceFacts | None] = {}
    for key, remembered in facts.resources.items():
        before = base.resources.get(key)
        if before is None or key.kind == GUARD:
            continue
        old = marked(base, before, msgspec.structs.replace(NO_FACTS, labels=remembered.labels), now).guarded
        left = {name: Guarded(one.group, now + LOOSENS_AFTER) for name, one in old.items()}
        here = {name: after_move(one, old.get(name), now) for name, one in remembered.guarded.items()}
        if {**left, **here} != remembered.guarded:
            changed[key] = msgspec.structs.replace(remembered, guarded={**left, **here})
    return Facts(with_changes(facts.resources, changed), facts.in_flight) if changed else facts

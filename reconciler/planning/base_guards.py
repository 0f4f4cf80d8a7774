"""Guards of the commits that a commit follows, for a store that remembers none: a plan in a pull request. Pure.

A commit must not use its own loosening, in any plan. A store of a daemon remembers the guards that are in force; where
nothing is remembered, they are those that git had before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from reconciler.kinds import FLEET, KINDS
from reconciler.kinds.guard.guard_fact_rules import LOOSENS_AFTER
from reconciler.model.facts import Guarded, ResourceFacts
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.carry_over import carried_over, with_changes


def guards_of_bases(bases: Iterable[DesiredState], now: datetime) -> dict[ResourceKey, ResourceFacts]:
    """What would be remembered of the guards of the states, had they been in force one after the other."""
    return {key: facts for key, facts in _one_by_one(bases, now).items() if KINDS[key.kind].is_guard}


def carried_from_bases(
    bases: Iterable[DesiredState], desired: DesiredState, now: datetime, *, since_beginning: bool = False
) -> dict[ResourceKey, ResourceFacts]:
    """What is remembered when the state takes force in a store that remembers nothing. The states before, the oldest
    first, say which guards are in force, what they guard, and which machines are new. Nothing else is taken from
    them."""
    before = _one_by_one(bases, now)
    then = _all_of(desired, before, now)
    guards = {key: facts for key, facts in then.items() if KINDS[key.kind].is_guard}
    gone = _marks_of_gone(desired, before, now)
    fresh = with_changes({}, carried_over(desired, {}, now, since_beginning=since_beginning))
    return {key: _as_guarded(facts, then[key], gone.get(key.kind, {})) for key, facts in fresh.items()} | guards


def _marks_of_gone(
    desired: DesiredState, before: Mapping[ResourceKey, ResourceFacts], now: datetime
) -> dict[str, dict[str, Guarded]]:
    """How guards guard the resources that the state declares no more, by kind and guard. No UUID of them is known, so
    each new resource may be one of them under another name (`possible_renames`)."""
    places = {kind: {KINDS[kind].endpoint_of(one) for one in desired.of_kind(kind)} for kind in FLEET}
    found: dict[str, dict[str, Guarded]] = {}
    for key in sorted(key for key in before if key.kind in FLEET and key not in desired.resources):
        if before[key].place not in places[key.kind]:
            for name, mark in before[key].guarded.items():
                until = msgspec.structs.replace(mark, until=now + LOOSENS_AFTER)
                found.setdefault(key.kind, {}).setdefault(name, until)
    return found


def _as_guarded(facts: ResourceFacts, guarded: ResourceFacts, gone: Mapping[str, Guarded]) -> ResourceFacts:
    may_be = gone if guarded.added_at is not None else {}
    return msgspec.structs.replace(facts, guarded={**may_be, **guarded.guarded}, added_at=guarded.added_at)


def _one_by_one(bases: Iterable[DesiredState], now: datetime) -> dict[ResourceKey, ResourceFacts]:
    known: dict[ResourceKey, ResourceFacts] = {}
    for base in bases:
        known = _all_of(base, known, now)
    return known


def _all_of(
    desired: DesiredState, remembered: Mapping[ResourceKey, ResourceFacts], now: datetime
) -> dict[ResourceKey, ResourceFacts]:
    return with_changes(remembered, carried_over(desired, remembered, now))

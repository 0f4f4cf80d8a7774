"""Guards of the commit that a commit follows, for a store that remembers none: a plan in a pull request. Pure.

A commit must not use its own loosening, in any plan. A store of a daemon remembers the guards that are in force; where
nothing is remembered, they are those that git had before.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from reconciler.kinds import KINDS
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.carry_over import carried_over, with_changes


def guards_of_base(base: DesiredState, now: datetime) -> dict[ResourceKey, ResourceFacts]:
    """What would be remembered of the guards of the state, had it been in force."""
    return {key: facts for key, facts in _all_of(base, {}, now).items() if KINDS[key.kind].is_guard}


def carried_from_base(base: DesiredState, desired: DesiredState, now: datetime) -> dict[ResourceKey, ResourceFacts]:
    """What is remembered when the state takes force in a store that remembers nothing. The state before says which
    guards are in force, what they guard, and which machines are new. Nothing else is taken from it."""
    before = _all_of(base, {}, now)
    then = _all_of(desired, before, now)
    guards = {key: facts for key, facts in then.items() if KINDS[key.kind].is_guard}
    return {key: _as_guarded(facts, then[key]) for key, facts in _all_of(desired, {}, now).items()} | guards


def _as_guarded(facts: ResourceFacts, guarded: ResourceFacts) -> ResourceFacts:
    return msgspec.structs.replace(facts, guarded=guarded.guarded, added_at=guarded.added_at)


def _all_of(
    desired: DesiredState, remembered: Mapping[ResourceKey, ResourceFacts], now: datetime
) -> dict[ResourceKey, ResourceFacts]:
    return with_changes(remembered, carried_over(desired, remembered, now))

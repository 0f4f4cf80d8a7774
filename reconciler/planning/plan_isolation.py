"""A plan in which no resource costs another one: what cannot be planned is unknown, and what cannot be judged is held.

The observation to blame for a failure is found by planning without it (decision 0040).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from drivers.base import OUTSIDE_ERRORS
from reconciler.kinds.common.defect import defect, to_blame
from reconciler.model.facts import Facts
from reconciler.model.observation import INTERNAL, Observation, ObservedState, ReadError
from reconciler.model.plans.plan import (
    Change,
    Unknown,
    UnknownReason,
)
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.placement.claim_admission import claims_something, hold_claims, lacks_machines, place_claims
from reconciler.placement.placement_result import Placements
from reconciler.planning.guards.fleet_survey import FleetSurvey, survey
from reconciler.planning.guards.guard import Guard, GuardWorld, Lifted, hold_back, unjudged
from reconciler.planning.guards.policy import policy
from reconciler.planning.guards.standing import Standing
from reconciler.planning.resource_plan import plan_resource
from reconciler.planning.universe import sorted_keys

Judging = Callable[[tuple[Change, ...], GuardWorld, tuple[Guard, ...], Lifted], tuple[Change, ...]]
"""Judges changes by all guards of the policy, and by what a running program waits for besides."""


def judge_changes(
    changes: tuple[Change, ...], world: GuardWorld, transient_guards: tuple[Guard, ...], lifted: Lifted
) -> tuple[Change, ...]:
    """The changes beside each other, with what the guards hold."""
    judges = policy(world)
    return hold_back(changes, (*judges.guards, *transient_guards, *judges.budgets), world, lifted)


class Judged(msgspec.Struct, frozen=True):
    """The result. `faults`: unexpected errors with their texts, by resource, or by a part of the work that is done for
    all."""

    changes: tuple[Change, ...]
    unknown: tuple[Unknown, ...]
    faults: dict[ResourceKey | str, str]


class PlanJudge(msgspec.Struct, frozen=True):
    """Plans the keys by what was seen. What one resource is made of may cost the plan no other resource. Where a part
    of the work fails, those that it is about are unknown, or held, and the others go on."""

    keys: list[ResourceKey]
    desired: DesiredState
    facts: Facts
    now: datetime
    standing: Standing
    transient_guards: tuple[Guard, ...]
    lifted: Lifted
    judging: Judging = judge_changes

    def each(self, observed: ObservedState) -> Judged:
        """Each value separately."""
        changes, unknown = list[Change](), list[Unknown]()
        faults: dict[ResourceKey | str, str] = {}
        memo: dict[str, Any] = {}
        for key in self.keys:
            try:
                one = plan_resource(key, self.desired, observed, self.facts, self.now, memo, self.lifted)
            except OUTSIDE_ERRORS as error:  # whatever it is, it is this resource's
                faults[key] = defect(error)
                at = observed[key].taken_at if key in observed else None
                one = Unknown(
                    key, UnknownReason.INTERNAL, f"this resource cannot be planned because of {faults[key]}", at
                )
            if isinstance(one, Change):
                changes.append(one)
            elif one is not None:
                unknown.append(one)
        return Judged(tuple(changes), tuple(unknown), faults)

    def together(
        self,
        changes: tuple[Change, ...],
        observed: ObservedState,
        fleet: Callable[[], FleetSurvey] | None = None,
        placements: Callable[[], Placements] | None = None,
    ) -> Judged:
        """All changes beside each other: who gets what there is not enough of, and what the guards hold."""
        desired, facts, now = self.desired, self.facts, self.now
        faults: dict[ResourceKey | str, str] = {}

        def placed() -> tuple[Change, ...]:
            return place_claims(changes, desired, observed, facts, now, placements)

        def held() -> tuple[Change, ...]:
            return hold_claims(changes, desired, observed, facts)

        def guarded() -> tuple[Change, ...]:
            surveyed = fleet() if fleet else survey(desired, observed, facts)
            world = GuardWorld(desired, observed, facts, surveyed, self.standing, now)
            return self.judging(changes, world, self.transient_guards, self.lifted)

        changes = _or_held(placed, changes, lacks_machines, "placing", faults)
        changes = _or_held(held, changes, claims_something, "quotas", faults)
        if changes:
            changes = _or_held(guarded, changes, lambda _: True, "guards", faults)
        return Judged(changes, (), faults)


def judge_all(
    judge: PlanJudge,
    observed: ObservedState,
    fleet: Callable[[], FleetSurvey] | None,
    placements: Callable[[], Placements] | None,
) -> tuple[Judged, dict[ResourceKey, Observation]]:
    """What comes of all keys, and the observations that are to blame where something failed, as unknowns.

    `fleet` and `placements` belong to all that was observed: without the resource at fault both are computed again.
    """
    found, odd = judge.each(observed), dict[ResourceKey, Observation]()
    if found.faults:
        failed = msgspec.structs.replace(judge, keys=list(found.faults))
        odd = _odd(found.faults, observed, lambda seen: failed.each(seen).faults.keys())
        observed = {**observed, **odd}
        found = judge.each(observed)
    judged = judge.together(found.changes, observed, fleet, None if odd else placements)
    if judged.faults:
        more = _odd(judged.faults, observed, lambda seen: judge.together(found.changes, seen, None).faults.keys())
        odd, observed = {**odd, **more}, {**observed, **more}
        found = judge.each(observed)
        judged = judge.together(found.changes, observed, None)
    return msgspec.structs.replace(judged, unknown=found.unknown), odd


def _or_held(
    work: Callable[[], tuple[Change, ...]],
    changes: tuple[Change, ...],
    concerns: Callable[[Change], bool],
    name: str,
    faults: dict[ResourceKey | str, str],
) -> tuple[Change, ...]:
    """What the work makes of the changes; when it fails, those that it is about are held."""
    try:
        return work()
    except OUTSIDE_ERRORS as error:  # held, in words, and the others go on
        faults[name] = defect(error)
        return tuple(unjudged(change, error) if concerns(change) else change for change in changes)


def _odd(
    faults: Mapping[ResourceKey | str, str],
    observed: ObservedState,
    faults_by: Callable[[ObservedState], Collection[ResourceKey | str]],
) -> dict[ResourceKey, Observation]:
    """The looks to blame for the faults, as unknowns: by what is seen without them fails only what always does.

    An observation can be left out, because any resource may be unreadable. Documents and what is remembered cannot: a
    machine would seem to be removed, or unclaimed."""
    seen = [key for key in sorted_keys(observed.keys()) if observed[key].error is None]
    unknown = {key: _unjudged_observation(observed[key], faults) for key in seen}
    blind = {**observed, **unknown}
    always = frozenset(faults_by(blind))
    # Those that fail by what was seen of them alone; what is seen of others may fail with them.
    own = [key for key in seen if key in faults and key in faults_by({**blind, key: observed[key]})]

    def works_without(keys: Iterable[ResourceKey]) -> bool:
        left_out = {key: unknown[key] for key in (*own, *keys)}
        return always.issuperset(faults_by({**observed, **left_out}))

    blamed: Collection[ResourceKey] = ()
    if not works_without(()):
        rest = [key for key in seen if key not in own]
        blamed = (
            to_blame([key for key in rest if key not in faults], works_without) or to_blame(rest, works_without) or ()
        )
    return {key: unknown[key] for key in (*own, *blamed)}


def _unjudged_observation(seen: Observation, faults: Mapping[ResourceKey | str, str]) -> Observation:
    why = faults.get(seen.key) or next((said for name, said in faults.items() if isinstance(name, str)), "")
    why = why or next(iter(faults.values()))
    return Observation(
        seen.key, seen.taken_at, error=ReadError(INTERNAL, f"this resource cannot be planned because of {why}")
    )

"""The plan: one pure function of desired, observed, facts and now, which `plan`, `apply` and the daemon all call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime

import msgspec

from reconciler.kinds import FLEET
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.facts import Facts
from reconciler.model.observation import Observation, ObservedState
from reconciler.model.plans.plan import (
    CauseKind,
    Change,
    Plan,
    PlanScope,
    Unknown,
)
from reconciler.model.resource import Commit, DesiredState, ResourceKey
from reconciler.placement.placement_result import Placements
from reconciler.planning.admission import advice_on, on_quotas, or_why_not
from reconciler.planning.guards.fleet_survey import FleetSurvey
from reconciler.planning.guards.guard import Guard
from reconciler.planning.guards.standing import Standing
from reconciler.planning.override_scope import in_force, lifting
from reconciler.planning.plan_isolation import Judging, PlanJudge, judge_all, judge_changes
from reconciler.planning.resource_plan import unknown_resource
from reconciler.planning.universe import sorted_keys, universe


def plan(
    desired: DesiredState,
    observed: ObservedState,
    facts: Facts,
    now: datetime,
    standing: Standing,
    *,
    transient_guards: Iterable[Guard] = (),
    select: Collection[ResourceKey] | None = None,
    selected_by: str = "",
    fleet: Callable[[], FleetSurvey] | None = None,
    placements: Callable[[], Placements] | None = None,
    judging: Judging = judge_changes,
    diagnostics: tuple[Diagnostic, ...] = (),
) -> Plan:
    """What would be done now, and what not and why.

    `standing`: limits and overrides, which with the documents make the policy; `transient_guards`: what a running
    program waits for besides. `select` limits the plan to those keys (None: all); guards judge the whole fleet all the
    same. `fleet` gives a survey that the caller has at hand, and is asked only when there are changes to judge.
    `placements` likewise gives what claims get, and is asked only when one lacks machines. `judging` judges the
    changes, where the caller knows of more than these."""
    keys = universe(desired, facts, observed) if select is None else sorted_keys(select)
    changes, unknown, odd = plan_changes(
        keys,
        desired,
        observed,
        facts,
        now,
        standing,
        transient_guards=transient_guards,
        fleet=fleet,
        placements=placements,
        judging=judging,
    )
    observed = {**observed, **odd} if odd else observed
    times = [observed[key].taken_at for key in keys if key in observed]
    return Plan(
        revision=desired.revision,
        planned_at=now,
        observed_at=min(times, default=None),
        scope=_scope(keys, desired, facts, select, selected_by),
        changes=changes,
        unknown=unknown,
        diagnostics=(
            *diagnostics,
            *advice_on(keys, desired, observed, facts, now),
            *(or_why_not(lambda: on_quotas(desired, observed, facts)) if select is None else ()),
        ),
        overrides=in_force(standing.overrides, now),
    )


def plan_changes(
    keys: list[ResourceKey],
    desired: DesiredState,
    observed: ObservedState,
    facts: Facts,
    now: datetime,
    standing: Standing,
    *,
    transient_guards: Iterable[Guard] = (),
    fleet: Callable[[], FleetSurvey] | None = None,
    placements: Callable[[], Placements] | None = None,
    judging: Judging = judge_changes,
) -> tuple[tuple[Change, ...], tuple[Unknown, ...], Mapping[ResourceKey, Observation]]:
    """The changes of these keys and the resources that are unknown: a plan without what is only shown beside these.

    Also the observations that count as unknown because the rules failed on them. The parameters are those of `plan`."""
    lifted = lifting(standing.overrides, desired, facts, now)
    judge = PlanJudge(keys, desired, facts, now, standing, tuple(transient_guards), lifted, judging)
    judged, odd = judge_all(judge, observed, fleet, placements)
    beside = [unknown_resource(key, odd[key]) for key in sorted_keys(odd.keys() - set(keys))] if odd else []
    return judged.changes, (*judged.unknown, *beside), odd


def with_commits(planned: Plan, commits: Mapping[ResourceKey, Commit]) -> Plan:
    """The plan, each change caused by a commit naming the one that last changed its document."""

    def name(change: Change) -> Change:
        commit = commits.get(change.key) if change.source else planned.revision.commit
        if commit is None or change.cause.kind is CauseKind.DRIFT:
            return change
        return msgspec.structs.replace(change, cause=msgspec.structs.replace(change.cause, commit=commit))

    return msgspec.structs.replace(planned, changes=tuple(name(change) for change in planned.changes))


def _scope(
    keys: Collection[ResourceKey],
    desired: DesiredState,
    facts: Facts,
    select: Collection[ResourceKey] | None,
    selected_by: str,
) -> PlanScope:
    fleet = _of_fleet(keys)
    if select is None:
        return PlanScope(len(keys), len(keys), fleet, fleet)
    if not selected_by:
        declared = {kind: desired.count(kind) for kind in FLEET if desired.count(kind)}
        return PlanScope(len(keys), len(keys), fleet, declared)
    every = universe(desired, facts)
    return PlanScope(len(every), len(keys), fleet, _of_fleet(every), selected_by)


def _of_fleet(keys: Collection[ResourceKey]) -> dict[str, int]:
    found = Counter(key.kind for key in keys)
    return {kind: found[kind] for kind in FLEET if found[kind]}

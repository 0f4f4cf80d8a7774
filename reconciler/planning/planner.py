"""The plan: one pure function of desired, observed, facts and now, which `plan`, `apply` and the daemon all call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec

from reconciler.kinds import FLEET, KINDS, RECONCILED
from reconciler.kinds.claim.renamed_from import NAME
from reconciler.kinds.common.defect import defect, to_blame
from reconciler.kinds.common.kind import NO_BACKEND, Field, KindView, Rules, Steps, drifted
from reconciler.kinds.machine.spec import one_time_boot
from reconciler.model.action import Action, Forget, InFlight, PowerOn, SetBoot
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.facts import NO_FACTS, Facts, ResourceFacts
from reconciler.model.observation import INTERNAL, Observation, ObservedState, ReadError
from reconciler.model.plan import (
    Cause,
    CauseKind,
    Change,
    Difference,
    Hold,
    HoldKind,
    Plan,
    PlanScope,
    Unknown,
    Verb,
    digest,
)
from reconciler.model.resource import Commit, DesiredState, Resource, ResourceKey
from reconciler.placement.claim_admission import claims_something, hold_claims, lacks_machines, place_claims
from reconciler.placement.placement_result import Placements
from reconciler.placement.quotas import over_quota
from reconciler.planning.advice import on_images, on_quotas, on_renames
from reconciler.planning.fleet_survey import FleetSurvey, survey
from reconciler.planning.guards import Guard, GuardWorld, Lifted, hold_back, nothing_lifted, passing, unjudged
from reconciler.planning.override_scope import in_force, lifting
from reconciler.planning.pacing import pace
from reconciler.planning.policy import policy
from reconciler.planning.standing import Standing

FIRST_SIGHT = "first-sight"
_ORDER = {name: index for index, name in enumerate(KINDS)}


def universe(desired: DesiredState, facts: Facts, observed: Iterable[ResourceKey] = ()) -> list[ResourceKey]:
    """Every key that a plan could be about: reconciled and declared, or once declared and still remembered, or held by
    a backend, as an address is by the IPAM."""
    found = {key for key in observed if key.kind in KINDS and KINDS[key.kind].made}
    return _in_order({key for key in desired.resources if key.kind in RECONCILED} | facts.resources.keys() | found)


def _in_order(keys: Collection[ResourceKey]) -> list[ResourceKey]:
    by_kind: dict[str, list[ResourceKey]] = {}
    for key in keys:
        by_kind.setdefault(key.kind, []).append(key)
    kinds = sorted(by_kind, key=lambda kind: (_ORDER.get(kind, len(_ORDER)), kind))
    return [key for kind in kinds for key in sorted(by_kind[kind], key=attrgetter("name"))]


def plan(
    desired: DesiredState,
    observed: ObservedState,
    facts: Facts,
    now: datetime,
    standing: Standing,
    *,
    waits: Iterable[Guard] = (),
    select: Collection[ResourceKey] | None = None,
    selected_by: str = "",
    fleet: Callable[[], FleetSurvey] | None = None,
    placements: Callable[[], Placements] | None = None,
    diagnostics: tuple[Diagnostic, ...] = (),
) -> Plan:
    """What would be done now, and what not and why.

    `standing`: limits and overrides, which with the documents make the policy; `waits`: what a running program
    waits for besides. `select` limits the plan to those keys (None: all); guards judge the whole fleet all the same.
    `fleet` gives a survey that the caller has at hand, and is asked only when there are changes to judge; `placements`
    likewise gives what claims get, and is asked only when one lacks machines.
    """
    keys = universe(desired, facts, observed) if select is None else _in_order(select)
    lifted = lifting(standing.overrides, desired, facts, now)
    judge = _Judge(keys, desired, facts, now, standing, tuple(waits), lifted)
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
    times = [observed[key].taken_at for key in keys if key in observed]
    beside = [_unknown(key, odd[key]) for key in _in_order(odd.keys() - set(keys))]
    return Plan(
        revision=desired.revision,
        planned_at=now,
        observed_at=min(times, default=None),
        scope=_scope(keys, desired, facts, select, selected_by),
        changes=judged.changes,
        unknown=(*found.unknown, *beside),
        diagnostics=(
            *diagnostics,
            *_or_nothing(lambda: on_images(keys, desired, facts, now)),
            *_or_nothing(lambda: on_renames(keys, desired, facts, observed)),
            *(_or_nothing(lambda: on_quotas(desired, observed, facts)) if select is None else ()),
        ),
        overrides=in_force(standing.overrides, now),
    )


class _Judged(msgspec.Struct, frozen=True):
    """What came of it. `faults`: where something failed that nobody expected, with what it said: resources, or parts of
    the work that are done for all."""

    changes: tuple[Change, ...]
    unknown: tuple[Unknown, ...]
    faults: dict[ResourceKey | str, str]


class _Judge(msgspec.Struct, frozen=True):
    """Plans the keys by what was seen. What one resource is made of may cost the plan no other resource: where a part
    of the work fails, those that it is about are unknown, or held, and the others go on."""

    keys: list[ResourceKey]
    desired: DesiredState
    facts: Facts
    now: datetime
    standing: Standing
    waits: tuple[Guard, ...]
    lifted: Lifted

    def each(self, observed: ObservedState) -> _Judged:
        """Each by itself."""
        changes, unknown = list[Change](), list[Unknown]()
        faults: dict[ResourceKey | str, str] = {}
        memo: dict[str, Any] = {}
        for key in self.keys:
            try:
                one = plan_resource(key, self.desired, observed, self.facts, self.now, memo, self.lifted)
            except Exception as error:  # noqa: BLE001  whatever it is, it is this resource's
                faults[key] = defect(error)
                at = observed[key].taken_at if key in observed else None
                one = Unknown(key, INTERNAL, f"this resource cannot be planned because of {faults[key]}", at)
            if isinstance(one, Change):
                changes.append(one)
            elif one is not None:
                unknown.append(one)
        return _Judged(tuple(changes), tuple(unknown), faults)

    def together(
        self,
        changes: tuple[Change, ...],
        observed: ObservedState,
        fleet: Callable[[], FleetSurvey] | None = None,
        placements: Callable[[], Placements] | None = None,
    ) -> _Judged:
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
            judges = policy(desired, self.standing)
            return hold_back(changes, (*judges.guards, *self.waits, *judges.budgets), world, self.lifted)

        changes = _or_held(placed, changes, lacks_machines, "placing", faults)
        changes = _or_held(held, changes, claims_something, "quotas", faults)
        if changes:
            changes = _or_held(guarded, changes, lambda _: True, "guards", faults)
        return _Judged(changes, (), faults)


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
    except Exception as error:  # noqa: BLE001  held, in words, and the others go on
        faults[name] = defect(error)
        return tuple(unjudged(change, error) if concerns(change) else change for change in changes)


def _odd(
    faults: Mapping[ResourceKey | str, str],
    observed: ObservedState,
    faults_by: Callable[[ObservedState], Collection[ResourceKey | str]],
) -> dict[ResourceKey, Observation]:
    """The looks to blame for the faults, as unknowns: by what is seen without them fails only what always does.

    A look is what can be left out, as anything may be unreadable. Documents and what is remembered cannot: a machine
    would seem to be removed, or nobody's."""
    seen = [key for key in _in_order(observed.keys()) if observed[key].error is None]
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


def _or_nothing(advice: Callable[[], Iterable[Diagnostic]]) -> tuple[Diagnostic, ...]:
    try:
        return tuple(advice())
    except Exception:  # noqa: BLE001  a warning; what it would warn of is held, or unknown, already
        return ()


def plan_resource(
    key: ResourceKey,
    desired: DesiredState,
    observed: ObservedState,
    facts: Facts,
    now: datetime,
    memo: dict[str, Any] | None = None,
    lifted: Lifted = nothing_lifted,
) -> Change | Unknown | None:
    """One resource before the guards: a change, unknown, or nothing to do. `memo` is shared by all of one plan."""
    kind = KINDS.get(key.kind)
    if kind is None or kind.rules is None:
        return None
    rules = kind.rules
    resource, seen = desired.resources.get(key), observed.get(key)
    remembered = facts.resources.get(key, NO_FACTS)
    override = None
    if remembered.found_order is not None and (found_by := lifted(FIRST_SIGHT, key)) is not None:
        override = found_by if resource and one_time_boot(resource.spec) == remembered.found_order else None
        remembered = msgspec.structs.replace(remembered, found_order=None)
    if kind.backend == NO_BACKEND:
        seen = Observation(key, now, kind.absent)
    elif resource is None and not kind.made:
        seen = seen or Observation(key, now)
    elif seen is None or seen.error is not None:
        return _unknown(key, seen)
    stray = resource is None and key not in facts.resources
    memo = {} if memo is None else memo

    def barred() -> Collection[ResourceKey]:
        if "barred" not in memo:
            memo["barred"] = over_quota(desired, observed, facts).keys()
        found: Collection[ResourceKey] = memo["barred"]
        return found

    look = KindView(key, seen.value, remembered, observed, desired, facts.resources, stray, memo, now, barred)
    flight = facts.in_flight.get(key)
    if resource is None:
        steps = rules.removal(look)
        return _removal(steps, look, flight, now) if steps.actions else None
    found = _difference(rules, resource, look, flight, now, seen.taken_at)
    return passing(found, FIRST_SIGHT, override) if found and override is not None else found


def still_wanted(change: Change, desired: DesiredState, observed: ObservedState) -> bool:
    """Whether the desired state asks of the resource what the change, planned earlier, was made for."""
    resource, kind = desired.resources.get(change.key), KINDS.get(change.key.kind)
    if resource is None or change.source is None or kind is None or kind.rules is None:
        return resource is None and change.source is None
    seen = observed.get(change.key)
    look = KindView(change.key, seen.value if seen else None, NO_FACTS, observed, desired)
    wanted = {NAME: change.key.name, **{field.path: field.desired for field in kind.rules.fields(resource, look)}}
    return all(wanted.get(difference.path) == difference.desired for difference in change.differences)


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
    machines = sum(1 for key in keys if key.kind in FLEET)
    if select is None:
        return PlanScope(len(keys), len(keys), machines, machines)
    if not selected_by:
        return PlanScope(len(keys), len(keys), machines, sum(map(desired.count, FLEET)))
    every = universe(desired, facts)
    total = sum(1 for key in every if key.kind in FLEET)
    return PlanScope(len(every), len(keys), machines, total, selected_by)


def _unknown(key: ResourceKey, seen: Observation | None) -> Unknown:
    if seen is None or seen.error is None:
        return Unknown(key, "NotObserved", "not observed yet")
    return Unknown(key, seen.error.reason, seen.error.message, seen.taken_at)


def _removal(steps: Steps, look: KindView, flight: InFlight | None, now: datetime) -> Change:
    forgotten = all(isinstance(action, Forget) for action in steps.actions)
    return Change(
        key=look.key,
        verb=Verb.FORGET if forgotten else Verb.DELETE,
        cause=Cause(CauseKind.LEAK if look.stray else CauseKind.COMMIT),
        actions=steps.actions,
        held_by=(*_flying(flight, now), *steps.holds),
    )


def _difference(
    rules: Rules, resource: Resource[Any], look: KindView, flight: InFlight | None, now: datetime, seen_at: datetime
) -> Change | None:
    fields = rules.fields(resource, look)
    differing = tuple(field for field in fields if not field.equal)
    if not differing:
        return None
    steps = rules.steps(resource, look, fields)
    stuck = (*_stuck(differing, resource, look.facts), *_paced(differing, resource, look.facts, now))
    holds = _not_before_boot(steps.actions, (*steps.holds, *stuck))
    held = {hold.path for hold in holds}
    differences = tuple(
        Difference(field.path, field.observed, field.desired, _moved(field, fields, look.facts)) for field in differing
    )
    return Change(
        key=look.key,
        verb=_verb(look, fields),
        cause=_cause(differences, look.facts, seen_at),
        differences=differences,
        actions=tuple(action for action in steps.actions if action.path not in held),
        held_by=(*_flying(flight, now), *holds),
        source=resource.source,
        observed_at=seen_at,
    )


def _verb(look: KindView, fields: tuple[Field, ...]) -> Verb:
    """What is found and not made, as a machine is, is updated also where its BMC says little."""
    absent = KINDS[look.key.kind].made and all(field.observed is None for field in fields)
    return Verb.CREATE if absent else Verb.UPDATE


def _stuck(differing: tuple[Field, ...], resource: Resource[Any], facts: ResourceFacts) -> tuple[Hold, ...]:
    """What was tried and refused for the same document and observed value is not tried again."""
    if not facts.failures:
        return ()
    prints = {field.path: field.fingerprint(resource.spec) for field in differing}
    hint = "tried again when the document changes or the BMC reports another value"
    return tuple(
        Hold(HoldKind.FAILED, path, f"{failure.reason}: {failure.message}", hint, path)
        for path, failure in facts.failures.items()
        if failure.terminal and failure.fingerprint == prints.get(path)
    )


def _paced(
    differing: tuple[Field, ...], resource: Resource[Any], facts: ResourceFacts, now: datetime
) -> tuple[Hold, ...]:
    if not facts.wishes:
        return ()
    return pace(((f.path, digest(f.desired), f.fingerprint(resource.spec)) for f in differing), facts, now)


def _not_before_boot(actions: tuple[Action, ...], holds: tuple[Hold, ...]) -> tuple[Hold, ...]:
    """A machine whose boot order is held is not powered on either: it would come up from somewhere else."""
    held = {hold.path for hold in holds}
    if SetBoot.path not in held or PowerOn.path in held or not any(isinstance(a, PowerOn) for a in actions):
        return holds
    reason = "without its boot override the machine would boot from another device"
    return (
        *holds,
        Hold(
            HoldKind.BLOCKED,
            SetBoot.path,
            reason,
            "continues automatically when the boot override is no longer held",
            PowerOn.path,
        ),
    )


def _moved(field: Field, fields: tuple[Field, ...], facts: ResourceFacts) -> CauseKind:
    applied = facts.applied.fields if facts.applied else {}
    if drifted(field, fields, applied):
        return CauseKind.DRIFT
    both = field.path in applied and not field.once and field.path in facts.drift
    return CauseKind.BOTH if both else CauseKind.COMMIT


def _cause(differences: tuple[Difference, ...], facts: ResourceFacts, seen_at: datetime) -> Cause:
    kinds = {difference.cause for difference in differences}
    kind = kinds.pop() if len(kinds) == 1 else CauseKind.BOTH
    if kind is CauseKind.COMMIT:
        return Cause(kind)
    drifted = [facts.drift.get(d.path, seen_at) for d in differences if d.cause is not CauseKind.COMMIT]
    return Cause(kind, since=min(drifted))


def _flying(flight: InFlight | None, now: datetime) -> tuple[Hold, ...]:
    if flight is None:
        return ()
    age = max(0, int((now - flight.sent_at).total_seconds()))
    reason = f"{flight.action.name} was sent {age} s ago by {flight.by}"
    return (
        Hold(
            HoldKind.IN_FLIGHT,
            flight.id,
            reason,
            "wait; the next observation confirms the action, or its deadline ends it",
        ),
    )

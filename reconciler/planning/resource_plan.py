"""The plan of one resource, before quotas and guards see it beside the others: a change, unknown, or nothing to do."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from reconciler.kinds import KINDS, nothing_remembered, remembered_of
from reconciler.kinds.common.field_types.managed_field import Field, drifted
from reconciler.kinds.common.kind import NO_BACKEND, Kind, KindView, Rules, Steps
from reconciler.kinds.common.renamed_facts import NAME
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Forget
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.observation import Observation, ObservedState
from reconciler.model.plans.plan import (
    Cause,
    CauseKind,
    Change,
    Difference,
    Hold,
    HoldKind,
    Unknown,
    UnknownReason,
    Verb,
    digest,
)
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.placement.quotas import over_quota
from reconciler.planning.guards.guard import Lifted, nothing_lifted, passing
from reconciler.planning.pacing import pace


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
    resource, seen = desired.resources.get(key), observed.get(key)
    usable = _usable(kind, key, resource is not None, seen, now)
    if usable is None:
        return unknown_resource(key, seen)
    memo = {} if memo is None else memo

    def barred() -> Collection[ResourceKey]:
        if "barred" not in memo:
            memo["barred"] = over_quota(desired, observed, facts).keys()
        found: Collection[ResourceKey] = memo["barred"]
        return found

    view = KindView(
        key,
        usable.value,
        remembered_of(facts.resources, key),
        observed,
        desired,
        facts.resources,
        resource is None and key not in facts.resources,
        memo,
        now,
        barred,
        lambda guard: lifted(guard, key),
    )
    flight = facts.in_flight.get(key)
    if resource is None:
        steps = kind.rules.removal(view)
        return _removal(steps, view, flight, now) if steps.actions else None
    return _difference(kind.rules, resource, view, flight, now, usable.taken_at)


def _usable(
    kind: Kind, key: ResourceKey, is_declared: bool, seen: Observation | None, now: datetime
) -> Observation | None:
    """The observation that the plan uses; None: there is none, or reading failed, and nothing is planned from that.

    What no backend observes is as its kind says. What is found and not made, such as a machine, is forgotten without an
    observation.
    """
    if kind.backend == NO_BACKEND:
        return Observation(key, now, kind.absent)
    if not is_declared and not kind.made:
        return seen or Observation(key, now)
    return seen if seen is not None and seen.error is None else None


def unknown_resource(key: ResourceKey, seen: Observation | None) -> Unknown:
    """Why nothing is planned of the resource."""
    if seen is None or seen.error is None:
        return Unknown(key, UnknownReason.NOT_OBSERVED, "not observed yet")
    return Unknown(key, UnknownReason(seen.error.reason), seen.error.message, seen.taken_at)


def still_wanted(change: Change, desired: DesiredState, observed: ObservedState) -> bool:
    """Whether the desired state asks of the resource what the change, planned earlier, was made for."""
    resource, kind = desired.resources.get(change.key), KINDS.get(change.key.kind)
    if resource is None or change.source is None or kind is None or kind.rules is None:
        return resource is None and change.source is None
    seen = observed.get(change.key)
    view = KindView(change.key, seen.value if seen else None, nothing_remembered(change.key), observed, desired)
    wanted = {NAME: change.key.name, **{field.path: field.desired for field in kind.rules.fields(resource, view)}}
    return all(wanted.get(difference.path) == difference.desired for difference in change.differences)


def _removal(steps: Steps, view: KindView, flight: InFlight | None, now: datetime) -> Change:
    forgotten = all(isinstance(action, Forget) for action in steps.actions)
    return Change(
        key=view.key,
        verb=Verb.FORGET if forgotten else Verb.DELETE,
        cause=Cause(CauseKind.LEAK if view.stray else CauseKind.COMMIT),
        actions=steps.actions,
        held_by=(*_flying(flight, now), *steps.holds),
    )


def _difference(
    rules: Rules, resource: Resource[Any], view: KindView, flight: InFlight | None, now: datetime, seen_at: datetime
) -> Change | None:
    fields = rules.fields(resource, view)
    differing = tuple(field for field in fields if not field.equal)
    if not differing:
        return None
    steps = rules.steps(resource, view, fields)
    stuck = (*_stuck(differing, resource, view.facts), *_paced(differing, resource, view.facts, now))
    holds = _with_prerequisites(steps.actions, (*steps.holds, *stuck))
    held = {hold.path for hold in holds}
    differences = tuple(
        Difference(field.path, field.observed, field.desired, _moved(field, fields, view.facts)) for field in differing
    )
    change = Change(
        key=view.key,
        verb=_verb(view, fields),
        cause=_cause(differences, view.facts, seen_at),
        differences=differences,
        actions=tuple(action for action in steps.actions if not action.is_held_by(held)),
        held_by=(*_flying(flight, now), *holds),
        source=resource.source,
        observed_at=seen_at,
    )
    for guard in steps.passes:
        override = view.lifted(guard)
        change = passing(change, guard, override.id if override is not None else "")
    return change


def _verb(view: KindView, fields: tuple[Field, ...]) -> Verb:
    """What is found and not made, as a machine is, is updated also where its BMC says little."""
    absent = KINDS[view.key.kind].made and all(field.observed is None for field in fields)
    return Verb.CREATE if absent else Verb.UPDATE


def _stuck(differing: tuple[Field, ...], resource: Resource[Any], facts: ResourceFacts) -> tuple[Hold, ...]:
    """What was tried and refused for the same document and observed value is not tried again."""
    if not facts.failures:
        return ()
    prints = {field.path: field.fingerprint(resource.spec) for field in differing}
    return tuple(
        Hold(HoldKind.FAILED, path, f"{failure.reason}: {failure.message}", _try_again(path), path)
        for path, failure in facts.failures.items()
        if failure.terminal and failure.fingerprint == prints.get(path)
    )


def _try_again(path: str) -> str:
    what = path if path.startswith("spec.") else "the document"
    return f"change {what}. groundstate tries again after that, or when it observes another value"


def _paced(
    differing: tuple[Field, ...], resource: Resource[Any], facts: ResourceFacts, now: datetime
) -> tuple[Hold, ...]:
    if not facts.recent_writes:
        return ()
    return pace(((f.path, digest(f.desired), f.fingerprint(resource.spec)) for f in differing), facts, now)


def _with_prerequisites(actions: tuple[Action, ...], holds: tuple[Hold, ...]) -> tuple[Hold, ...]:
    """The holds, and those of actions that need another field that is held."""
    held = {hold.path for hold in holds}
    more = (
        Hold(HoldKind.BLOCKED, need.path, need.reason, need.hint, action.served_path)
        for action in actions
        if (need := action.needs) is not None and need.path in held and not action.is_held_by(held)
    )
    return (*holds, *dict.fromkeys(more))


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
    reason = f"{flight.action.name} was sent {age} s ago by {flight.by}{flight.task_words}"
    return (
        Hold(
            HoldKind.IN_FLIGHT,
            flight.id,
            reason,
            "wait: the next observations show whether the action took effect; without effect, the action fails "
            "at its deadline",
        ),
    )

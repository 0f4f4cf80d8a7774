"""Restarts that were asked for, as they stand in what is remembered. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from reconciler.kinds import KINDS, RESTARTED
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.plans.restart import RestartRequest, RestartResult
from reconciler.model.resource import DesiredState, ResourceKey


def first_of_each(requests: Iterable[RestartRequest]) -> list[RestartRequest]:
    """The oldest of each resource: a later one begins when that has ended. `requests`: the oldest first."""
    found: dict[ResourceKey, RestartRequest] = {}
    for one in requests:
        found.setdefault(one.key, one)
    return list(found.values())


def restarts_taken(
    facts: Mapping[ResourceKey, ResourceFacts], desired: DesiredState | None, requests: Iterable[RestartRequest]
) -> tuple[dict[ResourceKey, ResourceFacts | None], list[RestartResult]]:
    """What is remembered after a process that acts has taken up the restarts, and the results of those that end with
    that. `requests`: the oldest first. While no desired state is in force, only cancelled restarts end."""
    asked = tuple(requests)
    changed: dict[ResourceKey, ResourceFacts | None] = {**without_cancelled(facts, asked)}
    results: list[RestartResult] = []
    for one in first_of_each(asked) if desired is not None else ():
        known = changed.get(one.key) or facts.get(one.key)
        if known is None or desired is None or one.key not in desired.resources:
            results.append(RestartResult(one.id, one.key, f"{one.key} is no longer declared"))
            continue
        rules = KINDS[one.key.kind].fact_rules
        result, after = rules.restart_result(known, one), rules.restart_asked(known, one)
        results += [] if result is None else [result]
        if after is not known:
            changed[one.key] = after
    return changed, results


def with_restarts(facts: Facts, requests: Iterable[RestartRequest]) -> Facts:
    """The facts, once a process that acts has taken up what was asked for."""
    asked = tuple(requests)
    taken = without_cancelled(facts.resources, asked)
    for one in first_of_each(asked):
        if one.key in facts.resources and one.key.kind in KINDS:
            known = taken.get(one.key, facts.resources[one.key])
            taken[one.key] = KINDS[one.key.kind].fact_rules.restart_asked(known, one)
    return msgspec.structs.replace(facts, resources={**facts.resources, **taken}) if taken else facts


def without_cancelled(
    facts: Mapping[ResourceKey, ResourceFacts], requests: Iterable[RestartRequest]
) -> dict[ResourceKey, ResourceFacts]:
    """What is remembered of those whose restart was cancelled, which stands in no open request any more."""
    open_ = {one.id for one in requests}
    found = {
        key: KINDS[key.kind].fact_rules.restart_cancelled(known, open_)
        for key, known in facts.items()
        if key.kind in RESTARTED
    }
    return {key: known for key, known in found.items() if known is not facts[key]}

"""Restarts that were asked for, as they stand in what is remembered. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.kinds import KINDS
from reconciler.model.facts import Facts
from reconciler.model.resource import ResourceKey
from reconciler.model.restart import RestartRequest


def first_of_each(requests: Iterable[RestartRequest]) -> list[RestartRequest]:
    """The oldest of each resource: a later one begins when that has ended. `requests`: the oldest first."""
    found: dict[ResourceKey, RestartRequest] = {}
    for one in requests:
        found.setdefault(one.key, one)
    return list(found.values())


def with_restarts(facts: Facts, requests: Iterable[RestartRequest]) -> Facts:
    """The facts, once a process that acts has taken up what was asked for."""
    taken = {
        one.key: KINDS[one.key.kind].fact_rules.restart_asked(facts.resources[one.key], one)
        for one in first_of_each(requests)
        if one.key in facts.resources and one.key.kind in KINDS
    }
    return Facts({**facts.resources, **taken}, facts.in_flight) if taken else facts

"""What the plan of an `apply` observed a moment ago. Such a look may serve for the first write to an endpoint, so that
this one is not asked twice for the same."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from reconciler.kinds import KINDS
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Disruption
from reconciler.model.observation import Observation
from reconciler.model.resource import Resource, ResourceKey

MAX_AGE_SECONDS = 10.0
"""How old such a look may be. A plan that a person reads for longer is observed anew."""


class EarlierObservations:
    """Each look serves once, and nothing was sent to its endpoint since. May be shared by threads."""

    def __init__(self) -> None:
        self._by_lock: dict[str, dict[ResourceKey, Observation]] = {}

    def keep(self, seen: Observation, resource: Resource[Any] | None) -> None:
        """This look was taken for the plan, and nothing of the resource is in flight."""
        lock = KINDS[seen.key.kind].lock_of(resource) if seen.key.kind in KINDS else ""
        if lock and seen.error is None:
            self._by_lock.setdefault(lock, {})[seen.key] = seen

    def take(self, key: ResourceKey, resource: Resource[Any] | None, now: datetime) -> Observation | None:
        """The look at the resource, while it is young. The first action for an endpoint uses up the observations of all
        its systems, because an action for one may change another."""
        found = self._by_lock.pop(KINDS[key.kind].lock_of(resource), {}).get(key) if self._by_lock else None
        if found is None or not 0 <= (now - found.taken_at).total_seconds() < MAX_AGE_SECONDS:
            return None
        return found

    def forget(self) -> None:
        """Drop all of them."""
        self._by_lock.clear()


def serves_for(action: Action, seen: Observation) -> bool:
    """Whether an action may use an observation of some seconds ago. Such an action takes nothing down, and a second one
    does no harm. An action that cuts the power, or that undoes itself when repeated, needs an observation just before.
    """
    rules = KINDS[action.key.kind].fact_rules
    return action.disruption is Disruption.NONE and rules.repeatable(action, seen.value)

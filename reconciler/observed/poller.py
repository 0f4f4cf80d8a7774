"""Observes resources: one at a time for the loop, all of them for a plan. A failed read is an observation too."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from reconciler.model.facts import NO_FACTS, ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.observed.backend import FactsByKey, checked_observation, observation_of
from reconciler.observed.backends import Backends
from reconciler.observed.connections import Connections


class Poller:
    """Asks the backend of each kind. Never raises for what it finds."""

    def __init__(self, connections: Connections, now: Callable[[], datetime]) -> None:
        self._now = now
        self._backends = Backends(connections, now)

    def observe(self, key: ResourceKey, desired: DesiredState, facts: ResourceFacts = NO_FACTS) -> Observation:
        """One observation; what is remembered of the resource may say what to look into."""
        backend = self._backends.of(key)
        return observation_of(key, lambda: backend.observe(key, desired, facts), self._now)

    def observe_all(
        self,
        keys: Iterable[ResourceKey],
        desired: DesiredState,
        facts: FactsByKey | None = None,
        concurrency: int = 64,
    ) -> Iterator[Observation]:
        """Observe all, each observation as it comes. What a backend that is read whole holds beside those that were
        asked for comes too."""
        for backend, asked in self._backends.grouped(keys):
            yield from backend.observe_all(asked, desired, facts or {}, concurrency)

    def holdings(self) -> Mapping[ResourceKey, Any]:
        """All that the backends hold for resources that groundstate creates, for every owner. Raises DriverError."""
        return self._backends.holdings()

    def strays(self, held: Mapping[ResourceKey, Any], known: Collection[ResourceKey]) -> list[Observation]:
        """Those that are held for owners of which nothing is known."""
        at = self._now()
        return [
            checked_observation(Observation(key, at, value=value)) for key, value in held.items() if key not in known
        ]

"""The backend of the example kind, as a package would register it: every bridge has two ports that are down."""

# mypy: ignore-errors

from __future__ import annotations

from reconciler.kinds.bridge import BridgeState
from reconciler.observed.backend import observation_of


class BridgeBackend:
    """Implements Backend; it sends nothing."""

    def __init__(self, _connections, now):
        self._now = now

    def observe(self, _key, _desired, _facts):
        return BridgeState({"swp1": False, "swp2": False})

    def observe_all(self, keys, desired, facts, _concurrency):
        return (observation_of(key, lambda key=key: self.observe(key, desired, facts), self._now) for key in keys)

    def holdings(self):
        return {}

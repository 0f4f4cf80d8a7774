"""The switches as a backend: each is contacted on its own, and gets one whole configuration at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from drivers.base import ACCEPTED, Accepted, ManagedSwitch, Rejected, Task
from reconciler.kinds.switch.spec import SwitchSpec, switch_access
from reconciler.kinds.switch.switch_rules import config_of
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import SetValue
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.observed.backend import EndpointBackend, no_tasks, not_carried_out
from reconciler.observed.connections import Connections


class SwitchBackend(EndpointBackend):
    """Implements Backend."""

    def __init__(self, connections: Connections, now: Callable[[], datetime]) -> None:
        super().__init__(now)
        self._connections = connections

    def observe(self, key: ResourceKey, desired: DesiredState, facts: ResourceFacts) -> Any:
        """What the switch runs; None for an undeclared switch, whose address is not known."""
        return self._switch(key, desired).read() if key in desired.resources else None

    def send(self, action: Action, desired: DesiredState) -> Accepted:
        """Check the configuration of the pass on the switch, and apply it. Nothing is written if the check fails."""
        if not isinstance(action, SetValue) or action.context is None:
            raise not_carried_out(action, "a switch")
        switch, config = self._switch(action.key, desired), config_of(action)
        switch.check(config)
        switch.apply(config)
        return ACCEPTED

    def task(self, handle: str, key: ResourceKey, desired: DesiredState) -> Task:
        """Raise Unsupported: switches give no handles."""
        raise no_tasks(key)

    def _switch(self, key: ResourceKey, desired: DesiredState) -> ManagedSwitch:
        spec = desired.resources[key].spec
        if not isinstance(spec, SwitchSpec):
            raise Rejected(f"internal error: {key} is not declared as a switch; report this bug")
        return self._connections.switch(key, switch_access(spec))

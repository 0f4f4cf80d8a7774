"""The BMCs as a backend: each is contacted on its own, many at the same time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, assert_never

from drivers.base import Accepted, Bmc, Inventory, Task
from reconciler.kinds import access_to
from reconciler.kinds.machine.lifecycle.virtual_media import media_is_watched
from reconciler.model.actions.action import Action
from reconciler.model.actions.bmc_actions import (
    BmcAction,
    EjectMedia,
    InsertMedia,
    PowerOff,
    PowerOn,
    SetBoot,
    SetIndicator,
)
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.observed.backend import EndpointBackend, not_carried_out
from reconciler.observed.connections import Connections


class BmcBackend(EndpointBackend):
    """Implements Backend."""

    def __init__(self, connections: Connections, now: Callable[[], datetime]) -> None:
        super().__init__(now)
        self._connections = connections

    def observe(self, key: ResourceKey, desired: DesiredState, facts: ResourceFacts) -> Any:
        """The system's state, with its virtual drives where an image may be in one; None for an undeclared machine,
        whose BMC is not known."""
        resource = desired.resources.get(key)
        if resource is None:
            return None
        return self._connections.bmc(key, access_to(resource, desired)).read(media=media_is_watched(facts))

    def send(self, action: Action, desired: DesiredState) -> Accepted:
        """Send it to the machine's BMC."""
        if not isinstance(action, BmcAction):
            raise not_carried_out(action, "a BMC")
        bmc = self._bmc(action.key, desired)
        match action:
            case PowerOn(reset_type=reset_type) | PowerOff(reset_type=reset_type):
                return bmc.reset(reset_type)
            case SetBoot(override=override):
                return bmc.set_boot(override)
            case SetIndicator(led=led):
                return bmc.set_indicator(led)
            case InsertMedia(url=url):
                return bmc.insert_media(url)
            case EjectMedia(url=url):
                return bmc.eject_media(url)
            case _:
                assert_never(action)

    def task(self, handle: str, key: ResourceKey, desired: DesiredState) -> Task:
        """Ask the machine's BMC for the Task."""
        return self._bmc(key, desired).task(handle)

    def inventory(self, key: ResourceKey, desired: DesiredState) -> Inventory:
        """What is in the machine, as its BMC reports it."""
        return self._bmc(key, desired).inventory()

    def _bmc(self, key: ResourceKey, desired: DesiredState) -> Bmc:
        return self._connections.bmc(key, access_to(desired.resources[key], desired))

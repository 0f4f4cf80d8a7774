"""Which actions must not run side by side: those of one BMC (chaos/powerman#67 tells why). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from reconciler.applying.settlement import deadline
from reconciler.kinds.common.bmc_access import system_address
from reconciler.model.action import InFlight
from reconciler.model.resource import DesiredState, ResourceKey


def bmc_system_of(key: ResourceKey, desired: DesiredState) -> str:
    """The system that actions on this key reach: `<BMC>#<system>`; empty where that is none."""
    resource = desired.resources.get(key)
    return system_address(resource.spec.bmc) if resource is not None and key.kind == "Machine" else ""


def lock_holder(
    key: ResourceKey, desired: DesiredState, flights: Iterable[InFlight], now: datetime
) -> ResourceKey | None:
    """Who else has an action under way on the same BMC.

    Not after its deadline, as it may be that nobody looks after that one in this run.
    """
    lane = bmc_system_of(key, desired).partition("#")[0]
    others = (f for f in flights if lane and f.bmc == lane and f.key != key)
    return next((f.key for f in others if now < deadline(f, desired.resources.get(f.key))), None)

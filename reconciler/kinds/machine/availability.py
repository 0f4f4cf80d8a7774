"""Whether a machine does its work, and whether groundstate is in the middle of something with it. Pure."""

from __future__ import annotations

from typing import Any

from drivers.base import PowerState
from reconciler.kinds.common.machine_facts import machine_s
from reconciler.model.facts import ResourceFacts


def machine_unavailable(value: Any, facts: ResourceFacts) -> bool:
    """Whether the machine is not powered on, or something keeps its lifecycle from going on."""
    return getattr(value, "power", None) is not PowerState.ON or machine_s(facts).lifecycle.failure is not None


def machine_under_way(facts: ResourceFacts) -> bool:
    """Whether the machine is started for the agent, or was taken down to be released: that goes on to its end."""
    life, down = machine_s(facts).lifecycle, facts.disrupted_at
    if life.boot_request is not None:
        return True
    return life.releasing_at is not None and down is not None and life.releasing_at <= down

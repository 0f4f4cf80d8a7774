"""Whether a machine does its work, and whether groundstate is in the middle of something with it. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from drivers.base import PowerState
from reconciler.kinds.common.machine_facts import as_machine_facts
from reconciler.model.facts import ResourceFacts

ESCALATES_WITHIN = timedelta(hours=1)
"""For so long after a shutdown ran out of time, cutting the power ends what the shutdown began."""


def machine_unavailable(value: Any, facts: ResourceFacts) -> bool:
    """Whether the machine is not powered on, or something keeps its lifecycle from going on."""
    return getattr(value, "power", None) is not PowerState.ON or as_machine_facts(facts).lifecycle.failure is not None


def machine_under_way(facts: ResourceFacts, now: datetime) -> bool:
    """Whether disruptive work on the machine has begun and must be finished. It has a boot request, was taken down for
    its release, or ignored a graceful shutdown within the last hour, whatever spec.shutdown allows."""
    lifecycle, down, ignored = (
        as_machine_facts(facts).lifecycle,
        facts.disrupted_at,
        as_machine_facts(facts).shutdown_ignored,
    )
    if lifecycle.boot_request is not None or (ignored is not None and now - ignored < ESCALATES_WITHIN):
        return True
    return lifecycle.releasing_at is not None and down is not None and lifecycle.releasing_at <= down

"""The metrics of machines. Pure."""

from __future__ import annotations

from typing import Any

from reconciler.kinds.common.kind_metrics import CountedGauge, LabelValues
from reconciler.kinds.machine.lifecycle.phases import Phase
from reconciler.kinds.machine.lifecycle.shown_phases import shown_phase
from reconciler.model.facts import Facts
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, Resource


def _phase(machine: Resource[Any], desired: DesiredState, _observed: ObservedState, facts: Facts) -> LabelValues | None:
    found = shown_phase(machine.key, desired, facts)
    return None if found is None else (found,)


MACHINE_PHASES = CountedGauge(
    "groundstate_machine_phase",
    "Managed machines by phase of their lifecycle.",
    ("phase",),
    _phase,
    tuple((str(phase),) for phase in Phase),
)

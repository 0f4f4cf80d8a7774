"""The conditions that machines alone have."""

from __future__ import annotations

from collections.abc import Iterator

from drivers.base import BootEnabled, SystemState
from reconciler.kinds.common.machine_facts import as_machine_facts
from reconciler.kinds.machine.spec import MachineSpec, once_order
from reconciler.model.facts import ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.outcome import Condition, ConditionReason, ConditionType, Status
from reconciler.model.resource import Resource


def machine_conditions(
    resource: Resource[MachineSpec], facts: ResourceFacts, seen: Observation | None
) -> Iterator[Condition]:
    """Whether people work on it, what keeps its life from going on, and a Once order that stays."""
    spec, remembered = resource.spec, as_machine_facts(facts)
    for word, pause in ((ConditionType.SUSPENDED, spec.suspend), (ConditionType.MAINTENANCE, spec.maintenance)):
        if pause is not None:
            yield Condition(word, Status.TRUE, ConditionReason.DECLARED, pause.reason)
    if (failure := remembered.lifecycle.failure) is not None:
        said = ConditionReason.FINAL if failure.final else ConditionReason.NOTED
        yield Condition(ConditionType(failure.reason), Status.TRUE, said, failure.message, failure.at)
    boot = seen.value.boot if seen is not None and isinstance(seen.value, SystemState) else None
    ordered = spec.boot is not None and remembered.once_done == once_order(spec.boot)
    if not ordered or spec.boot is None or boot is None:
        return
    if boot.enabled is BootEnabled.CONTINUOUS and boot.target == spec.boot.target:
        message = (
            f"BMC now shows the one-time boot override {spec.boot.target} as Continuous: "
            f"Machine may boot from {spec.boot.target} every time; to clear the override, set spec.boot.enabled to "
            "Disabled"
        )
        yield Condition(ConditionType.BOOT_OVERRIDE, Status.FALSE, ConditionReason.ONCE_READS_CONTINUOUS, message)

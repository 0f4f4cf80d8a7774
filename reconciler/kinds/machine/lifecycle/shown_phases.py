"""Phases as people see them: of a managed machine, and of the machines in a claim's slots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.kinds.claim.spec import ClaimedMachine
from reconciler.kinds.common.column import ClaimSlot
from reconciler.kinds.common.machine_facts import machine_facts
from reconciler.kinds.machine.lifecycle.lifecycle import claim_spec, phase
from reconciler.kinds.machine.spec import managed
from reconciler.model.facts import Facts
from reconciler.model.resource import DesiredState, Resource, ResourceKey


def shown_phase(key: ResourceKey, desired: DesiredState, facts: Facts) -> str | None:
    """The phase of a managed machine; None for what has none."""
    resource = desired.resources.get(key)
    if key.kind != "Machine" or resource is None or not managed(resource.spec):
        return None
    remembered = machine_facts(facts.resources, key)
    return str(phase(remembered, claim_spec(remembered, desired)))


def claim_slots(
    key: ResourceKey, holders: Mapping[str, tuple[ClaimedMachine, ...]], facts: Facts, claim: Resource[Any] | None
) -> tuple[ClaimSlot, ...]:
    """The slots of a claim, each with its machine and that one's phase; none of what is no claim."""
    if key.kind != "MachineClaim":
        return ()
    spec = claim.spec if claim is not None else None
    return tuple(
        ClaimSlot(
            one.slot, one.machine, str(phase(machine_facts(facts.resources, ResourceKey("Machine", one.machine)), spec))
        )
        for one in holders.get(key.name, ())
    )

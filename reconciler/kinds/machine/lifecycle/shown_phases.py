"""The phases that `get` and `describe` show: of a managed machine, and of the machines in a claim's slots."""

from __future__ import annotations

from reconciler.kinds.claim.spec import holders_of
from reconciler.kinds.common.column import ClaimSlot, Shown
from reconciler.kinds.common.machine_facts import machine_facts
from reconciler.kinds.machine.lifecycle.phases import claim_spec, phase
from reconciler.kinds.machine.spec import managed
from reconciler.model.facts import Facts
from reconciler.model.resource import DesiredState, ResourceKey


def shown_phase(key: ResourceKey, desired: DesiredState, facts: Facts) -> str | None:
    """The phase of a managed machine; None where it is not managed, or not declared."""
    resource = desired.resources.get(key)
    if resource is None or not managed(resource.spec):
        return None
    remembered = machine_facts(facts.resources, key)
    return str(phase(remembered, claim_spec(remembered, desired)))


def machine_shown(key: ResourceKey, desired: DesiredState, facts: Facts) -> Shown:
    """The phase of a machine."""
    return Shown(shown_phase(key, desired, facts))


def claim_shown(key: ResourceKey, desired: DesiredState, facts: Facts) -> Shown:
    """The slots of a claim, each with its machine and the phase of that machine."""
    claim = desired.resources.get(key)
    spec = claim.spec if claim is not None else None
    return Shown(
        machines=tuple(
            ClaimSlot(
                one.slot,
                one.machine,
                str(phase(machine_facts(facts.resources, ResourceKey("Machine", one.machine)), spec)),
            )
            for one in holders_of(key.name, facts.resources)
        )
    )

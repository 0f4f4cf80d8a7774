"""How what is remembered of a machine changes. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from reconciler.kinds.claim.spec import claim_key
from reconciler.kinds.common.fact_rules import FactRules, Slot
from reconciler.kinds.common.machine_facts import MachineFacts, machine_s
from reconciler.kinds.machine.lifecycle import unattended
from reconciler.kinds.machine.spec import one_time_boot
from reconciler.kinds.machine.ways_in import ways_in
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import DesiredState, Resource


class MachineFactRules(FactRules):
    """The rules of machines."""

    facts_type = MachineFacts
    takes_slots = True

    def first(self, spec: Any, new_store: bool) -> ResourceFacts:
        """Its one-time boot order may be of any age where no machine was known."""
        order = one_time_boot(spec)
        return MachineFacts(found_order=order, found_new=new_store and order is not None)

    def declared(
        self, facts: ResourceFacts, resource: Resource[Any], desired: DesiredState, _now: datetime
    ) -> ResourceFacts:
        """By which way its BMC is reached."""
        known = machine_s(facts)
        access = ways_in(desired).get(resource.key, known.access)
        return known if access == known.access else msgspec.structs.replace(known, access=access)

    def moved(self, facts: ResourceFacts) -> ResourceFacts:
        """A machine at another place has ignored no shutdown there, was not seen off there, and was not started from
        the network there."""
        known = machine_s(facts)
        return msgspec.structs.replace(known, shutdown_ignored=None, lifecycle=unattended(known.lifecycle))

    def slot(self, facts: ResourceFacts) -> Slot | None:
        """The slot of its claim."""
        life = machine_s(facts).lifecycle
        claim = claim_key(life)
        return Slot(claim, life.slot or 0) if claim is not None else None

    def leaves_slot(self, facts: ResourceFacts) -> bool:
        """Whether its claim has released it."""
        return machine_s(facts).lifecycle.releasing_at is not None

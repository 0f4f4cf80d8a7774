"""What is remembered of whom when a desired state takes force. Pure, so that `plan` foresees it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from reconciler.kinds import RECONCILED
from reconciler.kinds.claim.renamed_from import carried
from reconciler.kinds.common.bmc_access import system_address
from reconciler.kinds.machine.lifecycle import unattended
from reconciler.kinds.machine.spec import MachineSpec, one_time_boot
from reconciler.model.facts import NO_FACTS, ResourceFacts
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.planning.access_changes import ways_in


def carried_over(
    desired: DesiredState, remembered: Mapping[ResourceKey, ResourceFacts]
) -> dict[ResourceKey, ResourceFacts | None]:
    """The facts that are new or different because of what is declared now, by key; None: nothing is remembered of it
    any more, as it has another name now (`kinds.moved`).

    A machine at the place of one that is gone is that one under another name: what is remembered of it stays, so that
    no one-time order is given again, and nothing that was taken down is forgotten. A machine at another place than
    before has ignored no shutdown there, was not seen off there, and was not started from the network there.
    """
    moved = carried(desired, remembered)
    if moved:
        remembered = with_changes(remembered, moved)
    gone = {
        facts.place: facts
        for key, facts in remembered.items()
        if key.kind == "Machine" and key not in desired.resources
    }
    new_store = not any(key.kind == "Machine" for key in remembered)
    gone_claims = [key for key in remembered if key.kind == "MachineClaim" and key not in desired.resources]
    changed: dict[ResourceKey, ResourceFacts | None] = dict(moved)
    for key, resource in desired.resources.items():
        if key.kind not in RECONCILED:
            continue
        before = remembered.get(key)
        here = system_address(resource.spec.bmc) if key.kind == "Machine" else None
        after = before or (gone.get(here, NO_FACTS) if here else NO_FACTS)
        if after is NO_FACTS and isinstance(resource.spec, MachineSpec):
            order = one_time_boot(resource.spec)
            after = ResourceFacts(found_order=order, found_new=new_store and order is not None)
        if after.place not in (None, here):
            after = msgspec.structs.replace(after, shutdown_ignored=None, life=unattended(after.life))
        policy = getattr(resource.spec, "deletion_policy", None)
        others = gone if key.kind == "Machine" else gone_claims if key.kind == "MachineClaim" else ()
        joining = bool(others) and (before is None or before.joining)
        # A name that is declared again is that one's own from now on.
        was = tuple(name for name in after.was if ResourceKey(key.kind, name) not in desired.resources)
        said = {"place": here, "deletion_policy": policy, "joining": joining, "was": was}
        if isinstance(resource.spec, MachineSpec):
            said["access"] = ways_in(desired)[key]
        if before is None or any(getattr(before, name) != value for name, value in said.items()):
            changed[key] = msgspec.structs.replace(after, **said)
    return changed


def with_changes(
    remembered: Mapping[ResourceKey, ResourceFacts], changed: Mapping[ResourceKey, ResourceFacts | None]
) -> dict[ResourceKey, ResourceFacts]:
    """What is remembered then."""
    every = {**remembered, **changed}
    return {key: facts for key, facts in every.items() if facts is not None}

"""Names from before a rename of which nothing is known, a typing error; and renames without such a name. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from reconciler.kinds.claim.renamed_from import RENAMABLE
from reconciler.kinds.claim.spec import has_machines, of_claim
from reconciler.kinds.common.renamed_facts import former
from reconciler.kinds.ipam.allocation.occupancy import is_held
from reconciler.kinds.ipam.allocation.second_allocation import advise_on_second_allocations
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.facts import NO_FACTS, Facts
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, ResourceKey


def advise_on_renames(
    keys: Collection[ResourceKey], desired: DesiredState, observed: ObservedState, facts: Facts, _now: datetime
) -> tuple[Diagnostic, ...]:
    """The names of before of which nothing is known, while the new one is not as declared yet: a typing error. Later
    the old name may stand there for good. And what may be a rename that its document does not speak of."""
    found = []
    for key in keys:
        resource = desired.resources.get(key) if key.kind in RENAMABLE else None
        if resource is None or not resource.spec.former or of_claim(key) is not None:
            continue
        remembered = facts.resources.get(key, NO_FACTS)
        olds = [ResourceKey(key.kind, name) for name in resource.spec.former]
        if former(remembered) or remembered.applied or any(_is_known(old, facts, observed) for old in olds):
            continue
        what = (
            f"spec.renamedFrom of {key} names {' or '.join(map(str, olds))}, but the store has no record of that name"
        )
        found.append(
            Diagnostic(
                "renamed-from-unknown",
                Severity.WARNING,
                f"{what}; groundstate treats the document as a new resource",
                resource.source,
                hint="check spec.renamedFrom for a typo",
            )
        )
    return (*found, *advise_on_second_allocations(keys, desired, observed, facts, _now))


def _is_known(old: ResourceKey, facts: Facts, observed: ObservedState) -> bool:
    seen = observed.get(old)
    if old in facts.resources or (seen is not None and is_held(seen.value)):
        return True
    return has_machines(old, facts.resources)

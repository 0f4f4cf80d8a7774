"""Which resources a new desired state concerns: whose own document changed, or one that they lean on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.kinds import KINDS, RECONCILED
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import DesiredState, ResourceKey


def affected_keys(
    before: DesiredState | None, after: DesiredState, facts: Mapping[ResourceKey, ResourceFacts]
) -> list[ResourceKey]:
    """The keys that it concerns when `after` follows `before`, remembered ones that are gone among them."""
    declared = [key for key in after.resources if key.kind in RECONCILED]
    removed = [key for key in facts if key not in after.resources]
    if before is None:
        return [*declared, *removed]
    own = [key for key in declared if _changed(key, before, after)]
    return [*dict.fromkeys([*own, *_bound_to([*own, *removed], facts)]), *removed]


def _bound_to(changed: Iterable[ResourceKey], facts: Mapping[ResourceKey, ResourceFacts]) -> list[ResourceKey]:
    """Those that are in a slot of one that has changed or is gone, as machines are in those of a claim."""
    holders = set(changed)
    rules = {name: kind.fact_rules for name, kind in KINDS.items() if kind.fact_rules.takes_slots}
    slots = ((key, rules[key.kind].slot(one)) for key, one in facts.items() if key.kind in rules)
    return [key for key, slot in slots if slot is not None and slot.holder in holders]


def _changed(key: ResourceKey, before: DesiredState, after: DesiredState) -> bool:
    old, new = before.resources.get(key), after.resources[key]
    if old is None or old.spec != new.spec:
        return True
    return any(_spec(one, before) != _spec(one, after) for one in KINDS[key.kind].depends_on(new))


def _spec(key: ResourceKey, state: DesiredState) -> object:
    resource = state.resources.get(key)
    return None if resource is None else resource.spec

"""Which resources a new desired state concerns: whose own document changed, or one that they lean on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.kinds import RECONCILED
from reconciler.kinds.ipam.ipaddress import IPAddressSpec
from reconciler.kinds.ipam.network import NetworkSpec
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import DesiredState, Resource, ResourceKey


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
    """The machines of claims that have changed or are gone."""
    claims = {key.name for key in changed if key.kind == "MachineClaim"}
    return [key for key, one in facts.items() if one.life.claim in claims] if claims else []


def _changed(key: ResourceKey, before: DesiredState, after: DesiredState) -> bool:
    old, new = before.resources.get(key), after.resources[key]
    if old is None or old.spec != new.spec:
        return True
    return any(_spec(one, before) != _spec(one, after) for one in _depends_on(new))


def _depends_on(resource: Resource[Any]) -> list[ResourceKey]:
    """Other documents that say something about this resource."""
    match resource.spec:
        case MachineSpec(partition=partition):
            return [ResourceKey("Partition", partition)]
        case IPAddressSpec(network=network, machine=machine):
            found = [ResourceKey("Network", network)]
            return found if machine is None else [*found, ResourceKey("Machine", machine)]
        case NetworkSpec(parent=parent) if parent is not None:
            return [ResourceKey("Network", parent)]
        case _:
            return []


def _spec(key: ResourceKey, state: DesiredState) -> object:
    resource = state.resources.get(key)
    return None if resource is None else resource.spec

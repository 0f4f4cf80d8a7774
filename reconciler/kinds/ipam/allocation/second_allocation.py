"""A network or static address that is new, where one like it loses its document and stays allocated.

Perhaps both are the same under two names; the new one then gets a second prefix or address. Pure."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from datetime import datetime

from reconciler.kinds.common.field_types.fields import DeletionPolicy
from reconciler.kinds.common.renamed_facts import former
from reconciler.kinds.ipam.allocation.occupancy import is_held
from reconciler.kinds.ipam.ipaddress import AddressState, AddressType, IPAddressSpec
from reconciler.kinds.ipam.network import NetworkSpec, NetworkState, chosen_lengths, family_and_length, parent_of
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.facts import NO_FACTS, Facts
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, ResourceKey

_HINTS = {
    "Network": "to keep the prefix, declare {old} again",
    "IPAddress": "to keep the address, set spec.renamedFrom: {old.name} in {new}",
}


def advise_on_second_allocations(
    keys: Collection[ResourceKey], desired: DesiredState, observed: ObservedState, facts: Facts, _now: datetime
) -> tuple[Diagnostic, ...]:
    """A warning for each of the keys that asks the IPAM for what another of the same shape keeps without a document."""
    asking = {key: shape for key in keys if (shape := _asked(key, desired, observed, facts)) is not None}
    if not asking:
        return ()
    gone: dict[Hashable, ResourceKey] = {}
    for key in sorted(facts.resources, reverse=True):
        if (shape := _kept(key, desired, observed, facts)) is not None:
            gone[shape] = key
    return tuple(_warning(key, gone[shape], desired) for key, shape in sorted(asking.items()) if shape in gone)


def _warning(new: ResourceKey, old: ResourceKey, desired: DesiredState) -> Diagnostic:
    return Diagnostic(
        "second-allocation",
        Severity.WARNING,
        f"{old} is no longer declared and stays allocated (deletionPolicy Orphan), and {new} gets another allocation. "
        f"If this is a rename: {_HINTS[new.kind].format(old=old, new=new)}",
        desired.resources[new].source,
    )


def _asked(key: ResourceKey, desired: DesiredState, observed: ObservedState, facts: Facts) -> Hashable | None:
    """What the IPAM is to choose for a resource that was never there; None where it names what it wants, or has it."""
    resource = desired.resources.get(key)
    if resource is None or facts.resources.get(key, NO_FACTS).applied or former(facts.resources.get(key, NO_FACTS)):
        return None
    seen, spec = observed.get(key), resource.spec
    if seen is not None and (seen.error is not None or is_held(seen.value)):
        return None
    if isinstance(spec, NetworkSpec):
        lengths = chosen_lengths(spec, parent_of(spec, desired))
        if spec.parent is not None and lengths and not spec.prefixes:
            return key.kind, spec.parent, spec.project or "", tuple(sorted(lengths.items()))
    if isinstance(spec, IPAddressSpec) and spec.type is AddressType.STATIC and spec.address is None and not spec.former:
        return key.kind, spec.network
    return None


def _kept(key: ResourceKey, desired: DesiredState, observed: ObservedState, facts: Facts) -> Hashable | None:
    """The same of what is held by a resource whose document has gone, and which is not released."""
    if key in desired.resources or getattr(facts.resources[key], "deletion_policy", None) == DeletionPolicy.RELEASE:
        return None
    seen = observed.get(key)
    value = seen.value if seen is not None else None
    if isinstance(value, NetworkState) and value.network is not None and value.network.parent is not None:
        lengths = sorted(family_and_length(one.cidr) for one in value.network.prefixes)
        return key.kind, value.network.parent, value.network.project, tuple(lengths)
    if isinstance(value, AddressState) and value.address is not None and not value.about.ephemeral:
        return key.kind, value.network
    return None

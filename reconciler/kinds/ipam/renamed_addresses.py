"""Addresses that the IPAM still holds under the name from before a rename. Pure."""

from __future__ import annotations

from reconciler.kinds.claim.renamed_from import new_owners, olds_of
from reconciler.kinds.claim.spec import machines_of_claim, of_claim
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.ipam.ipaddress import AddressState
from reconciler.model.resource import ResourceKey


def comes_from(key: ResourceKey, view: KindView) -> tuple[ResourceKey, AddressState] | None:
    """Under which other name the IPAM holds the address that is this one's, and what it is."""
    if view.desired is None:
        return None
    own = view.value
    for old in olds_of(key, view.desired, view.remembered.get(key, view.facts)):
        seen = view.observed.get(old)
        state = seen.value if seen is not None else None
        if not isinstance(state, AddressState) or state.address is None or _stays(old, view):
            continue
        if isinstance(own, AddressState) and (own.network, own.address) == (state.network, state.address):
            continue  # It came here after the last look at the old one: an address has one owner.
        return old, state
    return None


def goes_to(key: ResourceKey, view: KindView) -> ResourceKey | None:
    """The new owner of the address that the IPAM holds under this name, which no document has any more."""
    if view.desired is None or key in view.desired.resources or _stays(key, view):
        return None
    desired = view.desired
    return view.once("new owners", lambda: new_owners(desired, view.remembered)).get(key)


def _stays(old: ResourceKey, view: KindView) -> bool:
    """Whether a machine is in the slot of the old claim still, as that claim could not be renamed."""
    meant = of_claim(old)
    return meant is not None and bool(machines_of_claim(meant.claim, view))

"""Every key that a plan could be about, in the order of the table of kinds and then by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from operator import attrgetter

from reconciler.kinds import KINDS, RECONCILED
from reconciler.model.facts import Facts
from reconciler.model.resource import DesiredState, ResourceKey

_ORDER = {name: index for index, name in enumerate(KINDS)}


def universe(desired: DesiredState, facts: Facts, observed: Iterable[ResourceKey] = ()) -> list[ResourceKey]:
    """Every key that a plan could be about. Reconciled and declared, or once declared and still remembered, or held by
    a backend, as an address is by the IPAM."""
    return sorted_keys(keys_to_plan(desired, facts, observed))


def keys_to_plan(desired: DesiredState, facts: Facts, observed: Iterable[ResourceKey] = ()) -> set[ResourceKey]:
    """The same in no order."""
    found = {key for key in observed if key.kind in KINDS and KINDS[key.kind].made}
    declared = desired.derived("reconciled keys", _reconciled_keys)
    return declared | facts.resources.keys() | found


def _reconciled_keys(desired: DesiredState) -> set[ResourceKey]:
    return {key for key in desired.resources if key.kind in RECONCILED}


def sorted_keys(keys: Collection[ResourceKey]) -> list[ResourceKey]:
    by_kind: dict[str, list[ResourceKey]] = {}
    for key in keys:
        by_kind.setdefault(key.kind, []).append(key)
    kinds = sorted(by_kind, key=lambda kind: (_ORDER.get(kind, len(_ORDER)), kind))
    return [key for kind in kinds for key in sorted(by_kind[kind], key=attrgetter("name"))]

"""Labels that follow from inventories: computed again when inventories, sizes or aggregates change."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from reconciler.onboarding.inventory_comparison import labelling, labels_from_inventories

if TYPE_CHECKING:
    from reconciler.applying.engine import Engine
    from reconciler.model.resource import DesiredState, ResourceKey
    from reconciler.store import Store

_WORKED_OUT = "labels-of"


def are_current(store: Store, desired: DesiredState) -> bool:
    """Whether those that are remembered are what this state and the inventories come to. Raises StoreError."""
    return store.get_meta(_WORKED_OUT) == labelling(desired)


def label(
    store: Store, engine: Engine, desired: DesiredState, only: Collection[ResourceKey] | None = None
) -> list[ResourceKey]:
    """Work them out for the state in force; returns the resources of which something is new. `only`: those
    whose inventories are new; None: all. Raises StoreError."""
    changed = engine.label(labels_from_inventories(desired, store.inventories.each(only)), only)
    if only is None:
        store.put_meta(_WORKED_OUT, labelling(desired))
    return changed


def outdate(store: Store) -> None:
    """Another part stored an inventory without computing the labels. Raises StoreError."""
    store.put_meta(_WORKED_OUT, "")

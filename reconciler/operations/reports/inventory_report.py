"""What is in a machine, by its BMC and by the agent, and what changed since a person accepted it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from reconciler.kinds import INVENTORIED, SIZED
from reconciler.kinds.catalogue.aggregate import aggregate_items, aggregates
from reconciler.kinds.common.inventory_diff import PartChange
from reconciler.kinds.common.mac_vendor import mac_vendor
from reconciler.kinds.common.machine_inventory import Origin, SizeFound, StoredInventory
from reconciler.kinds.machine.labels import size_by_inventory
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.onboarding.inventory_comparison import changes, disagreements, listed_changes
from reconciler.operations.named_resource import one_resource
from reconciler.operations.requests.inventory_refresh import refresh_inventory
from reconciler.operations.stored_facts import described_by
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.runtime import now
from reconciler.store import Store


class InventoryRequest(msgspec.Struct, frozen=True):
    """Of which resource, from which origin (None: both), and whether its endpoint is read first, or what is kept is
    accepted as the baseline."""

    target: str
    origin: Origin | None = None
    refresh: bool = False
    accept: bool = False


class InventoryReport(msgspec.Struct, frozen=True):
    """What is kept at `at`, by origin, the differences, what follows from it, and what was accepted, in words.
    `size`: None where Sizes are not for the kind."""

    key: ResourceKey
    at: datetime
    kept: StoredInventory
    changes: dict[Origin, tuple[PartChange, ...]]
    disagreements: tuple[PartChange, ...]
    size: SizeFound | None
    aggregates: dict[str, Any]
    accepted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything changed, or the two origins disagree."""
        return any(self.changes.values()) or bool(self.disagreements)


def inventory_form(report: InventoryReport) -> dict[str, Any]:
    """The inventory for programs, of values that JSON and YAML have. Each stored origin has its changes in words. Each
    network interface has its `vendor`, None for an unknown one."""
    sources = {}
    for kept in report.kept.all:
        form = msgspec.to_builtins(kept)
        for nic in (form.get("value") or {}).get("nics") or ():
            nic["vendor"] = mac_vendor(nic["mac"]) or None
        form["changes"] = [str(one) for one in report.changes[kept.origin]]
        sources[form.pop("origin")] = form
    return {
        "kind": report.key.kind,
        "name": report.key.name,
        "sources": sources,
        "disagreements": [str(one) for one in report.disagreements],
        **({} if report.size is None else {"size": {"name": report.size.name, "why": report.size.why}}),
        "aggregates": report.aggregates,
    }


def report_inventory(where: Where, request: InventoryRequest) -> InventoryReport:
    """Raises OperationError. Writes the store for `refresh` and `accept` alone."""
    with Workspace(where) as at:
        desired = at.read_shown()
        resource = one_resource(request.target, INVENTORIED, desired)
        opened = at.changing(create=True) if request.refresh or request.accept else at.store()
        accepted: tuple[str, ...] = ()
        with opened as store:
            if request.refresh:
                refresh_inventory(at, store, resource, desired, "inventory")
            if request.accept:
                accepted = tuple(_accept(resource, desired, store, request.origin, where.by("inventory")))
            kept = _chosen(store.inventories.of(resource.key), request.origin)
        return InventoryReport(
            resource.key,
            now(),
            kept,
            {one.origin: changes(one) for one in kept.all},
            disagreements(kept),
            size_by_inventory(resource, kept.best, desired) if resource.key.kind in SIZED else None,
            aggregates(kept.best, aggregate_items(desired)),
            accepted,
            at.notes,
        )


def _accept(
    resource: Resource[Any], desired: DesiredState, store: Store, origin: Origin | None, by: str
) -> Iterator[str]:
    """Each acceptance in words, once it is in the ledger."""
    for kept in _chosen(store.inventories.of(resource.key), origin).all:
        if kept.previous is None:
            continue
        message = f"{kept.origin}: {listed_changes(changes(kept))}"
        store.inventories.accept(resource.key, kept.origin)
        reason = EventReason.INVENTORY_ACCEPTED
        event = Event(now(), EventType.NORMAL, reason, message, resource.key, by=by)
        store.append([described_by(desired, store.facts())(event)])
        yield message


def _chosen(inventory: StoredInventory, origin: Origin | None) -> StoredInventory:
    match origin:
        case Origin.OUT_OF_BAND:
            return StoredInventory(out_of_band=inventory.out_of_band)
        case Origin.IN_BAND:
            return StoredInventory(in_band=inventory.in_band)
        case _:
            return inventory

"""What an endpoint says is in its resource, read now."""

from __future__ import annotations

from typing import Any

import msgspec

from drivers.base import DriverError, Inventory
from reconciler.kinds.common.machine_inventory import Origin
from reconciler.model.resource import DesiredState, Resource
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.stored_facts import described_by
from reconciler.operations.workspace import Workspace
from reconciler.runtime import now
from reconciler.store import Store


def observe_inventory(at: Workspace, store: Store, resource: Resource[Any], desired: DesiredState) -> Inventory:
    """What its endpoint says now; nothing of it is kept. Raises OperationError."""
    from reconciler.observed.backends import Backends

    try:
        return Backends(at.connections(store), now).inventory(resource.key, desired)
    except DriverError as error:
        why = f"{resource.key}: the inventory cannot be read: {error}"
        raise OperationError(why, FailureReason.UNAVAILABLE) from error


def refresh_inventory(
    at: Workspace, store: Store, resource: Resource[Any], desired: DesiredState, command: str
) -> None:
    """Keep what its endpoint says now; `command` asked for it, as the ledger says. Raises OperationError."""
    from reconciler.daemon.label_refresh import outdate
    from reconciler.observed.inventory_reader import keep_inventory

    seen = observe_inventory(at, store, resource, desired)
    by = at.where.by(command)
    events = keep_inventory(store.inventories, resource.key, Origin.OUT_OF_BAND, seen, now())
    described = described_by(desired, store.facts())
    store.append(described(msgspec.structs.replace(event, by=by)) for event in events)
    outdate(store)

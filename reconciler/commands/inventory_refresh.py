"""For commands about one machine: which one is meant, and what its BMC says is in it."""

from __future__ import annotations

from typing import Any

import msgspec

from drivers.base import DriverError, Inventory
from reconciler.commands.workspace import connections, fail, operator
from reconciler.kinds.common.inventory import Origin
from reconciler.model.resource import DesiredState, Resource
from reconciler.operations.where import Where
from reconciler.planning.selectors import select
from reconciler.runtime import now
from reconciler.store import Store


def one_machine(name: str, desired: DesiredState) -> Resource[Any]:
    """The machine of that name. Exits with words when it is not one; raises Unmatched for none."""
    target = name if "/" in name else f"machine/{name}"
    found = sorted(select([target], "", desired))
    if len(found) != 1 or found[0].kind != "Machine":
        fail(f"{name!r} is not one machine; name one, such as r12-01")
    return desired.resources[found[0]]


def refresh_inventory(resource: Resource[Any], desired: DesiredState, where: Where, store: Store) -> Inventory:
    """What its BMC says now. Exits with words when it says nothing."""
    from reconciler.kinds.machine.spec import way_to

    try:
        with connections(store, where) as ways:
            return ways.bmc(resource.key, way_to(resource.spec, desired)).inventory()
    except DriverError as error:
        fail(f"{resource.key}: what is in it cannot be read: {error}")


def refresh(resource: Resource[Any], desired: DesiredState, where: Where, store: Store, command: str) -> None:
    """Keep what its BMC says now; `command` asked for it. Exits with words when it says nothing."""
    from reconciler.daemon.label_refresh import outdate
    from reconciler.observed.inventory_reader import keep_inventory

    seen = refresh_inventory(resource, desired, where, store)
    by = operator(command)
    events = keep_inventory(store.inventories, resource.key, Origin.OUT_OF_BAND, seen, now())
    store.append(msgspec.structs.replace(event, by=by) for event in events)
    outdate(store)

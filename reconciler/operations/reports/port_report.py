"""The ports of switches: what is cabled to each, and in which network it is, by the latest observations."""

from __future__ import annotations

import msgspec

from reconciler.kinds import INVENTORIED
from reconciler.kinds.selectors import select
from reconciler.kinds.switch.shown.port_table import PortRow, port_rows
from reconciler.operations.operation_error import OperationError
from reconciler.operations.stored_facts import derived_labels, observed_types, state_and_facts
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace


class PortReport(msgspec.Struct, frozen=True):
    """The listed ports, by switch."""

    rows: tuple[PortRow, ...]
    notes: tuple[str, ...] = ()


def report_ports(where: Where, targets: tuple[str, ...] = (), selector: str = "") -> PortReport:
    """Of all switches, or of those that are chosen by name and by labels. `machine/NAME` chooses the ports of a
    machine. Raises OperationError for another kind, and Unmatched for what no declared resource has."""
    with Workspace(where) as at, at.store() as store:
        desired, facts = state_and_facts(at, store)
        chosen = select(_meant(targets), selector, desired, (), lambda: derived_labels(store, desired))
        if other := sorted(key for key in chosen if key.kind not in ("Switch", "Machine")):
            raise OperationError(f"{other[0]} has no ports; name switches, or machine/NAME")
        seen = {one.key: one for one in store.observations(observed_types())}
        inventories = store.inventories.all({key for key in desired.resources if key.kind in INVENTORIED})
        switches = frozenset(key.name for key in chosen if key.kind == "Switch")
        machines = frozenset(key.name for key in chosen if key.kind == "Machine")
        rows = port_rows(desired, seen, facts.resources, inventories, switches if not machines else None)
        return PortReport(tuple(one for one in rows if one.switch in switches or one.machine in machines), at.notes)


def _meant(targets: tuple[str, ...]) -> tuple[str, ...]:
    """A word alone is the name of a switch."""
    named = [one for one in targets if "/" in one]
    bare = [one for one in targets if "/" not in one]
    return (*named, *(("switch", *bare) if bare or not named else ()))

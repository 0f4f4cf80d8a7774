"""The ports of switches: what is cabled to each, and in which network it is, by the latest observations."""

from __future__ import annotations

import msgspec

from reconciler.kinds import INVENTORIED
from reconciler.kinds.switch.port_table import PortRow, port_rows
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.stored_facts import observed_types, state_and_facts
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace


class PortReport(msgspec.Struct, frozen=True):
    """The listed ports, by switch."""

    rows: tuple[PortRow, ...]
    notes: tuple[str, ...] = ()


def report_ports(where: Where, switches: tuple[str, ...] = (), machine: str | None = None) -> PortReport:
    """Of all switches, or of these; `machine`: only the ports of this one. Raises OperationError for a name that no
    declared switch has."""
    with Workspace(where) as at, at.store() as store:
        desired, facts = state_and_facts(at, store)
        names = [name.rpartition("/")[2] for name in switches]
        declared = {one.key.name for one in desired.of_kind("Switch")}
        if unknown := [name for name in names if name not in declared]:
            known = ", ".join(sorted(declared)) or "none"
            what = f"no Switch is named {unknown[0]!r}; the declared switches are {known}"
            raise OperationError(what, FailureReason.NOT_FOUND)
        seen = {one.key: one for one in store.observations(observed_types())}
        inventories = store.inventories.all({key for key in desired.resources if key.kind in INVENTORIED})
        rows = port_rows(desired, seen, facts.resources, inventories, frozenset(names) if names else None)
        return PortReport(tuple(one for one in rows if machine in (None, one.machine)), at.notes)

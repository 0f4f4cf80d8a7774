"""Why each Size fits a machine or not, by an inventory."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from reconciler.kinds import KINDS, SIZED
from reconciler.kinds.catalogue.size_matching import Explanation, explain_sizes
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.operations.named_resource import one_resource
from reconciler.operations.requests.inventory_refresh import observe_inventory, refresh_inventory
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.runtime import now
from reconciler.views.render.tables.sizes import Basis, basis_form, is_right, verdict


class SizeReport(msgspec.Struct, frozen=True):
    """Every Size held against what is in the machine: `basis` says by which inventory, `declared` which Size the
    document names."""

    key: ResourceKey
    at: datetime
    declared: str | None
    basis: Basis
    sizes: tuple[Explanation, ...]
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether exactly one Size fits, and is the declared one where one is declared."""
        return is_right(self.declared, self.sizes)

    @property
    def verdict(self) -> str:
        """The same in words."""
        return verdict(str(self.key), self.declared, self.sizes)


def size_form(report: SizeReport) -> dict[str, Any]:
    """The report for programs, of values that JSON and YAML have."""
    form: dict[str, Any] = msgspec.to_builtins(
        {
            "machine": report.key.name,
            "declared": report.declared,
            "inventory": report.basis.inventory,
            **basis_form(report.basis),
            "sizes": report.sizes,
            "verdict": report.verdict,
        }
    )
    return form


def report_size(where: Where, machine: str, given: Basis | None = None, *, refresh: bool = False) -> SizeReport:
    """By the inventory that is `given`, or what is kept, or, where nothing is kept, what the BMC says now. `refresh`:
    read from the BMC and kept first. Raises OperationError."""
    with Workspace(where) as at:
        desired = at.read_shown()
        resource = one_resource(machine, SIZED, desired)
        basis = given or _basis(at, resource, desired, refresh=refresh)
        found = explain_sizes(desired, basis.inventory)
        return SizeReport(resource.key, now(), _declared(resource), basis, found, at.notes)


def _declared(resource: Resource[Any]) -> str | None:
    size_of = KINDS[resource.key.kind].size_of
    return None if size_of is None else size_of(resource.spec)


def _basis(at: Workspace, resource: Resource[Any], desired: DesiredState, *, refresh: bool) -> Basis:
    with at.changing(create=True) if refresh else at.store() as store:
        if refresh:
            refresh_inventory(at, store, resource, desired, "explain-size")
        known = store.inventories.of(resource.key)
        if known.best is not None:
            return Basis(known.best, kept=tuple(one for one in known.all if one.value is not None))
        return Basis(observe_inventory(at, store, resource, desired))

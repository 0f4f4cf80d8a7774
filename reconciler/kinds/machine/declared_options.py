"""What documents say in `bmc.options`: machines with what they inherit, and their partitions. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from reconciler.kinds.catalogue.partition import PartitionSpec
from reconciler.kinds.common.access.access_rules import DeclaredOptions
from reconciler.kinds.machine.spec import DEFAULT_DRIVER, MachineSpec, access
from reconciler.model.resource import Resource


def declared_options(resources: Sequence[Resource[Any]]) -> Iterator[DeclaredOptions]:
    """Of every document that says some, partitions first."""
    partitions = {one.key.name: one for one in resources if isinstance(one.spec, PartitionSpec)}
    for one in partitions.values():
        bmc = one.spec.bmc
        if bmc is not None and bmc.options:
            yield DeclaredOptions(one, bmc.driver or DEFAULT_DRIVER, bmc.options, bmc.options, whole=False)
    for machine in resources:
        if not isinstance(machine.spec, MachineSpec):
            continue
        partition = partitions.get(machine.spec.partition)
        inherited = partition.spec.bmc if partition is not None else None
        if not machine.spec.bmc.options and (inherited is None or not inherited.options):
            continue
        way = access(machine.spec, inherited)
        if way.options:
            yield DeclaredOptions(machine, way.driver, way.options, machine.spec.bmc.options or {}, whole=True)

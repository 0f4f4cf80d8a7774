"""What documents say in `bmc.options`: machines with what they inherit, and their partitions. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from reconciler.kinds.catalogue.partition import PartitionSpec
from reconciler.kinds.common.access.access_rules import DeclaredOptions
from reconciler.kinds.machine.spec import DEFAULT_DRIVER, MachineSpec, access
from reconciler.model.resource import Resource


def declared_options(resources: Sequence[Resource[Any]]) -> Iterator[DeclaredOptions]:
    """Of every document that says some, or means another driver than the default one, partitions first."""
    partitions = {one.key.name: one for one in resources if isinstance(one.spec, PartitionSpec)}
    for one in partitions.values():
        bmc = one.spec.bmc
        if bmc is not None and (bmc.options or bmc.driver):
            named = bmc.driver is not None
            yield DeclaredOptions(one, bmc.driver or DEFAULT_DRIVER, bmc.options, bmc.options, False, named)
    for machine in resources:
        if not isinstance(machine.spec, MachineSpec):
            continue
        partition = partitions.get(machine.spec.partition)
        inherited = partition.spec.bmc if partition is not None else None
        own = machine.spec.bmc
        if not (own.options or own.driver) and (inherited is None or not (inherited.options or inherited.driver)):
            continue
        way = access(machine.spec, inherited)
        yield DeclaredOptions(machine, way.driver, way.options, own.options or {}, True, own.driver is not None)

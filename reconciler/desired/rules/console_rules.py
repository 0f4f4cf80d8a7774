"""Rules between machines and the consoles of their partitions. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.desired.rules.findings import Finding
from reconciler.kinds.common.consoles.console_fields import MachineConsole, PartitionConsole, check_ssh_console
from reconciler.model.resource import DesiredState, ResourceKey


def check_consoles(state: DesiredState) -> Iterator[Finding]:
    """Consoles over SSH that lack what a machine or its partition has to say."""
    for machine in state.of_kind("Machine"):
        partition = state.resources.get(ResourceKey("Partition", machine.spec.partition))
        shared = partition.spec.console if partition is not None else None
        for found in check_ssh_console(machine.spec.console or MachineConsole(), shared or PartitionConsole()):
            path = ("spec", "console", found.path.rpartition(".")[2])
            yield Finding(found.code, machine, path, found.summary, hint=found.hint)

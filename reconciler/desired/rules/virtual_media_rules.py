"""Rules between machines and how their partitions start them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.desired.rules.findings import Finding
from reconciler.kinds.catalogue.partition import StartFrom
from reconciler.model.resource import DesiredState, ResourceKey


def check_virtual_media(state: DesiredState) -> Iterator[Finding]:
    """Machines that are declared to start from virtual media, in a Partition without `spec.boot`, which names the image
    to fetch."""
    for machine in state.of_kind("Machine"):
        lifecycle = machine.spec.lifecycle
        partition = state.resources.get(ResourceKey("Partition", machine.spec.partition))
        if lifecycle is None or lifecycle.start_from is not StartFrom.VIRTUAL_MEDIA or partition is None:
            continue
        if partition.spec.boot is None:
            what = f"Machine is set to boot from virtual media, but Partition/{machine.spec.partition} has no spec.boot"
            hint = "add spec.boot to the partition: BMCs fetch the CD image from spec.boot.server"
            path = ("spec", "lifecycle", "startFrom")
            yield Finding("start-from", machine, path, what, f"the partition is at {partition.source}", hint)

"""SizeReservation: machines of a size that are kept back for a project."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from reconciler.kinds.common.field_types.fields import Spec, Text, reference_field
from reconciler.kinds.common.kind import RuleFinding
from reconciler.model.resource import Resource


class SizeReservationSpec(Spec, frozen=True, kw_only=True):
    """Machines of a size that are reserved for a project, in each of the partitions."""

    description: Annotated[Text, Meta(description="What the machines are reserved for.")] | None = None
    size: Annotated[str, reference_field("Size", "The Size of the reserved machines.")]
    project: Annotated[str, reference_field("Project", "The Project for which the machines are reserved.")]
    amount: Annotated[
        int,
        Meta(
            ge=1,
            description=(
                "The number of machines to reserve in each partition. Machines that the project already has are "
                "included."
            ),
        ),
    ]
    partitions: Annotated[
        tuple[
            Annotated[str, reference_field("Partition", "A Partition in which `amount` machines are reserved.")], ...
        ],
        Meta(min_length=1, description="The Partitions in which machines are reserved: `amount` machines in each."),
    ]


def check_reservation(resource: Resource[SizeReservationSpec]) -> list[RuleFinding]:
    """A partition counts once."""
    partitions = resource.spec.partitions
    return [
        RuleFinding(
            "second-partition",
            f"spec.partitions.{index}",
            (f"{name} is in the list already"),
            "remove one of the two entries",
        )
        for index, name in enumerate(partitions)
        if name in partitions[:index]
    ]

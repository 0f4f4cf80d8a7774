"""Size: a class of machines, by what is in them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from reconciler.kinds.fields import Spec, Text

Quantity = (
    Annotated[int, Meta(ge=0, description="A number; bytes for memory and storage.")]
    | Annotated[str, Meta(pattern=r"^[0-9]+(Ki|Mi|Gi|Ti|Pi)$", description="Bytes with a binary suffix.")]
)


class ConstraintType(StrEnum):
    """What a constraint counts."""

    CORES = "cores"
    MEMORY = "memory"
    STORAGE = "storage"
    GPU = "gpu"


class Constraint(Spec, frozen=True, kw_only=True):
    """A range, both ends included, for the sum over the parts that `identifier` names."""

    type: Annotated[ConstraintType, Meta(description="What is counted.")]
    min: Annotated[Quantity, Meta(description="The least that fits.", examples=[16, "64Gi"])]
    max: Annotated[Quantity, Meta(description="The most that fits.", examples=[32, "128Gi"])]
    identifier: (
        Annotated[str, Meta(description="A shell pattern on CPU model, disk name or GPU model; left out: all.")] | None
    ) = None


class SizeSpec(Spec, frozen=True, kw_only=True):
    """A class of machines."""

    description: Annotated[Text, Meta(description="What the size is, for people.")] | None = None
    constraints: Annotated[
        tuple[Constraint, ...], Meta(min_length=1, description="All must hold, and cover every part.")
    ]

"""Size: a class of machines, by what is in them, and the images that run on it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta

from reconciler.kinds.catalogue import globs, image_versions
from reconciler.kinds.common.field_types.fields import Spec, Text
from reconciler.kinds.common.kind import RuleFinding
from reconciler.kinds.common.machine_facts import NO_MACHINE_FACTS, MachineFacts
from reconciler.kinds.common.machine_inventory import SIZE_LABEL
from reconciler.model.resource import Resource

_WITH_SUFFIX = r"^[0-9]+(Ki|Mi|Gi|Ti|Pi)$"
DiskSize = (
    Annotated[int, Meta(ge=0, description="The size of the smallest disk that can be used, in bytes.")]
    | Annotated[
        str,
        Meta(
            pattern=_WITH_SUFFIX,
            description="The size of the smallest disk that can be used, with a binary suffix, such as 128Gi.",
        ),
    ]
)
Quantity = (
    Annotated[int, Meta(ge=0, description="A number of cores or GPUs, or of bytes of memory or storage.")]
    | Annotated[
        str,
        Meta(
            pattern=_WITH_SUFFIX,
            description="A number of bytes of memory or storage with a binary suffix, such as 128Gi.",
        ),
    ]
)
_SUFFIXES = ("Ki", "Mi", "Gi", "Ti", "Pi")


class ConstraintType(StrEnum):
    """What a constraint counts."""

    CORES = "cores"
    MEMORY = "memory"
    STORAGE = "storage"
    GPU = "gpu"


IN_BYTES = (ConstraintType.MEMORY, ConstraintType.STORAGE)
NEEDED = {ConstraintType.CORES: "processors", ConstraintType.MEMORY: "memory"}
"""What every machine has, so that a size needs a constraint on it."""


class Constraint(Spec, frozen=True, kw_only=True):
    """A range for the sum over the parts that `identifier` selects. Both ends are included."""

    type: Annotated[
        ConstraintType, Meta(description="What the constraint counts: cores, bytes of memory or storage, or GPUs.")
    ]
    min: Annotated[
        Quantity,
        Meta(
            description="The minimum of the sum: a number of cores or GPUs, or bytes of memory or storage.",
            examples=[16, "64Gi"],
        ),
    ]
    max: Annotated[
        Quantity, Meta(description="The maximum of the sum, in the same unit as `min`.", examples=[32, "128Gi"])
    ]
    identifier: (
        Annotated[
            str,
            Meta(
                max_length=253,
                description="A shell pattern on CPU model, disk name or GPU model. The default is all parts. Required "
                "for GPUs.",
            ),
        ]
        | None
    ) = None


class SizeSpec(Spec, frozen=True, kw_only=True):
    """A class of machines. Two sizes that could fit the same machine are refused."""

    description: Annotated[Text, Meta(description="What the size is, for people.")] | None = None
    constraints: Annotated[
        tuple[Constraint, ...],
        Meta(
            min_length=1,
            description=(
                "A machine has this size if the machine meets all constraints. Each of its processors, disks and GPUs, "
                "and the memory, must be counted by at least one constraint."
            ),
        ),
    ]
    images: Annotated[
        dict[
            Annotated[str, Meta(max_length=253)],
            Annotated[
                str, Meta(max_length=253, description="A version range, such as `>= 12.0, < 14`; `*`: any version.")
            ],
        ],
        Meta(
            description="The allowed versions by operating system: operators = != > < >= <= ~ ~> ^ joined by commas. "
            "`~ 12.1`: 12.1 with any patch. `^ 12.1`: 12.1 and later, below 13. Every version of an operating system "
            "that is not named is allowed."
        ),
    ] = {}  # noqa: RUF012 (msgspec copies it)


def quantity_number(quantity: int | str) -> int:
    """The quantity without its suffix: `2Ki` is 2048."""
    if isinstance(quantity, int):
        return quantity
    power = next(i for i, suffix in enumerate(_SUFFIXES, 1) if quantity.endswith(suffix))
    return int(quantity[:-2]) << 10 * power


def shown_amount(amount: int, of: ConstraintType) -> str:
    """The amount for people, exactly: bytes with the largest suffix that leaves nothing over."""
    if of not in IN_BYTES or amount == 0:
        return str(amount)
    power = max(p for p in range(len(_SUFFIXES) + 1) if amount % 1024**p == 0)
    return f"{amount // 1024**power}{_SUFFIXES[power - 1] if power else ' bytes'}"


def check_size(resource: Resource[SizeSpec]) -> list[RuleFinding]:
    """Rules of one Size document that a schema cannot say (metal-stack's, metal/size.go)."""
    spec = resource.spec
    found = [place for index, one in enumerate(spec.constraints) for place in _constraint(one, index)]
    for kind, what in NEEDED.items():
        places = [index for index, one in enumerate(spec.constraints) if one.type is kind]
        if not places:
            hint = (
                f"add a constraint of type {kind}. A machine fits a size only if the size has a constraint for "
                "each type of part in the machine"
            )
            found.append(RuleFinding("never-matches", "spec.constraints", f"no constraint counts the {what}", hint))
        for index in places[1:]:
            path, hint = f"spec.constraints.{index}", "keep one constraint, with the right range"
            found.append(RuleFinding("second-constraint", path, f"there are two constraints of type {kind}", hint))
    found.extend(_images(spec))
    return found


def _constraint(one: Constraint, index: int) -> Iterator[RuleFinding]:
    path = f"spec.constraints.{index}"
    for name in ("min", "max"):
        if isinstance(value := getattr(one, name), str) and one.type not in IN_BYTES:
            yield RuleFinding(
                "bytes-for-a-count",
                f"{path}.{name}",
                f"type {one.type} is a number, but {value} is a number of bytes",
                "write a number",
            )
    if quantity_number(one.max) < quantity_number(one.min):
        yield RuleFinding(
            "max-below-min", f"{path}.max", f"max {one.max} is less than min {one.min}", "swap min and max"
        )
    if one.type in NEEDED and quantity_number(one.max) == 0:
        yield RuleFinding(
            "never-matches",
            f"{path}.max",
            f"max is 0, but every machine has at least one {NEEDED[one.type]}",
            "raise max",
        )
    if one.type is ConstraintType.GPU and not one.identifier:
        yield RuleFinding(
            "gpu-without-identifier",
            path,
            "a constraint of type gpu needs a model",
            'add identifier, a pattern for the model, such as "*" for every model',
        )
    if one.type is ConstraintType.MEMORY and one.identifier is not None:
        yield RuleFinding(
            "memory-with-identifier",
            f"{path}.identifier",
            "a memory constraint cannot have identifier",
            "remove identifier",
        )
    if one.identifier:
        try:
            globs.parse_glob(one.identifier)
        except ValueError as error:
            hint = "write a shell pattern with * ? [a-z] [!a-z]; put a backslash before a literal character"
            yield RuleFinding("malformed-pattern", f"{path}.identifier", f"the pattern is malformed: {error}", hint)


def _images(spec: SizeSpec) -> Iterator[RuleFinding]:
    for os, text in spec.images.items():
        if os == "*":
            yield RuleFinding(
                "any-os",
                "spec.images.*",
                "spec.images cannot have the key *",
                "write each operating system by its name; an operating system that is not in the list is allowed",
            )
        try:
            image_versions.constraint(text)
        except ValueError as error:
            hint = 'write ">= 12.0, < 14", "~> 24.4" or "*", for example'
            yield RuleFinding("malformed-versions", f"spec.images.{os}", f"the constraint is malformed: {error}", hint)


def runs_image(spec: SizeSpec, os: str, version: image_versions.ImageVersion) -> bool:
    """Whether an image of the system in that version runs on the size; what is not constrained does."""
    text = spec.images.get(os)
    return text is None or image_versions.constraint(text).allow(version)


def size_of(machine: Resource[Any], facts: MachineFacts = NO_MACHINE_FACTS) -> str | None:
    """Which Size the machine is: as its document says, else as its inventory does."""
    named: str | None = machine.spec.size
    return named or facts.labels.get(SIZE_LABEL)

"""Pool and Number: whole numbers such as VRF ids and ASNs, and one of them with its owner."""

from __future__ import annotations

from typing import Annotated, Any, Self

import msgspec
from msgspec import Meta

from drivers.base import IntegerRange, Number, Pool
from reconciler.kinds.common.field_types.fields import (
    DeletionPolicy,
    Spec,
    Text,
    reference_field,
)
from reconciler.kinds.common.kind import RuleFinding
from reconciler.model.actions.action import Action
from reconciler.model.actions.ipam_actions import AcquireNumber, ReleaseNumber
from reconciler.model.resource import Resource, ResourceKey

MAX_NUMBER = 2**32 - 1
"""ASNs have 32 bits (RFC 6793); a VNI has 24 (RFC 7348)."""

NumberRange = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,10}(-[0-9]{1,10})?$",
        description="A number, or a range `first-last` with both ends included.",
        examples=["1-131072", "4210000001-4294967294"],
    ),
]


class PoolSpec(Spec, frozen=True, kw_only=True):
    """Numbers that are allocated one by one."""

    description: Annotated[Text, Meta(description="What the numbers are for.")] | None = None
    ranges: Annotated[
        tuple[NumberRange, ...],
        Meta(min_length=1, description=("The numbers of the pool: numbers and ranges, in quotes.")),
    ]
    partition: (
        Annotated[
            str, reference_field("Partition", "The Partition of the pool. Guards can match the pool by this field.")
        ]
        | None
    ) = None
    deletion_policy: Annotated[
        DeletionPolicy,
        Meta(
            description="Orphan: the pool stays when the document is removed. Release: the pool is deleted when "
            "it is empty."
        ),
    ] = DeletionPolicy.ORPHAN


class NumberSpec(Spec, frozen=True, kw_only=True):
    """One number of a pool, such as the ASN of a machine or a router."""

    description: Annotated[Text, Meta(description="What the number is for.")] | None = None
    pool: Annotated[str, reference_field("Pool", "The Pool from which the number is acquired.")]
    number: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=MAX_NUMBER,
                description=("The number to acquire. The default is the lowest free number of the pool."),
            ),
        ]
        | None
    ) = None
    project: Annotated[str, reference_field("Project", "The Project that owns the number, if any.")] | None = None
    deletion_policy: Annotated[
        DeletionPolicy,
        Meta(
            description="Release: the number becomes free when the document is removed. Orphan: the number stays "
            "allocated."
        ),
    ] = DeletionPolicy.RELEASE


class PoolState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a pool; None: nothing."""

    pool: Pool | None = None
    """What the IPAM has under this name; None: nothing."""

    def without_count(self) -> PoolState:
        """The same without the count of held numbers: each holder is a resource of its own."""
        if self.pool is None or not self.pool.held:
            return self
        return PoolState(msgspec.structs.replace(self.pool, held=0))


class NumberState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The number that the resource holds; None: none."""

    pool: str | None = None
    """The pool that it was acquired from."""
    number: int | None = None
    """The number; None: none is held."""
    ephemeral: bool = False
    """It goes with its owner."""

    @classmethod
    def of(cls, held: Number | None) -> Self:
        """What the pools' answer comes to."""
        return cls() if held is None else cls(held.pool, held.number, held.ephemeral)

    def held(self, key: ResourceKey) -> Number | None:
        """The same as the pools have it."""
        if self.pool is None or self.number is None:
            return None
        return Number(str(key), self.pool, self.number, self.ephemeral)


def check_pool(resource: Resource[PoolSpec]) -> list[RuleFinding]:
    """Ranges go up, within 32 bits, and no number stands in two of them."""
    found: list[RuleFinding] = []
    before: list[IntegerRange] = []
    for index, text in enumerate(resource.spec.ranges):
        one, path = parse_number_range(text), f"spec.ranges.{index}"
        if one.first > one.last:
            found.append(
                RuleFinding("number-range", path, f"{text} ends before it begins", "write the lower number first")
            )
        elif one.last > MAX_NUMBER:
            found.append(
                RuleFinding(
                    "number-range",
                    path,
                    f"{text} is too large: numbers have at most 32 bits",
                    f"write at most {MAX_NUMBER}",
                )
            )
        elif other := next((r for r in before if one.first <= r.last and r.first <= one.last), None):
            what = f"{text} overlaps {other.first}-{other.last}"
            found.append(
                RuleFinding("number-range", path, what, ("change one of the two ranges, so that they do not overlap"))
            )
        before.append(one)
    return found


def parse_number_range(text: str) -> IntegerRange:
    """A range as the schema allows it."""
    first, dash, last = text.partition("-")
    return IntegerRange(int(first), int(last if dash else first))


def ranges(spec: PoolSpec) -> tuple[IntegerRange, ...]:
    """Ascending, and joined where they touch, which is how the pool is read back."""
    joined: list[IntegerRange] = []
    for one in sorted(map(parse_number_range, spec.ranges)):
        if joined and one.first <= joined[-1].last + 1:
            joined[-1] = IntegerRange(joined[-1].first, max(joined[-1].last, one.last))
        else:
            joined.append(one)
    return tuple(joined)


def pool_size(pool: Pool) -> int:
    """How many numbers it has."""
    return sum(one.last - one.first + 1 for one in pool.ranges)


def range_words(found: tuple[IntegerRange, ...]) -> list[str]:
    """`1-131072`, `7`."""
    return [str(one.first) if one.first == one.last else f"{one.first}-{one.last}" for one in found]


def number_steps(
    key: ResourceKey,
    pool: str | None,
    number: int | None,
    held: Number | None,
    take: type[AcquireNumber],
    give: type[ReleaseNumber],
    *,
    ephemeral: bool = False,
) -> list[Action]:
    """Release what is held and not wanted, and take what is wanted; `take` and `give` serve the field in question."""
    actions: list[Action] = []
    if held is not None:
        why = "the document now declares another number" if pool else "the document no longer declares a number"
        actions.append(give(key=key, pool=held.pool, number=held.number, reason=why))
    if pool is not None:
        actions.append(take(key=key, pool=pool, number=number, ephemeral=ephemeral, reason="no number acquired yet"))
    return actions


def pool_state(value: Any) -> PoolState:
    """The look at a pool, or nothing known."""
    return value if isinstance(value, PoolState) else PoolState()


def number_state(value: Any) -> NumberState:
    """The look at a number, or nothing held."""
    return value if isinstance(value, NumberState) else NumberState()

"""Whole numbers by owner: what a driver of pools promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class IntegerRange(msgspec.Struct, frozen=True, order=True):
    """Whole numbers from first to last, both within."""

    first: int
    """The lowest number."""
    last: int
    """The highest number."""


class Pool(msgspec.Struct, frozen=True):
    """A pool of whole numbers: its ranges, ascending and joined, and how many of them are held."""

    ranges: tuple[IntegerRange, ...]
    """The numbers that the pool has."""
    held: int = 0
    """How many of them are held."""


class Number(msgspec.Struct, frozen=True, order=True):
    """A number that an owner holds."""

    owner: str
    """Who holds it, such as Network/front."""
    pool: str
    """The pool's name."""
    number: int
    """The number."""
    ephemeral: bool = False
    """It goes with its owner."""


class Pools(Protocol):
    """Whole numbers by owner: VRF and VNI ids, ASNs. Transactions as with Ipam."""

    def put_pool(self, pool: str, ranges: Sequence[IntegerRange]) -> None:
        """Make the pool be exactly these numbers (0 to 2**32 - 1); idempotent. Raises Conflict, naming owners, when a
        number that is held would go: then nothing changes. Rejected for a range that cannot be."""

    def drop_pool(self, pool: str) -> None:
        """Forget the pool. Absent is success. Raises Conflict, naming owners, while a number of it is held."""

    def pools(self) -> dict[str, Pool]:
        """Every pool."""

    def acquire_number(self, pool: str, owner: str, *, number: int | None = None, ephemeral: bool = False) -> int:
        """Return the number that owner holds, or give it the lowest free one, or `number`. The same owner gets the same
        answer. Raises Conflict when the owner holds another, or the number is held by another (named) or outside.
        Exhausted when nothing is free. Rejected when the pool is not known."""

    def release_number(self, owner: str) -> None:
        """Free what owner holds. Absent is success."""

    def number(self, owner: str) -> Number | None:
        """What owner holds."""

    def numbers(self, pool: str | None = None) -> list[Number]:
        """All that is held, or a pool's, by owner."""

"""Which sizes a machine is, from what is in it. Pure.

A constraint compares the *sum* over the parts that its pattern names with its range: cores of processors, bytes of
memory and of disks, numbers of GPUs (metal-stack). A machine is of a size when all constraints hold and each
processor, disk and GPU, and the memory, is counted by one of them. What is not known is never taken to fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from drivers.base import Inventory
from reconciler.kinds.catalogue import globs
from reconciler.kinds.catalogue.size import Constraint, ConstraintType, number

PARTS = {
    ConstraintType.CORES: "processors",
    ConstraintType.MEMORY: "memory",
    ConstraintType.STORAGE: "disks",
    ConstraintType.GPU: "gpus",
}
"""What an inventory calls the parts that a constraint counts."""


class Verdict(StrEnum):
    """Whether a machine is of a size. UNKNOWN: what is known of it does not say."""

    FITS = "fits"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


class Check(msgspec.Struct, frozen=True):
    """One constraint and what was found; `found` and `holds` are None where the inventory does not say."""

    index: int
    type: ConstraintType
    identifier: str | None
    min: int
    max: int
    found: int | None
    holds: bool | None


class Explanation(msgspec.Struct, frozen=True):
    """Why a machine is of a size or not. `uncovered`: its parts that no constraint counts, in words; `unknown`: the
    parts, in the inventory's words, of which nothing is known."""

    size: str
    verdict: Verdict
    checks: tuple[Check, ...]
    uncovered: tuple[str, ...]
    unknown: tuple[str, ...]


class Item(msgspec.Struct, frozen=True):
    """One part: the name that patterns are held against, how much it counts, and what it is called."""

    name: str
    amount: int
    label: str


def unknown_parts(inventory: Inventory) -> tuple[str, ...]:
    """What the inventory does not say. A machine without processors, cores or memory does not exist: its BMC only
    does not tell."""
    silent = set(inventory.missing)
    if not inventory.processors or any(one.cores <= 0 for one in inventory.processors):
        silent.add("processors")
    if inventory.memory <= 0:
        silent.add("memory")
    return tuple(part for part in PARTS.values() if part in silent)


def items(inventory: Inventory, kind: ConstraintType) -> tuple[Item, ...]:
    """The parts that constraints of the type count."""
    match kind:
        case ConstraintType.CORES:
            return tuple(
                Item(p.model, p.cores, f"processor {p.model or 'without a model'}") for p in inventory.processors
            )
        case ConstraintType.MEMORY:
            return (Item("", inventory.memory, "the memory"),)
        case ConstraintType.STORAGE:
            return tuple(Item(d.name, d.size, f"disk {d.name or 'without a name'}") for d in inventory.disks)
        case ConstraintType.GPU:
            return tuple(Item(g.model, 1, f"GPU {g.model or 'without a model'}") for g in inventory.gpus)


def counts(constraint: Constraint, item: Item) -> bool:
    """Whether the constraint counts a part of its type."""
    return not constraint.identifier or globs.parse(constraint.identifier).matches(item.name)


def explain(name: str, constraints: Sequence[Constraint], inventory: Inventory) -> Explanation:
    """The size of that name, constraint by constraint. Raises ValueError for a pattern that is malformed."""
    unknown = unknown_parts(inventory)
    checks = tuple(_check(index, one, inventory, unknown) for index, one in enumerate(constraints))
    uncovered = tuple(_uncovered(constraints, inventory, unknown))
    if uncovered or any(check.holds is False for check in checks):
        verdict = Verdict.DIFFERS
    else:
        verdict = Verdict.UNKNOWN if unknown else Verdict.FITS
    return Explanation(name, verdict, checks, uncovered, unknown)


def _check(index: int, constraint: Constraint, inventory: Inventory, unknown: tuple[str, ...]) -> Check:
    low, high = number(constraint.min), number(constraint.max)
    found = None
    if PARTS[constraint.type] not in unknown:
        found = sum(item.amount for item in items(inventory, constraint.type) if counts(constraint, item))
    holds = None if found is None else low <= found <= high
    return Check(index, constraint.type, constraint.identifier, low, high, found, holds)


def _uncovered(constraints: Sequence[Constraint], inventory: Inventory, unknown: tuple[str, ...]) -> Iterable[str]:
    for kind, part in PARTS.items():
        if part not in unknown:
            counting = [one for one in constraints if one.type is kind]
            for item in items(inventory, kind):
                if not any(counts(one, item) for one in counting):
                    yield item.label

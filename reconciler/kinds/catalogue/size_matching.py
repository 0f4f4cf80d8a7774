"""Which sizes a machine is, from what is in it. Pure.

A constraint compares the *sum* over the parts that its pattern names with its range. These are cores of processors,
bytes of memory and of disks, numbers of GPUs (metal-stack). A machine is of a size when all constraints hold and each
processor, disk and GPU, and the memory, is counted by one of them. What is not known is never taken to fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from drivers.base import Inventory
from reconciler.kinds.catalogue import globs
from reconciler.kinds.catalogue.size import Constraint, ConstraintType, quantity_number
from reconciler.model.resource import DesiredState

_PARTS = {
    ConstraintType.CORES: "processors",
    ConstraintType.MEMORY: "memory",
    ConstraintType.STORAGE: "disks",
    ConstraintType.GPU: "gpus",
}
"""What an inventory calls the parts that a constraint counts."""


class SizeVerdict(StrEnum):
    """Whether a machine is of a size. UNKNOWN: what is known of it does not say."""

    FITS = "fits"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


class ConstraintCheck(msgspec.Struct, frozen=True):
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
    verdict: SizeVerdict
    checks: tuple[ConstraintCheck, ...]
    uncovered: tuple[str, ...]
    unknown: tuple[str, ...]


class _Part(msgspec.Struct, frozen=True):
    """One part: the name that patterns are held against, how much it counts, and what it is called."""

    name: str
    amount: int
    label: str


def unknown_parts(inventory: Inventory) -> tuple[str, ...]:
    """What the inventory does not say. Every machine has processors, cores and memory, so a missing value means that
    the BMC does not report it."""
    silent = set(inventory.missing)
    if not inventory.processors or any(one.cores <= 0 for one in inventory.processors):
        silent.add("processors")
    if inventory.memory <= 0:
        silent.add("memory")
    return tuple(part for part in _PARTS.values() if part in silent)


def _parts_of(inventory: Inventory, kind: ConstraintType) -> tuple[_Part, ...]:
    """The parts that constraints of the type count."""
    match kind:
        case ConstraintType.CORES:
            return tuple(
                _Part(p.model, p.cores, f"processor {p.model or 'without a model'}") for p in inventory.processors
            )
        case ConstraintType.MEMORY:
            return (_Part("", inventory.memory, "the memory"),)
        case ConstraintType.STORAGE:
            return tuple(_Part(d.name, d.size, f"disk {d.name or 'without a name'}") for d in inventory.disks)
        case ConstraintType.GPU:
            return tuple(_Part(g.model, 1, f"GPU {g.model or 'without a model'}") for g in inventory.gpus)


def counts(constraint: Constraint, item: _Part) -> bool:
    """Whether the constraint counts a part of its type."""
    return not constraint.identifier or globs.parse_glob(constraint.identifier).matches(item.name)


def explain_size(name: str, constraints: Sequence[Constraint], inventory: Inventory) -> Explanation:
    """The size of that name, constraint by constraint. Raises ValueError for a pattern that is malformed."""
    unknown = unknown_parts(inventory)
    checks = tuple(_check(index, one, inventory, unknown) for index, one in enumerate(constraints))
    uncovered = tuple(_uncovered(constraints, inventory, unknown))
    if uncovered or any(check.holds is False for check in checks):
        verdict = SizeVerdict.DIFFERS
    else:
        verdict = SizeVerdict.UNKNOWN if unknown else SizeVerdict.FITS
    return Explanation(name, verdict, checks, uncovered, unknown)


def _check(index: int, constraint: Constraint, inventory: Inventory, unknown: tuple[str, ...]) -> ConstraintCheck:
    low, high = quantity_number(constraint.min), quantity_number(constraint.max)
    found = None
    if _PARTS[constraint.type] not in unknown:
        found = sum(item.amount for item in _parts_of(inventory, constraint.type) if counts(constraint, item))
    holds = None if found is None else low <= found <= high
    return ConstraintCheck(index, constraint.type, constraint.identifier, low, high, found, holds)


def _uncovered(constraints: Sequence[Constraint], inventory: Inventory, unknown: tuple[str, ...]) -> Iterable[str]:
    for kind, part in _PARTS.items():
        if part not in unknown:
            counting = [one for one in constraints if one.type is kind]
            for item in _parts_of(inventory, kind):
                if not any(counts(one, item) for one in counting):
                    yield item.label


def explain_sizes(desired: DesiredState, inventory: Inventory) -> tuple[Explanation, ...]:
    """The same of every Size that is declared."""
    return tuple(explain_size(one.key.name, one.spec.constraints, inventory) for one in desired.of_kind("Size"))

"""Which rack a machine is taken from: metal-stack's rule (metal-api, datastore/machine.go), without its dice. Pure.

P are the racks in which the project has the fewest machines of the size in the partition; T those with the fewest of
these that share a spread label. A machine comes from P and T both, or else from T: labels are meant to hold. Only racks
that have a machine to give count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import TypeVar

import msgspec

from reconciler.kinds.claim import MachineClaimSpec, SpreadBy

K = TypeVar("K")

Rack = str


class Neighbour(msgspec.Struct, frozen=True):
    """A machine that a project has: where it stands, and the spread labels of its claim."""

    project: str
    size: str | None
    partition: str
    rack: Rack
    labels: frozenset[tuple[str, str]] = frozenset()


class Load(msgspec.Struct, frozen=True):
    """How many machines lie in each rack, as one claim counts them: the project's, and those that share a label."""

    mine: Counter[Rack]
    alike: Counter[Rack]

    def plus(self, rack: Rack) -> None:
        """One more of the claim's own."""
        self.mine[rack] += 1
        self.alike[rack] += 1


def load(spec: MachineClaimSpec, size: str | None, partition: str, neighbours: Collection[Neighbour]) -> Load:
    """The load of the racks of a partition before the claim gets anything."""
    labels = labels_of(spec)
    found = Load(Counter(), Counter())
    for one in neighbours:
        if (one.project, one.size, one.partition) == (spec.project, size, partition):
            found.mine[one.rack] += 1
            found.alike[one.rack] += bool(labels & one.labels)
    return found


def labels_of(spec: MachineClaimSpec) -> frozenset[tuple[str, str]]:
    """The labels by which a claim's machines are kept apart."""
    return frozenset(spec.spread.labels.items())


def best(spec: MachineClaimSpec, choices: Mapping[K, tuple[Rack, Load]]) -> frozenset[K]:
    """Those to take the next machine from, of the choices that have one to give: each a rack and how it is loaded."""
    if spec.spread.by is SpreadBy.NONE or not choices:
        return frozenset(choices)
    fewest = _fewest({choice: one.mine[rack] for choice, (rack, one) in choices.items()})
    if not spec.spread.labels:
        return fewest
    apart = _fewest({choice: one.alike[rack] for choice, (rack, one) in choices.items()})
    return fewest & apart or apart


def rule(spec: MachineClaimSpec, rack: Rack, counted: Load, racks: int) -> str:
    """Why a machine of this rack, in words. `racks`: of how many."""
    if spec.spread.by is SpreadBy.NONE or not rack or racks < 2:
        return "the first by name"
    said = f"of {racks} racks, {rack} with {counted.mine[rack]} of project {spec.project}"
    if spec.spread.labels:
        said += f", {counted.alike[rack]} of them with a spread label in common"
    return f"{said}; there the first by name"


def _fewest(counts: Mapping[K, int]) -> frozenset[K]:
    least = min(counts.values())
    return frozenset(choice for choice, count in counts.items() if count == least)

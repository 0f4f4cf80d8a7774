"""Which rack a machine is taken from: metal-stack's rule (metal-api, datastore/machine.go), without its dice. Pure.

P are the racks in which the project has the fewest machines of the size in the partition. T those with the fewest of
these that share a spread label. A machine comes from P and T both, or else from T: labels are meant to hold. Only racks
that have a machine to give count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from reconciler.kinds.claim.spec import MachineClaimSpec, SpreadBy
from reconciler.model import counting

K = TypeVar("K")

Rack = str
Labels = frozenset[tuple[str, str]]


class PlacedMachine(msgspec.Struct, frozen=True):
    """A machine that a project has: where it stands, and the spread labels of its claim."""

    project: str
    size: str | None
    partition: str
    rack: Rack
    labels: Labels = frozenset()


class Load(msgspec.Struct, frozen=True):
    """How many machines are in each rack, as one claim counts them: the project's, and those that share a label."""

    mine: Counter[Rack]
    alike: Counter[Rack]

    def plus(self, rack: Rack) -> None:
        """One more of the claim's own."""
        self.mine[rack] += 1
        self.alike[rack] += 1


class Neighbours:
    """The machines that projects have, counted once for all claims of a pass."""

    def __init__(self, every: Iterable[PlacedMachine]) -> None:
        self._counted: dict[tuple[str, str | None, str], Counter[tuple[Rack, Labels]]] = {}
        for one in every:
            self.add(one)

    def add(self, one: PlacedMachine) -> None:
        """One more."""
        place = (one.project, one.size, one.partition)
        self._counted.setdefault(place, Counter())[one.rack, one.labels] += 1

    def load(self, spec: MachineClaimSpec, size: str | None, partition: str) -> Load:
        """The load of the racks of a partition before the claim gets anything."""
        labels, found = spread_labels(spec), Load(Counter(), Counter())
        for (rack, others), count in self._counted.get((spec.project, size, partition), Counter()).items():
            found.mine[rack] += count
            found.alike[rack] += count if labels & others else 0
        return found


def spread_labels(spec: MachineClaimSpec) -> Labels:
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


def rank_reason(spec: MachineClaimSpec, rack: Rack, counted: Load, racks: int) -> str:
    """Why a machine of this rack, in words. `racks`: of how many."""
    if spec.spread.by is SpreadBy.NONE or not rack or racks < 2:
        return "first by name"
    said = (
        f"rack {rack}, one of {racks} racks: {counting.count(counted.mine[rack], 'machine')} of project {spec.project}"
    )
    if spec.spread.labels:
        said += f", {counted.alike[rack]} of them share a spread label"
    return f"{said}; first by name in that rack"


def _fewest(counts: Mapping[K, int]) -> frozenset[K]:
    least = min(counts.values())
    return frozenset(choice for choice, count in counts.items() if count == least)

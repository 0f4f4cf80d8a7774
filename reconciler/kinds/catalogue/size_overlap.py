"""A machine that two sizes would both be taken for, or one that shows that a size can be met at all. Pure.

metal-stack compares identifier strings, and so does not find that `/dev/nvme*` and `/dev/*n1` name the same disk
(metal/size.go, overlaps). Here the machine is found. Which sets of patterns one name can match, and how much of each
such class of names meets all ranges at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import msgspec

from drivers.base import Disk, Gpu, Inventory, Processor
from reconciler.kinds.catalogue import globs
from reconciler.kinds.catalogue.size import NEEDED, Constraint, ConstraintType, quantity_number, shown_amount

_MAX_TRIES = 2_000
"""How many partial answers the search for amounts tries: enough for documents of people, and a limit for others."""

Constraints = tuple[Constraint, ...]


class _Quantity(msgspec.Struct, frozen=True):
    """What of one name there is: cores, bytes, or GPUs."""

    name: str
    amount: int


class Example(msgspec.Struct, frozen=True):
    """A machine: its processor, bytes of memory, disks and GPUs."""

    processor: _Quantity
    memory: int
    disks: tuple[_Quantity, ...] = ()
    gpus: tuple[_Quantity, ...] = ()

    def inventory(self) -> Inventory:
        """What its BMC would say of it."""
        return Inventory(
            processors=(Processor(self.processor.name, self.processor.amount),),
            memory=self.memory,
            disks=tuple(Disk(disk.name, disk.amount) for disk in self.disks),
            gpus=tuple(Gpu(gpu.name) for gpu in self.gpus for _ in range(gpu.amount)),
        )

    def __str__(self) -> str:
        cores, model = self.processor.amount, self.processor.name
        said = [f"{cores} core{'' if cores == 1 else 's'}" + (f" of {model!r}" if model else "")]
        said.append(f"{shown_amount(self.memory, ConstraintType.MEMORY)} of memory")
        said += [f"disk {disk.name!r} of {shown_amount(disk.amount, ConstraintType.STORAGE)}" for disk in self.disks]
        said += [f"{gpu.amount} GPU{'' if gpu.amount == 1 else 's'} {gpu.name!r}" for gpu in self.gpus]
        return ", ".join(said)


@lru_cache(maxsize=2**15)
def example(*sizes: Constraints) -> Example | None:
    """A machine that is of all these sizes, or None when there is none.

    Both searches in it are bounded (`globs.MOST_STATES`, `MOST_TRIES`): for dozens of patterns that intertwine, None
    may mean that none was found. A machine that is of two sizes is then still reported as such when it is observed.
    """
    memory = _parts(ConstraintType.MEMORY, sizes)
    processors = memory and _parts(ConstraintType.CORES, sizes)
    disks = processors and _parts(ConstraintType.STORAGE, sizes)
    gpus = None if disks is None else _parts(ConstraintType.GPU, sizes)
    if not memory or not processors or disks is None or gpus is None:
        return None
    return Example(processors[0], memory[0].amount, disks, gpus)


def _parts(kind: ConstraintType, sizes: Sequence[Constraints]) -> tuple[_Quantity, ...] | None:
    """Parts of the kind that meet the constraints of all sizes and are counted by a constraint of each."""
    rows = [(index, one) for index, constraints in enumerate(sizes) for one in constraints if one.type is kind]
    patterns = [one.identifier or "*" for _, one in rows]
    different = tuple(sorted(set(patterns)))
    words = {frozenset("*"): _ANY_NAME[kind]} if different == ("*",) else _words(different)
    classes: list[tuple[str, list[int]]] = []
    for matched, word in words.items():
        places = [place for place, pattern in enumerate(patterns) if pattern in matched]
        if len({rows[place][0] for place in places}) == len(sizes):
            classes.append((word, places))
    least = 1 if kind in NEEDED else 0
    wanted = [
        _Row(
            max(least, quantity_number(one.min)),
            quantity_number(one.max),
            [i for i, (_, m) in enumerate(classes) if place in m],
        )
        for place, (_, one) in enumerate(rows)
    ]
    amounts = _solve(wanted, len(classes))
    if amounts is None:
        return None
    return tuple(_Quantity(word, amount) for (word, _), amount in zip(classes, amounts, strict=True) if amount)


_ANY_NAME = {
    ConstraintType.CORES: "",
    ConstraintType.MEMORY: "",
    ConstraintType.STORAGE: "/dev/sda",
    ConstraintType.GPU: "of any model",
}


@lru_cache(maxsize=4096)
def _words(patterns: tuple[str, ...]) -> dict[frozenset[str], str]:
    """`witnesses`, by the patterns' texts. Sizes of one fleet have few patterns, and most of them in common."""
    found = globs.witnesses([globs.parse_glob(pattern) for pattern in patterns])
    return {frozenset(patterns[place] for place in matched): word for matched, word in found.items()}


class _Row(msgspec.Struct, frozen=True):
    """The sum of these unknowns is between low and high."""

    low: int
    high: int
    unknowns: list[int]


_Box = tuple[list[int], list[int]]
"""The least and the most that each unknown can be."""


def _solve(rows: list[_Row], unknowns: int) -> list[int] | None:
    """Whole numbers from 0 on that meet all rows, small ones first."""
    most = max((row.high for row in rows), default=0)
    waiting: list[_Box] = [([0] * unknowns, [most] * unknowns)]
    for _ in range(_MAX_TRIES):
        if not waiting:
            return None
        box = waiting.pop()
        if not _narrow(rows, box):
            continue
        low, high = box
        if all(row.low <= sum(low[i] for i in row.unknowns) <= row.high for row in rows):
            return low
        open_one = next((i for i in range(unknowns) if low[i] < high[i]), None)
        if open_one is not None:
            waiting.extend(_halves(box, open_one))
    return None


def _halves(box: _Box, unknown: int) -> Iterator[_Box]:
    """The box cut in two, the lower half last, so that it is taken up first."""
    low, high = box
    middle = (low[unknown] + high[unknown]) // 2
    yield [*low[:unknown], middle + 1, *low[unknown + 1 :]], high.copy()
    yield low.copy(), [*high[:unknown], middle, *high[unknown + 1 :]]


def _narrow(rows: list[_Row], box: _Box) -> bool:
    """Take from the box what no answer can be in; False when nothing is left. At most a few rounds, as the halving
    does the rest."""
    low, high = box
    for _ in range(8):
        before = (low.copy(), high.copy())
        for row in rows:
            least, most = sum(low[i] for i in row.unknowns), sum(high[i] for i in row.unknowns)
            if least > row.high or most < row.low:
                return False
            for i in row.unknowns:
                low[i], high[i] = (
                    max(low[i], row.low - (most - high[i])),
                    min(high[i], row.high - (least - low[i])),
                )
            if any(low[i] > high[i] for i in row.unknowns):
                return False
        if before == (low, high):
            return True
    return True

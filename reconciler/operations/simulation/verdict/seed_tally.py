"""What came of many seeds: which broke a rule, and how often what happened. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from reconciler.operations.simulation.verdict.record import Sometimes


class TallyRow(msgspec.Struct, frozen=True):
    """Of something that happened: how often, in how many seeds, and after how many seeds for the first time."""

    what: Sometimes
    times: int
    seeds: int
    first: int


class SeedTally:
    """`seeds`: how many there were. `broken`: those in which a rule was broken."""

    def __init__(self) -> None:
        self.seeds, self.broken = 0, list[int]()
        self._rows: dict[Sometimes, TallyRow] = {}

    def add(self, seed: int, sometimes: Mapping[Sometimes, int], *, is_broken: bool) -> None:
        """Count one more seed. `sometimes`: how often what happened in it."""
        self.seeds += 1
        if is_broken:
            self.broken.append(seed)
        for what, times in sometimes.items():
            if times:
                was = self._rows.get(what, TallyRow(what, 0, 0, self.seeds))
                self._rows[what] = TallyRow(what, was.times + times, was.seeds + 1, was.first)

    def rows(self) -> list[TallyRow]:
        """What happened, the rarest first."""
        order = Counter({what: row.seeds for what, row in self._rows.items()})
        return [self._rows[what] for what, _ in reversed(order.most_common())]

    def never(self) -> list[Sometimes]:
        """What happened in none of the seeds."""
        return [one for one in Sometimes if one not in self._rows]

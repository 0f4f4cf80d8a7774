"""A fleet in numbers, as the daemon counts it every few seconds and `groundstate status` shows it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class BudgetLevel(msgspec.Struct, frozen=True):
    """How much of one group's budget is used. `group`: empty where the whole match is one group. `is_whole`: the group
    is all of one kind, by the plural of that."""

    guard: str
    group: str
    used: int
    allowed: int
    is_whole: bool = False


class FleetCount(msgspec.Struct, frozen=True):
    """`statuses`: how many resources of each kind have which status. `held`: how many resources each guard holds.
    `budgets`: those of the whole fleet first, then those groups of declared guards of which something is used."""

    statuses: Mapping[str, Mapping[str, int]]
    held: Mapping[str, int]
    budgets: tuple[BudgetLevel, ...]

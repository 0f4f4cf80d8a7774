"""A fleet in numbers, as the daemon counts it every few seconds and `groundstate status` shows it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class BudgetLevel(msgspec.Struct, frozen=True):
    """How much of one group's budget is used. `group`: empty where the whole match is one group. `is_whole`: the group
    is all of one kind, by the plural of that."""

    guard: str
    """The guard's name."""
    group: str
    """The group, such as a rack; empty: the whole match is one group."""
    used: int
    """How many count as taken down."""
    allowed: int
    """How many may be."""
    is_whole: bool = False
    """The group is all of one kind, and named by the plural of that kind."""


class FleetCount(msgspec.Struct, frozen=True):
    """`statuses`: how many resources of each kind have which status. `held`: how many resources each guard holds.
    `budgets`: those of the whole fleet first, then those groups of declared guards of which something is used."""

    statuses: Mapping[str, Mapping[str, int]]
    """How many resources have each status, by kind."""
    held: Mapping[str, int]
    """How many resources each guard holds."""
    budgets: tuple[BudgetLevel, ...]
    """The budgets of all first, then the groups of declared guards of which something is used."""

"""What must be remembered between two observations: facts with their times, never phases.

What is remembered of every reconciled kind is here. What a kind remembers besides is its own type (`Kind.facts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from reconciler.model.actions.in_flight import InFlight
from reconciler.model.outcome import ActionFailure
from reconciler.model.resource import ResourceKey


class Applied(msgspec.Struct, frozen=True):
    """The values that were last seen to be as declared; the third side of the three-way comparison."""

    fields: dict[str, Any]
    """The values, by field path."""
    revision: str
    """The revision that was in force then."""
    at: datetime
    """When they were seen so."""


class Failure(msgspec.Struct, frozen=True):
    """The last thing that went wrong with one field."""

    reason: ActionFailure
    """The reason of an error, or what became of what was accepted."""
    message: str
    """What happened, in words."""
    at: datetime
    """When it failed last."""
    terminal: bool
    """It is not retried while `fingerprint` stays."""
    attempts: int
    """How often in a row, for the same `fingerprint`."""
    fingerprint: str
    """A digest of what is desired and observed."""
    retry_at: datetime | None = None
    """A write to a BMC that failed in another way is not sent again before this time, also on request."""
    busy_since: datetime | None = None
    """When a BMC first answered "not now" in this row of attempts; None: it did not."""


class RecentWrites(msgspec.Struct, frozen=True):
    """The writes of one value to one field of a BMC."""

    goal: str
    """A digest of the value."""
    times: tuple[datetime, ...]
    """When it was written, the latest last. Only the latest few are kept (`planning.pacing`)."""


class LeftGroup(msgspec.Struct, frozen=True):
    """A group of a guard's budget that the resource was in before a commit."""

    group: str
    """Its name."""
    until: datetime
    """The resource is counted in it until then."""


class Guarded(msgspec.Struct, frozen=True, omit_defaults=True):
    """That a guard guards the resource."""

    group: str = ""
    """The group in which the guard's budget counts it."""
    until: datetime | None = None
    """The document took leave of the guard, which guards it until then."""
    left: tuple[LeftGroup, ...] = ()
    """The groups that it was in before, in which the guard's budget counts it too."""
    joined_at: datetime | None = None
    """When it came into the group from outside of it. None: with the guard, with its own document, or long ago."""


class LastDeclared(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whose the resource was by its last document, so that events after its removal are still known to be theirs."""

    project: str | None = None
    """The project that the document named."""
    labels: Mapping[str, str] = {}
    """The labels of the document."""


class ResourceFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is remembered of one resource, whatever its kind. A row of these, or of the kind's own type, exists for each
    resource that a revision in force has declared."""

    applied: Applied | None = None
    """What was last seen to be as declared."""
    failures: dict[str, Failure] = {}
    """What went wrong last, by field path."""
    drift: dict[str, datetime] = {}
    """Since when a field differs from what was applied, by field path."""
    disrupted_at: datetime | None = None
    """When groundstate last sent something that takes it down; None since it serves again."""
    taken_down_at: datetime | None = None
    """The value, while it is recorded."""
    deletion_policy: str | None = None
    """What the last spec said, for when the document is gone."""
    last_declared: LastDeclared | None = None
    """Whose it was by its last document; None: an older groundstate put that document in force."""
    place: str | None = None
    """Which system of which endpoint the last spec meant (`Kind.endpoint`)."""
    access: dict[str, str] = {}
    """By which way its endpoint was to be reached, as `AccessChange` has it; empty: not known, or there is none."""
    uuid: str | None = None
    """The UUID of the system that it is; None: its endpoint reported none."""
    added_at: datetime | None = None
    """When a state first declared it beside others that were known before; None: it was among the first ones."""
    joining: bool = False
    """It was first declared by a state with which others of its kind are gone, and these are not forgotten yet."""
    labels: dict[str, str] = {}
    """The labels that follow from its inventory, and stand in no document."""
    recent_writes: dict[str, RecentWrites] = {}
    """What was written to the endpoint lately, by field path."""
    guarded: dict[str, Guarded] = {}
    """The guards that guard it, by name."""


class Facts(msgspec.Struct, frozen=True):
    """Everything remembered, as one value."""

    resources: Mapping[ResourceKey, ResourceFacts]
    in_flight: Mapping[ResourceKey, InFlight]
    since_beginning: bool = False
    """Whether the store was made when the history of the repository had just begun, and no other store was known. Then
    nothing that is declared was carried out without a record of it."""


NO_FACTS = ResourceFacts()

GroupOf = Callable[[ResourceFacts], str | None]
"""The group of one resource's facts, by name; None: they are in none. It follows from the facts alone."""
FactGroups = Mapping[str, Mapping[ResourceKey, ResourceFacts]]


class IndexedFacts(dict[ResourceKey, ResourceFacts]):
    """What is remembered of each resource. Its groups follow each change, so that a reconcile that asks for one group
    does not go through the facts of a whole fleet. Changed by `facts[key] = ...` and `del facts[key]` alone, and by one
    thread at a time."""

    def __init__(self, facts: Mapping[ResourceKey, ResourceFacts]) -> None:
        super().__init__(facts)
        self._groups: dict[GroupOf, dict[str, dict[ResourceKey, ResourceFacts]]] = {}

    def grouped(self, of: GroupOf) -> FactGroups:
        """The facts by group; no group is empty. They change with the facts."""
        found = self._groups.get(of)
        if found is None:
            found = self._groups[of] = _grouped(self.items(), of)
        return found

    def __setitem__(self, key: ResourceKey, facts: ResourceFacts) -> None:
        before = self.get(key)
        super().__setitem__(key, facts)
        for of, groups in self._groups.items():
            name, left = of(facts), of(before) if before is not None else None
            if left is not None and left != name:
                _leave(groups, left, key)
            if name is not None:
                groups.setdefault(name, {})[key] = facts

    def __delitem__(self, key: ResourceKey) -> None:
        before = self.get(key)
        super().__delitem__(key)
        for of, groups in self._groups.items():
            if before is not None and (left := of(before)) is not None:
                _leave(groups, left, key)


def _leave(groups: dict[str, dict[ResourceKey, ResourceFacts]], left: str, key: ResourceKey) -> None:
    del groups[left][key]
    if not groups[left]:
        del groups[left]


def grouped(facts: Mapping[ResourceKey, ResourceFacts], of: GroupOf) -> FactGroups:
    """The facts by group, and within one in no certain order. `of`: a function that stays the same object."""
    return facts.grouped(of) if isinstance(facts, IndexedFacts) else _grouped(facts.items(), of)


def _grouped(
    facts: Iterable[tuple[ResourceKey, ResourceFacts]], of: GroupOf
) -> dict[str, dict[ResourceKey, ResourceFacts]]:
    found: dict[str, dict[ResourceKey, ResourceFacts]] = {}
    for key, one in facts:
        if (name := of(one)) is not None:
            found.setdefault(name, {})[key] = one
    return found

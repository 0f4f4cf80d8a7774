"""What a claim gets and why, and what machines there are to get: judged as a plan would judge now."""

from __future__ import annotations

from typing import Any

import msgspec

from reconciler.kinds import KINDS, PLACEABLE, PLACED
from reconciler.kinds.catalogue.partition import partitions_of
from reconciler.model.facts import Facts
from reconciler.model.observation import Observation
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.operations.named_resource import one_resource
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.prospect import ObservedSoFar, PlanRequest, plan_in, unwatched
from reconciler.operations.stored_facts import observed_types, state_and_facts
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.placement.capacity import Capacity, capacity
from reconciler.placement.place import place_all
from reconciler.placement.placement_result import Placement
from reconciler.planning.guards.standing import CommandLimits
from reconciler.runtime import now


class PlacementReport(msgspec.Struct, frozen=True):
    """A claim, and every machine judged for it."""

    claim: Resource[Any]
    placement: Placement
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the claim has all of its machines, or would get them."""
        return len(self.placement.chosen) == len(self.placement.lacks)


class CapacityReport(msgspec.Struct, frozen=True):
    """The machines of each size in each partition."""

    rows: tuple[Capacity, ...]
    notes: tuple[str, ...] = ()


def report_placement(
    where: Where, claim: str, *, refresh: bool = False, observed: ObservedSoFar = unwatched
) -> PlacementReport:
    """By what the store has seen; `refresh`: the machines are observed first. Raises OperationError."""
    with Workspace(where) as at:
        desired, seen, facts = _known(at, refresh, observed)
        resource = one_resource(claim, PLACED, desired)
        name = resource.key.name
        found = place_all(desired, seen, facts, now(), only=(name,), explain=(name,))[name]
        return PlacementReport(resource, found, at.notes)


def report_capacity(
    where: Where, partition: str | None = None, *, refresh: bool = False, observed: ObservedSoFar = unwatched
) -> CapacityReport:
    """The same, of all partitions or of one. Raises OperationError."""
    with Workspace(where) as at:
        desired, seen, facts = _known(at, refresh, observed)
        declared = [one.key.name for one in partitions_of(desired)]
        if partition is not None and partition not in declared:
            known = ", ".join(declared) or "none"
            raise OperationError(
                f"no Partition is named {partition!r}; the declared Partitions are {known}", FailureReason.NOT_FOUND
            )
        rows = tuple(one for one in capacity(desired, seen, facts) if partition in (None, one.partition))
        return CapacityReport(rows, at.notes)


def _known(
    at: Workspace, refresh: bool, observed: ObservedSoFar
) -> tuple[DesiredState, dict[ResourceKey, Observation], Facts]:
    """The state, what was seen of it, and what is remembered once it is in force."""
    fresh: tuple[Observation, ...] = ()
    if refresh:
        targets = tuple(KINDS[kind].plural for kind in PLACEABLE)
        fresh = plan_in(at, CommandLimits(), PlanRequest(targets), observed).observations
    with at.store() as store:
        desired, facts = state_and_facts(at, store)
        seen = {one.key: one for one in (*store.observations(observed_types()), *fresh)}
        return desired, seen, facts

"""Size reservations: what is kept back for a project is not given to another. Pure.

The rule is the strict one. metal-stack clamps a running total instead of each project's own. So its answer depends on
the order of the reservations and one project's surplus eats another's reservation (datastore/machine.go,
checkSizeReservations)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from reconciler.kinds.catalogue.image import stands_at
from reconciler.kinds.catalogue.reservation import SizeReservationSpec
from reconciler.kinds.catalogue.size import size_of
from reconciler.kinds.common.machine_facts import machine_facts
from reconciler.model.actions.record_actions import Bind
from reconciler.model.counting import count
from reconciler.model.facts import Facts
from reconciler.model.observation import ObservedState
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.placement.filters import PlacementFleet, is_allocatable

SizePlace = tuple[str, str]
"""A size and a partition: reservations, and what they count, are of one of each."""


class Stock(msgspec.Struct, frozen=True):
    """The machines of a size in a partition: `free` could be claimed. `reserved` and `has`, by project, are how many
    are kept back for it and how many it has."""

    free: int
    reserved: Mapping[str, int] = {}
    has: Mapping[str, int] = {}

    def open(self, project: str) -> int:
        """How many are still kept back for the project: never less than none, whatever it has beyond."""
        return max(0, self.reserved.get(project, 0) - self.has.get(project, 0))

    def kept_from(self, project: str) -> dict[str, int]:
        """How many are kept back for each other project."""
        return {other: number for other in sorted(self.reserved) if other != project and (number := self.open(other))}

    def allows(self, project: str) -> bool:
        """Whether one more machine may go to the project: one of its own reservation, or one that is over."""
        return self.free >= 1 and (self.open(project) > 0 or self.free > sum(self.kept_from(project).values()))

    def less_one(self, project: str) -> Stock:
        """The stock after one machine went to the project."""
        return Stock(self.free - 1, self.reserved, {**self.has, project: self.has.get(project, 0) + 1})

    def grants(self, project: str, wanted: int) -> int:
        """How many of so many machines may go to the project, one after the other."""
        stock = self
        for given in range(wanted):
            if not stock.allows(project):
                return given
            stock = stock.less_one(project)
        return wanted


def kept_back(
    desired: DesiredState,
    observed: ObservedState,
    facts: Facts,
    claiming: Collection[ResourceKey],
    barred: Collection[ResourceKey] = (),
) -> Mapping[ResourceKey, Hold]:
    """A hold for each of the machines `claiming` to be bound that is reserved for others.

    All machines that wait to be bound are taken in the order of their keys. So a single machine gets the same answer as
    among all. Those that are `barred`, by a quota, take nothing."""
    reservations = desired.derived("reservations by place", by_place)
    if not reservations:
        return {}
    holds: dict[ResourceKey, Hold] = {}
    for place in {_place_of(desired.resources[key], facts) for key in claiming} & reservations.keys():
        holds.update(shelf(place, desired, observed, facts, barred).holds)
    return {key: hold for key, hold in holds.items() if key in claiming}


class Shelf(msgspec.Struct, frozen=True):
    """The stock of a place once those that wait to be bound by name have come in. Which machines could be claimed
    before that. And a hold for each that is kept back for others."""

    stock: Stock
    free: frozenset[ResourceKey]
    holds: Mapping[ResourceKey, Hold]

    def before(self, machine: ResourceKey) -> Stock:
        """The stock from the view of this machine. A machine that only some projects can get does not reduce the stock
        of the others."""
        return self.stock if machine in self.free else msgspec.structs.replace(self.stock, free=self.stock.free + 1)


def shelf(
    place: SizePlace,
    desired: DesiredState,
    observed: ObservedState,
    facts: Facts,
    barred: Collection[ResourceKey] = (),
) -> Shelf:
    """What there is in a place, `barred` machines taking nothing."""
    machines = machines_of(place, desired, facts)
    reservations = desired.derived("reservations by place", by_place).get(place, [])
    has, free, waiting = _count(machines, desired, observed, facts)
    now, holds = Shelf(Stock(len(free), _reserved(reservations), has), frozenset(free), {}), {}
    for machine in waiting:
        if machine.key in barred:
            continue
        here = now.before(machine.key)
        if here.allows(machine.spec.project):
            now = msgspec.structs.replace(now, stock=here.less_one(machine.spec.project))
        else:
            holds[machine.key] = reservation_hold(place, machine.spec.project, here, reservations)
    return msgspec.structs.replace(now, holds=holds)


def _reserved(reservations: list[Resource[SizeReservationSpec]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in reservations:
        found[one.spec.project] = found.get(one.spec.project, 0) + one.spec.amount
    return found


def _count(
    machines: list[Resource[Any]], desired: DesiredState, observed: ObservedState, facts: Facts
) -> tuple[dict[str, int], set[ResourceKey], list[Resource[Any]]]:
    """How many each project has, which could be claimed, and which are declared for a project and not bound yet."""
    has: dict[str, int] = {}
    free: set[ResourceKey] = set()
    waiting, fleet = [], PlacementFleet(desired, observed, facts)
    for machine in machines:
        owner = fleet.remembered(machine).project
        if owner is not None:
            has[owner] = has.get(owner, 0) + 1
            continue
        if can_be_given_out(machine, fleet):
            free.add(machine.key)
        # One that is managed is bound by claims alone.
        if machine.spec.lifecycle is None and machine.spec.project is not None and _is_sound(machine, fleet):
            waiting.append(machine)
    return has, free, waiting


def can_be_given_out(machine: Resource[Any], fleet: PlacementFleet) -> bool:
    """Whether the machine could be claimed now, without regard to reservations: to a claim, or by name where it is not
    managed."""
    if fleet.remembered(machine).project is not None:
        return False
    if machine.spec.lifecycle is not None:
        return is_allocatable(machine, fleet)
    return _is_sound(machine, fleet) and not (machine.spec.maintenance or machine.spec.suspend)


def _is_sound(machine: Resource[Any], fleet: PlacementFleet) -> bool:
    seen = fleet.observed.get(machine.key)
    return not machine.spec.taints and (seen is None or seen.error is None)


def reservation_hold(
    place: SizePlace, project: str, stock: Stock, reservations: list[Resource[SizeReservationSpec]]
) -> Hold:
    """The message when a machine is reserved for others."""
    size, partition = place
    others = stock.kept_from(project)
    kept = ", ".join(f"{number} for project {other}" for other, number in others.items())
    which = [one for one in reservations if one.spec.project in others]
    named = ", ".join(f"{one.key} ({stands_at(one)})" for one in which[:3]) + (" and more" if len(which) > 3 else "")
    free = f"{count(stock.free, 'machine')} of size {size} {'is' if stock.free == 1 else 'are'} free"
    reason = f"{free} in {partition}, but reservations keep {kept}"
    hint = f"lower spec.amount of {named}, declare a SizeReservation for project {project}, or add machines"
    return Hold(HoldKind.GUARD, "reservation", reason, hint, Bind.path)


def _place_of(machine: Resource[Any], facts: Facts) -> SizePlace:
    """Its size, if known, and its partition."""
    return size_of(machine, machine_facts(facts.resources, machine.key)) or "", machine.spec.partition


def by_place(desired: DesiredState) -> dict[SizePlace, list[Resource[SizeReservationSpec]]]:
    """The reservations of each place that has any."""
    found: dict[SizePlace, list[Resource[SizeReservationSpec]]] = {}
    for one in desired.of_kind("SizeReservation"):
        for partition in one.spec.partitions:
            found.setdefault((one.spec.size, partition), []).append(one)
    return found


def machines_of(place: SizePlace, desired: DesiredState, facts: Facts) -> list[Resource[Any]]:
    """The machines of a place, in order of name."""
    declared, silent = desired.derived("machines by declared place", _machines_by_declared_place)
    found = [*declared.get(place, ()), *(one for one in silent if _place_of(one, facts) == place)]
    return sorted(found, key=lambda machine: machine.key)


def machines_by_place(desired: DesiredState, facts: Facts) -> dict[SizePlace, list[Resource[Any]]]:
    """The same for every place."""
    found: dict[SizePlace, list[Resource[Any]]] = {}
    for machine in desired.of_kind("Machine"):
        found.setdefault(_place_of(machine, facts), []).append(machine)
    return found


def _machines_by_declared_place(
    desired: DesiredState,
) -> tuple[dict[SizePlace, list[Resource[Any]]], list[Resource[Any]]]:
    """By the size of their documents; and those whose documents say none."""
    found: dict[SizePlace, list[Resource[Any]]] = {}
    silent = []
    for machine in desired.of_kind("Machine"):
        if machine.spec.size is None:
            silent.append(machine)
        else:
            found.setdefault((machine.spec.size, machine.spec.partition), []).append(machine)
    return found, silent

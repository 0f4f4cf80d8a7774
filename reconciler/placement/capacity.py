"""How many machines there are of each size in each partition, and how many can be had. Pure.

Every machine is one of free, claimed, faulty and waiting. The words are metal-stack's (metal-api, partition capacity),
but that what is faulty there may also be claimed.
"""

from __future__ import annotations

import msgspec

from drivers.base import SystemState
from reconciler.kinds.claim.spec import all_holders, lacking
from reconciler.kinds.common.kind_metrics import CountedGauge, LabelValues
from reconciler.kinds.common.machine_facts import machine_facts
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.facts import Facts
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, Resource
from reconciler.placement import reservations
from reconciler.placement.filters import CRITICAL, PlacementFleet
from reconciler.placement.reservations import SizePlace


class Capacity(msgspec.Struct, frozen=True, rename="camel"):
    """The machines of a size (None: of none that is known) in a partition, by name.

    `free`: could be claimed now. `claimed`: a project's, by a claim or by name, those being released (`leaving`) among
    them. `faulty`: unclaimed, and unreadable, Critical or failed. `waiting`: unclaimed and sound, but not to be had
    just now. Not inspected, not off, on its way to be, tainted, cordoned, in maintenance, suspended, or only observed.
    `reserved`: how many reservations keep back that were not used up. `asked`: how many machines claims lack that name
    the size, with this partition as their first."""

    partition: str
    size: str | None
    total: int
    free: tuple[str, ...] = ()
    claimed: tuple[str, ...] = ()
    faulty: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    releasing: tuple[str, ...] = ()
    reserved: int = 0
    asked: int = 0


def capacity(desired: DesiredState, observed: ObservedState, facts: Facts) -> list[Capacity]:
    """Every partition and size of which there are machines, reservations or claims, in order of name."""
    machines = reservations.machines_by_place(desired, facts)
    asked = _asked(desired, facts)
    reserved = desired.derived("reservations by place", reservations.by_place)
    places = {*machines, *asked, *reserved}
    return [
        _of(place, machines.get(place, []), asked.get(place, 0), desired, observed, facts)
        for place in sorted(places, key=lambda place: (place[1], place[0]))
    ]


def _of(
    place: SizePlace,
    machines: list[Resource[MachineSpec]],
    asked: int,
    desired: DesiredState,
    observed: ObservedState,
    facts: Facts,
) -> Capacity:
    shelf = reservations.shelf(place, desired, observed, facts)
    fleet = PlacementFleet(desired, observed, facts)
    sorts: dict[str, list[str]] = {"free": [], "claimed": [], "faulty": [], "waiting": []}
    for machine in machines:
        sorts[_sort(machine, fleet)].append(machine.key.name)
    leaving = tuple(
        machine.key.name
        for machine in machines
        if machine_facts(facts.resources, machine.key).lifecycle.releasing_at is not None
    )
    size, partition = place
    kept = sum(max(0, most - shelf.stock.has.get(project, 0)) for project, most in shelf.stock.reserved.items())
    names = {word: tuple(found) for word, found in sorts.items()}
    return Capacity(partition, size or None, len(machines), releasing=leaving, reserved=kept, asked=asked, **names)


def _sort(machine: Resource[MachineSpec], fleet: PlacementFleet) -> str:
    remembered = fleet.remembered(machine)
    if remembered.project is not None or remembered.lifecycle.claim is not None:
        return "claimed"
    view = fleet.observed.get(machine.key)
    if view is not None and (view.error is not None or _critical(view.value)):
        return "faulty"
    if remembered.lifecycle.failure is not None:
        return "faulty"
    return "free" if reservations.can_be_given_out(machine, fleet) else "waiting"


def _place_and_sort(
    machine: Resource[MachineSpec], desired: DesiredState, observed: ObservedState, facts: Facts
) -> LabelValues:
    fleet = PlacementFleet(desired, observed, facts)
    return machine.spec.partition, fleet.size(machine) or "", _sort(machine, fleet)


MACHINE_CAPACITY = CountedGauge(
    "groundstate_machine_capacity",
    "Machines by partition, by size, and by whether a claim can get them.",
    ("partition", "size", "state"),
    _place_and_sort,
)


def _critical(value: object) -> bool:
    return isinstance(value, SystemState) and value.health == CRITICAL


def _asked(desired: DesiredState, facts: Facts) -> dict[SizePlace, int]:
    holders = all_holders(facts.resources)
    counted: dict[SizePlace, int] = {}
    for claim in desired.of_kind("MachineClaim"):
        lacks = len(lacking(claim.spec.count, holders.get(claim.key.name, ())))
        place = claim.spec.size or "", claim.spec.partitions[0]
        if lacks:
            counted[place] = counted.get(place, 0) + lacks
    return counted

"""The machines counted by class, so that a claim costs a check of each class and not of each machine. Pure.

A machine's class is all that documents say of it and a claim may ask; its state is what keeps every claim from it.
Claims at one fleet go over the same counts: before, 100 claims that lacked machines cost 100 checks of each of 10,000
machines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from reconciler.kinds.claim.spec import MachineClaimSpec
from reconciler.kinds.common.field_types.fields import Taint
from reconciler.kinds.machine.spec import MachineSpec, managed
from reconciler.model.facts import Facts
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.placement.filters import (
    FREE,
    PlacementFleet,
    Wanted,
    first_code,
    machine_state,
    pause_word,
)
from reconciler.placement.reservations import SizePlace

Machine = Resource[MachineSpec]


class MachineClass(msgspec.Struct, frozen=True):
    """Machines between which no document makes a difference to a claim, but by name. `labels`: the values of those that
    some claim asks for; `pause`: maintenance, suspend or cordon, "" for none."""

    place: SizePlace
    managed: bool
    pause: str
    taints: tuple[Taint, ...]
    labels: tuple[str | None, ...]


class _Entry(msgspec.Struct, frozen=True):
    """What a machine was counted by, and as what."""

    basis: tuple[Any, Any, Any]
    found: MachineClass
    state: str


class MachineTally:
    """Counts for one desired state; `refresh` brings them to another moment of the same fleet."""

    def __init__(self, fleet: PlacementFleet) -> None:
        self.fleet = fleet
        self._asked = fleet.desired.derived("labels that claims ask for", _asked_labels)
        self._entries: dict[str, _Entry] = {}
        self._counts: dict[MachineClass, Counter[str]] = {}
        self._example: dict[MachineClass, Machine] = {}
        self._free: dict[str, MachineClass] = {}
        self.refresh(fleet.observed, fleet.facts)

    @classmethod
    def of(cls, desired: DesiredState, observed: ObservedState, facts: Facts) -> MachineTally:
        """The counts for a desired state."""
        return cls(PlacementFleet(desired, observed, facts))

    def refresh(self, observed: ObservedState, facts: Facts, changed: Collection[ResourceKey] | None = None) -> None:
        """Count again the machines whose facts, actions in flight or observations have changed: among those that have
        `changed`, None: among all."""
        self.fleet = msgspec.structs.replace(self.fleet, observed=observed, facts=facts)
        remembered, flights, declared = facts.resources, facts.in_flight, self.fleet.desired.resources
        machines = self.fleet.desired.of_kind("Machine")
        if changed is not None:
            machines = [declared[key] for key in changed if key.kind == "Machine" and key in declared]
        for machine in machines:
            key = machine.key
            basis = (remembered.get(key), observed.get(key), flights.get(key))
            before = self._entries.get(key.name)
            if before is None or any(one is not other for one, other in zip(basis, before.basis, strict=True)):
                self._count(machine, basis, before)

    def free(self) -> list[tuple[str, MachineClass]]:
        """The machines that a claim which tolerates all of their taints could have now, in order of name."""
        return sorted(self._free.items(), key=lambda pair: pair[0])

    def suits(self, found: MachineClass, wanted: Wanted) -> bool:
        """Whether machines of the class are among those that the claim asks for, whatever it says of their names."""
        return first_code(self._example[found], FREE, _nameless(wanted), self.fleet) is None

    def why_not(self, wanted: Wanted, but: Iterable[Machine] = ()) -> Counter[str | None]:
        """How many machines of the claim's partitions each first reason keeps away, None those that it may have;
        the machines `but` are left out."""
        counted: Counter[str | None] = Counter()
        plain, partitions = _nameless(wanted), set(wanted.spec.partitions)
        for found, states in self._counts.items():
            if found.place[1] in partitions:
                example = self._example[found]
                for state, number in states.items():
                    counted[first_code(example, state, plain, self.fleet)] += number
        named = (self.fleet.desired.resources.get(ResourceKey("Machine", name)) for name in wanted.spec.without)
        for machine in filter(None, named):
            if machine.spec.partition in partitions:
                counted[self.first_code(machine, plain)] -= 1
                counted[self.first_code(machine, wanted)] += 1
        for machine in but:
            if machine.spec.partition in partitions:
                counted[self.first_code(machine, wanted)] -= 1
        return counted

    def first_code(self, machine: Machine, wanted: Wanted) -> str | None:
        """The first reason that keeps this machine from the claim."""
        return first_code(machine, self._entries[machine.key.name].state, wanted, self.fleet)

    def _count(self, machine: Machine, basis: tuple[Any, Any, Any], before: _Entry | None) -> None:
        name = machine.key.name
        found, state = self._class(machine), machine_state(machine, self.fleet)
        if before is not None:
            self._counts[before.found][before.state] -= 1
            self._free.pop(name, None)
        self._entries[name] = _Entry(basis, found, state)
        self._counts.setdefault(found, Counter())[state] += 1
        self._example.setdefault(found, machine)
        if state == FREE and found.managed and not found.pause:
            self._free[name] = found

    def _class(self, machine: Machine) -> MachineClass:
        spec, fleet = machine.spec, self.fleet
        labels = fleet.labels(machine) if self._asked else {}
        return MachineClass(
            (fleet.size(machine) or "", spec.partition),
            managed(spec),
            pause_word(spec),
            spec.taints,
            tuple(labels.get(name) for name in self._asked),
        )


def _nameless(wanted: Wanted) -> Wanted:
    spec = wanted.spec
    if not (spec.without or spec.machines):
        return wanted
    return msgspec.structs.replace(wanted, spec=msgspec.structs.replace(spec, without=(), machines=()))


def _asked_labels(desired: DesiredState) -> tuple[str, ...]:
    specs: Iterable[MachineClaimSpec] = (claim.spec for claim in desired.of_kind("MachineClaim"))
    return tuple(sorted({name for spec in specs for name in spec.selector}))

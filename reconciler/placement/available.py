"""The machines that some claim could have now, sorted once for all claims of a pass. Pure.

That spares a look at every machine for every claim: 50 claims on 10,000 machines took 11 s that way.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from reconciler.kinds.machine.binding import fits
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.resource import Resource, ResourceKey
from reconciler.placement.filters import PlacementFleet, Wanted, machine_ready, suits
from reconciler.placement.reservations import SizePlace


class MachineGroup(msgspec.Struct, frozen=True):
    """Machines that differ in nothing that counts but their names: of one place and rack. `tainted`: none of them could
    be given to just anybody."""

    place: SizePlace
    rack: str
    tainted: bool


Groups = dict[MachineGroup, list[str]]
"""The names of each group's machines, in order."""


class Available:
    """The machines that are ready and were not taken."""

    def __init__(self, fleet: PlacementFleet) -> None:
        self._fleet = fleet
        self._groups: Groups = {}
        for machine in fleet.desired.of_kind("Machine"):
            if machine_ready(machine, fleet):
                self._groups.setdefault(self._group(machine), []).append(machine.key.name)

    def matching(self, wanted: Wanted) -> Groups:
        """Those that would do for a claim, the lists to be changed at will."""
        found = {}
        for group, names in self._groups.items():
            if not self._in_question(group.place, wanted):
                continue
            chosen = list(names)
            if wanted.spec.selector or wanted.spec.machines or wanted.spec.without or group.tainted:
                chosen = [name for name in names if suits(self._machine(name), wanted, self._fleet)]
            if chosen:
                found[group] = chosen
        return found

    def take(self, machines: Iterable[str]) -> None:
        """They are there no more."""
        for name in machines:
            self._groups[self._group(self._machine(name))].remove(name)

    def _in_question(self, place: SizePlace, wanted: Wanted) -> bool:
        size, partition = place
        if partition not in wanted.spec.partitions or wanted.spec.size not in (None, size):
            return False
        found = self._fleet.desired.resources.get(ResourceKey("Size", size)) if size else None
        return found is None or wanted.image is None or fits(found, wanted.image)

    def _machine(self, name: str) -> Resource[MachineSpec]:
        return self._fleet.desired.resources[ResourceKey("Machine", name)]

    def _group(self, machine: Resource[MachineSpec]) -> MachineGroup:
        spec = machine.spec
        return MachineGroup((self._fleet.size(machine) or "", spec.partition), spec.rack or "", bool(spec.taints))

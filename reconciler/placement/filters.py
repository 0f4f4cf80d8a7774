"""Why a machine cannot be given to a claim, one machine at a time. Pure.

The rules are metal-stack's filter for an allocation (metal-api, datastore/machine.go), which it does not apply to a
machine that is asked for by name. Here they hold for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from drivers.base import PowerState, SystemState
from reconciler.kinds.catalogue.image import ImageSpec
from reconciler.kinds.catalogue.size import size_of
from reconciler.kinds.claim.spec import MachineClaimSpec, tolerates
from reconciler.kinds.common.machine_facts import MachineFacts, machine_facts
from reconciler.kinds.machine.binding import fits
from reconciler.kinds.machine.spec import MachineSpec, managed
from reconciler.model.facts import Facts
from reconciler.model.observation import Observation, ObservedState
from reconciler.model.resource import DesiredState, Resource, ResourceKey

SizeLookup = Callable[[Resource[MachineSpec], MachineFacts], str | None]
"""The Size of a machine; None: unknown."""

CODES: dict[str, tuple[str, str]] = {
    "partition": ("is in another partition", "are in other partitions"),
    "without": ("is excluded by spec.without", "are excluded by spec.without"),
    "unmanaged": ("is not Managed", "are not Managed"),
    "size": ("has another size", "have another size"),
    "labels": ("lacks a label of the selector", "lack a label of the selector"),
    "image": ("has a size that does not allow the image", "have sizes that do not allow the image"),
    "claimed": ("is claimed", "are claimed"),
    "project": ("belongs to a project", "belong to a project"),
    "suspend": ("is suspended", "are suspended"),
    "maintenance": ("is in maintenance", "are in maintenance"),
    "cordon": ("is cordoned", "are cordoned"),
    "taint": ("is tainted", "are tainted"),
    "uninspected": ("is not inspected yet", "are not inspected yet"),
    "trouble": ("has a failure", "have a failure"),
    "order": ("has a boot request", "have a boot request"),
    "in-flight": ("has an action in flight", "have an action in flight"),
    "unseen": ("cannot be read", "cannot be read"),
    "on": ("is not off", "are not off"),
    "health": ("has health Critical", "have health Critical"),
}
"""Every reason, said of one machine and of several, in the order in which they count. What documents say comes first,
what may end without an edit last."""


_OWNED = ("claimed", "project")
_PAUSES = ("suspend", "maintenance", "cordon")

CRITICAL = "Critical"
"""Redfish's Status.Health of a system that needs immediate attention."""


class FilterReason(msgspec.Struct, frozen=True):
    """Why not: one of CODES, and what exactly."""

    code: str
    message: str


class Wanted(msgspec.Struct, frozen=True):
    """What a claim asks of a machine. `image`: the one that it would get; None: that is not to be judged."""

    spec: MachineClaimSpec
    image: Resource[ImageSpec] | None = None


class PlacementFleet(msgspec.Struct, frozen=True):
    """All that machines are judged by."""

    desired: DesiredState
    observed: ObservedState
    facts: Facts
    size_of: SizeLookup = size_of

    def remembered(self, machine: Resource[MachineSpec]) -> MachineFacts:
        """The machine's facts."""
        return machine_facts(self.facts.resources, machine.key)

    def size(self, machine: Resource[MachineSpec]) -> str | None:
        """Which Size it is."""
        return self.size_of(machine, self.remembered(machine))

    def labels(self, machine: Resource[MachineSpec]) -> Mapping[str, str]:
        """Its labels, those of its inventory, and those of its Size that it does not say otherwise."""
        name = self.size(machine)
        size = self.desired.resources.get(ResourceKey("Size", name)) if name is not None else None
        own = {**machine.labels, **self.remembered(machine).labels}
        return {**size.labels, **own} if size is not None else own


def why_not(machine: Resource[MachineSpec], wanted: Wanted, fleet: PlacementFleet) -> tuple[FilterReason, ...]:
    """Everything that keeps this machine from this claim, in the order of CODES; nothing when it may have it."""
    return tuple(_against(machine, wanted, fleet))


def _against(machine: Resource[MachineSpec], wanted: Wanted, fleet: PlacementFleet) -> Iterator[FilterReason]:
    yield from _declared_otherwise(machine, wanted, fleet)
    yield from _owned(fleet.remembered(machine))
    yield from _kept(machine, wanted)
    # Of one that is not Managed nothing of this can be known.
    if managed(machine.spec):
        yield from _unready(machine, fleet)


FREE = ""
"""The state of a machine that nothing keeps from every claim."""


def machine_state(machine: Resource[MachineSpec], fleet: PlacementFleet) -> str:
    """The code of the first reason that is the same for every claim and stands in no document; FREE: there is none."""
    for one in _owned(fleet.remembered(machine)):
        return one.code
    # Of one that is not Managed nothing of this can be known.
    if managed(machine.spec):
        for one in _unready(machine, fleet):
            return one.code
    return FREE


def first_code(machine: Resource[MachineSpec], state: str, wanted: Wanted, fleet: PlacementFleet) -> str | None:
    """The code of the first of `why_not`, by the machine's state."""
    for one in _declared_otherwise(machine, wanted, fleet):
        return one.code
    if state in _OWNED:
        return state
    for one in _kept(machine, wanted):
        return one.code
    return state or None


def pause_word(spec: MachineSpec) -> str:
    """The first of suspend, maintenance and cordon that its document says; "": none."""
    return next((word for word in _PAUSES if getattr(spec, word) is not None), "")


def machine_ready(machine: Resource[MachineSpec], fleet: PlacementFleet) -> bool:
    """Whether a claim that tolerates all of its taints could have it now. That is all of `why_not` but for what depends
    on the claim."""
    spec = machine.spec
    if not managed(spec) or spec.suspend or spec.maintenance or spec.cordon:
        return False
    return not any(_owned(fleet.remembered(machine))) and not any(_unready(machine, fleet))


def is_allocatable(machine: Resource[MachineSpec], fleet: PlacementFleet) -> bool:
    """Whether a claim that asks for nothing and tolerates nothing could have it now."""
    return not machine.spec.taints and machine_ready(machine, fleet)


def most_frequent(reasons: Mapping[str, int], most: int = 3) -> str:
    """`12 are not off, 2 are tainted`: how many machines each of these keeps away, the most frequent first."""
    order = list(CODES)
    counted = sorted(reasons.items(), key=lambda pair: (-pair[1], order.index(pair[0])))
    said = [f"{number:,} {CODES[code][number > 1]}" for code, number in counted[:most]]
    rest = sum(number for _, number in counted[most:])
    return ", ".join([*said, *([f"{rest:,} for other reasons"] if rest else [])])


def _declared_otherwise(
    machine: Resource[MachineSpec], wanted: Wanted, fleet: PlacementFleet
) -> Iterator[FilterReason]:
    spec, size = wanted.spec, fleet.size(machine)
    if machine.spec.partition not in spec.partitions:
        yield FilterReason("partition", f"in partition {machine.spec.partition}")
    if machine.key.name in spec.without:
        yield FilterReason("without", "excluded by spec.without")
    if not managed(machine.spec):
        yield FilterReason("unmanaged", "spec.lifecycle.mode is not Managed")
    if spec.size is not None and size != spec.size:
        yield FilterReason("size", f"size {size}" if size else "size unknown")
    labels = fleet.labels(machine) if spec.selector else {}
    for name, value in spec.selector.items():
        if labels.get(name) != value:
            yield FilterReason("labels", f"label {name} is {labels[name]}" if name in labels else f"no label {name}")
            break
    found = fleet.desired.resources.get(ResourceKey("Size", size)) if size is not None else None
    if found is not None and wanted.image is not None and not fits(found, wanted.image):
        allowed = found.spec.images[wanted.image.spec.os]
        yield FilterReason(
            "image", (f"size {size} allows {wanted.image.spec.os} {allowed}, but not {wanted.image.key.name}")
        )


def _owned(facts: MachineFacts) -> Iterator[FilterReason]:
    lifecycle = facts.lifecycle
    if lifecycle.claim is not None:
        leaving = ", being released" if lifecycle.releasing_at is not None else ""
        yield FilterReason("claimed", f"claimed by MachineClaim/{lifecycle.claim}, slot {lifecycle.slot}{leaving}")
    elif facts.project is not None:
        yield FilterReason("project", f"belongs to project {facts.project}")


def _kept(machine: Resource[MachineSpec], wanted: Wanted) -> Iterator[FilterReason]:
    spec = machine.spec
    for word in _PAUSES:
        pause = getattr(spec, word)
        if pause is not None:
            yield FilterReason(word, f"{word}: {pause.reason}")
    kept = [taint for taint in spec.taints if not tolerates(taint, wanted.spec.tolerations)]
    if kept:
        yield FilterReason(
            "taint", f"taint {', '.join(one.key + (f'={one.value}' if one.value else '') for one in kept)}"
        )


def _unready(machine: Resource[MachineSpec], fleet: PlacementFleet) -> Iterator[FilterReason]:
    lifecycle = fleet.remembered(machine).lifecycle
    if lifecycle.inspected_at is None:
        yield FilterReason("uninspected", "not inspected yet")
    if lifecycle.failure is not None:
        yield FilterReason("trouble", f"{lifecycle.failure.reason}: {lifecycle.failure.message}")
    if lifecycle.boot_request is not None:
        yield FilterReason("order", f"has a boot request to {lifecycle.boot_request.purpose}")
    flight = fleet.facts.in_flight.get(machine.key)
    if flight is not None:
        yield FilterReason("in-flight", f"{flight.action.name} is in flight")
    yield from _seen(fleet.observed.get(machine.key))


def _seen(view: Observation | None) -> Iterator[FilterReason]:
    if view is None:
        yield FilterReason("unseen", "not observed yet")
    elif view.error is not None:
        yield FilterReason("unseen", f"{view.error.reason}: {view.error.message}")
    elif not isinstance(view.value, SystemState):
        yield FilterReason("unseen", "BMC reports no system state")
    else:
        if view.value.power is not PowerState.OFF:
            yield FilterReason("on", f"power is {view.value.power or 'unknown'}")
        if view.value.health == CRITICAL:
            yield FilterReason("health", "BMC reports health Critical")

"""Declared cabling beside what LLDP reports at both ends: the condition Cabled. Pure.

A port about which nothing is heard is unknown, and never "not cabled". SONiC forgets neighbours
(sonic-buildimage#24685), and a machine that is off sends nothing. A machine is recognised by its MAC addresses, because
the name that it sends is the one of its present system.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from drivers.base import Inventory, SwitchNeighbour, SwitchState, mac_address
from reconciler.kinds.common.kind import Inventories
from reconciler.kinds.common.machine_inventory import NO_INVENTORY
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.kinds.switch.port_state import found_port
from reconciler.kinds.switch.spec import CabledPort, PortPlace, SwitchSpec, cabled_ports, switch_of
from reconciler.model.observation import ObservedState
from reconciler.model.outcome import Condition, ConditionReason, ConditionType, Status
from reconciler.model.resource import DesiredState, Resource, ResourceKey


class CableEnd(msgspec.Struct, frozen=True):
    """What one end of a declared cable reports. `agrees` None: nothing that decides."""

    agrees: bool | None
    words: str


def machine_cabling(
    resource: Resource[MachineSpec], desired: DesiredState, observed: ObservedState, known: Inventories
) -> Iterator[Condition]:
    """The condition of a machine with declared ports."""
    places = cabled_ports(desired, resource.key.name)
    if places:
        yield _condition(
            [end for one in places for end in cable_ends(one, resource.key.name, desired, observed, known)]
        )


def switch_cabling(
    resource: Resource[SwitchSpec], desired: DesiredState, observed: ObservedState, known: Inventories
) -> Iterator[Condition]:
    """The condition of a switch with machines."""
    ports = [(PortPlace(resource.key.name, one.name), one.machine) for one in resource.spec.ports if one.machine]
    if ports:
        yield _condition([end for place, name in ports for end in cable_ends(place, name, desired, observed, known)])


def cable_ends(
    place: PortPlace, machine: str, desired: DesiredState, observed: ObservedState, known: Inventories
) -> tuple[CableEnd, ...]:
    """What is known of one cable: one value if an end decides or nothing is heard, two if both ends decide."""
    switch = switch_of(desired, place.switch)
    port = next((one for one in switch.spec.ports if one.name == place.port), None) if switch is not None else None
    if switch is None or port is None:
        return ()
    seen = observed.get(switch.key)
    state = seen.value if seen is not None and isinstance(seen.value, SwitchState) else None
    inventory = known.get(ResourceKey("Machine", machine), NO_INVENTORY).best
    found = (
        _switch_end(place, port, machine, state, desired, known),
        _machine_end(place, port, machine, switch, state, inventory),
    )
    decided = tuple(end for end in found if end.agrees is not None)
    if decided:
        return decided
    return (CableEnd(None, "; ".join(end.words for end in found)),)


def _condition(ends: list[CableEnd]) -> Condition:
    wrong = [end.words for end in ends if end.agrees is False]
    silent = [end.words for end in ends if end.agrees is None]
    if wrong:
        hint = "correct the cable, or spec.ports of the switch"
        return _cabled(Status.FALSE, ConditionReason.CABLED_OTHERWISE, f"{'; '.join(wrong)}; {hint}")
    if silent:
        return _cabled(Status.UNKNOWN, ConditionReason.NOT_HEARD, "; ".join(silent))
    return _cabled(Status.TRUE, ConditionReason.CABLED_AS_DECLARED, "; ".join(end.words for end in ends))


def _cabled(status: Status, reason: ConditionReason, message: str) -> Condition:
    return Condition(ConditionType.CABLED, status, reason, message)


def _switch_end(
    place: PortPlace,
    port: CabledPort,
    machine: str,
    state: SwitchState | None,
    desired: DesiredState,
    known: Inventories,
) -> CableEnd:
    """What the switch hears at its port."""
    if state is None or state.neighbours is None:
        return CableEnd(None, f"Switch/{place.switch} reports no LLDP neighbours")
    found = found_port(port, state)
    heard = [one for one in state.neighbours if found is not None and one.port in (found.name, found.alias)]
    for one in heard:
        owner = _owner(one, machine, desired, known)
        if owner is not None:
            return CableEnd(owner == machine, f"{place} hears Machine/{owner}")
    said = ", ".join(sorted({one.system or one.mac or "an unnamed neighbour" for one in heard}))
    return CableEnd(None, f"{place} hears {said or 'nothing'}")


def _owner(neighbour: SwitchNeighbour, declared: str, desired: DesiredState, known: Inventories) -> str | None:
    """The machine that is heard, first compared with the declared one, as nearly all cables are right. A MAC address
    of several machines is of none."""
    if is_heard_by_mac(neighbour, declared, desired, known):
        return declared
    return heard_machine(neighbour, desired, known)


def is_heard_by_mac(neighbour: SwitchNeighbour, machine: str, desired: DesiredState, known: Inventories) -> bool:
    """Whether the switch hears a MAC address of the machine."""
    return bool(_macs_heard(neighbour) & _macs_of(ResourceKey("Machine", machine), desired, known))


def heard_words(neighbour: SwitchNeighbour, machine: str, desired: DesiredState, known: Inventories) -> str:
    """By what the switch hears the machine. A name is that of the present system, which its tenant chooses."""
    by_mac = is_heard_by_mac(neighbour, machine, desired, known)
    return "by its MAC address" if by_mac else "by the name that it sends, and not by a MAC address"


def heard_machine(neighbour: SwitchNeighbour, desired: DesiredState, known: Inventories) -> str | None:
    """The declared machine that is heard, by its MAC addresses, or else by its name."""
    macs = _macs_heard(neighbour)
    others = (
        [one.key.name for one in desired.of_kind("Machine") if macs & _macs_of(one.key, desired, known)] if macs else []
    )
    if len(others) == 1:
        return others[0]
    name = neighbour.system
    return name if name is not None and ResourceKey("Machine", name) in desired.resources else None


def _macs_heard(neighbour: SwitchNeighbour) -> set[str]:
    return {mac for text in (neighbour.mac, neighbour.remote_port) if text and (mac := mac_address(text)) is not None}


def _macs_of(machine: ResourceKey, desired: DesiredState, known: Inventories) -> frozenset[str]:
    """Declared, or in the inventory."""
    resource = desired.resources.get(machine)
    declared = resource.spec.macs if resource is not None and isinstance(resource.spec, MachineSpec) else ()
    return known.get(machine, NO_INVENTORY).macs.union(declared)


def _machine_end(
    place: PortPlace,
    port: CabledPort,
    machine: str,
    switch: Resource[SwitchSpec],
    state: SwitchState | None,
    inventory: Inventory | None,
) -> CableEnd:
    """What the machine's inventory reports of the switch."""
    if inventory is None or inventory.neighbours is None:
        return CableEnd(None, f"the inventory of Machine/{machine} has no LLDP neighbours")
    nic = interface_name(port.nic, inventory)
    name = (switch.spec.system or switch.key.name).lower()
    names = _port_names(port, state)
    for one in inventory.neighbours:
        is_here = one.system.lower() == name and (mac_address(one.port) or one.port) in names
        said = f"{one.interface} of Machine/{machine} is at {one.system} port {one.port}"
        if is_here:
            is_nic = nic is None or one.interface == nic
            return CableEnd(is_nic, said if is_nic else f"{said}, and not {nic}")
        if one.interface == nic or (nic is None and one.system.lower() == name):
            return CableEnd(False, f"{said}, and not at {place}")
    return CableEnd(None, f"Machine/{machine} reports nothing about {place}")


def interface_name(nic: str | None, inventory: Inventory) -> str | None:
    """The name of the interface that a document names, also by its MAC address."""
    mac = mac_address(nic) if nic is not None else None
    if mac is None:
        return nic
    return next((one.name for one in inventory.nics or () if mac_address(one.mac) == mac), None)


def _port_names(port: CabledPort, state: SwitchState | None) -> set[str]:
    """All by which a neighbour may call the port: SONiC sends the alias as id, and others the name or the MAC."""
    found = found_port(port, state) if state is not None else None
    seen = (found.name, found.alias, mac_address(found.mac or "")) if found is not None else ()
    return {one for one in (port.name, port.alias, *seen) if one}

"""Cabling that LLDP reports and no Switch document declares: a proposal for `spec.ports`, from both ends. Pure.

A port about which nothing is heard keeps its declaration: SONiC forgets neighbours (sonic-buildimage#24685).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from drivers.base import SwitchState, mac_address
from reconciler.kinds.common.kind import Inventories
from reconciler.kinds.common.machine_inventory import NO_INVENTORY
from reconciler.kinds.switch.cabling import heard_machine, heard_words, interface_name
from reconciler.kinds.switch.port_state import found_port, is_management
from reconciler.kinds.switch.spec import CabledPort, SwitchRole, SwitchSpec
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, Resource, ResourceKey


class CableReport(msgspec.Struct, frozen=True):
    """What one end reports of a port. `nic` None: not known. `port`: the name in the document, or on the switch."""

    port: str
    machine: str
    nic: str | None
    words: str


class CablingProposal(msgspec.Struct, frozen=True):
    """The ports that a Switch document should have, and each change in words. `refused`: what is heard and is not
    proposed, and why."""

    switch: ResourceKey
    ports: tuple[CabledPort, ...]
    changes: tuple[str, ...]
    refused: tuple[str, ...] = ()


def propose_cabling(desired: DesiredState, observed: ObservedState, known: Inventories) -> Iterator[CablingProposal]:
    """For each leaf with a port that is reported otherwise than declared, or that cannot be proposed."""
    for switch in sorted(desired.of_kind("Switch"), key=lambda one: one.key.name):
        if switch.spec.role is SwitchRole.LEAF:
            found = _proposal(switch, desired, observed, known)
            if found.changes or found.refused:
                yield found


def _proposal(
    switch: Resource[SwitchSpec], desired: DesiredState, observed: ObservedState, known: Inventories
) -> CablingProposal:
    seen = observed.get(switch.key)
    state = seen.value if seen is not None and isinstance(seen.value, SwitchState) else SwitchState()
    reports = [*_from_switch(switch.spec, state, desired, known), *_from_machines(switch, state, desired, known)]
    by_port: dict[str, list[CableReport]] = {}
    for one in reports:
        by_port.setdefault(one.port, []).append(one)
    ports = {port.name: port for port in switch.spec.ports}
    changes, refused = list[str](), list[str]()
    for name, some in sorted(by_port.items()):
        words = "; ".join(dict.fromkeys(one.words for one in some))
        why = _obstacle(name, some, reports, switch.spec) or _left_behind(some[0].machine, by_port, switch.spec)
        if why is not None:
            refused.append(f"{switch.key}, port {name}: {why}: {words}")
            continue
        before = ports.get(name, CabledPort(name=name))
        inventory = known.get(ResourceKey("Machine", some[0].machine), NO_INVENTORY).best
        nic = next((one.nic for one in some if one.nic is not None), None)
        is_same = before.machine == some[0].machine
        has_nic = nic is None or (
            before.nic is not None and nic == (interface_name(before.nic, inventory) if inventory else before.nic)
        )
        if is_same and has_nic:
            continue
        kept = before.nic if is_same and nic is None else nic
        ports[name] = msgspec.structs.replace(before, machine=some[0].machine, nic=kept)
        changes.append(f"{switch.key}, port {name}: {_words(before)} -> {_words(ports[name])}: {words}")
    return CablingProposal(switch.key, tuple(ports.values()), tuple(changes), tuple(refused))


def _obstacle(name: str, some: list[CableReport], reports: list[CableReport], spec: SwitchSpec) -> str | None:
    machines = {one.machine for one in some}
    if len(machines) > 1:
        return "the ends report several machines"
    if len({one.nic for one in some if one.nic is not None}) > 1:
        return "the ends report several interfaces"
    if name in spec.uplinks or is_management(name):
        return "a machine is heard at an uplink or a management port"
    if len({one.port for one in reports if one.machine in machines}) > 1:
        return f"Machine/{some[0].machine} is reported at several ports of the switch"
    return None


def _left_behind(machine: str, heard: Collection[str], spec: SwitchSpec) -> str | None:
    """Where the machine is declared at a port about which nothing is heard, so that it may be cabled to both."""
    place = next((port.name for port in spec.ports if port.machine == machine and port.name not in heard), None)
    if place is None:
        return None
    return f"Machine/{machine} is declared at port {place}, about which nothing is reported; correct the document"


def _words(port: CabledPort) -> str:
    return f"{port.machine or 'no machine'}{f' {port.nic}' if port.nic else ''}"


def _from_switch(
    spec: SwitchSpec, state: SwitchState, desired: DesiredState, known: Inventories
) -> Iterator[CableReport]:
    for one in state.neighbours or ():
        machine = heard_machine(one, desired, known)
        if machine is None:
            continue
        inventory = known.get(ResourceKey("Machine", machine), NO_INVENTORY).best
        macs = {mac_address(text) for text in (one.mac, one.remote_port) if text}
        nics = inventory.nics or () if inventory is not None else ()
        nic = next((card.name for card in nics if card.mac and mac_address(card.mac) in macs), None)
        name = _document_name(one.port, spec, state)
        by = heard_words(one, machine, desired, known)
        yield CableReport(name, machine, nic, f"the switch hears Machine/{machine}{f' {nic}' if nic else ''} {by}")


def _from_machines(
    switch: Resource[SwitchSpec], state: SwitchState, desired: DesiredState, known: Inventories
) -> Iterator[CableReport]:
    names = {(switch.spec.system or switch.key.name).lower()}
    for machine in desired.of_kind("Machine"):
        inventory = known.get(machine.key, NO_INVENTORY).best
        for one in (inventory.neighbours or ()) if inventory is not None else ():
            if one.system.lower() in names:
                words = f"{one.interface} of {machine.key} reports {one.system} port {one.port}"
                yield CableReport(_document_name(one.port, switch.spec, state), machine.key.name, one.interface, words)


def _document_name(said: str, spec: SwitchSpec, state: SwitchState) -> str:
    """The name of the port in the document; if the document does not list the port, the name on the switch."""
    mac = mac_address(said)
    found = next(
        (
            port
            for port in state.ports.values()
            if said in (port.name, port.alias) or (mac is not None and mac == mac_address(port.mac or ""))
        ),
        None,
    )
    for port in spec.ports:
        if said in (port.name, port.alias) or (found is not None and found_port(port, state) == found):
            return port.name
    return found.name if found is not None else said

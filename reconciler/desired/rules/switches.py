"""Rules between switches, the machines that are cabled to them, and their claims. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from drivers.base import mac_address
from reconciler.desired.rules.findings import Finding
from reconciler.kinds.machine.spec import MachineSpec, managed
from reconciler.kinds.switch.spec import CabledPort, SwitchSpec, switch_address
from reconciler.kinds.switch.vrf_numbers import vrf_holders
from reconciler.model.counting import count
from reconciler.model.resource import DesiredState, Resource, ResourceKey

_Place = tuple[Resource[SwitchSpec], int, CabledPort]


def check_switches(state: DesiredState, claimed: Collection[ResourceKey] = ()) -> Iterator[Finding]:
    """Everything that is wrong between switches and other documents. `claimed`: keys of documents that are there but
    broken. Cabling is not counted while a switch is one of them."""
    cabled: dict[str, list[_Place]] = {}
    for switch in state.of_kind("Switch"):
        for index, port in enumerate(switch.spec.ports):
            if port.machine is not None:
                cabled.setdefault(port.machine, []).append((switch, index, port))
    yield from _alike(state.of_kind("Switch"))
    is_whole = not any(key.kind == "Switch" and key not in state.resources for key in claimed)
    for machine in state.of_kind("Machine"):
        places = cabled.get(machine.key.name, [])
        yield from _twice(machine, places)
        yield from _elsewhere(machine, places)
        yield from _switch_count(machine, places, state) if is_whole else ()
    yield from _two_vrfs(state)


def _alike(switches: list[Resource[SwitchSpec]]) -> Iterator[Finding]:
    """Two documents of one switch, or two switches that others cannot distinguish. The loopback address is the end of
    the VXLAN tunnels (RFC 7348), and LLDP reports the system name to machines."""
    owners: dict[tuple[str, str], Resource[SwitchSpec]] = {}
    for switch in switches:
        spec = switch.spec
        values = (
            ("address", "address", switch_address(spec)),
            ("loopback", "loopback address", spec.loopback),
            ("system", "LLDP system name", spec.system or switch.key.name),
        )
        for field, words, value in values:
            other = owners.setdefault((field, value), switch) if value is not None else switch
            if other is not switch:
                path = ("spec", field) if getattr(spec, field) is not None else ("metadata", "name")
                what, why = f"{other.key} has the same {words}", f"{other.key} is at {other.source}"
                yield Finding("duplicate-switch", switch, path, what, why, f"correct spec.{field} of one of the two")


def _switch_count(machine: Resource[MachineSpec], places: list[_Place], state: DesiredState) -> Iterator[Finding]:
    """As many different switches as the partition says, as in metal-stack."""
    partition = state.resources.get(ResourceKey("Partition", machine.spec.partition))
    switching = partition.spec.switching if partition is not None else None
    if switching is None or partition is None or not (places or managed(machine.spec)):
        return
    names = sorted({switch.key.name for switch, _, _ in places})
    if len(names) != switching.switches_per_machine:
        said = f"({', '.join(names)})" if names else ""
        wanted = count(switching.switches_per_machine, "switch", "switches")
        what = f"Machine is cabled to {count(len(names), 'switch', 'switches')} {said}".rstrip() + f", not to {wanted}"
        why = f"the partition is at {partition.source}"
        hint = (
            f"add `machine: {machine.key.name}` to the ports of the switches to which it is cabled, or correct "
            f"spec.switching.switchesPerMachine of Partition/{partition.key.name}"
        )
        yield Finding("machine-cabling", machine, ("metadata", "name"), what, why, hint)


def _twice(machine: Resource[MachineSpec], places: list[_Place]) -> Iterator[Finding]:
    """Each port of a machine leads to another switch, so that the machine survives the failure of one."""
    first: dict[str, _Place] = {}
    for switch, index, port in places:
        other = first.setdefault(switch.key.name, (switch, index, port))
        if other[1] != index:
            what = f"{machine.key} is cabled to {other[2].name} of the same switch already"
            hint = f"correct spec.ports[{index}].machine or spec.ports[{other[1]}].machine"
            yield Finding("machine-cabling", switch, ("spec", "ports", index, "machine"), what, "", hint)
    nics: dict[str, _Place] = {}
    for switch, index, port in places:
        if port.nic is None:
            continue
        taken = nics.setdefault(mac_address(port.nic) or port.nic.lower(), (switch, index, port))
        if taken[0] is not switch:
            what = f"{port.nic} of {machine.key} is cabled to {taken[2].name} of {taken[0].key} already"
            why = f"{taken[0].key} is at {taken[0].source}"
            yield Finding(
                "machine-cabling", switch, ("spec", "ports", index, "nic"), what, why, "correct one of the two"
            )


def _elsewhere(machine: Resource[MachineSpec], places: list[_Place]) -> Iterator[Finding]:
    """The switches of a machine are in its partition and its rack."""
    for switch, index, _ in places:
        path = ("spec", "ports", index, "machine")
        why = f"{machine.key} is at {machine.source}"
        if switch.spec.partition != machine.spec.partition:
            what = f"{machine.key} is in Partition/{machine.spec.partition}, the switch in {switch.spec.partition}"
            yield Finding("machine-cabling", switch, path, what, why, "correct spec.partition of one of the two")
        racks = {one.spec.rack for one, _, _ in places if one.spec.rack is not None} | {machine.spec.rack} - {None}
        if len(racks) > 1:
            what = f"{machine.key} and its switches are in several racks: {', '.join(sorted(map(str, racks)))}"
            yield Finding("machine-cabling", switch, path, what, why, "correct spec.rack, or the cabling")
            return


def _two_vrfs(state: DesiredState) -> Iterator[Finding]:
    """A port is in one VRF, so a machine behind managed ports has networks of one VRF."""
    switched = {one.spec.partition for one in state.of_kind("Switch") if one.spec.manage != "None"}
    for claim in state.of_kind("MachineClaim"):
        if not switched & set(claim.spec.partitions):
            continue
        holders = vrf_holders(state, (one.network for one in claim.spec.networks))
        if len(holders) == 1:
            continue
        said = f"has networks in {len(holders)} VRFs: {', '.join(holders)}" if holders else "has no network with a VRF"
        what = f"the claim {said}; the ports of its machines can be in one VRF only"
        yield Finding("two-vrfs", claim, ("spec",), what, "", "give the claim networks of exactly one VRF")

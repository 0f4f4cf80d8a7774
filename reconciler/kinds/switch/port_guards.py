"""What keeps a change of a port back, so that no tenant loses both ports of a machine at once. Pure."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from drivers.base import LinkState, PortConfig, PowerState, SwitchPort, SwitchState, SystemState
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.common.machine_facts import all_machine_facts, machine_facts
from reconciler.kinds.switch.port_evidence import others_behind
from reconciler.kinds.switch.port_state import config_words, cuts, found_port, shows, wanted_config
from reconciler.kinds.switch.port_targets import PortTarget, has_tenant, port_target, tenant_network
from reconciler.kinds.switch.spec import CabledPort, PortPlace, SwitchSpec, cabled_ports, switch_of
from reconciler.kinds.switch.switch_facts import switch_facts
from reconciler.kinds.switch.vrf_numbers import known_vrfs, vrf_name
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import Hold, HoldKind, override_hint
from reconciler.model.resource import Resource, ResourceKey

LONGEST_AGE = timedelta(minutes=5)
"""How old an observation of a switch may be for a decision about a machine. Ports may have been moved since."""


def recent_state(switch: str, view: KindView) -> SwitchState | None:
    """What is known of the switch; None: it could not be read, or was read too long ago."""
    seen = view.observed.get(ResourceKey("Switch", switch))
    if seen is None or not isinstance(seen.value, SwitchState) or view.now - seen.taken_at > LONGEST_AGE:
        return None
    return seen.value


def serves_tenant(machine: str | None, view: KindView) -> bool:
    """Whether the system of a tenant may run behind the port."""
    if machine is None:
        return False
    key = ResourceKey("Machine", machine)
    seen = view.observed.get(key)
    value = seen.value if seen is not None else None
    is_off = isinstance(value, SystemState) and value.power is PowerState.OFF
    return has_tenant(machine_facts(view.remembered, key), value) and not is_off


class BehindDoubt(msgspec.Struct, frozen=True):
    """Why a port may have another machine than the documents say. A change of the port could cut a tenant off, or
    connect two tenants. `behind`: who may be there."""

    behind: str
    reason: str
    key: ResourceKey
    may_be_free: bool = False

    def hold(self, path: str) -> Hold:
        """The hold on the port, until the documents are right or a person accepts the change."""
        hint = "correct spec.ports of the switch, or the cable"
        if self.may_be_free:
            hint = "correct spec.ports of the switch; or, if no tenant's machine is there, move the port at the switch"
        return Hold(HoldKind.GUARD, HoldName.TENANT_BEHIND, self.reason, f"{hint}; or {_if_right(self.key)}", path)


def _if_right(key: ResourceKey) -> str:
    return f"if the documents are right, {override_hint(HoldName.TENANT_BEHIND, key)}"


def port_doubt(
    port: CabledPort, target: PortTarget, seen: SwitchPort, resource: Resource[SwitchSpec], view: KindView
) -> BehindDoubt | None:
    """The doubt about a port that must be changed. None: nothing shows another machine there, or no tenant is
    concerned."""
    wanted = wanted_config(port, target, resource.spec.unprovisioned.vlan)
    leaves, enters = cuts(seen, wanted), wanted.vrf not in (None, seen.vrf)
    if not leaves and not enters:
        return None
    others = others_behind(port, seen, view)
    found = others if enters else [one for one in others if serves_tenant(one.machine, view)]
    if not found:
        return _stranger_doubt(port, seen, view) if leaves else None
    place, vlan = PortPlace(resource.key.name, port.name), resource.spec.unprovisioned.vlan
    named = f"name Machine/{port.machine}" if port.machine is not None else "name no machine"
    said = "; ".join(dict.fromkeys(one.words for one in found))
    reason = f"{place} must be {target.words(vlan)}, as the documents {named} for the port, but {said}"
    return BehindDoubt(", ".join(sorted({f"Machine/{one.machine}" for one in found})), reason, resource.key)


def is_overridden(hold: Hold, port: CabledPort, view: KindView) -> bool:
    """Whether an override lifts the hold. A person accepts what the plan showed, so an override accepts no doubt that
    was observed after it began."""
    override = view.lifted(hold.by)
    if override is None or hold.kind is not HoldKind.GUARD:
        return False
    doubt = switch_facts(view.facts).doubts.get(port.name)
    return doubt is None or override.at > doubt.since


def _stranger_doubt(port: CabledPort, seen: SwitchPort, view: KindView) -> BehindDoubt | None:
    """A port is in a VRF in which tenants run, while the documents name no claimed machine for it. The documents were
    changed while a tenant's machine is behind the port, or a person moved it: this is not known."""
    key = ResourceKey("Machine", port.machine or "")
    if view.desired is None or machine_facts(view.remembered, key).lifecycle.claim is not None:
        return None
    if seen.vrf not in {vrf_name(number) for number in known_vrfs(view.desired, view.observed)}:
        return None
    tenant = next((one for one in view.remembered if _runs_in(one, str(seen.vrf), view)), None)
    if tenant is None:
        return None
    named = f"the documents name {key}, which has no claim" if port.machine else "the documents name no machine"
    reason = f"the port is in {seen.vrf}, where machines of tenants such as {tenant} run, but {named} for the port"
    return BehindDoubt(f"a machine in {seen.vrf}", reason, view.key, may_be_free=True)


def other_tenant_hold(machine: str, number: int, path: str, view: KindView) -> Hold | None:
    """The hold on a port that is to come into a VRF in which a port of another project's machine wrongly still is.

    The number of the VRF may have been given to another network while a switch or a machine could not be changed."""
    if view.desired is None:
        return None
    mine = machine_facts(view.remembered, ResourceKey("Machine", machine)).project
    for switch in view.desired.of_kind("Switch"):
        seen = view.observed.get(switch.key)
        for port in switch.spec.ports:
            found = found_port(port, seen.value) if seen is not None and isinstance(seen.value, SwitchState) else None
            if found is None or found.vrf != vrf_name(number) or not serves_tenant(port.machine, view):
                continue
            facts = machine_facts(view.remembered, ResourceKey("Machine", str(port.machine)))
            belongs = tenant_network(facts, view.desired, view.observed).vrf == number
            if port.machine != machine and facts.project != mine and not belongs:
                at = f"{PortPlace(switch.key.name, port.name)} of Machine/{port.machine}"
                reason = f"{at}, of project {facts.project}, is still in {found.vrf}: two tenants would meet there"
                hint = f"continues automatically when that port has left {found.vrf}; see what holds {switch.key}"
                return Hold(HoldKind.GUARD, HoldName.OTHER_TENANT, reason, hint, path)
    return None


def is_among_strangers(machine: str, vrf: str, view: KindView) -> bool:
    """Whether the machine is in a VRF that belongs to running machines of other projects, and not to its own. Then it
    leaves the VRF with all ports, and before its own VRF is free."""
    mine = machine_facts(view.remembered, ResourceKey("Machine", machine)).project
    if _runs_in(ResourceKey("Machine", machine), vrf, view):
        return False
    return any(
        _runs_in(key, vrf, view) for key, facts in all_machine_facts(view.remembered).items() if facts.project != mine
    )


def _runs_in(key: ResourceKey, vrf: str, view: KindView) -> bool:
    """Whether the machine may run in the VRF for a tenant."""
    if key.kind != "Machine" or view.desired is None or not serves_tenant(key.name, view):
        return False
    number = tenant_network(machine_facts(view.remembered, key), view.desired, view.observed).vrf
    return number is None or vrf_name(number) == vrf


def other_port_hold(machine: str, here: PortPlace, wanted: PortConfig, path: str, view: KindView) -> Hold | None:
    """The hold on a change that would cut a machine off. One of its other ports cannot be seen, or is not as it must
    be and comes first, or is switched off too. Of ports that are all to be changed, the first by name goes first."""
    if view.desired is None:
        return None
    others = [place for place in cabled_ports(view.desired, machine) if place.switch != here.switch]
    applied = view.facts.applied.fields if view.facts.applied is not None else {}
    if not others and applied.get(path) != config_words(wanted):  # What people changed is put back.
        claim = machine_facts(view.remembered, ResourceKey("Machine", machine)).lifecycle.claim
        reason = f"Machine/{machine} runs for MachineClaim/{claim} and has no other port: it would be cut off"
        return Hold(HoldKind.GUARD, HoldName.OTHER_PORT, reason, _cut_off_hint(here), path)
    for place in others:
        state = is_in_place(place, machine, view)
        if state is None:
            reason = f"Machine/{machine} would have no port left: {place} cannot be observed"
            hint = f"make Switch/{place.switch} readable, or correct the cabling in the documents"
            return Hold(HoldKind.GUARD, HoldName.OTHER_PORT, reason, hint, path)
        if not state and place < here:
            reason = f"Machine/{machine} keeps this port until {place} is changed"
            return Hold(HoldKind.IN_FLIGHT, HoldName.OTHER_PORT, reason, "continues automatically", path)
        if state and wanted.admin is LinkState.DOWN and _is_off(place, view):
            reason = f"Machine/{machine} would have no port left: {place} is switched off"
            hint = "set admin of one of the two ports to Up, or release the machine first"
            return Hold(HoldKind.GUARD, HoldName.OTHER_PORT, reason, hint, path)
    return None


def _cut_off_hint(place: PortPlace) -> str:
    way = override_hint(HoldName.OTHER_PORT, ResourceKey("Switch", place.switch))
    return f"power the machine off, or release it; or, if the machine may be cut off, {way}"


def _is_off(place: PortPlace, view: KindView) -> bool:
    """Whether a port is seen to be switched off."""
    switch, state = switch_of(view.desired, place.switch) if view.desired else None, recent_state(place.switch, view)
    ports = switch.spec.ports if switch is not None else ()
    declared = next((port for port in ports if port.name == place.port), None)
    found = found_port(declared, state) if declared is not None and state is not None else None
    return found is not None and found.admin is LinkState.DOWN


def is_in_place(place: PortPlace, machine: str, view: KindView) -> bool | None:
    """Whether a port of the machine is seen as it must be; None: this is not known."""
    desired = view.desired
    switch = switch_of(desired, place.switch) if desired is not None else None
    state = recent_state(place.switch, view)
    if desired is None or switch is None or state is None:
        return None
    target = port_target(machine, desired, view.remembered, view.observed)
    declared = next((port for port in switch.spec.ports if port.name == place.port), None)
    found = found_port(declared, state) if declared is not None else None
    if declared is None or found is None or target.obstacle is not None:
        return None
    return shows(found, wanted_config(declared, target, switch.spec.unprovisioned.vlan))

"""What keeps a change of a port back, so that no tenant loses both ports of a machine at once. Pure."""

from __future__ import annotations

from drivers.base import PowerState, SwitchState, SystemState
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.common.machine_facts import machine_facts
from reconciler.kinds.switch.port_state import found_port, shows, wanted_config
from reconciler.kinds.switch.port_targets import has_tenant, port_target
from reconciler.kinds.switch.spec import PortPlace, cabled_ports, switch_of
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import ResourceKey

OTHER_PORT = "other-port"


def serves_tenant(machine: str | None, view: KindView) -> bool:
    """Whether the system of a tenant may run behind the port."""
    if machine is None:
        return False
    key = ResourceKey("Machine", machine)
    seen = view.observed.get(key)
    value = seen.value if seen is not None else None
    is_off = isinstance(value, SystemState) and value.power is PowerState.OFF
    return has_tenant(machine_facts(view.remembered, key), value) and not is_off


def other_port_hold(machine: str, here: PortPlace, path: str, view: KindView) -> Hold | None:
    """The hold on a change that would cut a machine off. One of its other ports cannot be seen, or is not as it must
    be and comes first. Of ports that are all to be changed, the first by name goes first."""
    if view.desired is None:
        return None
    others = [place for place in cabled_ports(view.desired, machine) if place.switch != here.switch]
    for place in others:
        state = is_in_place(place, machine, view)
        if state is None:
            reason = f"Machine/{machine} would have no port left: {place} cannot be observed"
            hint = f"make Switch/{place.switch} readable, or correct the cabling in the documents"
            return Hold(HoldKind.GUARD, OTHER_PORT, reason, hint, path)
        if not state and place < here:
            reason = f"Machine/{machine} keeps this port until {place} is changed"
            return Hold(HoldKind.IN_FLIGHT, OTHER_PORT, reason, "continues automatically", path)
    return None


def is_in_place(place: PortPlace, machine: str, view: KindView) -> bool | None:
    """Whether a port of the machine is seen as it must be; None: this is not known."""
    desired = view.desired
    switch = switch_of(desired, place.switch) if desired is not None else None
    seen = view.observed.get(ResourceKey("Switch", place.switch))
    if desired is None or switch is None or seen is None or not isinstance(seen.value, SwitchState):
        return None
    target = port_target(machine, desired, view.remembered, view.observed)
    declared = next((port for port in switch.spec.ports if port.name == place.port), None)
    found = found_port(declared, seen.value) if declared is not None else None
    if declared is None or found is None or target.obstacle is not None:
        return None
    return shows(found, wanted_config(declared, target, switch.spec.unprovisioned.vlan))

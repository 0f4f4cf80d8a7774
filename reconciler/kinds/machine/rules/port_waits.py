"""What keeps a managed machine from starting: a switch port that is not in the right network. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drivers.base import SwitchScope, SwitchState
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.machine.rules.boot_rules import BOOT
from reconciler.kinds.machine.rules.power_rules import POWER
from reconciler.kinds.machine.spec import MachineSpec, managed
from reconciler.kinds.switch.port_guards import recent_state
from reconciler.kinds.switch.port_state import found_port, port_words, shows, wanted_config
from reconciler.kinds.switch.port_targets import PortTarget, port_target
from reconciler.kinds.switch.spec import CabledPort, SwitchSpec, cabled_ports, switch_of, switch_paused
from reconciler.kinds.switch.switch_facts import NO_SWITCH_FACTS, PORTS, switch_facts
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import item_path
from reconciler.model.actions.bmc_actions import PowerOff, PowerOn, SetBoot
from reconciler.model.plans.plan import Hold, HoldKind, typed
from reconciler.model.resource import Resource, ResourceKey

SWITCH_PORT = "switch-port"


def port_holds(spec: MachineSpec, actions: Sequence[Action], view: KindView) -> tuple[Hold, ...]:
    """The holds on a start of the machine, for each port that is not where it must be. They are on the boot override
    and on the power. A machine that is powered off first is not held yet: its ports follow when it is off."""
    starts = [action for action in actions if isinstance(action, PowerOn | SetBoot)]
    if not managed(spec) or not starts or any(isinstance(action, PowerOff) for action in actions):
        return ()
    paths = dict.fromkeys(action.path for action in starts if action.path in (BOOT, POWER))
    return tuple(
        Hold(HoldKind.BLOCKED, SWITCH_PORT, reason, hint, path) for reason, hint in _waits(view) for path in paths
    )


def _waits(view: KindView) -> Iterator[tuple[str, str]]:
    if view.desired is None:
        return
    places = cabled_ports(view.desired, view.key.name)
    target = port_target(view.key.name, view.desired, view.remembered, view.observed) if places else None
    for place in places:
        switch = switch_of(view.desired, place.switch)
        port = next((one for one in switch.spec.ports if one.name == place.port), None) if switch is not None else None
        if switch is None or port is None or target is None or switch.spec.scope is SwitchScope.NONE:
            continue
        if (wait := _wait_of(str(place), port, target, switch, view)) is not None:
            yield wait


def _wait_of(
    place: str, port: CabledPort, target: PortTarget, switch: Resource[SwitchSpec], view: KindView
) -> tuple[str, str] | None:
    """Why the machine waits for one port, and what ends the wait; None: the port is as it must be."""
    if target.obstacle is not None:
        return f"it is not known in which VRF {place} must be: {target.obstacle[0]}", target.obstacle[1]
    spec, seen = switch.spec, view.observed.get(ResourceKey("Switch", switch.key.name))
    if seen is None or not isinstance(seen.value, SwitchState):
        why = seen.error.message if seen is not None and seen.error is not None else "not observed yet"
        unless = f"if {switch.key} is powered off, you can set its spec.manage to None"
        return (
            f"{place} is unknown, because {switch.key} cannot be read: {why}",
            f"continues automatically when {switch.key} can be read; {unless}",
        )
    if (state := recent_state(switch.key.name, view)) is None:
        return (
            f"{place} is unknown, because {switch.key} was last read at {seen.taken_at:%Y-%m-%d %H:%M:%S} UTC",
            f"continues automatically when {switch.key} is read again",
        )
    found, wanted = found_port(port, state), wanted_config(port, target, spec.unprovisioned.vlan)
    if found is not None and shows(found, wanted):
        return None
    must = f"{place} must be {target.words(spec.unprovisioned.vlan)}"
    if found is None:
        return f"{must}, but {switch.key} has no such port", f"correct spec.ports of {switch.key}"
    shown = ", ".join(f"{name} {value}" for name, value in port_words(found, wanted).items()) or "in no network"
    return f"{must}, but {switch.key} shows: {shown}", _hint(port, switch, view)


def _hint(port: CabledPort, switch: Resource[SwitchSpec], view: KindView) -> str:
    """What ends the wait for a port. The plan of the switch says what holds its change."""
    key, known = switch.key, view.remembered.get(switch.key, NO_SWITCH_FACTS)
    failure = known.failures.get(item_path(PORTS, port.name))
    shows_how = f"`groundstate plan {typed(key)}` shows how to proceed"
    if switch_paused(switch.spec):
        return f"remove spec.maintenance or spec.suspend from {key}"
    if port.name in switch_facts(known).doubts:
        return f"another machine may be at the port, so a guard may hold its change; {shows_how}"
    if failure is not None and failure.terminal:
        return f"the last change of the port failed; {shows_how}"
    return f"continues automatically when {key} shows this; if something holds the change of the port, {shows_how}"

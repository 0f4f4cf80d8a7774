"""The actions for a switch: each port is an item, and one port is changed at a time. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from drivers.base import PortConfig, SwitchConfig, SwitchScope, SwitchState, VrfConfig
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import KindView, Steps
from reconciler.kinds.common.machine_facts import machine_facts
from reconciler.kinds.ipam.exhaustion import EXHAUSTED
from reconciler.kinds.ipam.pool import number_state
from reconciler.kinds.switch.port_guards import (
    is_among_strangers,
    is_overridden,
    other_port_hold,
    other_tenant_hold,
    port_doubt,
    serves_tenant,
)
from reconciler.kinds.switch.port_state import (
    config_words,
    cuts,
    found_port,
    is_management,
    next_config,
    port_words,
    shows,
    wanted_config,
)
from reconciler.kinds.switch.port_targets import PortTarget, port_target
from reconciler.kinds.switch.spec import CabledPort, PortPlace, SwitchSpec
from reconciler.kinds.switch.switch_facts import BEHIND, PORT, PORTS
from reconciler.kinds.switch.vrf_numbers import known_vrfs, vrf_name
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Forget, SetValue, SetValueDisruptively, item_path
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import Resource, ResourceKey

_VRFS = "spec.vrfs"
_PATIENCE = 120.0
"""Seconds. SONiC's orchagent needs some under load."""
ABSENT, CLOSED, OPEN = "absent", "closed", "open"


_CONFIG = "config"
# Made here: where several threads are the first to make a decoder of a type, the process crashes (msgspec 0.22).
_CONFIGS, _PORTS = msgspec.json.Decoder(SwitchConfig), msgspec.json.Decoder(PortConfig)


def _context(config: SwitchConfig, **more: str) -> dict[str, Any]:
    """What an action brings to the switch: the configuration of its pass. `more`: what the facts of the switch need."""
    return {_CONFIG: msgspec.to_builtins(config), **{name: value for name, value in more.items() if value}}


def config_of(action: SetValue) -> SwitchConfig:
    """The configuration of the pass."""
    return _CONFIGS.decode(msgspec.json.encode(action.context[_CONFIG]))


class SwitchRules:
    """Implements Rules. Ports that the document does not list, uplinks among them, are never changed."""

    def fields(self, resource: Resource[SwitchSpec], view: KindView) -> tuple[Field, ...]:
        """Each listed port, and each VRF that no port needs any more, or that leads to the switch itself."""
        spec, state = resource.spec, _state(view.value)
        if spec.scope is SwitchScope.NONE:
            return ()
        ports = (_port_field(port, target, resource, view) for port, target in _targets(spec, view))
        return (*(one for one in ports if one is not None), *_vrf_fields(spec, view, state))

    def steps(self, resource: Resource[SwitchSpec], view: KindView, fields: tuple[Field, ...]) -> Steps:
        """One action for each port that differs. A port on its way into its VRF goes first, then what cuts no tenant,
        then the others, then VRFs."""
        spec, state = resource.spec, _state(view.value)
        differing = {field.path for field in fields if not field.equal}
        found, holds, passes = list[tuple[int, SetValue]](), list[Hold](), list[str]()
        for port, target in _targets(spec, view):
            path = item_path(PORTS, port.name)
            if path not in differing:
                continue
            hold = _port_hold(port, target, path, spec, state) or _vlan_hold(port, target, path, spec, view)
            if hold is None:
                hold, passed = _tenant_hold(port, target, path, resource, view)
                passes += passed
            if hold is not None:
                holds.append(hold)
            else:
                found.append(_port_step(port, target, spec, view, state))
        actions = [action for _, action in sorted(found, key=lambda one: one[0])]
        actions += [
            _vrf_step(field, spec, view) for field in fields if not field.equal and field.path.startswith(_VRFS)
        ]
        paused = [
            Hold(HoldKind.DECLARED, word, pause.reason, f"remove spec.{word} from the document")
            for word, pause in ((HoldName.MAINTENANCE, spec.maintenance), (HoldName.SUSPEND, spec.suspend))
            if pause is not None
        ]
        return Steps(tuple(actions), (*holds, *paused, *_routing_holds(spec, view)), tuple(dict.fromkeys(passes)))

    def removal(self, view: KindView) -> Steps:
        """A switch that git no longer declares is forgotten, and nothing is changed on it."""
        return Steps((Forget(key=view.key, reason="no longer declared; groundstate changes nothing on the switch"),))

    def confirmed(self, action: Action, value: Any) -> bool:
        """Whether the switch runs what was asked for."""
        if not isinstance(action, SetValue) or action.item is None or not isinstance(value, SwitchState):
            return False
        if action.field == _VRFS:
            return action.item not in (value.vrfs if action.value == ABSENT else value.open_vrfs)
        found = value.ports.get((action.context or {}).get(PORT, action.item))
        return found is not None and shows(found, _PORTS.decode(msgspec.json.encode(action.value)))

    def patience(self, action: Action, resource: Resource[Any] | None) -> float:
        """How long a switch may take until it runs what it has accepted."""
        return _PATIENCE


def _state(value: Any) -> SwitchState:
    return value if isinstance(value, SwitchState) else SwitchState()


def _targets(spec: SwitchSpec, view: KindView) -> Iterator[tuple[CabledPort, PortTarget]]:
    for port in spec.ports:
        if view.desired is not None:
            yield port, port_target(port.machine, view.desired, view.remembered, view.observed)


def _port_field(port: CabledPort, target: PortTarget, resource: Resource[SwitchSpec], view: KindView) -> Field | None:
    if target.is_unchanged:
        return None
    wanted = wanted_config(port, target, resource.spec.unprovisioned.vlan)
    seen = found_port(port, _state(view.value))
    desired = config_words(wanted) if target.obstacle is None else {"vrf": "unknown"}
    is_so = seen is not None and target.obstacle is None and shows(seen, wanted)
    observed = None if seen is None else port_words(seen, wanted)
    if seen is not None and not is_so:
        doubt = port_doubt(port, target, seen, resource, view)
        cut_off = f"Machine/{port.machine}" if cuts(seen, wanted) and serves_tenant(port.machine, view) else None
        if (behind := doubt.behind if doubt is not None else cut_off) is not None:
            observed = {**port_words(seen, wanted), BEHIND: behind}
    return Field(
        item_path(PORTS, port.name), desired, observed, is_so, unknown=seen is None or target.obstacle is not None
    )


def _vrf_fields(spec: SwitchSpec, view: KindView, state: SwitchState) -> Iterator[Field]:
    """VRFs of declared networks: those without any port must go, and the others must be closed. VRFs of others are left
    alone."""
    if view.desired is None:
        return
    ours = {vrf_name(number): number for number in known_vrfs(view.desired, view.observed)}
    wanted = {vrf_name(target.vrf) for _, target in _targets(spec, view) if target.vrf is not None}
    used = {port.vrf for port in state.ports.values()} | wanted
    is_unsure = any(target.obstacle is not None for _, target in _targets(spec, view))
    for name in state.vrfs:
        if name in ours and name not in used and not is_unsure:
            yield Field(item_path(_VRFS, name), ABSENT, state.vrfs[name], False)
        elif name in ours and name in used:
            is_open = name in state.open_vrfs
            yield Field(item_path(_VRFS, name), CLOSED, OPEN if is_open else CLOSED, not is_open)


def _port_hold(port: CabledPort, target: PortTarget, path: str, spec: SwitchSpec, state: SwitchState) -> Hold | None:
    if target.obstacle is not None:
        why, hint = target.obstacle
        return Hold(HoldKind.BLOCKED, "vrf", why, hint, path)
    found = found_port(port, state)
    if found is not None and (is_management(found.name) or found.name in state.management):
        reason = f"groundstate manages the switch through {found.name}, and never changes a management port"
        return Hold(HoldKind.BLOCKED, "management", reason, "remove the port from spec.ports", path)
    if found is not None and ({found.name, found.alias} & {*spec.uplinks}):
        reason = f"{found.name} of the switch is an uplink, and groundstate never changes an uplink"
        return Hold(HoldKind.BLOCKED, "uplink", reason, "remove the port from spec.ports, or from spec.uplinks", path)
    if found is None:
        reason = f"the switch has no port {port.name}" + (f" and no alias {port.alias}" if port.alias else "")
        return Hold(HoldKind.BLOCKED, "port", reason, "correct the name of the port, or plug the module in", path)
    return None


def _vlan_hold(port: CabledPort, target: PortTarget, path: str, spec: SwitchSpec, view: KindView) -> Hold | None:
    """The hold on a port whose VRF is not on the switch yet, while no VLAN is free for the VRF."""
    state = _state(view.value)
    if target.vrf is None or view.desired is None:
        return None
    used = {port.vrf for port in state.ports.values()} | {vrf_name(target.vrf)}
    here = tuple(number for number in known_vrfs(view.desired, view.observed) if vrf_name(number) in used)
    if target.vrf not in here or target.vrf in local_vlans(spec, here, state.vlans):
        return None
    name = vrf_name(target.vrf)
    reason = (
        f"port {port.name} must be in {name}, and the switch has no free VLAN for this VRF: all of {spec.local_vlans} "
        "(spec.localVlans) are used"
    )
    hint = "enlarge spec.localVlans, or remove VLANs that are not needed from the switch"
    return Hold(HoldKind.GUARD, EXHAUSTED, reason, hint, path)


def _tenant_hold(
    port: CabledPort, target: PortTarget, path: str, resource: Resource[SwitchSpec], view: KindView
) -> tuple[Hold | None, tuple[str, ...]]:
    """What protects the tenant behind a port, and the tenants of the network into which it comes. Also the guards that
    an override lifts."""
    seen, vlan = found_port(port, _state(view.value)), resource.spec.unprovisioned.vlan
    if seen is None:
        return None, ()
    passes: tuple[str, ...] = ()
    if (doubt := port_doubt(port, target, seen, resource, view)) is not None:
        hold = doubt.hold(path)
        if not is_overridden(hold, port, view):
            return hold, ()
        passes = (hold.by,)
    if port.machine is None:
        return None, passes
    wanted = wanted_config(port, target, vlan)
    leaves = cuts(seen, next_config(seen, wanted, vlan))
    if leaves and is_among_strangers(port.machine, str(seen.vrf), view):
        return None, passes
    if target.vrf is not None and (meets := other_tenant_hold(port.machine, target.vrf, path, view)) is not None:
        return meets, passes
    if not leaves or not serves_tenant(port.machine, view):
        return None, passes
    alone = other_port_hold(port.machine, PortPlace(resource.key.name, port.name), wanted, path, view)
    if alone is not None and is_overridden(alone, port, view):
        return None, (*passes, alone.by)
    return alone, passes


def _port_step(
    port: CabledPort, target: PortTarget, spec: SwitchSpec, view: KindView, state: SwitchState
) -> tuple[int, SetValue]:
    """The action, and its turn: the lowest goes first."""
    vlan = spec.unprovisioned.vlan
    wanted, seen = wanted_config(port, target, vlan), found_port(port, state)
    assert seen is not None  # noqa: S101  it has a hold otherwise
    step = next_config(seen, wanted, vlan)
    hurts = cuts(seen, step) and serves_tenant(port.machine, view)
    is_on_its_way = target.vrf is not None and seen.vrf is None
    action = SetValueDisruptively if hurts else SetValue
    behind = f"Machine/{port.machine}" if port.machine is not None else "no machine"
    by_way_of = f", by way of VLAN {vlan}" if step != wanted else ""
    if hurts:
        by_way_of += f"; the running machine loses {seen.vrf or 'the port'}"
    found = action(
        key=view.key,
        field=PORTS,
        item=port.name,
        value=config_words(step),
        context=_context(
            _pass_config(spec, view, state, {seen.name: step}),
            port=seen.name,
            machine=_bound(port, view),
            cuts=str(port.machine) if hurts else "",
        ),
        reason=f"the port of {behind} must be {target.words(vlan)}{by_way_of}",
    )
    return (0 if is_on_its_way else 2 if hurts else 1), found


def _bound(port: CabledPort, view: KindView) -> str:
    """The declared machine, if a claim has it and is not releasing it."""
    key = ResourceKey("Machine", port.machine or "")
    lifecycle = machine_facts(view.remembered, key).lifecycle
    return key.name if lifecycle.claim is not None and lifecycle.releasing_at is None else ""


def _vrf_step(field: Field, spec: SwitchSpec, view: KindView) -> SetValue:
    name, goes = field.path.removeprefix(f"{_VRFS}[").removesuffix("]"), field.desired == ABSENT
    config = _pass_config(spec, view, _state(view.value), {}, absent=(name,) if goes else ())
    return SetValue(
        key=view.key,
        field=_VRFS,
        item=name,
        value=field.desired,
        context=_context(config),
        reason="no port is in the VRF" if goes else "machines in the VRF reach what the switch itself reaches",
    )


def _pass_config(
    spec: SwitchSpec, view: KindView, state: SwitchState, changed: dict[str, PortConfig], absent: tuple[str, ...] = ()
) -> SwitchConfig:
    """All that must be true after one pass: what is so already, and the one change. Ports that differ and are not of
    this pass are left alone."""
    vlan = spec.unprovisioned.vlan
    settled = dict[str, PortConfig]()
    for port, target in _targets(spec, view):
        seen, wanted = found_port(port, state), wanted_config(port, target, vlan)
        if seen is not None and target.obstacle is None and not target.is_unchanged and shows(seen, wanted):
            settled[seen.name] = wanted
    ports = settled | changed
    known = known_vrfs(view.desired, view.observed) if view.desired is not None else {}
    used = {port.vrf for port in ports.values()} | {port.vrf for port in state.ports.values()}
    here = {
        number: prefixes
        for number, prefixes in known.items()
        if vrf_name(number) in used and vrf_name(number) not in absent
    }
    vlans = local_vlans(spec, tuple(here), state.vlans)
    vrfs = {vrf_name(number): VrfConfig(number, vlans.get(number), prefixes) for number, prefixes in here.items()}
    return SwitchConfig(
        scope=spec.scope,
        unprovisioned_vlan=vlan,
        ports=dict(sorted(ports.items())),
        vrfs=vrfs,
        absent_vrfs=absent,
        loopback=spec.loopback,
        asn=asn_of(spec, view),
        uplinks=spec.uplinks,
    )


def local_vlans(spec: SwitchSpec, numbers: tuple[int, ...], have: Mapping[int, str | None]) -> dict[int, int]:
    """The VLAN of this switch for each VRF. `have`: the VLANs of the switch, with the VRF of each.

    A VRF keeps the VLAN that it has, because machines use it. The others get a free one, from a place that follows from
    the number. A VLAN that is on the switch for something else is never taken. Without a free VLAN, a VRF has none.
    """
    first, last = spec.local_range
    size, taken = last - first + 1, {*have, spec.unprovisioned.vlan}
    vlan_of = {vrf: vlan for vlan, vrf in sorted(have.items(), reverse=True) if vrf is not None}
    found = {number: vlan_of[vrf_name(number)] for number in numbers if vrf_name(number) in vlan_of}
    for number in sorted({*numbers} - {*found}):
        places = (first + (number + step) % size for step in range(size))
        if (place := next((one for one in places if one not in taken), None)) is not None:
            taken.add(place)
            found[number] = place
    return found


def asn_of(spec: SwitchSpec, view: KindView) -> int | None:
    """The ASN: the one of the document, or the value of the Number that it names."""
    if spec.asn is not None or spec.asn_number is None:
        return spec.asn
    seen = view.observed.get(ResourceKey("Number", spec.asn_number))
    return number_state(seen.value if seen is not None else None).number


def _routing_holds(spec: SwitchSpec, view: KindView) -> tuple[Hold, ...]:
    if spec.scope is not SwitchScope.ALL or asn_of(spec, view) is not None:
        return ()
    reason = f"Number/{spec.asn_number} has no value yet, and the switch needs its ASN"
    return (Hold(HoldKind.BLOCKED, "asn", reason, "continues automatically when the IPAM has allocated the number"),)

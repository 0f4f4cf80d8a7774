"""Ports of switches as people see them: what is cabled to each, and in which network it is and must be. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from drivers.base import BgpPeer, LinkState, SwitchPort, SwitchState
from reconciler.kinds.common.kind import Inventories
from reconciler.kinds.common.machine_facts import machine_facts
from reconciler.kinds.switch.cabling import cable_ends
from reconciler.kinds.switch.port_state import found_port
from reconciler.kinds.switch.port_targets import PortTarget, port_target
from reconciler.kinds.switch.spec import CabledPort, PortPlace, SwitchSpec
from reconciler.kinds.switch.vrf_numbers import vrf_name
from reconciler.model.facts import ResourceFacts
from reconciler.model.observation import ObservedState
from reconciler.model.outcome import Status
from reconciler.model.resource import DesiredState, Resource, ResourceKey


class PortRow(msgspec.Struct, frozen=True):
    """One port that a Switch document lists. None: not declared, or not known."""

    switch: Annotated[str, Meta(description="The name of the switch.")]
    port: Annotated[str, Meta(description="The name of the port in the document.")]
    machine: Annotated[str | None, Meta(description="The machine that is declared at the port.")]
    nic: Annotated[str | None, Meta(description="The machine's interface that is declared at the port.")]
    claim: Annotated[str | None, Meta(description="The claim of the machine.")]
    admin: Annotated[LinkState | None, Meta(description="Whether the port is switched on.")]
    link: Annotated[LinkState | None, Meta(description="Whether the link is up.")]
    network: Annotated[str | None, Meta(description="The VRF or VLAN in which the port is.")]
    must_be_in: Annotated[str | None, Meta(description="The VRF or VLAN in which the port must be. Null: not changed.")]
    cabled: Annotated[Status, Meta(description="Whether LLDP reports the declared cabling.")]
    lldp: Annotated[str | None, Meta(description="What both ends of the cable report.")]
    bgp: Annotated[str | None, Meta(description="The state of the BGP session at the port.")]
    bgp_since: Annotated[datetime | None, Meta(description="When the session came into this state.")]


def port_rows(
    desired: DesiredState,
    observed: ObservedState,
    remembered: Mapping[ResourceKey, ResourceFacts],
    known: Inventories,
    switches: frozenset[str] | None = None,
) -> Iterator[PortRow]:
    """A row for each listed port, by switch and in the natural order of the ports; `switches`: only of these."""
    for switch in sorted(desired.of_kind("Switch"), key=lambda one: one.key.name):
        if switches is not None and switch.key.name not in switches:
            continue
        seen = observed.get(switch.key)
        state = seen.value if seen is not None and isinstance(seen.value, SwitchState) else SwitchState()
        for port in sorted(switch.spec.ports, key=lambda one: _natural(one.name)):
            target = port_target(port.machine, desired, remembered, observed)
            yield _row(switch, port, state, target, desired, observed, remembered, known)


def _row(
    switch: Resource[SwitchSpec],
    port: CabledPort,
    state: SwitchState,
    target: PortTarget,
    desired: DesiredState,
    observed: ObservedState,
    remembered: Mapping[ResourceKey, ResourceFacts],
    known: Inventories,
) -> PortRow:
    found, peer = found_port(port, state), None
    if found is not None:
        peer = next((one for one in state.peers or () if one.neighbour in (found.name, found.alias)), None)
    place = PortPlace(switch.key.name, port.name)
    ends = cable_ends(place, port.machine, desired, observed, known) if port.machine is not None else ()
    verdicts = {end.agrees for end in ends}
    status = Status.FALSE if False in verdicts else Status.TRUE if verdicts == {True} else Status.UNKNOWN
    key = ResourceKey("Machine", port.machine or "")
    return PortRow(
        switch=switch.key.name,
        port=port.name,
        machine=port.machine,
        nic=port.nic,
        claim=machine_facts(remembered, key).lifecycle.claim if port.machine is not None else None,
        admin=found.admin if found is not None else None,
        link=found.oper if found is not None else None,
        network=_network(found),
        must_be_in=_wanted(target, switch.spec),
        cabled=status,
        lldp="; ".join(end.words for end in ends) or None,
        bgp=peer.state if peer is not None else None,
        bgp_since=_since(peer),
    )


def _since(peer: BgpPeer | None) -> datetime | None:
    return peer.since if peer is not None else None


def _network(found: SwitchPort | None) -> str | None:
    if found is None:
        return None
    if found.vrf is not None:
        return found.vrf
    return f"VLAN {found.vlan}" if found.vlan is not None else None


def _wanted(target: PortTarget, spec: SwitchSpec) -> str | None:
    if spec.manage == "None" or target.obstacle is not None:
        return None
    if target.vrf is not None:
        return vrf_name(target.vrf)
    return f"VLAN {spec.unprovisioned.vlan}" if target.is_unprovisioned else None


def _natural(name: str) -> list[tuple[int, str]]:
    """Ethernet8 comes before Ethernet12."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|\D+", name)]

"""Which configurations a switch must not be given, whatever it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.base import Rejected, SwitchConfig, SwitchScope, SwitchState


def refuse_unsafe(where: str, config: SwitchConfig, state: SwitchState) -> None:
    """Raise Rejected, before anything is sent, for what the switch does not have or would not survive.

    A port that goes from one VRF straight into another crashes SONiC's swss (metal-core#102). An uplink or a
    management port that is changed cuts the switch off.
    """
    if config.scope is SwitchScope.NONE:
        raise Rejected(f"{where}: groundstate may change nothing on this switch, because its scope is None")
    for name, port in config.ports.items():
        found = state.ports.get(name)
        if found is None:
            raise Rejected(f"{where}: the switch has no port {name}")
        if {name, found.alias} & {*config.uplinks}:
            raise Rejected(f"{where}: {name} is an uplink, which groundstate never changes")
        if name in state.management:
            raise Rejected(f"{where}: groundstate reaches the switch through {name}, and never changes this port")
        if port.vrf is not None and found.vrf not in (None, port.vrf):
            raise Rejected(
                f"{where}: {name} is in {found.vrf}, and may go into {port.vrf} only by way of VLAN "
                f"{config.unprovisioned_vlan}"
            )
        if port.vrf is not None and port.vrf not in {*state.vrfs, *config.vrfs}:
            raise Rejected(f"{where}: {name} belongs into {port.vrf}, and the switch has no such VRF")
    for name, vrf in config.vrfs.items():
        if (conflict := vlan_conflict(name, vrf.vlan, state.vlans)) is not None:
            raise Rejected(f"{where}: {name} cannot get VLAN {vrf.vlan}, because {conflict}")
    for name in config.absent_vrfs:
        members = _members(name, config, state)
        if members:
            raise Rejected(f"{where}: {name} cannot be removed, because {', '.join(members)} is in {name}")


def vlan_conflict(vrf: str, vlan: int | None, have: Mapping[int, str | None]) -> str | None:
    """Why the VRF must not get the VLAN. `have`: the VLANs of the switch, with the VRF of each. In the VLAN of another
    VRF, the machines of two tenants would meet."""
    own = sorted(one for one, owner in have.items() if owner == vrf)
    if vlan is None or vlan in own:
        return None
    if vlan in have:
        return f"this VLAN is on the switch already, and belongs to {have[vlan] or 'no VRF'}"
    return f"{vrf} has VLAN {own[0]}" if own else None


def _members(vrf: str, config: SwitchConfig, state: SwitchState) -> list[str]:
    """The ports that are in the VRF, or would be."""
    asked = {name for name, port in config.ports.items() if port.vrf == vrf}
    stay = {name for name, port in state.ports.items() if port.vrf == vrf and name not in config.ports}
    return sorted(asked | stay)


def complete(config: SwitchConfig, state: SwitchState) -> dict[str, str]:
    """The VRF of each port that is in one once the configuration is true: a port that is not named stays."""
    after = {name: port.vrf for name, port in state.ports.items()}
    for name, port in config.ports.items():
        if port.vlan is not None or port.vrf is not None:
            after[name] = port.vrf
    return {name: vrf for name, vrf in after.items() if vrf is not None}

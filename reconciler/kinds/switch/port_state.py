"""What a port is to be, beside what it is: the values of the fields `spec.ports[NAME]`. Pure."""

from __future__ import annotations

from typing import Any

from drivers.base import LinkState, PortConfig, SwitchPort, SwitchState
from reconciler.kinds.switch.port_targets import PortTarget
from reconciler.kinds.switch.spec import CabledPort
from reconciler.kinds.switch.vrf_numbers import vrf_name

MANAGEMENT_NAMES = ("eth0", "mgmt", "management")
"""How the names of management ports begin, in lower case."""


def is_management(name: str) -> bool:
    """Whether the port leads to the switch itself."""
    return name.lower().startswith(MANAGEMENT_NAMES)


def found_port(port: CabledPort, state: SwitchState) -> SwitchPort | None:
    """The port on the switch, by its name. If the switch has no such name, by the alias, which is what one SONiC calls
    what another calls the name (metal-core#112)."""
    if (found := state.ports.get(port.name)) is not None:
        return found
    known = {port.name, *((port.alias,) if port.alias is not None else ())}
    return next((one for one in state.ports.values() if one.alias in known or one.name in known), None)


def wanted_config(port: CabledPort, target: PortTarget, vlan: int) -> PortConfig:
    """What the port must be at last."""
    if target.vrf is not None:
        return PortConfig(vrf=vrf_name(target.vrf), admin=port.admin)
    return PortConfig(vlan=vlan if target.is_unprovisioned else None, admin=port.admin)


def next_config(seen: SwitchPort, wanted: PortConfig, vlan: int) -> PortConfig:
    """The next step towards it. A port goes from one VRF into another by way of the unprovisioned VLAN: the direct way
    makes SONiC's swss crash (metal-core#102)."""
    if wanted.vrf is not None and seen.vrf not in (None, wanted.vrf):
        return PortConfig(vlan=vlan, admin=wanted.admin)
    return wanted


def shows(seen: SwitchPort, wanted: PortConfig) -> bool:
    """Whether the port is seen to be so, and the switch is done with it."""
    if seen.unsettled:
        return False
    is_member = (wanted.vlan is None and wanted.vrf is None) or (seen.vlan, seen.vrf) == (wanted.vlan, wanted.vrf)
    return is_member and wanted.admin in (None, seen.admin)


def cuts(seen: SwitchPort, wanted: PortConfig) -> bool:
    """Whether the change takes a port out of the VRF in which a tenant's machine is, or switches it off."""
    leaves = seen.vrf is not None and (wanted.vlan is not None or wanted.vrf not in (None, seen.vrf))
    return leaves or (wanted.admin is LinkState.DOWN and seen.admin is not LinkState.DOWN)


def config_words(config: PortConfig) -> dict[str, Any]:
    """The value as plans and the ledger show it."""
    said = {"vlan": config.vlan, "vrf": config.vrf, "admin": config.admin and config.admin.value}
    return {name: value for name, value in said.items() if value is not None}


def port_words(seen: SwitchPort, wanted: PortConfig) -> dict[str, Any]:
    """What is seen, as far as something is wanted of it."""
    said: dict[str, Any] = {}
    if wanted.vlan is not None or wanted.vrf is not None:
        said |= {"vlan": seen.vlan, "vrf": seen.vrf}
    if wanted.admin is not None:
        said["admin"] = seen.admin and seen.admin.value
    if seen.unsettled:
        said["unsettled"] = True
    return {name: value for name, value in said.items() if value is not None}

"""The commands that make a Linux host what it is to be. Pure. Order: VRFs, then (by the caller) FRR, then ports.

A port goes straight from its bridge or VRF into another one. On its own, the host itself would forward what the machine
sends. A bridge that filters VLANs would put the port into VLAN 1 for a moment, so the port is down meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator

from drivers.base import LinkState, PortConfig, SwitchConfig, SwitchScope
from drivers.switch.linux_state import Link, LinuxLinks

TABLES_FROM = 1000
"""The routing table of a VRF is its VNI plus this; the kernel's own tables end at 255."""
CLOSING = ("unreachable", "default", "metric", "4278198272")
"""The last route of a VRF (vrf.rst of Linux, "Setup", step 3). Without it, the kernel uses the host's own table where
the VRF has no route. A machine then reaches what the switch reaches, its management network too."""
_VXLAN_PORT = "4789"
Command = tuple[str, ...]


def vrf_commands(config: SwitchConfig, have: LinuxLinks, *, routed: bool) -> list[Command]:
    """What creates the VRFs and VLANs that are missing."""
    return [*_vlan_bridges(config, have), *_vrfs(config, have, routed)]


def _vlan_bridges(config: SwitchConfig, have: LinuxLinks) -> Iterator[Command]:
    if have.filtering_bridge() is not None:
        return
    wanted = {config.unprovisioned_vlan, *(port.vlan for port in config.ports.values() if port.vlan is not None)}
    for vlan in sorted(wanted):
        if f"vlan{vlan}" not in have.links:
            yield ("ip", "link", "add", f"vlan{vlan}", "type", "bridge")
            yield ("ip", "link", "set", f"vlan{vlan}", "up")


def _vrfs(config: SwitchConfig, have: LinuxLinks, routed: bool) -> Iterator[Command]:
    vnis = have.vrfs()
    for name, vrf in sorted(config.vrfs.items()):
        if name not in have.links:
            kind = ("vrf", "table", str(TABLES_FROM + vrf.vni)) if routed else ("bridge",)
            yield ("ip", "link", "add", name, "type", *kind)
        if routed:
            yield from _closing(name, vrf.vni, have)
        if vnis.get(name) != vrf.vni:
            yield ("ip", "link", "set", name, "alias", f"groundstate vni {vrf.vni}")
        if name not in have.links or not have.links[name].is_up:
            yield ("ip", "link", "set", name, "up")
        if config.scope is SwitchScope.ALL and config.loopback is not None:
            yield from _overlay(name, vrf.vni, config.loopback, have, routed)


def _closing(name: str, vni: int, have: LinuxLinks) -> Iterator[Command]:
    """The last routes of a VRF, which may be another's, with a table of its own."""
    table = have.links[name].table if name in have.links else TABLES_FROM + vni
    for family, closed in sorted(have.closed.items()):
        if table not in closed:
            yield ("ip", family, "route", "replace", "vrf", name, *CLOSING)


def _overlay(name: str, vni: int, loopback: str, have: LinuxLinks, routed: bool) -> Iterator[Command]:
    """The VXLAN of the VNI. Of a routed VRF it is in a bridge of its own, which is in the VRF, as FRR's pages say."""
    bridge = f"br{vni}" if routed else name
    if routed and bridge not in have.links:
        yield ("ip", "link", "add", bridge, "type", "bridge")
        yield ("ip", "link", "set", bridge, "master", name, "addrgenmode", "none")
        yield ("ip", "link", "set", bridge, "up")
    if f"vx{vni}" not in have.links:
        tunnel = ("id", str(vni), "local", loopback, "dstport", _VXLAN_PORT, "nolearning")
        yield ("ip", "link", "add", f"vx{vni}", "type", "vxlan", *tunnel)
        yield ("ip", "link", "set", f"vx{vni}", "master", bridge, "addrgenmode", "none")
        yield ("ip", "link", "set", f"vx{vni}", "up")


def port_commands(config: SwitchConfig, have: LinuxLinks) -> list[Command]:
    """What moves the ports, those that leave a VRF first, and then removes VRFs."""
    ports = sorted(config.ports.items(), key=lambda one: (one[1].vrf is not None, one[0]))
    return [command for name, port in ports for command in _port(name, port, have)] + list(_absent(config, have))


def _port(name: str, port: PortConfig, have: LinuxLinks) -> Iterator[Command]:
    link, found = have.links[name], have.ports()[name]
    bridge = have.filtering_bridge()
    was_down = not link.is_up
    if port.vlan is not None and (found.vlan, found.vrf) != (port.vlan, None):
        if bridge is None:
            yield from _move(link, f"vlan{port.vlan}")
        else:
            yield ("ip", "link", "set", name, "down")
            was_down = True
            yield from _move(link, bridge)
            yield ("bridge", "vlan", "del", "dev", name, "vid", "1-4094")
            yield ("bridge", "vlan", "add", "dev", name, "vid", str(port.vlan), "pvid", "untagged")
    if port.vrf is not None and found.vrf != port.vrf:
        yield from _move(link, port.vrf)
    wanted = LinkState.UP if link.is_up else LinkState.DOWN
    if port.admin is not None:
        wanted = port.admin
    if wanted is LinkState.UP and was_down:
        yield ("ip", "link", "set", name, "up")
    if wanted is LinkState.DOWN and not was_down:
        yield ("ip", "link", "set", name, "down")


def _move(link: Link, master: str) -> Iterator[Command]:
    if link.master != master:
        yield ("ip", "link", "set", link.name, "master", master)


def _absent(config: SwitchConfig, have: LinuxLinks) -> Iterator[Command]:
    vnis = have.vrfs()
    for name in sorted(config.absent_vrfs):
        if name not in vnis:
            continue
        for family, closed in sorted(have.closed.items()):
            if have.links[name].table in closed:  # They would stay when the device goes.
                yield ("ip", family, "route", "del", "vrf", name, *CLOSING)
        for device in (f"vx{vnis[name]}", f"br{vnis[name]}", name):
            if device in have.links:
                yield ("ip", "link", "del", device)

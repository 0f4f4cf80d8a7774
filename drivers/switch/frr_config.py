"""The whole configuration of FRR for a switch, made of values. Pure.

Each machine has an unnumbered session of BGP with each of its switches (RFC 5549), in the VRF of its port. A VRF takes
only its own prefixes from its machines, and spreads them through EVPN as routes of type 5 (RFC 9136).

`frr-reload` deletes what is not written here, even `ip forwarding` (seen with FRR 8.4.4). So all is written. `hostname`
is not written, because it never converges there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network

from drivers.base import SwitchConfig, VrfConfig

MOST_ROUTES = 24000
"""Routes that a machine may announce before its session ends; metal-core has the same bound."""
_FABRIC = "FABRIC"
_MACHINE = "MACHINE"
_KEPT = re.compile(r"((?P<vrf>vrf|router bgp \d+ vrf)|ip prefix-list|ipv6 prefix-list|route-map) (?P<name>\S+)")
_TIMERS = "timers 2 8"
"""Seconds between two keep-alives, and until a silent neighbour is lost."""


def frr_config(
    config: SwitchConfig, members: Mapping[str, str], *, routed: bool = True, kept: tuple[str, ...] = ()
) -> str:
    """The text of `frr.conf`, which ends with a line break. `config.asn` and `config.loopback` are set.

    `members`: the VRF of each port that is in one. `routed`: ports of a VRF are routed, so that its machines speak BGP.
    Without: a VRF is one segment, which EVPN stretches, and FRR knows its VNI from the kernel. `kept`: lines that are
    another's, which stay.
    """
    return "\n".join(_lines(config, members, routed, kept)) + "\n"


def kept_sections(running: str, config: SwitchConfig) -> tuple[str, ...]:
    """What runs and is not groundstate's: sections of VRFs that `config` does not name, such as `mgmt`, and filters of
    other names."""
    ours = {*config.vrfs, *config.absent_vrfs}
    filters = {f"{vrf}-in{family}" for vrf in ours for family in ("", "-ipv4", "-ipv6")}
    kept: list[str] = []
    section: list[str] = []
    for line in [*running.splitlines(), "end"]:
        if not line or line.startswith(" "):
            section.append(line.rstrip())
            continue
        match = _KEPT.match(section[0]) if section else None
        if match is not None and match["name"] not in (ours if match["vrf"] else filters):
            kept += [*section, *_ends(section[0]), "!"]
        section = [line.rstrip()]
    return tuple(kept)


def _ends(head: str) -> tuple[str, ...]:
    if head.startswith("vrf "):
        return ("exit-vrf",)
    return () if "prefix-list" in head else ("exit",)


def _lines(config: SwitchConfig, members: Mapping[str, str], routed: bool, kept: tuple[str, ...]) -> Iterator[str]:
    vrfs = sorted(config.vrfs.items()) if routed else []
    yield from ("ip forwarding", "ipv6 forwarding", "service integrated-vtysh-config", "!")
    for name, vrf in vrfs:
        yield from (f"vrf {name}", f" vni {vrf.vni}", "exit-vrf", "!")
    neighbours = {name: sorted(port for port, vrf in members.items() if vrf == name) for name, _ in vrfs}
    for port in sorted({*config.uplinks, *(port for ports in neighbours.values() for port in ports)}):
        yield from (f"interface {port}", " ipv6 nd ra-interval 6", " no ipv6 nd suppress-ra", "exit", "!")
    yield from _fabric(config)
    for name, vrf in vrfs:
        yield from _vrf(config, name, vrf, neighbours[name])
    for name, vrf in vrfs:
        yield from _prefix_lists(name, vrf)
    for name, vrf in vrfs:
        yield from _route_map(name, vrf)
    yield from kept
    yield "end"


def _fabric(config: SwitchConfig) -> Iterator[str]:
    yield f"router bgp {config.asn}"
    yield from _common(config)
    yield from _peer_group(_FABRIC, sorted(config.uplinks))
    yield " !"
    yield from (" address-family ipv4 unicast", f"  network {config.loopback}/32", " exit-address-family", " !")
    yield from (" address-family l2vpn evpn", f"  neighbor {_FABRIC} activate", "  advertise-all-vni")
    yield from (" exit-address-family", "exit", "!")


def _common(config: SwitchConfig) -> Iterator[str]:
    yield f" bgp router-id {config.loopback}"
    # RFC 8212 asks for a policy in both directions. The prefixes are filtered where they come in.
    yield " no bgp ebgp-requires-policy"
    yield " bgp bestpath as-path multipath-relax"


def _peer_group(name: str, ports: list[str]) -> Iterator[str]:
    yield f" neighbor {name} peer-group"
    yield f" neighbor {name} remote-as external"
    yield f" neighbor {name} {_TIMERS}"
    for port in ports:
        yield f" neighbor {port} interface peer-group {name}"


def _vrf(config: SwitchConfig, name: str, vrf: VrfConfig, ports: list[str]) -> Iterator[str]:
    families = _families(vrf)
    yield f"router bgp {config.asn} vrf {name}"
    yield from _common(config)
    yield from _peer_group(_MACHINE, ports)
    for family in families:
        yield " !"
        yield f" address-family {family} unicast"
        yield "  redistribute connected"
        if family == "ipv6":
            yield f"  neighbor {_MACHINE} activate"
        yield f"  neighbor {_MACHINE} maximum-prefix {MOST_ROUTES}"
        yield f"  neighbor {_MACHINE} route-map {name}-in in"
        yield " exit-address-family"
    yield " !"
    yield " address-family l2vpn evpn"
    yield from (f"  advertise {family} unicast" for family in families)
    yield from (" exit-address-family", "exit", "!")


def _families(vrf: VrfConfig) -> list[str]:
    has_v6 = any(ip_network(prefix).version == 6 for prefix in vrf.prefixes)
    return ["ipv4", "ipv6"] if has_v6 else ["ipv4"]


def _prefix_lists(name: str, vrf: VrfConfig) -> Iterator[str]:
    """A list for each family. An empty list would take everything, so one without prefixes refuses in words."""
    for family in _families(vrf):
        version, longest, command = (4, 32, "ip") if family == "ipv4" else (6, 128, "ipv6")
        mine = [network for network in map(ip_network, vrf.prefixes) if network.version == version]
        head = f"{command} prefix-list {name}-in-{family}"
        if not mine:
            yield f"{head} seq 5 deny any"
        for number, network in enumerate(mine, 1):
            most = f" le {longest}" if network.prefixlen < longest else ""
            yield f"{head} seq {5 * number} permit {network}{most}"
        yield "!"


def _route_map(name: str, vrf: VrfConfig) -> Iterator[str]:
    for number, family in enumerate(_families(vrf), 1):
        command = "ip" if family == "ipv4" else "ipv6"
        yield f"route-map {name}-in permit {10 * number}"
        yield f" match {command} address prefix-list {name}-in-{family}"
        yield from ("exit", "!")

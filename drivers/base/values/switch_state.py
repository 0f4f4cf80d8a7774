"""What a switch shows, and what is to be made true on it. Pure values.

Desired and observed are different types. An observed `down` must never come back as what is wanted, which set ports of
tenants down at metal-stack (metal-core#196).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta


class LinkState(StrEnum):
    """IF-MIB ifAdminStatus and ifOperStatus (RFC 2863)."""

    UP = "Up"
    DOWN = "Down"


class SwitchPort(msgspec.Struct, frozen=True, omit_defaults=True):
    """One port, as the switch runs it: of SONiC, what STATE_DB and ASIC_DB have, and not what CONFIG_DB asks for.

    `admin`: whether it is switched on. `oper`: whether its link is up. These two never stand for each other.
    """

    name: Annotated[str, Meta(description="The name of the port, such as Ethernet0.")]
    alias: Annotated[str | None, Meta(description="Its other name, such as Eth1/1.")] = None
    mac: Annotated[str | None, Meta(description="Its MAC address.")] = None
    admin: Annotated[LinkState | None, Meta(description="Whether the port is switched on.")] = None
    oper: Annotated[LinkState | None, Meta(description="Whether its link is up.")] = None
    mtu: Annotated[int | None, Meta(description="Bytes.")] = None
    vlan: Annotated[int | None, Meta(description="The VLAN whose untagged member it is.")] = None
    vrf: Annotated[str | None, Meta(description="The VRF that it routes in. None: in none.")] = None
    unsettled: Annotated[bool, Meta(description="Whether the switch has not done yet what it was asked for.")] = False


class SwitchNeighbour(msgspec.Struct, frozen=True, omit_defaults=True):
    """What LLDP heard at a port (IEEE 802.1AB). A sender may put its MAC or its name into the port id, and the name
    into the description. So all of them are kept."""

    port: Annotated[str, Meta(description="The port of this switch.")]
    system: Annotated[str | None, Meta(description="The system name of the other side.")] = None
    remote_port: Annotated[str | None, Meta(description="The port id of the other side.")] = None
    description: Annotated[str | None, Meta(description="The port description of the other side.")] = None
    mac: Annotated[str | None, Meta(description="The MAC address of the other side, from port id or chassis id.")] = (
        None
    )


class BgpPeer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A neighbour of BGP. `state`: RFC 4271, section 8.2.2, such as `Established`."""

    neighbour: Annotated[str, Meta(description="Its address, or the port of an unnumbered neighbour.")]
    state: Annotated[str, Meta(description="The state of its session.")]
    since: Annotated[datetime | None, Meta(description="When the session came into this state.")] = None
    vrf: Annotated[str | None, Meta(description="The VRF of the session.")] = None


class SwitchState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One look at one switch. None for `neighbours` or `peers`: not known, which is not "none".

    `vrfs`: the VNI of each VRF, None for a VRF without. `open_vrfs`: a machine in one of these reaches what the
    switch reaches. `saved`: whether what runs is what the switch would start with.
    """

    system: Annotated[str | None, Meta(description="Its own name, as LLDP sends it.")] = None
    version: Annotated[str | None, Meta(description="The version of its software.")] = None
    ports: Annotated[dict[str, SwitchPort], Meta(description="Its ports, by name.")] = {}
    vrfs: Annotated[dict[str, int | None], Meta(description="Its VRFs, with the VNI of each.")] = {}
    open_vrfs: Annotated[
        tuple[str, ...], Meta(description="VRFs that use the routes of the switch itself where they have none.")
    ] = ()
    management: Annotated[
        tuple[str, ...], Meta(description="The ports through which groundstate reaches the switch.")
    ] = ()
    vlans: Annotated[dict[int, str | None], Meta(description="Its VLANs, with the VRF to which each belongs.")] = {}
    neighbours: Annotated[tuple[SwitchNeighbour, ...] | None, Meta(description="What LLDP heard.")] = None
    peers: Annotated[tuple[BgpPeer, ...] | None, Meta(description="The sessions of BGP.")] = None
    saved: Annotated[bool | None, Meta(description="Whether the running configuration is saved.")] = None


class SwitchScope(StrEnum):
    """What groundstate changes on a switch."""

    NONE = "None"
    """Nothing: it observes."""
    PORTS = "Ports"
    """VLANs, VRFs and the membership of ports."""
    ALL = "All"
    """Also the routing: FRR with its BGP neighbours, EVPN and prefix filters."""


class PortConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a port is to be. At most one of `vlan` and `vrf` is set; with neither, its membership is not changed.
    `admin` None: not changed."""

    vlan: int | None = None
    vrf: str | None = None
    admin: LinkState | None = None


class VrfConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """A VRF that is to exist. `vlan`: this switch's own VLAN for its VNI, where EVPN needs one. `prefixes`: what its
    machines may announce, in CIDR form, sorted; empty: nothing."""

    vni: int
    vlan: int | None = None
    prefixes: tuple[str, ...] = ()


class SwitchConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one pass is to make true, as a whole.

    Each of `vrfs` is closed afterwards: none is in `SwitchState.open_vrfs`.
    A port that is not in `ports` is left alone, and so is a VRF that is in neither `vrfs` nor `absent_vrfs`. No port
    goes from one VRF into another in one pass (metal-core#102), and none of `absent_vrfs` has a port left.
    `uplinks` are never in `ports`. They, `loopback` and `asn` are for the routing, so for `SwitchScope.ALL` alone.
    """

    scope: SwitchScope
    unprovisioned_vlan: int
    ports: dict[str, PortConfig] = {}
    vrfs: dict[str, VrfConfig] = {}
    absent_vrfs: tuple[str, ...] = ()
    loopback: str | None = None
    asn: int | None = None
    uplinks: tuple[str, ...] = ()

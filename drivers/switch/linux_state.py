"""What `ip`, `bridge` and `lldpcli` of a Linux host say, as values. Pure: nothing odd that they print raises."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from drivers.base import LinkState, SwitchNeighbour, SwitchPort, clean, mac_address

ALIAS = re.compile(r"groundstate vni (\d+)")
"""How a device of a VRF is marked, so that its VNI is known without FRR."""
VLAN_BRIDGE = re.compile(r"vlan(\d+)")
"""The name of a bridge that is one VLAN, on a host without a bridge that filters VLANs."""
_PORT_KINDS = ("", "veth", "dsa", "bond")
_OPER = {"UP": LinkState.UP, "DOWN": LinkState.DOWN, "LOWERLAYERDOWN": LinkState.DOWN}


class Link(msgspec.Struct, frozen=True):
    """A network device. `kind`: of `ip link add ... type KIND`; empty for hardware. `master`: what it is a port of.
    `table`: the routing table of a VRF. `below`: the device under a VLAN. `addresses`: of IP."""

    name: str
    kind: str = ""
    master: str = ""
    alias: str = ""
    mac: str | None = None
    mtu: int | None = None
    is_up: bool = False
    oper: LinkState | None = None
    filters_vlans: bool = False
    vni: int | None = None
    table: int | None = None
    below: str = ""
    addresses: frozenset[str] = frozenset()

    @property
    def is_port(self) -> bool:
        """Whether it is a port of the switch, and not something that the host has made."""
        return self.kind in _PORT_KINDS


class LinuxLinks(msgspec.Struct, frozen=True):
    """All devices by name, and the untagged VLAN of each port of a bridge that filters VLANs. `closed`: by the option
    of `ip` for the family (`-4`, `-6`), the routing tables in which a default route refuses what has no other route."""

    links: dict[str, Link]
    untagged: dict[str, int]
    closed: dict[str, frozenset[int]] = {}

    def vrfs(self) -> dict[str, int | None]:
        """The VRFs, with the VNI of each: kernel devices of this kind, and bridges that are marked as one."""
        found: dict[str, int | None] = {}
        for link in self.links.values():
            marked = ALIAS.fullmatch(link.alias)
            if link.kind == "vrf" or (link.kind == "bridge" and marked):
                found[link.name] = int(marked[1]) if marked else None
        return found

    def management(self, address: str) -> tuple[str, ...]:
        """The ports through which the host is reached at one of its IP addresses: the device that has the address, or
        the devices under it. None where that is a bridge: any of its ports may be the way, and those of machines are
        to be changed. Such a way is among the declared uplinks."""
        found, more = set[str](), {link.name for link in self.links.values() if address in link.addresses}
        while more:
            found |= more
            under = {self.links[name].below for name in more if name in self.links}
            joined = {name for name in more if name in self.links and self.links[name].kind != "bridge"}
            more = (under | {link.name for link in self.links.values() if link.master in joined}) - found - {""}
        return tuple(sorted(name for name in found if name in self.links and self.links[name].is_port))

    def open_vrfs(self) -> tuple[str, ...]:
        """The VRFs of the kernel without a last route that refuses, in one of the families of the host."""
        routed = [link for link in self.links.values() if link.kind == "vrf"]
        return tuple(sorted(link.name for link in routed if any(link.table not in of for of in self.closed.values())))

    def ports(self) -> dict[str, SwitchPort]:
        """The ports, with where each belongs."""
        vrfs = self.vrfs()
        return {link.name: self._port(link, vrfs) for link in self.links.values() if link.is_port}

    def _port(self, link: Link, vrfs: Mapping[str, int | None]) -> SwitchPort:
        return SwitchPort(
            link.name,
            link.alias or None,
            link.mac,
            LinkState.UP if link.is_up else LinkState.DOWN,
            link.oper,
            link.mtu,
            None if link.master in vrfs else self._vlan(link),
            link.master if link.master in vrfs else None,
        )

    def _vlan(self, link: Link) -> int | None:
        master = self.links.get(link.master)
        if master is None or master.kind != "bridge":
            return None
        if master.filters_vlans:
            return self.untagged.get(link.name)
        named = VLAN_BRIDGE.fullmatch(master.name)
        return int(named[1]) if named else None

    def filtering_bridge(self) -> str | None:
        """The name of the one bridge that filters VLANs, if there is one."""
        names = sorted(link.name for link in self.links.values() if link.kind == "bridge" and link.filters_vlans)
        return names[0] if names else None


def linux_links(links: object, vlans: object, refusals: Mapping[str, object] = {}) -> LinuxLinks:
    """What `ip -j -d address show` and `bridge -j vlan show` print. `refusals`: for each family, what
    `ip -j -N route show table all type unreachable` prints."""
    found = [_link(row) for row in _rows(links)]
    closed = {family: _closed(routes) for family, routes in refusals.items()}
    return LinuxLinks({link.name: link for link in found if link.name}, dict(_untagged(vlans)), closed)


def _link(row: dict[str, object]) -> Link:
    info = _table(row.get("linkinfo"))
    data = _table(info.get("info_data"))
    flags = row.get("flags")
    return Link(
        _text(row.get("ifname")),
        "loopback" if row.get("link_type") == "loopback" else _text(info.get("info_kind")),
        _text(row.get("master")),
        _text(row.get("ifalias")),
        mac_address(_text(row.get("address"))) or None,
        _number(row.get("mtu")),
        isinstance(flags, list) and "UP" in flags,
        _OPER.get(_text(row.get("operstate"))),
        _number(data.get("vlan_filtering")) == 1,
        _number(data.get("id")),
        _number(data.get("table")),
        _text(row.get("link")) if info.get("info_kind") == "vlan" else "",
        frozenset(filter(None, (_text(one.get("local")) for one in _rows(row.get("addr_info"))))),
    )


def _closed(routes: object) -> frozenset[int]:
    tables = (_text(row.get("table")) for row in _rows(routes) if row.get("dst") == "default")
    return frozenset(int(table) for table in tables if table.isdecimal())


def _untagged(vlans: object) -> Iterator[tuple[str, int]]:
    for row in _rows(vlans):
        for vlan in _rows(row.get("vlans")):
            flags, number = vlan.get("flags"), _number(vlan.get("vlan"))
            if isinstance(flags, list) and "PVID" in flags and "Egress Untagged" in flags and number is not None:
                yield _text(row.get("ifname")), number


def lldp_neighbours(answer: object) -> tuple[SwitchNeighbour, ...]:
    """The neighbours of `lldpcli -f json0 show neighbors details`."""
    found = []
    for part in _rows(_table(answer).get("lldp")):
        for row in _rows(part.get("interface")):
            chassis, port = _first(row.get("chassis")), _first(row.get("port"))
            port_id, chassis_id = _first(port.get("id")), _first(chassis.get("id"))
            macs = [_text(one.get("value")) for one in (port_id, chassis_id) if one.get("type") == "mac"]
            found.append(
                SwitchNeighbour(
                    _text(row.get("name")),
                    _value(chassis.get("name")),
                    _text(port_id.get("value")) or None,
                    _value(port.get("descr")),
                    next(filter(None, map(mac_address, macs)), None),
                )
            )
    return tuple(sorted((one for one in found if one.port), key=lambda one: (one.port, one.mac or "")))


def lldp_name(answer: object) -> str | None:
    """The system name that `lldpcli -f json0 show chassis` says is sent."""
    for part in _rows(_table(answer).get("local-chassis")):
        for chassis in _rows(part.get("chassis")):
            return _value(chassis.get("name"))
    return None


def os_version(text: str) -> str | None:
    """PRETTY_NAME of /etc/os-release."""
    for line in text.splitlines():
        if line.startswith("PRETTY_NAME="):
            return clean(line.removeprefix("PRETTY_NAME=").strip("\"'")) or None
    return None


def _rows(value: object) -> list[dict[str, object]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _first(value: object) -> dict[str, object]:
    return next(iter(_rows(value)), {})


def _value(value: object) -> str | None:
    return _text(_first(value).get("value")) or None


def _table(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return clean(value) if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None

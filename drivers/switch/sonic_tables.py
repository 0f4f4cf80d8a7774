"""What the databases of SONiC say, as values. Pure.

CONFIG_DB (4) has what was asked for. STATE_DB (6) has what the managers did of it, and ASIC_DB (1) what the chip does.
A port counts as a member when both of the latter say so: CONFIG_DB is never taken for the fact (metal-core#102).

Names of tables and fields: the schemas of sonic-swss-common and sonic-yang-models, `intfmgr.cpp` for
`INTERFACE_TABLE|PORT {vrf}`, and the attributes of SAI. No real SONiC was seen.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from drivers.base import LinkState, SwitchNeighbour, SwitchPort, SwitchState, clean, mac_address

Table = dict[str, dict[str, str]]
_OBJECT = "ASIC_STATE:SAI_OBJECT_TYPE_"
_LINK = {"up": LinkState.UP, "down": LinkState.DOWN}


class SonicTables(msgspec.Struct, frozen=True):
    """Rows by their whole key, of each database. `counters`: the object of each port in ASIC_DB."""

    config: Table = {}
    appl: Table = {}
    state: Table = {}
    asic: Table = {}
    counters: dict[str, str] = {}

    def rows(self, table: str) -> Iterator[tuple[str, dict[str, str]]]:
        """The rows of a table of CONFIG_DB, by what follows the table's name."""
        for key, fields in sorted(self.config.items()):
            if key.startswith(f"{table}|"):
                yield key.removeprefix(f"{table}|"), fields

    def asked_vlans(self, port: str, *, untagged: bool = False) -> list[str]:
        """The VLANs whose member CONFIG_DB wants the port to be, or those whose untagged member."""
        return [
            key.partition("|")[0]
            for key, fields in self.rows("VLAN_MEMBER")
            if key.partition("|")[2] == port and not (untagged and fields.get("tagging_mode") != "untagged")
        ]

    def asked_vrf(self, port: str) -> str | None:
        """The VRF that CONFIG_DB wants the port to be in."""
        return self.config.get(f"INTERFACE|{port}", {}).get("vrf_name") or None

    def vlan(self, port: str) -> int | None:
        """The VLAN whose untagged member the port is, by STATE_DB and ASIC_DB."""
        in_asic = set(self._asic_vlans(port))
        found = [
            number
            for number in sorted(in_asic)
            if self.state.get(f"VLAN_MEMBER_TABLE|Vlan{number}|{port}", {}).get("state") == "ok"
        ]
        return found[0] if found else None

    def vrf(self, port: str) -> str | None:
        """The VRF that the port routes in, by STATE_DB and ASIC_DB."""
        return (self.state.get(f"INTERFACE_TABLE|{port}", {}).get("vrf") or None) if self.is_routed(port) else None

    def is_routed(self, port: str) -> bool:
        """Whether the chip has a router interface for the port."""
        name = self.counters.get(port, "")
        ports = {fields.get("SAI_ROUTER_INTERFACE_ATTR_PORT_ID") for _, fields in self._objects("ROUTER_INTERFACE")}
        return bool(name) and name in ports

    def is_bridged(self, port: str) -> bool:
        """Whether the chip has the port in a VLAN."""
        return any(True for _ in self._asic_vlans(port, untagged=False))

    def vrf_is_there(self, vrf: str) -> bool:
        """Whether the managers of SONiC have made the VRF. A port that is put into it before is lost to it."""
        return self.state.get(f"VRF_TABLE|{vrf}", {}).get("state") == "ok"

    def _asic_vlans(self, port: str, *, untagged: bool = True) -> Iterator[int]:
        name = self.counters.get(port)
        bridge_ports = {
            key
            for key, fields in self._objects("BRIDGE_PORT")
            if name is not None and fields.get("SAI_BRIDGE_PORT_ATTR_PORT_ID") == name
        }
        vlans = {key: fields.get("SAI_VLAN_ATTR_VLAN_ID", "") for key, fields in self._objects("VLAN")}
        for _, fields in self._objects("VLAN_MEMBER"):
            if fields.get("SAI_VLAN_MEMBER_ATTR_BRIDGE_PORT_ID") not in bridge_ports:
                continue
            if untagged and fields.get("SAI_VLAN_MEMBER_ATTR_VLAN_TAGGING_MODE") != "SAI_VLAN_TAGGING_MODE_UNTAGGED":
                continue
            if (number := vlans.get(fields.get("SAI_VLAN_MEMBER_ATTR_VLAN_ID", ""), "")).isdigit():
                yield int(number)

    def _objects(self, kind: str) -> Iterator[tuple[str, dict[str, str]]]:
        head = f"{_OBJECT}{kind}:"
        for key, fields in self.asic.items():
            if key.startswith(head):
                yield key.removeprefix(head), fields


def sonic_state(tables: SonicTables, version: str | None, saved: bool | None) -> SwitchState:
    """All but the sessions of BGP, which FRR knows."""
    return SwitchState(
        system=clean(tables.config.get("DEVICE_METADATA|localhost", {}).get("hostname", "")) or None,
        version=version,
        ports={name: _port(name, fields, tables) for name, fields in tables.rows("PORT")},
        vrfs={
            name: int(vni) if (vni := fields.get("vni", "")).isdigit() and int(vni) else None
            for name, fields in tables.rows("VRF")
            if tables.vrf_is_there(name)
        },
        vlans=dict(_vlans(tables)),
        neighbours=tuple(_neighbours(tables)),
        saved=saved,
    )


def _vlans(tables: SonicTables) -> Iterator[tuple[int, str | None]]:
    """As CONFIG_DB has them: what is asked for there is taken already."""
    for name, _ in tables.rows("VLAN"):
        if (number := name.removeprefix("Vlan")).isdigit() and len(number) <= 4:
            vrf = tables.config.get(f"VLAN_INTERFACE|{name}", {}).get("vrf_name", "")
            yield int(number), clean(vrf) or None


def _port(name: str, asked: dict[str, str], tables: SonicTables) -> SwitchPort:
    runs = tables.appl.get(f"PORT_TABLE:{name}", {})
    vlan, vrf = tables.vlan(name), tables.vrf(name)
    vlans = tables.asked_vlans(name, untagged=True)
    wanted = (f"Vlan{vlan}" in vlans if vlan is not None else not vlans) and tables.asked_vrf(name) == vrf
    mtu = runs.get("mtu", "")
    return SwitchPort(
        clean(name),
        clean(runs.get("alias") or asked.get("alias") or "") or None,
        None,
        _LINK.get(runs.get("admin_status", "")),
        _LINK.get(runs.get("oper_status", "")),
        int(mtu) if mtu.isdigit() and len(mtu) < 7 else None,
        vlan,
        vrf,
        unsettled=not wanted or asked.get("admin_status", "down") != runs.get("admin_status", "down"),
    )


def _neighbours(tables: SonicTables) -> Iterator[SwitchNeighbour]:
    head = "LLDP_ENTRY_TABLE:"
    for key, fields in sorted(tables.appl.items()):
        if key.startswith(head):
            # Subtype 3 of a port id, and 4 of a chassis id, is a MAC address (IEEE 802.1AB, 8.5.2 and 8.5.3).
            port_mac = fields.get("lldp_rem_port_id", "") if fields.get("lldp_rem_port_id_subtype") == "3" else ""
            chassis = fields.get("lldp_rem_chassis_id", "") if fields.get("lldp_rem_chassis_id_subtype") == "4" else ""
            yield SwitchNeighbour(
                clean(key.removeprefix(head)),
                clean(fields.get("lldp_rem_sys_name", "")) or None,
                clean(fields.get("lldp_rem_port_id", "")) or None,
                clean(fields.get("lldp_rem_port_desc", "")) or None,
                mac_address(port_mac) or mac_address(chassis) or None,
            )


SAVED_TABLES = ("PORT", "VLAN", "VLAN_MEMBER", "VLAN_INTERFACE", "INTERFACE", "VRF", "VXLAN_TUNNEL_MAP")
"""Tables of CONFIG_DB that groundstate changes."""


def is_saved(tables: SonicTables, stored: object) -> bool | None:
    """Whether `config_db.json` has what CONFIG_DB has, in the tables that groundstate changes. None: no such file."""
    if not isinstance(stored, dict):
        return None
    kept: Table = {}
    for table in SAVED_TABLES:
        rows = stored.get(table)
        for key, fields in rows.items() if isinstance(rows, dict) else ():
            if isinstance(fields, dict):
                kept[f"{table}|{key}"] = _without_null({str(name): str(one) for name, one in fields.items()})
    runs = {
        key: _without_null(fields) for key, fields in tables.config.items() if key.partition("|")[0] in SAVED_TABLES
    }
    return kept == runs


def _without_null(fields: dict[str, str]) -> dict[str, str]:
    """Redis has no empty hashes, so SONiC writes `NULL: NULL` for a row without fields."""
    return {name: one for name, one in fields.items() if name != "NULL"}

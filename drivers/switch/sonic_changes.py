"""What is to be written into CONFIG_DB, as a difference of its tables, in the order that SONiC survives. Pure.

A port leaves its VLAN or VRF in one step. It joins another in a later step, when the chip has released it. orchagent
does not put a port into a VLAN that still has a router interface. swss crashes when a VRF is exchanged for another
(metal-core#102).
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from drivers.base import SwitchConfig
from drivers.switch.sonic_tables import SonicTables


class RowChange(msgspec.Struct, frozen=True):
    """One write: the fields of a row, or None to delete the row."""

    key: str
    fields: dict[str, str] | None = None

    def words(self) -> tuple[str, ...]:
        """The command of redis."""
        if self.fields is None:
            return ("DEL", self.key)
        return ("HSET", self.key, *(word for pair in sorted(self.fields.items()) for word in pair))


class SonicSteps(msgspec.Struct, frozen=True):
    """`create`, then FRR, then `leave`, then when `moving` ports are free `join`, then `remove`."""

    create: tuple[RowChange, ...] = ()
    leave: tuple[RowChange, ...] = ()
    join: tuple[RowChange, ...] = ()
    remove: tuple[RowChange, ...] = ()
    moving: tuple[str, ...] = ()

    def all(self) -> tuple[RowChange, ...]:
        """Every write, in order."""
        return (*self.create, *self.leave, *self.join, *self.remove)


def sonic_steps(config: SwitchConfig, tables: SonicTables, vtep: str | None) -> SonicSteps:
    """The writes that are missing. `vtep`: the name of the one VXLAN tunnel, which a VRF with a VLAN needs."""
    create = tuple(change for change in _created(config, vtep) if _is_new(change, tables))
    leave = tuple(_leaving(config, tables))
    join = tuple(change for change in _joining(config) if _is_new(change, tables))
    moving = tuple(sorted({change.key.rpartition("|")[2] for change in join if not change.key.startswith("PORT|")}))
    return SonicSteps(create, leave, join, tuple(_removed(config, tables)), moving)


def is_released(port: str, config: SwitchConfig, tables: SonicTables) -> bool:
    """Whether the chip has released a port, so that it may join what it is to be in."""
    wanted = config.ports[port]
    if wanted.vrf is None:
        return not tables.is_routed(port)
    return not tables.is_bridged(port) and tables.vrf_is_there(wanted.vrf)


def _created(config: SwitchConfig, vtep: str | None) -> Iterator[RowChange]:
    vlans = {config.unprovisioned_vlan, *(port.vlan for port in config.ports.values() if port.vlan is not None)}
    for vlan in sorted(vlans):
        yield RowChange(f"VLAN|Vlan{vlan}", {"vlanid": str(vlan)})
    for name, vrf in sorted(config.vrfs.items()):
        yield RowChange(f"VRF|{name}", {"fallback": "false"})
        if vrf.vlan is not None and vtep is not None:
            vlan_name = f"Vlan{vrf.vlan}"
            yield RowChange(f"VLAN|{vlan_name}", {"vlanid": str(vrf.vlan)})
            yield RowChange(f"VLAN_INTERFACE|{vlan_name}", {"vrf_name": name})
            yield RowChange(f"SUPPRESS_VLAN_NEIGH|{vlan_name}", {"suppress": "on"})
            vni = str(vrf.vni)
            yield RowChange(f"VXLAN_TUNNEL_MAP|{vtep}|map_{vni}_{vlan_name}", {"vlan": vlan_name, "vni": vni})
        # A VNI is taken only when its map is there, as SONiC's own command `config vrf add_vrf_vni_map` checks.
        yield RowChange(f"VRF|{name}", {"vni": str(vrf.vni)})


def _is_new(change: RowChange, tables: SonicTables) -> bool:
    have = tables.config.get(change.key)
    return have is None or any(have.get(name) != one for name, one in (change.fields or {}).items())


def _leaving(config: SwitchConfig, tables: SonicTables) -> Iterator[RowChange]:
    for name, port in sorted(config.ports.items()):
        if port.vlan is None and port.vrf is None:
            continue
        for vlan in tables.asked_vlans(name):
            if vlan != f"Vlan{port.vlan}":
                yield RowChange(f"VLAN_MEMBER|{vlan}|{name}")
        row = tables.config.get(f"INTERFACE|{name}")
        if row is not None and (port.vrf is None or row.get("vrf_name") != port.vrf):
            for key in sorted(tables.config):
                if key.startswith(f"INTERFACE|{name}|"):
                    yield RowChange(key)
            yield RowChange(f"INTERFACE|{name}")


def _joining(config: SwitchConfig) -> Iterator[RowChange]:
    for name, port in sorted(config.ports.items()):
        if port.vlan is not None:
            yield RowChange(f"VLAN_MEMBER|Vlan{port.vlan}|{name}", {"tagging_mode": "untagged"})
        elif port.vrf is not None:
            yield RowChange(f"INTERFACE|{name}", {"vrf_name": port.vrf, "ipv6_use_link_local_only": "enable"})
        if port.admin is not None:
            yield RowChange(f"PORT|{name}", {"admin_status": port.admin.lower()})


def _removed(config: SwitchConfig, tables: SonicTables) -> Iterator[RowChange]:
    for name in sorted(config.absent_vrfs):
        row = tables.config.get(f"VRF|{name}")
        if row is None:
            continue
        vlans = [vlan for vlan, fields in tables.rows("VLAN_INTERFACE") if fields.get("vrf_name") == name]
        if row.get("vni", "0") != "0":
            yield RowChange(f"VRF|{name}", {"vni": "0"})
        for key, fields in tables.rows("VXLAN_TUNNEL_MAP"):
            if fields.get("vlan") in vlans:
                yield RowChange(f"VXLAN_TUNNEL_MAP|{key}")
        for vlan in vlans:
            for table in ("SUPPRESS_VLAN_NEIGH", "VLAN_INTERFACE", "VLAN"):
                if f"{table}|{vlan}" in tables.config:
                    yield RowChange(f"{table}|{vlan}")
        yield RowChange(f"VRF|{name}")

"""What the agent collected on a machine, as an Inventory. Pure.

It is JSON as the tools gave it: `lshw -json`, `lsblk -J -b -O`, `ip -j addr`, `ip -j link`, `lldpcli -f json show
neighbors`, `memory_kb` of /proc/meminfo, and `serials`, those of disks by name. Each part is read as far as it makes
sense; a part that is not there, or makes none, is named missing. A machine's inventory is at most so large as the
bounds here, whatever it sends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from drivers.base import Disk, Gpu, Inventory, MemoryModule, Neighbour, Nic, Processor, hardware_address

MAX_PARTS = 1024
"""Of each kind: more are left out."""
_MAX_NODES = 20_000
"""Of lshw's tree."""
MAX_TEXT = 253
_MAX_NUMBER = 2**63 - 1
_NO_DISKS = re.compile(r"^(zram|ram|loop|fd|sr|nbd|md|dm-)\d|^mmcblk\d+(boot|rpmb)")

_Node = dict[str, Any]


class Dmi(msgspec.Struct, frozen=True):
    """Which machine it says that it is; empty where it does not."""

    uuid: str = ""
    serial: str = ""
    product: str = ""


def read_dmi(collected: Mapping[str, object]) -> Dmi:
    """What the firmware says of the machine (SMBIOS), UUID in lower case. Never raises for what it finds."""
    said = next(_objects(collected.get("dmi")), {})
    return Dmi(_text(said.get("uuid")).lower(), _text(said.get("serial")), _text(said.get("product")))


def read_inband(collected: Mapping[str, object]) -> Inventory:
    """What was collected. Never raises for what it finds."""
    tree = list(_nodes(collected.get("lshw")))
    processors, modules = _processors(tree), _modules(tree)
    memory = sum(one.size for one in modules) or _memory(tree, collected.get("memory_kb"))
    disks = _disks(collected.get("lsblk"), collected.get("serials"))
    # A tree without a processor is not a machine's.
    is_whole = any(one.get("class") == "processor" for one in tree)
    known = {"processors": bool(processors), "memory": bool(memory), "disks": disks is not None, "gpus": is_whole}
    return Inventory(
        processors=processors,
        memory=memory if memory <= _MAX_NUMBER else 0,
        disks=disks or (),
        gpus=tuple(Gpu(_text(one.get("product"))) for one in tree if _is_gpu(one))[:MAX_PARTS],
        missing=tuple(name for name, is_known in known.items() if not is_known),
        modules=modules or None,
        nics=_nics(collected.get("link"), collected.get("addr"), tree),
        neighbours=_neighbours(collected.get("lldp")),
    )


def _nodes(tree: object) -> Iterator[_Node]:
    """Every node of lshw's tree; older versions print a list of one."""
    pending, left = list(_objects(tree))[::-1], _MAX_NODES
    while pending and left:
        node, left = pending.pop(), left - 1
        yield node
        pending.extend(list(_objects(node.get("children")))[::-1])


def _processors(tree: list[_Node]) -> tuple[Processor, ...]:
    """Those that are there: lshw lists empty sockets as disabled, and without a product."""
    found = [one for one in tree if one.get("class") == "processor" and one.get("disabled") is not True]
    return tuple(
        Processor(_text(one.get("product")), _setting(one, "cores"), _setting(one, "threads"))
        for one in found
        if one.get("product") or _setting(one, "cores")
    )[:MAX_PARTS]


def _modules(tree: list[_Node]) -> tuple[MemoryModule, ...]:
    banks = [one for one in tree if one.get("class") == "memory" and str(one.get("id", "")).startswith("bank")]
    found = (
        MemoryModule(_text(one.get("slot")), size, _text(one.get("product")), _text(one.get("serial")))
        for one in banks
        if (size := _number(one.get("size")))
    )
    return tuple(found)[:MAX_PARTS]


def _memory(tree: list[_Node], kibibytes: object) -> int:
    """All of it by lshw, else what the kernel has left over."""
    whole = (one for one in tree if one.get("class") == "memory" and str(one.get("id", "")) in ("memory", "memory:0"))
    return next((size for one in whole if (size := _number(one.get("size")))), _number(kibibytes) * 1024)


def _disks(listed: object, serials: object) -> tuple[Disk, ...] | None:
    """What can be written to: no partitions, no disks of memory, nothing removable, nothing of size 0. `serials`: of
    those by name of which lsblk does not know it."""
    known = next(_objects(serials), {})
    devices = listed.get("blockdevices") if isinstance(listed, dict) else None
    if not isinstance(devices, list):
        return None
    found = []
    for one in _objects(devices):
        name, size = _text(one.get("name")), _number(one.get("size"))
        if one.get("type") == "disk" and name and size and not _NO_DISKS.match(name) and not _is_on(one.get("rm")):
            path = _text(one.get("path")) or f"/dev/{name}"
            found.append(Disk(path, size, _text(one.get("model")), _text(one.get("serial")) or _text(known.get(name))))
    return tuple(found[:MAX_PARTS])


def _is_gpu(node: _Node) -> bool:
    """An accelerator has no screen; a BMC's own VGA chip is no GPU."""
    said = f"{node.get('vendor', '')} {node.get('description', '')}".lower()
    if node.get("class") not in ("display", "processing-accelerator", "coprocessor"):
        return False
    return "3d controller" in said or "accelerator" in said or (node.get("class") == "display" and "nvidia" in said)


def _nics(links: object, addresses: object, tree: list[_Node]) -> tuple[Nic, ...] | None:
    """Interfaces of the machine itself: those that a bus has, where lshw reports; else all that are no kernel's own."""
    listed = links if isinstance(links, list) else addresses
    if not isinstance(listed, list):
        return None
    hardware = {name: node for node in tree if node.get("class") == "network" for name in _names(node)}
    found = []
    for one in _objects(listed):
        name = _text(one.get("ifname"))
        mac = hardware_address(_text(one.get("permaddr") or one.get("address")))
        if mac is None or not _is_port(one):
            continue
        if hardware and name not in hardware:
            continue
        speed = _number(hardware.get(name, {}).get("size")) // 1_000_000
        found.append(Nic(name, mac, speed))
    return tuple(found[:MAX_PARTS])


def _is_port(link: _Node) -> bool:
    """The kernel describes an IPoIB interface as a made one (`info_kind` ipoib); a child of it names its parent."""
    if link.get("link_type") == "infiniband":
        return "link" not in link
    return link.get("link_type") == "ether" and "linkinfo" not in link


def _names(node: _Node) -> Iterator[str]:
    """A node's interface; a virtual one is on no bus."""
    names = node.get("logicalname")
    if node.get("businfo"):
        yield from (one for one in (names if isinstance(names, list) else [names]) if isinstance(one, str))


def _neighbours(said: object) -> tuple[Neighbour, ...] | None:
    """`{"lldp": {"interface": X}}`: X is `{"eth0": {...}}` for one neighbour and a list of such for several."""
    root = said.get("lldp") if isinstance(said, dict) else None
    if not isinstance(root, dict):
        return None
    found = [
        _neighbour(_text(name), one)
        for listed in _objects(root.get("interface"))
        for name, inner in listed.items()
        for one in _objects(inner)
    ]
    return tuple(one for one in found if one is not None)[:MAX_PARTS]


def _neighbour(interface: str, said: _Node) -> Neighbour | None:
    chassis = next(_objects(said.get("chassis")), {})
    # A chassis with a name stands under it; one without is reported by its id alone.
    named = () if "id" in chassis else [(name, inner) for name, inner in chassis.items() if isinstance(inner, dict)]
    system, about = named[0] if named else ("", chassis)
    identity = _value(about.get("id"))
    port = next(_objects(said.get("port")), {})
    where = _port(port)
    if not (system or identity) or not interface:
        return None
    return Neighbour(interface, _text(system) or identity, where, identity)


def _port(port: _Node) -> str:
    """Its name; a switch that gives a MAC address for that has the name in the description."""
    kind = next(_objects(port.get("id")), {}).get("type")
    identity, description = _value(port.get("id")), _text(port.get("descr"))
    return (description or identity) if kind == "mac" else (identity or description)


def _value(said: object) -> str:
    """`{"type": ..., "value": X}`, or several of them, of which the first counts."""
    return _text(next(_objects(said), {}).get("value"))


def _setting(node: _Node, name: str) -> int:
    settings = node.get("configuration")
    return _number(settings.get(name)) if isinstance(settings, dict) else 0


def _objects(value: object) -> Iterator[_Node]:
    """The objects of a list, or the one that stands for a list of one."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            yield one


def _is_on(value: object) -> bool:
    return value in (True, 1, "1")


def _number(value: object) -> int:
    """A whole number above 0 that a database holds, spelled as text too (older lsblk); 0 for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_NUMBER else 0


def _text(value: object) -> str:
    """One line of printable text, not too long; a list of names gives the first."""
    if isinstance(value, list):
        value = value[0] if value else ""
    said = "".join(c for c in value[: 4 * MAX_TEXT] if c.isprintable()) if isinstance(value, str) else ""
    return said.strip()[:MAX_TEXT]

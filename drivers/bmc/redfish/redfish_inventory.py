"""What is in a machine, from the collections under its ComputerSystem. Each part is read as far as it makes sense.

A part that could not be read to its end counts as missing, as half a list would be taken for the whole. What of it was
read is there all the same. A member that is listed but not there (404) is left out: it was pulled meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from drivers.base import (
    Disk,
    Gpu,
    Inventory,
    MemoryModule,
    Nic,
    Processor,
    UnreadPart,
    hardware_address,
)
from drivers.bmc.redfish.redfish_consoles import read_console_offers
from drivers.bmc.redfish.redfish_reader import Listed, PartUnreadable, Reader, RedfishDocument, is_absent, read_part
from drivers.bmc.redfish.redfish_system import firmware_text
from drivers.bmc.redfish.wire.redfish_errors import NotFound

_MAX_REQUESTS = 200
"""GETs for one inventory; the largest recorded machine needs 73 where nothing can be expanded."""
_MAX_SECONDS = 180.0
"""For one inventory: no request is begun later. A large one takes about 60 s (stmcginnis/gofish#535)."""

_MAX_PROCESSORS = 1024
_MAX_NUMBER = 2**63 - 1
_DIGITS = 20
_MIB, _GIB = 2**20, 2**30
_GPUS = ("GPU", "Accelerator")


def read_inventory(
    system: RedfishDocument,
    get: Callable[[str], RedfishDocument],
    *,
    expands: bool,
    requests: int = _MAX_REQUESTS,
    seconds: float = _MAX_SECONDS,
) -> Inventory:
    """The inventory of the ComputerSystem with this document. `get`: one GET of a path; raises DriverError, ValueError.

    A part that the BMC does not offer or refuses is named in `missing`, and so is what `requests` and `seconds` did not
    suffice for. What is listed and could not be read is named in `unread`. Raises AuthenticationFailed when the login
    does not hold, Unreachable when the BMC stops answering."""
    reader = Reader(get, expands, requests, seconds)
    listed = _members(reader, system, "Processors")
    # A machine has processors and memory; a BMC that lists none does not know yet (OpenBMC with the power off).
    is_listed = any(_is_cpu(one) for one in listed.found)
    counted = _processors_by_summary(system) if listed.unread or not is_listed else ()
    processors = counted or tuple(_processor(one) for one in listed.found if _is_cpu(one))
    modules = _members(reader, system, "Memory")
    summed = 0 if modules.unread else _number(sum(map(_capacity, modules.found)))
    memory = summed or _memory_by_summary(system)
    disks = _disks(reader, system)
    nics = _members(reader, system, "EthernetInterfaces")
    known = {
        "processors": bool(processors) and (bool(counted) or not listed.unread),
        "memory": bool(memory),
        "disks": disks is not None and not disks.unread and (bool(disks.found) or is_listed),
        "gpus": is_listed and not listed.unread,
    }
    unread = {
        "processors": listed.unread,
        "modules": modules.unread,
        "disks": [] if disks is None else disks.unread,
        "nics": nics.unread,
    }
    return Inventory(
        processors=processors,
        memory=memory,
        disks=tuple(disks.found) if disks is not None else (),
        gpus=tuple(Gpu(_model(one)) for one in listed.found if one.get("ProcessorType") in _GPUS),
        missing=tuple(name for name, is_known in known.items() if not is_known),
        modules=tuple(_module(one) for one in modules.found if _capacity(one)) if modules.found else None,
        nics=tuple(nic for one in nics.found if (nic := _nic(one)) is not None)
        if nics.found or (nics.is_whole and is_listed)
        else None,
        unread=tuple(sorted(UnreadPart(name, one) for name, names in unread.items() for one in names)),
        consoles=read_console_offers(system, reader),
    )


class _Members(Listed):
    """`is_whole`: whether the collection was read to its end."""

    is_whole: bool = False


def _members(reader: Reader, system: RedfishDocument, name: str) -> _Members:
    """A collection of the system; nothing where it is not offered, or could not be read."""
    found = read_part(lambda: reader.members(system.get(name)))
    if found is None:
        return _Members([], [])
    return _Members(found.found, found.unread, is_whole=not found.unread)


def _is_cpu(document: RedfishDocument) -> bool:
    return document.get("ProcessorType") in ("CPU", None)


def _processor(document: RedfishDocument) -> Processor:
    return Processor(_model(document), _number(document.get("TotalCores")), _number(document.get("TotalThreads")))


def _processors_by_summary(system: RedfishDocument) -> tuple[Processor, ...]:
    """One for each that is counted; cores and threads are the machine's, so each has its share."""
    summary = _summary(system, "ProcessorSummary")
    count = _number(summary.get("Count"))
    if not 0 < count <= _MAX_PROCESSORS:
        return ()
    cores, threads = _number(summary.get("CoreCount")), _number(summary.get("LogicalProcessorCount"))
    return (Processor(_model(summary), cores // count, threads // count),) * count


def _capacity(module: RedfishDocument) -> int:
    return _number(_number(module.get("CapacityMiB")) * _MIB)


def _module(document: RedfishDocument) -> MemoryModule:
    return MemoryModule(_name(document, ("Id", "Name")), _capacity(document), _part_number(document), _serial(document))


def _part_number(document: RedfishDocument) -> str:
    return firmware_text(document.get("PartNumber")) or _model(document)


def _nic(document: RedfishDocument) -> Nic | None:
    """None where there is no hardware address. The permanent one is the card's own, whatever was set since."""
    for key in ("PermanentMACAddress", "MACAddress"):
        if mac := _mac(document.get(key)):
            return Nic(_name(document, ("Id", "Name")), mac, _number(document.get("SpeedMbps")))
    return None


def _mac(value: object) -> str | None:
    return hardware_address(value) if isinstance(value, str) else None


def _memory_by_summary(system: RedfishDocument) -> int:
    size = _summary(system, "MemorySummary").get("TotalSystemMemoryGiB")
    if isinstance(size, float) and math.isfinite(size):
        # Parts of a GiB are allowed here.
        return _number(int(size * _GIB)) if abs(size) < _MAX_NUMBER else 0
    return _number(_number(size) * _GIB)


def _summary(system: RedfishDocument, name: str) -> RedfishDocument:
    found = system.get(name)
    return found if isinstance(found, dict) else {}


def _disks(reader: Reader, system: RedfishDocument) -> Listed | None:
    """The drives, or else those of the older SimpleStorage; the readable part if neither list is complete. None unless
    all that is offered was read."""
    ways = {"Storage": _drives, "SimpleStorage": _devices}
    offered = {name: read for name, read in ways.items() if system.get(name) is not None}
    partial = Listed([], [])
    is_whole = bool(offered)
    for name, read in offered.items():
        try:
            found = read(reader, reader.members(system[name]))
        except (PartUnreadable, NotFound):
            is_whole = False
            continue
        if found.found and not found.unread:
            return found
        partial = found if len(found.found) >= len(partial.found) and found.unread else partial
    return partial if partial.unread or is_whole else None


def _drives(reader: Reader, storages: Listed) -> Listed:
    # Two controllers may list the same drive, and a BMC may show it at two places.
    links = Listed([], list(storages.unread))
    for storage in storages.found:
        listed = reader.linked(storage, "Drives")
        links.found += listed.found
        links.unread += listed.unread
    drives = reader.documents(links)
    return Listed([_disk(one, ("Id", "Name")) for one in _once(drives.found)], drives.unread)


def _once(drives: list[RedfishDocument]) -> list[RedfishDocument]:
    """Each drive once, the first of its places. Drives are compared by the location that they report, and by serial
    number if nothing else distinguishes them."""
    kept: list[RedfishDocument] = []
    for one in drives:
        if not any(_is_same_drive(one, other) for other in kept):
            kept.append(one)
    return kept


def _is_same_drive(one: RedfishDocument, other: RedfishDocument) -> bool:
    own, others = (str(each.get("@odata.id") or "").rstrip("/") for each in (one, other))
    if own and own == others:
        return True
    if not _serial(one) or _serial(one) != _serial(other):
        return False
    # Firmware may give all drives one number: siblings in one list are several, and so is what differs otherwise.
    if own and own.rpartition("/")[0] == others.rpartition("/")[0]:
        return False
    names = ("Model", "CapacityBytes", "Identifiers", "PhysicalLocation")
    return all(one.get(name) == other.get(name) for name in names if name in one and name in other)


def _devices(_: Reader, storages: Listed) -> Listed:
    listed = [device for storage in storages.found for device in _list(storage.get("Devices"))]
    found = [_disk(one, ("Name",)) for one in listed if isinstance(one, dict) and not is_absent(one)]
    return Listed(found, storages.unread)


def _disk(document: RedfishDocument, names: tuple[str, ...]) -> Disk:
    size = _number(document.get("CapacityBytes"))
    return Disk(_name(document, names), size, _model(document), _serial(document))


def _name(document: RedfishDocument, keys: tuple[str, ...]) -> str:
    return next((name for key in keys if (name := firmware_text(document.get(key)))), "")


def _serial(document: RedfishDocument) -> str:
    return firmware_text(document.get("SerialNumber")) or ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _model(document: RedfishDocument) -> str:
    return firmware_text(document.get("Model")) or ""


def _number(value: object) -> int:
    """A whole number above 0 that a database holds; 0 for anything else. 6.0 is 6 (mrlhansen/idrac_exporter#31), and so
    is "6", as sushy-tools writes it."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < _DIGITS:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_NUMBER else 0

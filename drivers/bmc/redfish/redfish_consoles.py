"""What a BMC says of its consoles, for people alone: no line is opened by it.

It is in the ComputerSystem (SerialConsole, since 1.13), and in the Manager (SerialConsole, GraphicalConsole and
CommandShell). The Manager names no ports. HPE iLO 5 and Lenovo XCC say in its SerialConsole that IPMI is on, and in
its NetworkProtocol that IPMI is off (recorded). SSH in NetworkProtocol is the BMC's shell, and never a console. So
only IPMI is taken from there. SerialInterfaces have bit rates, and no way to a console."""

from __future__ import annotations

from typing import Any

import msgspec

from drivers.base import ConsoleOffer, ConsoleUse, DriverError
from drivers.bmc.redfish.redfish_reader import Listed, Reader, RedfishDocument, read_part

_SERIAL = ("IPMI", "SSH", "Telnet")
_OF_MANAGER = {
    "SerialConsole": (ConsoleUse.SERIAL, _SERIAL),
    "CommandShell": (ConsoleUse.SHELL, _SERIAL),
    "GraphicalConsole": (ConsoleUse.GRAPHICAL, ("KVMIP",)),
}
_MOST_PORTS = 65_535


def read_console_offers(system: RedfishDocument, reader: Reader) -> tuple[ConsoleOffer, ...] | None:
    """One GET of the Manager, and one of its NetworkProtocol if a console is offered over IPMI. What cannot be read is
    left out, as no inventory fails for it."""
    manager = _linked(reader, _first(_object(system, "Links").get("ManagedBy")))
    found = console_offers(system, manager)
    if not any(_is_ipmi(one) for one in found or ()):
        return found
    return with_ipmi(found or (), _linked(reader, (manager or {}).get("NetworkProtocol")))


def console_offers(system: RedfishDocument, manager: RedfishDocument | None) -> tuple[ConsoleOffer, ...] | None:
    """What the two documents offer; None where neither says anything of consoles."""
    owners = [one for one in (manager, system) if one is not None]
    if not any(name in one for one in owners for name in _OF_MANAGER):
        return None
    found = {(one.use, one.protocol): one for owner in owners for one in _of_owner(owner)}
    return tuple(sorted(found.values()))


def with_ipmi(offers: tuple[ConsoleOffer, ...], protocols: RedfishDocument | None) -> tuple[ConsoleOffer, ...]:
    """The same, with the port of IPMI, and off if NetworkProtocol says that it is off."""
    ipmi = _object(protocols or {}, "IPMI")
    is_on = ipmi.get("ProtocolEnabled") is not False
    return tuple(
        msgspec.structs.replace(one, port=one.port or _port(ipmi), enabled=one.enabled if is_on else False)
        if _is_ipmi(one)
        else one
        for one in offers
    )


def _of_owner(document: RedfishDocument) -> list[ConsoleOffer]:
    found = []
    for name, (use, known) in _OF_MANAGER.items():
        part = _object(document, name)
        types = part.get("ConnectTypesSupported")
        listed = [one for one in known if one in types] if isinstance(types, list) else []
        found += [ConsoleOffer(use, one, enabled=_flag(part)) for one in listed]
        # As a ComputerSystem has it.
        own = {one: _object(part, one) for one in known}
        found += [ConsoleOffer(use, one, _port(said), _flag(said)) for one, said in own.items() if said]
    return found


def _is_ipmi(offer: ConsoleOffer) -> bool:
    return (offer.use, offer.protocol) == (ConsoleUse.SERIAL, "IPMI")


def _linked(reader: Reader, link: object) -> RedfishDocument | None:
    if link is None:
        return None
    try:
        found = read_part(lambda: reader.documents(Listed([link])))
    except DriverError:
        return None
    return found.found[0] if found is not None and found.found else None


def _first(links: object) -> object:
    return links[0] if isinstance(links, list) and links else None


def _object(document: RedfishDocument, name: str) -> dict[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _flag(part: dict[str, Any]) -> bool | None:
    value = part.get("ServiceEnabled")
    return value if isinstance(value, bool) else None


def _port(part: dict[str, Any]) -> int:
    value = part.get("Port")
    return value if type(value) is int and 0 < value <= _MOST_PORTS else 0

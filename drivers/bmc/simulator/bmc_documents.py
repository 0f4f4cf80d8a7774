"""What a simulated BMC shows at a path: a document of its profile with the BMC's own values in it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.base import BootOverride, IndicatorLED, SystemState
from drivers.bmc.simulator.bmc_state import TASKS, SimulatedBmc
from drivers.bmc.simulator.redfish_tree import RedfishObject, RedfishTree, reference, settings_of

_BOOT = {"target": "BootSourceOverrideTarget", "enabled": "BootSourceOverrideEnabled", "mode": "BootSourceOverrideMode"}


def shown_document(bmc: SimulatedBmc, tree: RedfishTree, path: str, now: float) -> RedfishObject | None:
    """The document at a path; None: there is none."""
    document = tree.documents.get(path)
    if document is None:
        return _made(bmc, tree, path, now)
    for at, place in enumerate(tree.systems):
        if path == place.path:
            return _with_system({**document, **bmc.changes.get(path, {})}, bmc.systems[at].state)
        if path == place.settings and place.boots_by_settings:
            waiting = bmc.systems[at].next_boot or bmc.systems[at].state.boot
            return {**document, "Boot": {**document["Boot"], **_boot(waiting)}}
    found: RedfishObject = {**document, **bmc.changes.get(path, {})}
    settings, starts = settings_of(document), starts_of(bmc, tree, path)
    if settings is not None:
        found = _merged_attributes(found, bmc.applied(settings, starts))
    elif path in tree.settings:
        found = _merged_attributes(found, bmc.waiting(path, starts))
    return _with_mac(found, bmc.number)


def collection_document(bmc: SimulatedBmc, tree: RedfishTree, document: RedfishObject, now: float) -> RedfishObject:
    """A collection with its members in it ($expand)."""
    members = [(one, shown_document(bmc, tree, reference(one) or "", now)) for one in document["Members"]]
    return {**document, "Members": [one if found is None else found for one, found in members]}


def starts_of(bmc: SimulatedBmc, tree: RedfishTree, path: str) -> int:
    """How often the system to which a path belongs has started."""
    for place, system in zip(tree.systems, bmc.systems, strict=True):
        if path.startswith(f"{place.path}/"):
            return len(system.booted_from)
    return len(bmc.systems[0].booted_from)


def _made(bmc: SimulatedBmc, tree: RedfishTree, path: str, now: float) -> RedfishObject | None:
    """What no profile has: the sessions and the Tasks of now."""
    folder, _, number = path.rpartition("/")
    if path == tree.sessions:
        return _collection(path, [one.number for one in bmc.sessions])
    if folder == tree.sessions:
        is_open = any(str(one.number) == number for one in bmc.sessions)
        return {"@odata.id": path, "Id": number, "Name": "Session"} if is_open else None
    if path == TASKS:
        return _collection(path, list(range(bmc.tasks_made - len(bmc.tasks) + 1, bmc.tasks_made + 1)))
    task = bmc.task(number) if folder == TASKS else None
    if task is None:
        return None
    shown = task.at(now)
    return {
        "@odata.type": "#Task.v1_7_0.Task",
        "@odata.id": path,
        "Id": number,
        "Name": "Task",
        "TaskState": shown.state,
        "TaskStatus": shown.status,
        "PercentComplete": shown.percent,
        "Messages": [{"Message": message} for message in shown.messages],
    }


def _collection(path: str, numbers: list[int]) -> RedfishObject:
    members = [{"@odata.id": f"{path}/{number}"} for number in numbers]
    return {"@odata.id": path, "Name": "Collection", "Members": members, "Members@odata.count": len(members)}


def _with_system(document: RedfishObject, state: SystemState) -> RedfishObject:
    document["PowerState"] = state.power
    for name, value in (("UUID", state.uuid), ("SerialNumber", state.serial), ("SKU", state.sku)):
        if value is not None:
            document[name] = value
    if state.boot is not None:
        document["Boot"] = {**document["Boot"], **_boot(state.boot)}
    if state.indicator is not None and document.get("IndicatorLED") is not None:
        document["IndicatorLED"] = state.indicator
    if state.indicator is not None and isinstance(document.get("LocationIndicatorActive"), bool):
        document["LocationIndicatorActive"] = state.indicator is not IndicatorLED.OFF
    return document


def _boot(boot: BootOverride | None) -> dict[str, Any]:
    values = {} if boot is None else {"target": boot.target, "enabled": boot.enabled, "mode": boot.mode}
    return {_BOOT[name]: value for name, value in values.items() if value is not None}


def _merged_attributes(document: RedfishObject, change: Mapping[str, Any]) -> RedfishObject:
    attributes = change.get("Attributes")
    if not isinstance(attributes, dict):
        return document
    return {**document, "Attributes": {**document.get("Attributes", {}), **attributes}}


def _with_mac(document: RedfishObject, number: int) -> RedfishObject:
    """With a MAC address that no other BMC of the fleet has. The first BMC of a fleet keeps its own."""
    if number == 0 or not isinstance(document.get("MACAddress"), str):
        return document
    own = f"02:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    changed = {
        name: f"{own}:{document[name][-5:]}"
        for name in ("MACAddress", "PermanentMACAddress")
        if isinstance(document.get(name), str) and document[name]
    }
    return {**document, **changed}

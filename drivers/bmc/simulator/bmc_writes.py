"""What a POST or a PATCH changes in a simulated BMC. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

from msgspec.structs import replace

from drivers.base import (
    BootEnabled,
    BootMode,
    BootOverride,
    BootTarget,
    IndicatorLED,
    Rejected,
    ResetType,
    Unsupported,
)
from drivers.bmc.simulator.bmc_documents import starts_of
from drivers.bmc.simulator.bmc_messages import BmcRefusal, RedfishRequest
from drivers.bmc.simulator.bmc_profile import BmcProfile
from drivers.bmc.simulator.bmc_state import SimulatedBmc
from drivers.bmc.simulator.redfish_tree import RedfishObject, TreeAction

_E = TypeVar("_E", bound=StrEnum)

REBOOT_SECONDS = 60.0
"""For which a BMC that restarts is away (xcat2/xcat-core#3310)."""
_WRITABLE = frozenset({"Boot", "IndicatorLED", "LocationIndicatorActive", "AssetTag"})
_LEDS = frozenset({"IndicatorLED", "LocationIndicatorActive"})


def after_write(bmc: SimulatedBmc, profile: BmcProfile, request: RedfishRequest, now: float) -> SimulatedBmc:
    """The BMC after a write. Raises BmcRefusal."""
    given, path = request.document() or {}, request.place
    try:
        return _post(bmc, profile, path, given, now) if request.method == "POST" else _patch(bmc, profile, path, given)
    except Unsupported as error:
        raise BmcRefusal(400, "ActionParameterNotSupported", str(error)) from None
    except Rejected as error:
        raise BmcRefusal(409, "ResourceInUse", str(error)) from None


def rebooted(bmc: SimulatedBmc, now: float, seconds: float = REBOOT_SECONDS) -> SimulatedBmc:
    """The BMC restarts: its sessions and Tasks are gone, and the BMC is away for so long. Its systems run on."""
    return replace(bmc, sessions=(), tasks=(), away_until=now + seconds)


def _post(bmc: SimulatedBmc, profile: BmcProfile, path: str, given: RedfishObject, now: float) -> SimulatedBmc:
    action, of = profile.tree.actions.get(path, (None, ""))
    match action:
        case TreeAction.RESET:
            at = profile.tree.system_of(of) or 0
            reset_type = _value(ResetType, "ResetType", given.get("ResetType"))
            return bmc.with_system(at, bmc.systems[at].reset(reset_type, now, profile.lag))
        case TreeAction.INSERT:
            return _insert(bmc, profile, of, given.get("Image"))
        case TreeAction.EJECT:
            return bmc.with_change(of, {"Image": None, "Inserted": False, "ConnectedVia": "NotConnected"})
        case TreeAction.RESET_BMC:
            return rebooted(bmc, now)
        case _:
            is_there = path in profile.tree.documents
            raise BmcRefusal(405 if is_there else 404, "ResourceMissingAtURI", f"POST to {path} does nothing.")


def _patch(bmc: SimulatedBmc, profile: BmcProfile, path: str, given: RedfishObject) -> SimulatedBmc:
    tree = profile.tree
    document = tree.documents.get(path)
    if document is None:
        raise BmcRefusal(404, "ResourceMissingAtURI", f"There is no resource at {path}.")
    at = tree.system_of(path)
    if at is not None:
        place = tree.systems[at]
        in_settings = path == place.settings
        if in_settings and not place.boots_by_settings:
            return bmc.with_pending(path, starts_of(bmc, tree, f"{place.path}/"), given)
        return _patch_system(bmc, at, document, given, at_next_boot=in_settings)
    if path in tree.settings:
        return bmc.with_pending(path, starts_of(bmc, tree, path), given)
    if "Inserted" in document:
        if given.get("Image"):
            return _insert(bmc, profile, path, given["Image"])
        return bmc.with_change(path, {"Image": None, "Inserted": False, "ConnectedVia": "NotConnected"})
    odd = next((name for name in given if name not in _LEDS or name not in document), None)
    if odd is not None:
        raise BmcRefusal(400, "PropertyNotWritable", f"The property {odd} is read-only.", odd)
    return bmc.with_change(path, given)


def _patch_system(
    bmc: SimulatedBmc, at: int, document: RedfishObject, given: RedfishObject, *, at_next_boot: bool
) -> SimulatedBmc:
    system, rest = bmc.systems[at], dict[str, Any]()
    for name, value in given.items():
        if name not in _WRITABLE or name not in document:
            raise BmcRefusal(400, "PropertyNotWritable", f"The property {name} is read-only or unknown.", name)
        match name:
            case "Boot":
                system = system.set_boot(_override(value), at_next_boot=at_next_boot)
            case "IndicatorLED":
                system = system.set_indicator(_value(IndicatorLED, name, value))
            case "LocationIndicatorActive":
                system = system.set_indicator(IndicatorLED.LIT if value is True else IndicatorLED.OFF)
            case _:
                rest[name] = value
    bmc = bmc.with_system(at, system)
    return bmc.with_change(document["@odata.id"].rstrip("/"), rest) if rest else bmc


def _override(boot: object) -> BootOverride:
    if not isinstance(boot, dict):
        raise BmcRefusal(400, "PropertyValueTypeError", "Boot is not an object.", "Boot")
    names = {f"BootSourceOverride{name}": name for name in ("Target", "Enabled", "Mode")}
    odd = next((name for name in boot if name not in names), None)
    if odd is not None:
        raise BmcRefusal(400, "PropertyUnknown", f"The property {odd} of Boot is not writable.", odd)
    kinds: dict[str, type[StrEnum]] = {"Target": BootTarget, "Enabled": BootEnabled, "Mode": BootMode}
    values: Any = {names[name]: _value(kinds[names[name]], name, value) for name, value in boot.items()}
    return BootOverride(values.get("Target"), values.get("Enabled"), values.get("Mode"))


def _insert(bmc: SimulatedBmc, profile: BmcProfile, path: str, image: object) -> SimulatedBmc:
    if not isinstance(image, str) or not image:
        raise BmcRefusal(400, "ActionParameterMissing", "The parameter Image is missing.", "Image")
    now_in = {**profile.tree.documents[path], **bmc.changes.get(path, {})}
    if now_in.get("Inserted"):
        raise BmcRefusal(409, "ResourceInUse", "The virtual drive is in use; eject its image first.")
    name = image.rpartition("/")[2]
    return bmc.with_change(path, {"Image": image, "ImageName": name, "Inserted": True, "ConnectedVia": "URI"})


def _value(kind: type[_E], name: str, value: object) -> _E:
    try:
        return kind(str(value))
    except ValueError:
        raise BmcRefusal(
            400,
            "PropertyValueNotInList",
            f"The value {value!r} of {name} is not in the list of acceptable values.",
            name,
        ) from None

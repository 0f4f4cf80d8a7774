"""A ComputerSystem's document, through sushy, to a SystemState. Nothing that is not needed can make it fail."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

from sushy.resources.base import CompositeField, Field, ResourceBase
from sushy.resources.system.system import BootField, System

from drivers.base import BootEnabled, BootMode, BootOverride, BootTarget, IndicatorLED, PowerState, SystemState
from drivers.base import ResetType as Reset
from drivers.bmc.redfish.wire.redfish_connector import OneShotConnector

_C = TypeVar("_C")
E = TypeVar("E", bound=StrEnum)

RESET = "#ComputerSystem.Reset"
_TEXTS = ("PowerState", "IndicatorLED", "UUID", "SerialNumber", "SKU", "Manufacturer", "Model")
_PARTS = frozenset({*_TEXTS, "@odata.id", "Id", "Actions", "Boot", "LocationIndicatorActive", "Status"})
_TARGETS = "BootSourceOverrideTarget@Redfish.AllowableValues"
_ENABLED = "BootSourceOverrideEnabled@Redfish.AllowableValues"
_OVERRIDE: dict[str, type[StrEnum]] = {
    "BootSourceOverrideTarget": BootTarget,
    "BootSourceOverrideEnabled": BootEnabled,
    "BootSourceOverrideMode": BootMode,
}
_UUID = re.compile(
    r"(?i)(?:urn:)?(?:uuid:)?\{?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\}?"
)
LONGEST = 253
"""Characters of a name, a model, a serial number."""
_PLACEHOLDERS = frozenset(
    {"n/a", "na", "none", "null", "unknown", "not available", "not specified", "default string", "empty"}
    | {"to be filled by o.e.m.", "system serial number", "00000000-0000-0000-0000-000000000000"}
)
"""What firmware says where it knows nothing (Cray EX: "Not Available"; the rest are DMI defaults)."""


class _Boot(BootField):  # type: ignore[misc]  # sushy is untyped
    """sushy's reads the Settings resource at every look, and hides whatever goes wrong there."""

    def _load(self, body: Any, resource: Any, nested_in: Any = None) -> Any:
        return CompositeField._load(self, body, resource, nested_in)


class ParsedSystem(System):  # type: ignore[misc]  # sushy is untyped
    """sushy's System made from a document that was read already; its ETag is that look's."""

    boot: Any = _Boot("Boot")
    is_merged = False
    """Whether a part of it is of the Settings resource."""
    is_cut_short = False
    """Whether the Settings resource should have reported more of Boot, and could not be read."""

    def __init__(self, connector: OneShotConnector, path: str, document: dict[str, Any], etag: str | None) -> None:
        self.document, self._etag = document, etag
        ResourceBase.__init__(self, connector, path, json_doc=_needed(document, path))

    def through(self, connector: _C) -> _C:
        """Send the system's writes through this connector from now on; returns it."""
        self._conn = connector
        return connector

    def _parse_attributes(self, json_doc: dict[str, Any]) -> dict[str, Any]:
        # sushy's goes through every attribute of the class, and again for its log: a quarter of a look's CPU.
        # What is not in the document is not looked for either, and of `_FIELDS` only that is there which is read.
        for name, field in _FIELDS:
            is_there = field._path[0] in json_doc or field._required
            setattr(self, name, field._load(json_doc, self) if is_there else field._default)
        return {}

    def _get_etag(self) -> str | None:
        return self._etag

    @property
    def reset_action(self) -> Any:
        """sushy's ResetActionField, or None."""
        return self._actions.reset if self._actions is not None else None

    @property
    def settings_uri(self) -> str | None:
        """Where changes are to be sent, for BMCs that keep them apart."""
        return self._settings.resource_uri if self._settings is not None else None

    @property
    def lights_by_location(self) -> bool:
        """Whether the LED is LocationIndicatorActive, which took IndicatorLED's place (ComputerSystem 1.12)."""
        return self.document.get("IndicatorLED") is None and isinstance(
            self.document.get("LocationIndicatorActive"), bool
        )


_READ = frozenset({*_TEXTS, "Id", "Boot", "Actions", "@Redfish.Settings"})
"""What `_needed` may have."""


def _fields_read() -> list[tuple[str, Any]]:
    """The fields of what is read, by their names. Any other one has its default once for all systems."""
    fields = [(name, getattr(ParsedSystem, name)) for name in dir(ParsedSystem)]
    fields = [(name, field) for name, field in fields if isinstance(field, Field)]
    for name, field in fields:
        if field._path[0] not in _READ:
            setattr(ParsedSystem, name, field._default)
    return [(name, field) for name, field in fields if field._path[0] in _READ]


_FIELDS = _fields_read()


def is_system(document: dict[str, Any]) -> bool:
    """Whether it can be a ComputerSystem: it names no other type, and has at least an id, or a part of one."""
    kind = document.get("@odata.type")
    if isinstance(kind, str) and kind.startswith("#") and not kind.startswith("#ComputerSystem."):
        return False
    return bool(document.keys() & _PARTS)


def system_state(system: ParsedSystem, resets: tuple[Reset, ...] | None) -> SystemState:
    """What the document says, each part if it makes sense. `resets`: what can be sent, which may stand elsewhere."""
    document, boot, indicator = system.json, _override(system.boot), _indicator(system)
    return SystemState(
        power=one_of(PowerState, document.get("PowerState")),
        boot=boot,
        indicator=indicator,
        health=_health(system.document.get("Status")),
        uuid=_uuid(firmware_text(system.uuid)),
        serial=firmware_text(system.serial_number),
        sku=_common(firmware_text(system.sku)),
        manufacturer=_common(firmware_text(system.manufacturer)),
        model=_common(firmware_text(system.model)),
        allowed_resets=resets,
        allowed_boot_targets=None if system.boot is None else some_of(BootTarget, system.boot.allowed_values),
        allowed_boot_enabled=_allowed_enabled(_object(document, "Boot").get(_ENABLED)),
        unreported=tuple(_unreported(system, boot, indicator)),
    )


def _allowed_enabled(values: object) -> tuple[BootEnabled, ...] | None:
    """None where the BMC lists none that is known: it may accept any, and says itself what it refuses."""
    return (some_of(BootEnabled, values) if isinstance(values, list) else None) or None


def _common(text: str | None) -> str | None:
    """One text for all of a fleet that are equal, in memory."""
    return None if text is None else sys.intern(text)


def _unreported(system: ParsedSystem, boot: BootOverride | None, indicator: IndicatorLED | None) -> Iterator[str]:
    """What the document names without a value, or where it stands could not be read."""
    if boot is None and (system.is_cut_short or _names_override(_object(system.document, "Boot"))):
        yield "boot"
    if indicator is None and system.document.keys() & {"IndicatorLED", "LocationIndicatorActive"}:
        yield "indicator"


def _names_override(boot: dict[str, Any]) -> bool:
    return any(name.startswith("BootSourceOverride") and "@" not in name for name in boot)


def one_of(kind: type[E], value: object) -> E | None:
    """The member, in whatever letters; None for what is no member ("Starting": ibm-openbmc/bmcweb#221)."""
    if not isinstance(value, str):
        return None  # A missing value must not become the text "None", which is a boot target.
    try:
        return kind(value)
    except ValueError:
        meant = value.strip().lower()
        return next((member for member in kind if member.value.lower() == meant), None)


def some_of(kind: type[E], values: Iterable[object] | None) -> tuple[E, ...] | None:
    """The members among the values; None where the BMC names none at all."""
    if not values:
        return None
    given = tuple(values)
    try:
        return _members(kind, given)
    except TypeError:  # An object or a list among them cannot be looked up.
        return _members(kind, tuple(value for value in given if isinstance(value, str)))


# Ten thousand BMCs of a few models say the same few things: one tuple for all that do.
@lru_cache(maxsize=1024)
def _members(kind: type[E], values: tuple[object, ...]) -> tuple[E, ...]:
    # As they are written: what is sent is written so too.
    texts = (value for value in values if isinstance(value, str))
    return tuple(kind(value) for value in texts if value in kind.__members__.values())


def _needed(document: dict[str, Any], path: str) -> dict[str, Any]:
    """The parts that are read, where they have the right type: sushy refuses a whole system for one odd field."""
    needed: dict[str, Any] = {name: document[name] for name in _TEXTS if isinstance(document.get(name), str)}
    # Without Manufacturer sushy would take Cd for UsbCd on Supermicro; what is declared is what is to be sent.
    reported = document.get("Id")
    needed["Id"] = (reported if isinstance(reported, str | int) and reported else None) or path.rstrip("/").rpartition(
        "/"
    )[2]
    boot = document.get("Boot")
    if isinstance(boot, dict):
        needed["Boot"] = {name: _spelled(name, value) for name, value in boot.items() if _is_boot(name, value)}
    settings = _object(_object(document, "@Redfish.Settings"), "SettingsObject")
    if isinstance(settings.get("@odata.id"), str):
        needed["@Redfish.Settings"] = {"SettingsObject": {"@odata.id": settings["@odata.id"]}}
    action = _object(_object(document, "Actions"), RESET)
    if isinstance(action.get("target"), str):
        kept = {"target": str, "@Redfish.ActionInfo": str, "ResetType@Redfish.AllowableValues": list}
        needed["Actions"] = {RESET: {name: action[name] for name in kept if isinstance(action.get(name), kept[name])}}
    return needed


def _is_boot(name: str, value: object) -> bool:
    if name == _TARGETS:
        # A list of none that is known is odd; the BMC itself says then what it refuses.
        return isinstance(value, list) and bool(some_of(BootTarget, value))
    if name.endswith("@Redfish.AllowableValues"):
        return isinstance(value, list)
    return isinstance(value, str) or (value is None and name == "HttpBootUri")


def _spelled(name: str, value: Any) -> Any:
    """What is set of the override, in the letters of the standard: sushy knows no others."""
    kind = _OVERRIDE.get(name)
    return value if kind is None else one_of(kind, value) or value


def _object(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _override(boot: Any) -> BootOverride | None:
    if boot is None or not (boot.target or boot.enabled or boot.mode):
        return None
    return BootOverride(
        target=one_of(BootTarget, boot.target and boot.target.value),
        enabled=one_of(BootEnabled, boot.enabled and boot.enabled.value),
        mode=one_of(BootMode, boot.mode and boot.mode.value),
    )


def _indicator(system: ParsedSystem) -> IndicatorLED | None:
    if system.lights_by_location:
        return IndicatorLED.LIT if system.document["LocationIndicatorActive"] else IndicatorLED.OFF
    return one_of(IndicatorLED, system.document.get("IndicatorLED"))


def _health(status: object) -> str | None:
    if not isinstance(status, dict):
        return None
    return _common(firmware_text(status.get("HealthRollup")) or firmware_text(status.get("Health")))


def _uuid(text: str | None) -> str | None:
    """The UUID as Redfish writes it, for those who write it as RFC 4122 or Windows does; any other text unchanged. The
    machine itself reports it in the plain form."""
    found = _UUID.fullmatch(text) if text is not None else None
    return "-".join(found.groups()) if found is not None else text


def firmware_text(value: object, longest: int = LONGEST) -> str | None:
    """What the firmware says, stripped, and cut where it would fill a screen; None for what is no text, empty, or a
    placeholder."""
    said = value[:longest].strip() if isinstance(value, str) else ""
    return None if said.lower() in _PLACEHOLDERS or not any(map(str.isalnum, said)) else said

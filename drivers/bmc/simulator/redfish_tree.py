"""The documents of a Redfish service, and the places in them that a simulated BMC changes. Pure.

A tree is shared by all BMCs of one profile, and never changes. What one BMC shows of its own is put over the documents
when they are served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from drivers.base import (
    BootEnabled,
    BootMode,
    BootOverride,
    BootTarget,
    IndicatorLED,
    PowerState,
    ResetType,
    SystemState,
)

_E = TypeVar("_E", bound=StrEnum)

ROOT_PATH = "/redfish/v1"
_SESSIONS = f"{ROOT_PATH}/SessionService/Sessions"
_RESET = "#ComputerSystem.Reset"
_ALLOWED = "@Redfish.AllowableValues"

RedfishObject = dict[str, Any]


class TreeAction(StrEnum):
    """What a POST to a path does."""

    LOGIN = "login"
    RESET = "reset a system"
    INSERT = "insert an image"
    EJECT = "eject an image"
    RESET_BMC = "reset the BMC"


class SystemPlace(msgspec.Struct, frozen=True):
    """A ComputerSystem of the tree. `settings`: the path of its Settings resource. `state`: as the tree shows it."""

    path: str
    settings: str | None
    boots_by_settings: bool
    """Whether the Settings resource has the boot override."""
    state: SystemState


class RedfishTree(msgspec.Struct, frozen=True):
    """Documents by path, without a slash at the end. `actions`: by path, what a POST does, and the path of what it does
    it to. `settings`: for each Settings resource, the resource that it is for."""

    documents: Mapping[str, RedfishObject]
    systems: tuple[SystemPlace, ...]
    actions: Mapping[str, tuple[TreeAction, str]]
    settings: Mapping[str, str]
    sessions: str | None

    def system_of(self, path: str) -> int | None:
        """The number of the system with this path or Settings resource."""
        found = (number for number, one in enumerate(self.systems) if path in (one.path, one.settings))
        return next(found, None)


def read_tree(documents: Mapping[str, RedfishObject]) -> RedfishTree:
    """The tree of these documents. Raises ValueError where they have no service root or no ComputerSystem."""
    root = documents.get(ROOT_PATH)
    if root is None:
        raise ValueError(f"there is no document for {ROOT_PATH}")
    listed = documents.get(reference(root.get("Systems")) or "", {})
    paths = [path for one in _list(listed.get("Members")) if (path := reference(one)) in documents]
    systems = tuple(_system(documents, path) for path in paths if path is not None)
    if not systems:
        raise ValueError("there is no ComputerSystem")
    links = root.get("Links")
    sessions = reference(links.get("Sessions") if isinstance(links, dict) else None)
    sessions = sessions or (_SESSIONS if "SessionService" in root else None)
    actions = dict(_actions(documents))
    if sessions is not None:
        actions[sessions] = (TreeAction.LOGIN, sessions)
    settings = {of: path for path, document in documents.items() if (of := settings_of(document)) is not None}
    return RedfishTree(documents, systems, actions, settings, sessions)


def reference(node: object) -> str | None:
    """The path that a reference names, without a slash at its end."""
    found = node.get("@odata.id") if isinstance(node, dict) else None
    return found.rstrip("/") if isinstance(found, str) else None


def settings_of(document: Mapping[str, Any]) -> str | None:
    """The path of a document's Settings resource."""
    settings = document.get("@Redfish.Settings")
    return reference(settings.get("SettingsObject")) if isinstance(settings, dict) else None


def merged(document: RedfishObject, change: Mapping[str, Any]) -> RedfishObject:
    """The document after a JSON merge patch (RFC 7396): null removes a member."""
    found = dict(document)
    for name, value in change.items():
        old = found.get(name)
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(old if isinstance(old, dict) else {}, value) if isinstance(value, dict) else value
    return found


def _actions(documents: Mapping[str, RedfishObject]) -> Iterator[tuple[str, tuple[TreeAction, str]]]:
    kinds = {
        _RESET: TreeAction.RESET,
        "#VirtualMedia.InsertMedia": TreeAction.INSERT,
        "#VirtualMedia.EjectMedia": TreeAction.EJECT,
        "#Manager.Reset": TreeAction.RESET_BMC,
    }
    for path, document in documents.items():
        actions = document.get("Actions")
        for name, kind in kinds.items():
            action: Any = actions.get(name) if isinstance(actions, dict) else None
            target = action.get("target") if isinstance(action, dict) else None
            if isinstance(target, str):
                yield target.rstrip("/"), (kind, path)


def _system(documents: Mapping[str, RedfishObject], path: str) -> SystemPlace:
    document = documents[path]
    settings = settings_of(document)
    boots = "Boot" in documents.get(settings or "", {})
    return SystemPlace(path, settings, boots, _state(documents, document))


def _state(documents: Mapping[str, RedfishObject], document: RedfishObject) -> SystemState:
    boot = document.get("Boot")
    target = enabled = override = None
    if isinstance(boot, dict):
        target = _members(BootTarget, boot.get(f"BootSourceOverrideTarget{_ALLOWED}"))
        enabled = _members(BootEnabled, boot.get(f"BootSourceOverrideEnabled{_ALLOWED}"))
        override = BootOverride(
            _member(BootTarget, boot.get("BootSourceOverrideTarget")),
            _member(BootEnabled, boot.get("BootSourceOverrideEnabled")),
            _member(BootMode, boot.get("BootSourceOverrideMode")),
        )
    return SystemState(
        power=_member(PowerState, document.get("PowerState")) or PowerState.OFF,
        boot=override,
        indicator=_indicator(document),
        uuid=_text(document.get("UUID")),
        serial=_text(document.get("SerialNumber")),
        sku=_text(document.get("SKU")),
        allowed_resets=_members(ResetType, _offered_resets(documents, document)),
        allowed_boot_targets=target,
        allowed_boot_enabled=enabled,
    )


def _indicator(document: RedfishObject) -> IndicatorLED | None:
    location = document.get("LocationIndicatorActive")
    if isinstance(location, bool) and document.get("IndicatorLED") is None:
        return IndicatorLED.LIT if location else IndicatorLED.OFF
    return _member(IndicatorLED, document.get("IndicatorLED"))


def _offered_resets(documents: Mapping[str, RedfishObject], document: RedfishObject) -> object:
    actions = document.get("Actions")
    action = actions.get(_RESET) if isinstance(actions, dict) else None
    if not isinstance(action, dict):
        return None
    inline = action.get(f"ResetType{_ALLOWED}")
    info = action.get("@Redfish.ActionInfo")
    if inline is not None or not isinstance(info, str):
        return inline
    parameters = _list(documents.get(info.rstrip("/"), {}).get("Parameters"))
    named = [one for one in parameters if isinstance(one, dict) and one.get("Name") == "ResetType"]
    return named[0].get("AllowableValues") if named else None


def _member(kind: type[_E], value: object) -> _E | None:
    return kind(value) if isinstance(value, str) and value in kind.__members__.values() else None


def _members(kind: type[_E], values: object) -> tuple[_E, ...] | None:
    found = [one for value in _list(values) if (one := _member(kind, value)) is not None]
    return tuple(found) or None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

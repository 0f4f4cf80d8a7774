"""Redfish BMCs, on sushy. A steady look is one GET of one system, parsed by sushy; only the value is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

import sushy
from sushy.resources.system.system import System

from drivers.base import (
    Bmc,
    BootEnabled,
    BootMode,
    BootOverride,
    BootTarget,
    DriverError,
    Endpoint,
    IndicatorLED,
    PowerState,
    Rejected,
    ResetType,
    SystemState,
    Tls,
    Unreachable,
    Unsupported,
)
from drivers.bmc.redfish_connector import ROOT, OneShotConnector, translate
from drivers.bmc.redfish_http import Address, Lane, parse_address

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")


class RedfishDriver:
    """One lane a BMC, whatever the systems behind it. May be shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connectors: dict[tuple[Address, Tls], OneShotConnector] = {}
        self._closed = False

    def open(self, endpoint: Endpoint) -> Bmc:
        """The system. The newest credential reference given for a BMC is the one that its next login uses."""
        address = parse_address(endpoint.address, endpoint.tls)
        with self._lock:
            if self._closed:
                raise Unreachable(f"{address.url}: the driver is closed")
            connector = self._connectors.get((address, endpoint.tls))
            if connector is None:
                connector = OneShotConnector(Lane(address, endpoint.tls), endpoint.credential)
                self._connectors[address, endpoint.tls] = connector
            connector.credential = endpoint.credential
        return RedfishSystem(connector, address.url, endpoint.system_id)

    def close(self) -> None:
        """Delete every session and close every connection, many side by side, as a BMC may take its time."""
        with self._lock:
            self._closed = True
            connectors, self._connectors = list(self._connectors.values()), {}
        threads = [
            threading.Thread(target=_close_all, args=(connectors[n::32],), daemon=True)
            for n in range(min(32, len(connectors)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)


def open_driver() -> RedfishDriver:
    """The driver, as the registry opens it."""
    return RedfishDriver()


class RedfishSystem:
    """One ComputerSystem."""

    __slots__ = ("_connector", "_id", "_path", "_resets", "_url")

    def __init__(self, connector: OneShotConnector, url: str, system_id: str | None) -> None:
        self._connector, self._url, self._id = connector, url, system_id
        self._path: str | None = None
        self._resets: tuple[ResetType, ...] | None = None

    def read(self) -> SystemState:
        """One GET, once the system's path is known. Raises DriverError."""
        return self._speak(lambda: self._state(self._system()), write=False)

    def reset(self, reset_type: ResetType) -> None:
        """One POST. A value that the BMC does not list is refused here. Raises DriverError."""
        system = self._speak(self._system, write=False)
        self._speak(lambda: system.reset_system(sushy.ResetType(reset_type.value)), write=True)

    def set_boot(self, override: BootOverride) -> None:
        """One PATCH, or two where a BMC keeps target and mode apart (NVIDIA GB200). Raises DriverError.

        Enabled is always sent: Supermicro falls back to Once without it (story 2008547).
        """
        system = self._speak(self._system, write=False)
        if system.boot is None:
            raise Unsupported(f"{self._url}: the system has no boot override")
        self._speak(
            lambda: system.set_system_boot_options(
                target=_sushy(sushy.BootSource, override.target),
                enabled=_sushy(sushy.BootSourceOverrideEnabled, override.enabled),
                mode=_sushy(sushy.BootSourceOverrideMode, override.mode),
            ),
            write=True,
        )

    def set_indicator(self, led: IndicatorLED) -> None:
        """One PATCH, of IndicatorLED or of the LocationIndicatorActive that took its place. Raises DriverError."""
        system = self._speak(self._system, write=False)
        if system.json.get("IndicatorLED") is not None:
            self._speak(lambda: system.set_indicator_led(sushy.IndicatorLED(led.value)), write=True)
        elif isinstance(system.json.get("LocationIndicatorActive"), bool):
            if led is IndicatorLED.BLINKING:
                raise Unsupported(f"{self._url}: the LED can be Lit or Off only")
            data = {"LocationIndicatorActive": led is IndicatorLED.LIT}
            self._speak(lambda: self._connector.patch(system.path, data=data), write=True)
        else:
            raise Unsupported(f"{self._url}: the system has no indicator LED")

    def _speak(self, request: Callable[[], T], *, write: bool) -> T:
        try:
            return request()
        except DriverError:
            raise
        except Exception as error:  # noqa: BLE001  translate raises what is neither sushy's nor the BMC's fault
            raise translate(error, self._url, write=write) from None

    def _system(self) -> Any:
        if self._path is None:
            self._path = self._find()
        return System(self._connector, self._path)

    def _find(self) -> str:
        """The path of the system by its id; never the first of several, which may be a DPU (tinkerbell/rufio#313)."""
        root = self._connector.get(ROOT).json()
        members = self._connector.get(root["Systems"]["@odata.id"]).json()["Members"]
        paths = {member["@odata.id"].rstrip("/").rpartition("/")[2]: member["@odata.id"] for member in members}
        if self._id is not None:
            if self._id in paths:
                return str(paths[self._id])
            raise Rejected(f"{self._url}: no system {self._id!r}; it has {', '.join(sorted(paths)) or 'none'}")
        if len(paths) != 1:
            listed = ", ".join(sorted(paths)) or "none"
            raise Rejected(f"{self._url}: bmc.systemId is needed, as the BMC has not exactly one system: {listed}")
        return str(next(iter(paths.values())))

    def _state(self, system: Any) -> SystemState:
        document = system.json
        boot = system.boot
        return SystemState(
            power=_ours(PowerState, document.get("PowerState")),
            boot=None if boot is None else _boot(boot),
            indicator=_indicator(document),
            health=_text((document.get("Status") or {}).get("Health")) if _is_object(document.get("Status")) else None,
            uuid=_text(system.uuid),
            serial=_text(system.serial_number),
            sku=_text(system.sku),
            manufacturer=_text(system.manufacturer),
            model=_text(system.model),
            allowed_resets=self._allowed_resets(system),
            allowed_boot_targets=None if boot is None else _several(BootTarget, boot.allowed_values),
        )

    def _allowed_resets(self, system: Any) -> tuple[ResetType, ...] | None:
        """Inline values are in the document; those behind ActionInfo cost a request, so they are read once."""
        actions = system._actions
        action = actions.reset if actions else None
        if action is None:
            return ()
        if action.allowed_values:
            return _several(ResetType, action.allowed_values)
        if self._resets is None and action.action_info_uri:
            self._resets = _several(ResetType, action.get_allowed_values(system))
        return self._resets


def _close_all(connectors: list[OneShotConnector]) -> None:
    for connector in connectors:
        connector.close()


def _ours(kind: type[E], value: object) -> E | None:
    value = getattr(value, "value", value)
    try:
        return kind(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _several(kind: type[E], values: object) -> tuple[E, ...] | None:
    if not isinstance(values, list):
        return None
    return tuple(found for value in values if (found := _ours(kind, value)) is not None)


def _sushy(kind: Any, value: StrEnum | None) -> Any:
    return None if value is None else kind(value.value)


def _boot(boot: Any) -> BootOverride:
    return BootOverride(
        target=_ours(BootTarget, boot.target), enabled=_ours(BootEnabled, boot.enabled), mode=_ours(BootMode, boot.mode)
    )


def _indicator(document: dict[str, Any]) -> IndicatorLED | None:
    if (active := document.get("LocationIndicatorActive")) is not None and document.get("IndicatorLED") is None:
        return IndicatorLED.LIT if active is True else IndicatorLED.OFF
    return _ours(IndicatorLED, document.get("IndicatorLED"))


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None

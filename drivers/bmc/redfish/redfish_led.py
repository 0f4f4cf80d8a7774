"""The indicator LED of a chassis, for systems that have none of their own."""

from __future__ import annotations

from typing import Any

import msgspec

from drivers.base import Accepted, DriverError, IndicatorLED, Unsupported
from drivers.base.support import scheduling
from drivers.bmc.redfish.redfish_list import can_go_on
from drivers.bmc.redfish.redfish_reader import PartUnreadable, RedfishDocument, path_of
from drivers.bmc.redfish.redfish_system import one_of
from drivers.bmc.redfish.redfish_tasks import accepted
from drivers.bmc.redfish.wire.redfish_connector import OneShotConnector

ACTIVE, LED = "LocationIndicatorActive", "IndicatorLED"
_MOST_CHASSIS = 3
_FRESH_SECONDS = 300.0
"""How long the LED is taken for what it was: reading it costs a request beside every look at the system."""


class Light(msgspec.Struct, frozen=True):
    """What an LED says. `known` is False where it could not be read, or does not say."""

    led: IndicatorLED | None = None
    known: bool = True


def light_of(document: RedfishDocument) -> Light:
    """The LED of a system or a chassis. null means unknown; a missing field means that there is none."""
    active = document.get(ACTIVE)
    led = one_of(IndicatorLED, document.get(LED))
    if led is None and isinstance(active, bool):
        led = IndicatorLED.LIT if active else IndicatorLED.OFF
    return Light(led, known=led is not None or not document.keys() & {ACTIVE, LED})


class ChassisLight:
    """The LED of the chassis that belongs to one system. Not for two threads at once."""

    def __init__(self, connector: OneShotConnector) -> None:
        self._connector = connector
        self._paths: tuple[str, ...] = ()
        self._light = Light()
        self._read_at: float | None = None

    def follow(self, system: RedfishDocument) -> None:
        """Take the chassis that this document of the system names."""
        paths = _chassis_of(system)
        if paths != self._paths:
            self._paths, self._read_at = paths, None

    def read(self) -> Light:
        """At most one GET a chassis in five minutes, and after a write. Raises AuthenticationFailed alone."""
        now = scheduling.monotonic()
        if self._read_at is None or now - self._read_at >= _FRESH_SECONDS:
            self._light, self._read_at = self._look()[0], now
        return self._light

    def set(self, led: IndicatorLED) -> Accepted:
        """One read, and one PATCH. Raises DriverError."""
        _, path, document, etag = self._look()
        if path is None or document is None:
            raise Unsupported(f"{self._connector.url}: neither the system nor its chassis has an indicator LED")
        self._read_at = None
        etag = etag or document.get("@odata.etag")
        return accepted(
            self._connector.patch(path, data=led_change(self._connector.url, document, led), etag=_text(etag))
        )

    def _look(self) -> tuple[Light, str | None, RedfishDocument | None, str | None]:
        light = Light()
        for path in self._paths:
            try:
                reply = self._connector.get(path)
                document = reply.json()
            except (DriverError, ValueError) as error:
                if not can_go_on(error):
                    raise
                light = Light(known=False)
                continue
            if _is_shared(document):
                continue
            found = light_of(document)
            if found.led is not None:
                return found, path, document, reply.headers.get("ETag")
            light = light if found.known else found
        return light, None, None, None


def led_change(url: str, document: RedfishDocument, led: IndicatorLED) -> dict[str, Any]:
    """What is written to set the LED of this document. Raises Unsupported for one that cannot blink."""
    if one_of(IndicatorLED, document.get(LED)) is not None:
        return {LED: led.value}
    if led is IndicatorLED.BLINKING:
        raise Unsupported(f"{url}: the indicator LED can be Lit or Off, not Blinking")
    return {ACTIVE: led is IndicatorLED.LIT}


def _chassis_of(system: RedfishDocument) -> tuple[str, ...]:
    links = system.get("Links")
    named = links.get("Chassis") if isinstance(links, dict) else None
    found = []
    for one in named if isinstance(named, list) else []:
        try:
            found.append(path_of(one))
        except PartUnreadable:
            continue
    return tuple(found[:_MOST_CHASSIS])


def _is_shared(chassis: RedfishDocument) -> bool:
    """An enclosure of several systems: its LED does not show which system is meant."""
    links = chassis.get("Links")
    systems = links.get("ComputerSystems") if isinstance(links, dict) else None
    return isinstance(systems, list) and len(systems) > 1


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None

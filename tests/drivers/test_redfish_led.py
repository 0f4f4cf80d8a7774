"""The indicator LED: null is unknown and not absent, and the chassis' serves where the system has none."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.base import IndicatorLED, SystemState, Unsupported
from drivers.base.support import scheduling
from drivers.bmc.redfish.redfish import RedfishDriver
from tests.drivers.bmc_servers import DROP, ROOT, SYSTEM, Answer, Pki, RedfishServer, endpoint, reply, service

CHASSIS = f"{ROOT}/Chassis/1"
OTHER = f"{ROOT}/Chassis/2"
MINE = {"Links": {"ComputerSystems": [{"@odata.id": SYSTEM}]}}
NONE: dict[str, Any] = {"IndicatorLED": ...}


def cased(*chassis: dict[str, Any], **fields: object) -> dict[str, Any]:
    """A service whose system has no LED unless `fields` say so, in these chassis."""
    paths = (CHASSIS, OTHER)
    documents: dict[str, Any] = service(
        **{**NONE, **fields}, Links={"Chassis": [{"@odata.id": path} for path, _ in zip(paths, chassis, strict=False)]}
    )
    return documents | {path: {"Id": "1", **one} for path, one in zip(paths, chassis, strict=False)}


def read(driver: RedfishDriver, pki: Pki, documents: dict[str, Any]) -> SystemState:
    with RedfishServer(pki.context, documents) as server:
        return driver.open(endpoint(server, pki.tls)).read()


@pytest.mark.parametrize(
    ("fields", "unreported"),
    [
        (NONE, ()),
        ({"IndicatorLED": None}, ("indicator",)),
        ({"IndicatorLED": "Unknown"}, ("indicator",)),
        ({**NONE, "LocationIndicatorActive": None}, ("indicator",)),
        ({"IndicatorLED": None, "LocationIndicatorActive": False}, ()),
    ],
)
def test_an_led_without_a_value_is_unknown_and_not_absent(
    driver: RedfishDriver, pki: Pki, fields: dict[str, object], unreported: tuple[str, ...]
) -> None:
    assert read(driver, pki, service(**fields)).unreported == unreported


@pytest.mark.parametrize(
    ("chassis", "led", "unreported"),
    [
        ([{"LocationIndicatorActive": True}], IndicatorLED.LIT, ()),
        ([{"LocationIndicatorActive": False, **MINE}], IndicatorLED.OFF, ()),
        ([{"IndicatorLED": "Blinking"}], IndicatorLED.BLINKING, ()),
        ([{}, {"LocationIndicatorActive": True}], IndicatorLED.LIT, ()),
        ([{}], None, ()),
        ([{"LocationIndicatorActive": None}], None, ("indicator",)),
        ([{"LocationIndicatorActive": True, "Links": {"ComputerSystems": [{}, {}]}}], None, ()),
    ],
)
@pytest.mark.parametrize("own", [..., None])
def test_the_led_of_the_chassis_serves_where_the_system_has_none(
    driver: RedfishDriver,
    pki: Pki,
    chassis: list[dict[str, Any]],
    led: IndicatorLED | None,
    unreported: tuple[str, ...],
    own: object,
) -> None:
    state = read(driver, pki, cased(*chassis, IndicatorLED=own))
    assert state.indicator is led
    assert state.unreported == (unreported if led is not None or own is ... else ("indicator",))


@pytest.mark.parametrize("answer", [reply(500), reply(503), reply(403), reply(200, b"{"), DROP])
def test_a_chassis_that_cannot_be_read_leaves_the_led_unknown(driver: RedfishDriver, pki: Pki, answer: Answer) -> None:
    with RedfishServer(pki.context, cased({"LocationIndicatorActive": True})) as server:
        server.misbehave("GET", CHASSIS, answer, times=None)
        state = driver.open(endpoint(server, pki.tls)).read()
    assert (state.power, state.indicator, state.unreported) == ("On", None, ("indicator",))


@pytest.mark.parametrize(
    ("chassis", "led", "sent"),
    [
        ({"LocationIndicatorActive": False}, IndicatorLED.LIT, {"LocationIndicatorActive": True}),
        ({"LocationIndicatorActive": True}, IndicatorLED.OFF, {"LocationIndicatorActive": False}),
        ({"IndicatorLED": "Off"}, IndicatorLED.BLINKING, {"IndicatorLED": "Blinking"}),
    ],
)
def test_the_led_of_the_chassis_is_set_by_one_patch_and_read_again(
    driver: RedfishDriver, pki: Pki, chassis: dict[str, Any], led: IndicatorLED, sent: dict[str, Any]
) -> None:
    with RedfishServer(pki.context, cased(chassis)) as server:
        bmc = driver.open(endpoint(server, pki.tls))
        bmc.read()
        bmc.set_indicator(led)
        assert [(one.path, one.json()) for one in server.seen("PATCH")] == [(CHASSIS, sent)]
        server.documents[CHASSIS] = {**server.documents[CHASSIS], **sent}
        assert bmc.read().indicator is led


def test_an_led_that_neither_has_is_unsupported_and_not_sent(driver: RedfishDriver, pki: Pki) -> None:
    with RedfishServer(pki.context, cased({})) as server:
        with pytest.raises(Unsupported, match="neither the system nor its chassis"):
            driver.open(endpoint(server, pki.tls)).set_indicator(IndicatorLED.LIT)
        assert server.count("PATCH") == 0


def test_a_chassis_is_asked_for_once_in_five_minutes(
    driver: RedfishDriver, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = scheduling.monotonic()
    with RedfishServer(pki.context, cased({"LocationIndicatorActive": False})) as server:
        bmc = driver.open(endpoint(server, pki.tls))
        for later, asked in ((0, 1), (299, 1), (301, 2), (500, 2)):
            monkeypatch.setattr(scheduling, "monotonic", lambda later=later: at + later)
            assert bmc.read().indicator is IndicatorLED.OFF
            assert server.count("GET", CHASSIS) == asked

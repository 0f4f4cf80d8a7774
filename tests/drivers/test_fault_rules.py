"""Rules by which simulated BMCs misbehave: what they match, how often they strike, and what each does."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from drivers.base import PowerState
from drivers.bmc.simulator.bmc_messages import RedfishRequest
from drivers.bmc.simulator.bmc_profile import built_in_profile
from drivers.bmc.simulator.fleet.fault_presets import PRESETS
from drivers.bmc.simulator.fleet.fault_rules import FaultEffect, FaultRule, missing_field
from drivers.bmc.simulator.fleet.simulated_fleet import SimulatedDelivery, SimulatedFleet

SYSTEM = "/redfish/v1/Systems/1"
GET = RedfishRequest("GET", SYSTEM)
ON = RedfishRequest("POST", f"{SYSTEM}/Actions/ComputerSystem.Reset", body=b'{"ResetType": "On"}')


def rule(**fields: Any) -> FaultRule:
    return msgspec.convert(fields, FaultRule)


def fleet(*rules: FaultRule, count: int = 2) -> SimulatedFleet:
    made = SimulatedFleet(built_in_profile("generic"), count)
    for one in rules:
        made.add_rule(one)
    return made


def ask(bmcs: SimulatedFleet, request: RedfishRequest = GET, number: int = 0, now: float = 0.0) -> SimulatedDelivery:
    return bmcs.answer(number, request, now)


def status(delivery: SimulatedDelivery) -> int | None:
    return None if delivery.response is None else delivery.response.status


def shown(delivery: SimulatedDelivery) -> Any:
    assert delivery.response is not None
    return json.loads(delivery.response.body)


def is_on(bmcs: SimulatedFleet) -> bool:
    return bmcs.bmcs[0].at(60.0, 1800.0).systems[0].state.power is PowerState.ON


@pytest.mark.parametrize(
    ("match", "strikes"),
    [
        ({}, True),
        ({"machine": "m00001"}, True),
        ({"machine": "m0000[12]"}, True),
        ({"machine": "m00002"}, False),
        ({"method": "GET"}, True),
        ({"method": "POST"}, False),
        ({"path": "/redfish/v1/Systems/*"}, True),
        ({"path": "/redfish/*"}, False),
        ({"path": "/redfish/**"}, True),
        ({"path": "**/Actions/*"}, False),
        ({"body": "*On*"}, False),
    ],
)
def test_a_rule_strikes_what_it_matches(match: dict[str, str], strikes: bool) -> None:
    bmcs = fleet(rule(match=match, do="status", status=500))
    assert (status(ask(bmcs)) == 500) is strikes


def test_a_rule_strikes_as_often_as_it_says() -> None:
    bmcs = fleet(rule(do="status", status=500, times=2))
    assert [status(ask(bmcs)) for _ in range(3)] == [500, 500, 200]
    assert not bmcs.rules


def test_a_rule_strikes_as_likely_as_it_says_and_a_seed_decides() -> None:
    bmcs, again = (fleet(rule(do="status", status=500, probability=0.25)) for _ in range(2))
    seen = [status(ask(bmcs)) for _ in range(400)]
    assert 60 < seen.count(500) < 140
    assert [status(ask(again)) for _ in range(400)] == seen


def test_rules_strike_together() -> None:
    delivery = ask(
        fleet(rule(do="latency", seconds=2), rule(do="latency", seconds=3), rule(do="merge", document={"A": 1}))
    )
    assert (delivery.seconds, shown(delivery)["A"]) == (5.0, 1)


@pytest.mark.parametrize(
    ("fields", "has_effect"),
    [
        ({"do": "status", "status": 500}, False),
        ({"do": "status", "status": 500, "carriesOut": True}, True),
        ({"do": "drop"}, False),
        ({"do": "drop", "carriesOut": True}, True),
        ({"do": "reset"}, False),
        ({"do": "latency", "seconds": 1}, True),
        ({"do": "truncate", "bytes": 0}, True),
    ],
)
def test_a_write_has_its_effect_or_not(fields: dict[str, Any], has_effect: bool) -> None:
    bmcs = fleet(rule(**fields))
    ask(bmcs, ON)
    assert is_on(bmcs) is has_effect


def test_what_is_dropped_has_no_answer_and_what_is_reset_says_so() -> None:
    dropped, reset = ask(fleet(rule(do="drop"))), ask(fleet(rule(do="reset")))
    assert (dropped.response, dropped.resets, reset.response, reset.resets) == (None, False, None, True)


def test_an_answer_is_changed_by_a_merge_and_headers_are_set_and_removed() -> None:
    given = {"Boot": {"BootSourceOverrideMode": None}}
    delivery = ask(fleet(rule(do="merge", document=given, headers={"ETag": "", "X-Odd": "1"})))
    assert delivery.response is not None
    assert "BootSourceOverrideMode" not in shown(delivery)["Boot"]
    assert dict(delivery.response.headers) == {"X-Odd": "1"}


def test_an_answer_is_replaced_by_text() -> None:
    delivery = ask(fleet(rule(do="replace", status=504, document="<html>")))
    assert delivery.response is not None
    assert (delivery.response.status, delivery.response.body) == (504, b"<html>")


def test_a_lie_about_power_changes_what_is_shown_and_nothing_else() -> None:
    bmcs = fleet(rule(do="lie-power", power="Starting"))
    assert shown(ask(bmcs))["PowerState"] == "Starting"
    assert "PowerState" not in shown(ask(bmcs, RedfishRequest("GET", f"{SYSTEM}/Processors")))
    assert bmcs.bmcs[0].systems[0].state.power is PowerState.OFF


def test_a_bmc_restarts_by_a_rule() -> None:
    bmcs = fleet(rule(do="reboot-bmc", seconds=20, times=1))
    assert [status(ask(bmcs, now=at)) for at in (0.0, 19.0, 21.0, 51.0)] == [None, None, 503, 200]


def test_rules_are_removed_one_by_one_or_all() -> None:
    bmcs = fleet()
    first, second = (bmcs.add_rule(rule(do="drop"))[0] for _ in range(2))
    assert bmcs.remove_rule(first)
    assert not bmcs.remove_rule(first)
    assert list(bmcs.rules) == [second]
    assert bmcs.remove_rule()
    assert not bmcs.rules


def test_writes_are_recorded_with_what_was_answered() -> None:
    bmcs = fleet(rule(match={"method": "POST"}, do="drop", times=1))
    for now in (1.0, 2.0):
        ask(bmcs, ON, now=now)
    assert [(one.at, one.machine, one.body, one.status) for one in bmcs.writes] == [
        (1.0, "m00001", {"ResetType": "On"}, None),
        (2.0, "m00001", {"ResetType": "On"}, 204),
    ]


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({}, "do"),
        ({"do": "drop", "fault": "F01"}, "do"),
        ({"do": "status"}, "status"),
        ({"do": "latency"}, "seconds"),
        ({"do": "truncate"}, "bytes"),
        ({"do": "replace"}, "document"),
        ({"do": "merge"}, "document"),
        ({"do": "merge", "document": []}, "document"),
        ({"do": "lie-power"}, "power"),
        ({"do": "drop"}, None),
        ({"fault": "F01"}, None),
    ],
)
def test_a_rule_needs_the_fields_of_its_effect(fields: dict[str, Any], missing: str | None) -> None:
    found = missing_field(rule(**fields))
    assert (found and found[0]) == missing


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda one: one.id)
def test_a_preset_has_sound_rules_for_the_machines_that_are_named(preset: Any) -> None:
    assert [missing_field(one) for one in preset.rules] == [None] * len(preset.rules)
    bmcs = fleet(rule(fault=preset.id, match={"machine": "m00002"}, times=9))
    assert {(one.match.machine, one.times) for one in bmcs.rules.values()} == {("m00002", 9)}


def test_every_effect_has_a_rule_in_these_tests_or_among_the_presets() -> None:
    used = {one.do for preset in PRESETS.values() for one in preset.rules}
    assert set(FaultEffect) - used <= {FaultEffect.LATENCY, FaultEffect.RESET, FaultEffect.TRUNCATE}

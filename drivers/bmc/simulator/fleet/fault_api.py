"""The API of `groundstate bmc-sim` beside Redfish: rules, the writes that arrived, and counts of requests.

Each BMC answers it at its own address, for the whole fleet."""

from __future__ import annotations

import msgspec

from drivers.bmc.simulator.bmc_messages import RedfishRequest, RedfishResponse, encode
from drivers.bmc.simulator.fleet.fault_presets import PRESETS
from drivers.bmc.simulator.fleet.fault_rules import FaultRule, missing_field
from drivers.bmc.simulator.fleet.simulated_fleet import SimulatedFleet

_RULES = msgspec.json.Decoder(FaultRule | list[FaultRule])
PLACES = ("/rules", "/writes", "/counts")


def answer_control(fleet: SimulatedFleet, request: RedfishRequest) -> RedfishResponse | None:
    """The answer to a request of this API; None: the request is none."""
    room, _, number = request.place.removeprefix("/").partition("/")
    if f"/{room}" not in PLACES:
        return None
    match request.method, room, number:
        case "GET", "rules", "":
            shown = [{"id": at, **msgspec.to_builtins(rule)} for at, rule in fleet.rules.items()]
            return RedfishResponse(200, encode({"rules": shown}))
        case "POST", "rules", "":
            return _add(fleet, request.body)
        case "DELETE", "rules", "":
            fleet.remove_rule()
            return RedfishResponse(204)
        case "DELETE", "rules", _ if number.isdecimal() and fleet.remove_rule(int(number)):
            return RedfishResponse(204)
        case "GET", "writes", "":
            return RedfishResponse(200, encode({"writes": fleet.writes}))
        case "GET", "counts", "":
            return RedfishResponse(200, encode(fleet.counts))
        case _:
            return _refused(404, f"{request.method} {request.place}: there is no such rule or path")


def rule_fault(rule: FaultRule) -> tuple[str, str] | None:
    """What is wrong with a rule that its types permit: the field, and why; None: nothing."""
    if rule.fault is not None and rule.do is None and rule.fault not in PRESETS:
        return "fault", f"there is no preset {rule.fault}; the presets are {', '.join(PRESETS)}"
    return missing_field(rule)


def _add(fleet: SimulatedFleet, body: bytes) -> RedfishResponse:
    try:
        given = _RULES.decode(body)
    except msgspec.DecodeError as error:
        return _refused(400, str(error))
    rules = given if isinstance(given, list) else [given]
    for rule in rules:
        wrong = rule_fault(rule)
        if wrong is not None:
            return _refused(400, wrong[1])
    return RedfishResponse(201, encode({"ids": [at for rule in rules for at in fleet.add_rule(rule)]}))


def _refused(status: int, message: str) -> RedfishResponse:
    return RedfishResponse(status, encode({"error": message}))

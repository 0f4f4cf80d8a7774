"""Simulated BMCs of one profile, with the rules by which they misbehave, and the record of what was written to them.

A server, or a connection in memory, gives each request to `answer`, and sends what comes back. Threads that share a
fleet hold its `lock`."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from drivers.base import Credential, PowerState
from drivers.base.support import scheduling
from drivers.bmc.simulator.bmc_messages import RedfishRequest, RedfishResponse, encode, refusal_response
from drivers.bmc.simulator.bmc_profile import BmcProfile
from drivers.bmc.simulator.bmc_state import SimulatedBmc
from drivers.bmc.simulator.bmc_writes import REBOOT_SECONDS, rebooted
from drivers.bmc.simulator.fleet.fault_presets import preset_rules
from drivers.bmc.simulator.fleet.fault_rules import FaultEffect, FaultRule, strike
from drivers.bmc.simulator.redfish_tree import merged
from drivers.bmc.simulator.simulated_bmc import new_bmc, respond

_KEPT_WRITES = 10_000


class SimulatedWrite(msgspec.Struct, frozen=True):
    """A write that arrived, whatever became of it. `at`: seconds. `status`: of the answer; None: there was none. No
    login is in it."""

    at: float
    machine: str
    method: str
    path: str
    body: Any
    status: int | None


class SimulatedDelivery(msgspec.Struct, frozen=True):
    """How an answer is sent. `response` None: there is none; the connection is left silent, or closed. `seconds`: until
    it is sent. `most`: bytes of the body after which the connection is closed. `resets`: the connection is reset."""

    response: RedfishResponse | None
    seconds: float = 0.0
    most: int | None = None
    resets: bool = False
    closes: bool = False


class SimulatedFleet:
    """`count` BMCs, named m00001, m00002 and so on. `login`: who is let in; None: everyone."""

    def __init__(self, profile: BmcProfile, count: int, login: Credential | None = None, seed: int = 0) -> None:
        self.profile, self.login, self.seed = profile, login, seed
        self.bmcs: list[SimulatedBmc] = [new_bmc(profile, number, seed) for number in range(count)]
        self.rules: Mapping[int, FaultRule] = {}
        self.counts: Counter[str] = Counter()
        """Requests by method and path."""
        self.lock = scheduling.lock()
        self._writes: deque[SimulatedWrite] = deque(maxlen=_KEPT_WRITES)
        self._made = 0
        self._asked = 0

    @property
    def writes(self) -> list[SimulatedWrite]:
        """The last writes that arrived, in order."""
        return list(self._writes)

    def add_rule(self, rule: FaultRule) -> list[int]:
        """The ids of the rule: of a preset, several. Raises KeyError for a preset that is not known."""
        added = []
        for one in preset_rules(rule) if rule.fault is not None else [rule]:
            self._made += 1
            self.rules = {**self.rules, self._made: one}
            added.append(self._made)
        return added

    def remove_rule(self, number: int | None = None) -> bool:
        """Remove one rule, or all; whether there was one."""
        there = bool(self.rules) if number is None else number in self.rules
        self.rules = {} if number is None else {at: one for at, one in self.rules.items() if at != number}
        return there

    def answer(self, number: int, request: RedfishRequest, now: float) -> SimulatedDelivery:
        """What BMC `number`, from 0, does with a request."""
        self._asked += 1
        machine = machine_name(number)
        self.counts[f"{request.method} {request.place}"] += 1
        struck: tuple[FaultRule, ...] = ()
        if self.rules:
            self.rules, struck = strike(self.rules, machine, request, f"{self.seed} {self._asked}")
        delivery = self._after(number, request, now, struck)
        if request.method != "GET" and not self._is_login(request):
            status = delivery.response.status if delivery.response is not None else None
            body = request.document()
            self._writes.append(SimulatedWrite(now, machine, request.method, request.place, body, status))
        return delivery

    def switch_by_hand(self, number: int, power: PowerState) -> None:
        """The systems of BMC `number`, from 0, are switched on or off at the machine: no request arrives."""
        bmc = self.bmcs[number]
        systems = tuple(one.in_state(replace(one.state, power=power)) for one in bmc.systems)
        self.bmcs[number] = replace(bmc, systems=systems)

    def _after(
        self, number: int, request: RedfishRequest, now: float, struck: tuple[FaultRule, ...]
    ) -> SimulatedDelivery:
        for rule in struck:
            self.bmcs[number] = _with_effect(self.bmcs[number], rule, now)
        if all(rule.has_effect for rule in struck):
            self.bmcs[number], response = respond(self.bmcs[number], self.profile, self.login, request, now)
        else:
            response = RedfishResponse(204)  # It is replaced, or not sent, by the rule that kept the request away.
        if response is None:
            return SimulatedDelivery(None, closes=True)
        delivery = SimulatedDelivery(response, self.profile.answer_seconds)
        for rule in struck:
            delivery = _changed(delivery, rule)
        return delivery

    def _is_login(self, request: RedfishRequest) -> bool:
        sessions = self.profile.tree.sessions or "/"
        return request.place == sessions or request.place.startswith(f"{sessions}/")


def machine_name(number: int) -> str:
    """The name of BMC `number`, from 0."""
    return f"m{number + 1:05}"


def _with_effect(bmc: SimulatedBmc, rule: FaultRule, now: float) -> SimulatedBmc:
    match rule.do:
        case FaultEffect.EXPIRE_SESSION:
            return replace(bmc, sessions=())
        case FaultEffect.LOCK_ACCOUNT:
            return replace(bmc, sessions=(), locked_until=now + (rule.seconds or 300.0))
        case FaultEffect.REBOOT_BMC:
            return rebooted(bmc, now, REBOOT_SECONDS if rule.seconds is None else rule.seconds)
        case _:
            return bmc


def _changed(delivery: SimulatedDelivery, rule: FaultRule) -> SimulatedDelivery:
    response = delivery.response
    if response is None:
        return delivery
    if rule.headers:
        response = replace(response, headers=dict(_headers(response.headers, rule.headers)))
    match rule.do:
        case FaultEffect.STATUS:
            refused = refusal_response(
                rule.status or 500, rule.message_id or "GeneralError", rule.message or "Simulated fault."
            )
            made = refused if (rule.status or 500) >= 400 else RedfishResponse(rule.status or 200)
            return replace(delivery, response=replace(made, headers=dict(_headers({}, rule.headers))))
        case FaultEffect.LATENCY:
            return replace(delivery, response=response, seconds=delivery.seconds + (rule.seconds or 0.0))
        case FaultEffect.DROP:
            return SimulatedDelivery(None)
        case FaultEffect.RESET:
            return SimulatedDelivery(None, resets=True)
        case FaultEffect.TRUNCATE:
            return replace(delivery, response=response, most=rule.bytes or 0)
        case FaultEffect.MERGE:
            response = _merged(response, rule.document or {})
        case FaultEffect.LIE_POWER:
            response = _merged(response, {"PowerState": rule.power}, only="PowerState")
        case FaultEffect.REPLACE:
            body = rule.document.encode() if isinstance(rule.document, str) else encode(rule.document)
            response = replace(response, body=body, status=rule.status or response.status)
        case _:
            pass
    return replace(delivery, response=response)


def _merged(response: RedfishResponse, change: Mapping[str, Any], only: str | None = None) -> RedfishResponse:
    if not response.body or not change or response.status >= 300:
        return response
    document = msgspec.json.decode(response.body)
    if not isinstance(document, dict) or (only is not None and only not in document):
        return response
    return replace(response, body=encode(merged(document, change)))


def _headers(headers: Mapping[str, str], changes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    changed = {name.lower() for name in changes}
    yield from ((name, value) for name, value in headers.items() if name.lower() not in changed)
    yield from ((name, value) for name, value in changes.items() if value)

"""BMCs that refuse the login, or do not answer, in a fleet whose shards go from one daemon to another."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Collection
from typing import Any

import pytest

from drivers.base import PowerState
from drivers.bmc.simulator.bmc_messages import RedfishRequest
from drivers.bmc.simulator.fleet.fault_rules import FaultEffect, FaultRule, RequestMatch
from drivers.bmc.simulator.fleet.simulated_fleet import machine_name
from tests.e2e.desk import Desk, Running, until
from tests.e2e.shared_fleet import SharedFleet, shared_fleet

REFUSING, SILENT = ("m00001", "m00002", "m00003"), "m00004"
MOST = ("--max-unreachable", "100%")


class Requests:
    """What arrives at the BMCs of a fleet from now on, by machine: all of it, and the logins."""

    def __init__(self, fleet: SharedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
        self.all, self.logins = Counter[str](), Counter[str]()
        answer = fleet.bmcs.fleet.answer

        def counted(number: int, request: RedfishRequest, now: float) -> Any:
            name = machine_name(number)
            self.all[name] += 1
            for_session = request.method == "POST" and request.place.endswith("/Sessions")
            self.logins[name] += for_session or "authorization" in request.headers
            return answer(number, request, now)

        monkeypatch.setattr(fleet.bmcs.fleet, "answer", counted)

    def until_more(self, names: Collection[str]) -> None:
        """Wait until each of these machines was read a few times more: so were all of their daemons' shards."""
        before = Counter(self.all)
        until(lambda: all(self.all[name] > before[name] + 10 for name in names), "reads", lambda: str(self.all))


def have(fleet: SharedFleet, names: Collection[str], power: str) -> bool:
    """Whether these machines have this power."""
    bmcs = zip(fleet.machines, fleet.bmcs.fleet.bmcs, strict=True)
    return all(bmc.systems[0].state.power is PowerState(power) for name, bmc in bmcs if name in names)


def misbehave(fleet: SharedFleet, name: str, effect: FaultEffect, status: int | None = None) -> None:
    """From now on this is what each request to this machine gets."""
    with fleet.bmcs.fleet.lock:
        fleet.bmcs.fleet.add_rule(FaultRule(match=RequestMatch(machine=name), do=effect, status=status))


def refused(daemon: Running) -> set[str]:
    """Of which the daemon has said that they refuse the login."""
    return {line["key"] for line in daemon.log if line["event"] == "AuthenticationFailed"}


def test_a_refused_login_is_not_tried_by_each_daemon_that_gets_the_shard(
    desk: Desk, empty_postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the three daemons was let in before. The other machines go on meanwhile."""
    with shared_fleet(desk, empty_postgresql_url) as fleet:
        well = fleet.machines.keys() - {*REFUSING, SILENT}
        fleet.declare("Off")
        with fleet.daemon("host-a", *MOST) as first:
            first.logged("Started")
            with fleet.daemon("host-b", *MOST) as second:
                fleet.until_attended("host-b")
                requests = Requests(fleet, monkeypatch)
                requests.until_more(fleet.machines)
                with fleet.daemon("host-c", *MOST) as third:
                    fleet.until_attended("host-b", "host-c")
                    requests.until_more(fleet.machines)
                    requests.logins.clear()
                    for name in REFUSING:
                        misbehave(fleet, name, FaultEffect.STATUS, status=401)
                    misbehave(fleet, SILENT, FaultEffect.DROP)
                    fleet.declare("On")
                    until(lambda: have(fleet, well, "On"), "those that are well", lambda: str(fleet.resets()))
                    first.until(lambda: {f"Machine/{name}" for name in REFUSING} <= refused(first), "the refusals")
                    third.end(signal.SIGKILL)
                    fleet.until_attended("host-b")
                    requests.until_more(well)
                    second.end(signal.SIGKILL)
                fleet.until_attended()
                requests.until_more(well)
                with fleet.daemon("host-d", *MOST):
                    fleet.until_attended("host-d")
                    fleet.declare("Off")
                    until(lambda: have(fleet, well, "Off"), "those that are well", lambda: str(fleet.resets()))
        assert {name: requests.logins[name] for name in REFUSING} == dict.fromkeys(REFUSING, 1)
        assert fleet.resets() == dict.fromkeys(well, 2)

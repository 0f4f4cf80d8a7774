"""A budget of each rack in a fleet that four daemons share: it is never exceeded, and what is dead counts."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import ExitStack

from drivers.base import PowerState
from drivers.bmc.simulator.fleet.fault_rules import FaultEffect, FaultRule, RequestMatch
from tests.e2e.desk import Desk, document, until
from tests.e2e.shared_fleet import SharedFleet, shared_fleet

RACKS, EACH = ("r1", "r2", "r3", "r4", "r5"), 6
MOST = ("--max-unreachable", "50%")


def rack_of(name: str) -> str:
    """Of the machine of this name: the racks take turns."""
    return RACKS[(int(name[1:]) - 1) % len(RACKS)]


def declare(fleet: SharedFleet, power: str) -> None:
    """All machines have this power, each in its rack."""
    fleet.declare_each(f"All {power}", {name: {"power": power, "rack": rack_of(name)} for name in fleet.machines})


def kill_bmc(fleet: SharedFleet, name: str) -> int:
    """From now on each connection to it is reset; the number of the rule."""
    with fleet.bmcs.fleet.lock:
        return fleet.bmcs.fleet.add_rule(FaultRule(match=RequestMatch(machine=name), do=FaultEffect.RESET))[0]


def unreadable(fleet: SharedFleet) -> set[str]:
    """The machines of which the last look failed."""
    return {name for (name,) in fleet.rows("SELECT name FROM observation WHERE error IS NOT NULL")}


def off(fleet: SharedFleet) -> Counter[str]:
    """How many machines of each rack are off, by their BMCs."""
    bmcs = zip(fleet.machines, fleet.bmcs.fleet.bmcs, strict=True)
    return Counter(rack_of(name) for name, bmc in bmcs if bmc.systems[0].state.power is not PowerState.ON)


def taken_down(fleet: SharedFleet, known: int) -> Counter[str]:
    """How many writes each rack has got beyond the first so many."""
    with fleet.bmcs.fleet.lock:
        return Counter(rack_of(one.machine) for one in fleet.bmcs.fleet.writes[known:])


def until_looked_at(fleet: SharedFleet) -> None:
    """Wait until each machine was read a few times more, and nothing is in flight."""
    wanted = fleet.bmcs.fleet.counts.total() + 20 * len(fleet.machines)
    until(lambda: fleet.bmcs.fleet.counts.total() > wanted and not fleet.in_flight(), "more reads")


def test_the_budget_of_a_rack_is_kept_by_four_daemons_and_when_the_one_that_decides_is_killed(
    desk: Desk, empty_postgresql_url: str
) -> None:
    with shared_fleet(desk, empty_postgresql_url, machines=len(RACKS) * EACH) as fleet:
        budget = {"minAvailable": EACH - 1, "per": "rack"}
        desk.write(guards=[document("Guard", "racks", budget=budget)])
        declare(fleet, "On")
        with fleet.daemon("host-a", *MOST) as first, ExitStack() as others:
            first.logged("Started")
            for host in ("host-b", "host-c", "host-d"):
                others.enter_context(fleet.daemon(host, *MOST))
            fleet.until_all("On")
            until(lambda: len(fleet.owners().keys() - {None}) == 3, "three that attend", lambda: str(fleet.owners()))
            known = len(fleet.bmcs.fleet.writes)
            dead = {name: kill_bmc(fleet, name) for name in list(fleet.machines)[:4]}  # One of each rack but the last.
            until(lambda: unreadable(fleet) == set(dead), "they are dead", lambda: str(unreadable(fleet)))
            declare(fleet, "Off")
            until(lambda: off(fleet), "the last rack", lambda: desk.run("plan").out)
            until_looked_at(fleet)
            assert off(fleet) == {"r5": 1}
            first.end(signal.SIGKILL)
            fleet.bmcs.fleet.remove_rule(dead.pop("m00001"))
            until(lambda: off(fleet)["r1"], "the rack of which no BMC is dead any more", lambda: str(off(fleet)))
            until_looked_at(fleet)
        assert taken_down(fleet, known) == {"r1": 1, "r5": 1}

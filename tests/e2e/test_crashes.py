"""kill -9 and Ctrl-C in the middle: what was sent is known to the next start, which looks before it sends anything."""

from __future__ import annotations

import signal
from collections import Counter

from drivers.ipam.embedded import EmbeddedIpam
from reconciler.store import Store
from tests.e2e.bmcs import Bmcs, System, at
from tests.e2e.desk import Desk, Running, address, network, partition

ADDRESSES = 200


def powered(desk: Desk, bmcs: Bmcs) -> System:
    """A system that is off and declared On."""
    system = bmcs.system()
    bmcs.let_in(desk)
    desk.commit(lab=[bmcs.partition(), at(system, "m", power="On")])
    return system


def killed_when_sent(running: Running, bmcs: Bmcs, system: System) -> None:
    running.until(lambda: bmcs.writes(system), "the sending")
    running.end(signal.SIGKILL)


def check_power_on_once(desk: Desk, bmcs: Bmcs, system: System) -> None:
    assert bmcs.ask(system)["PowerState"] == "On"
    assert bmcs.writes(system) == ["POST Reset"]
    assert desk.run("plan").code == 0


def in_flight(desk: Desk) -> int:
    store = Store.open(f"sqlite:///{desk.store}")
    try:
        return len(store.in_flight())
    finally:
        store.close()


class TestPower:
    """A machine that takes its time to come up."""

    def test_an_apply_that_is_killed_is_finished_by_the_next_and_sends_nothing_twice(
        self, desk: Desk, bmcs: Bmcs
    ) -> None:
        system = powered(desk, bmcs)
        with desk.running("apply", "--yes") as apply:
            killed_when_sent(apply, bmcs, system)
        assert in_flight(desk) == 1
        again = desk.run("apply", "--yes")
        assert again.code == 0, again
        assert in_flight(desk) == 0
        check_power_on_once(desk, bmcs, system)

    def test_a_daemon_that_is_killed_is_finished_by_the_next(self, desk: Desk, bmcs: Bmcs) -> None:
        system = powered(desk, bmcs)
        with desk.daemon() as daemon:
            killed_when_sent(daemon, bmcs, system)
        with desk.daemon() as daemon:
            daemon.logged("ActionConfirmed", key="Machine/m")
            assert daemon.end(signal.SIGTERM).code == 0
        check_power_on_once(desk, bmcs, system)

    def test_ctrl_c_tells_what_is_in_flight_and_the_next_apply_confirms_it(self, desk: Desk, bmcs: Bmcs) -> None:
        system = powered(desk, bmcs)
        with desk.running("apply", "--yes") as apply:
            apply.until(lambda: bmcs.writes(system), "the sending")
            done = apply.end(signal.SIGINT)
        # Nothing but chance keeps the machine from coming up at that very moment.
        if "1 of 1 as declared" not in done.out:
            assert done.code == 1
            assert "stopping" in done.err
            assert "not finished: Machine/m: power-on (On)" in done.out
            assert done.out.splitlines()[-1] == "Applied: 0 of 1 as declared, 1 not finished, 1 of them in flight."
            assert in_flight(desk) == 1
        again = desk.run("apply", "--yes")
        assert again.code == 0, again
        check_power_on_once(desk, bmcs, system)

    def test_a_plan_shows_what_is_in_flight(self, desk: Desk, bmcs: Bmcs) -> None:
        system = powered(desk, bmcs)
        with desk.running("apply", "--yes") as apply:
            killed_when_sent(apply, bmcs, system)
        plan = desk.run("plan", "-o", "json").json
        held = [hold["kind"] for change in plan["changes"] for hold in change["held_by"]]
        assert held in (["in-flight"], [])


class TestAddresses:
    """Two hundred addresses, and a process that dies among them."""

    def test_none_is_lost_and_none_is_doubled(self, desk: Desk) -> None:
        desk.commit(lab=[network(), *(address(f"ip{n:03}") for n in range(ADDRESSES))])
        with desk.running("apply", "--yes") as apply:
            apply.until(lambda: len(desk.told("ActionSent")) > ADDRESSES // 4, "a quarter of them")
            apply.end(signal.SIGKILL)
        before = self.held(desk)
        assert 0 < len(before) < ADDRESSES

        again = desk.run("apply", "--yes")
        assert again.code == 0, again
        after = self.held(desk)
        assert set(after) == {f"IPAddress/ip{n:03}" for n in range(ADDRESSES)}
        assert max(Counter(after.values()).values()) == 1
        assert {owner: after[owner] for owner in before} == before
        assert set(after.values()) == {f"10.0.0.{n}" for n in range(1, ADDRESSES + 1)}

    @staticmethod
    def held(desk: Desk) -> dict[str, str]:
        store = Store.open(f"sqlite:///{desk.store}")
        try:
            return {one.owner: one.address for one in EmbeddedIpam(store.engine).list()}
        finally:
            store.close()


def test_ctrl_c_before_anything_was_sent(desk: Desk) -> None:
    desk.commit(lab=[partition(), network()])
    with desk.running("apply") as apply:
        assert apply.end(signal.SIGINT).code != 0
    assert desk.told("ActionSent") == []

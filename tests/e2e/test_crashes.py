"""kill -9 and Ctrl-C in the middle: what was sent is known to the next start, which looks before it sends anything."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import pytest

from drivers.ipam.embedded.embedded import EmbeddedIpam
from reconciler.store import Store
from tests.e2e.desk import Desk, Done, address, network, partition
from tests.e2e.simulated_bmcs import Bmcs, System, at

ADDRESSES = 200


class Told(NamedTuple):
    """A story that has ended: what was in flight in the middle, how the next process left, and what reached the BMC."""

    in_flight: int
    interrupted: Done
    planned_between: Done
    next: Done
    planned_after: Done
    power: str
    writes: list[str]


Story = Callable[[Desk, Bmcs, System], Told]


def interrupted(desk: Desk, bmcs: Bmcs, system: System, number: signal.Signals, *, daemon: bool) -> Told:
    """A machine is declared On. As soon as its BMC was told so the process gets a signal, and then another begins."""
    with desk.daemon() if daemon else desk.running("apply", "--yes") as first:
        first.until(lambda: bmcs.writes(system), "the sending")
        ended = first.end(number)
    flying, between = in_flight(desk), desk.run("plan")
    if daemon:
        with desk.daemon() as second:
            second.until(lambda: desk.told("ActionConfirmed", "m"), "the confirmation")
            done = second.end(signal.SIGTERM)
    else:
        done = desk.run("apply", "--yes")
    after = desk.run("plan")
    return Told(flying, ended, between, done, after, bmcs.ask(system)["PowerState"], bmcs.writes(system))


STORIES: dict[str, Story] = {
    "apply killed": partial(interrupted, number=signal.SIGKILL, daemon=False),
    "apply interrupted": partial(interrupted, number=signal.SIGINT, daemon=False),
    "daemon killed": partial(interrupted, number=signal.SIGKILL, daemon=True),
    "daemon stopped": partial(interrupted, number=signal.SIGTERM, daemon=True),
}


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory, bmcs: Bmcs) -> dict[str, Told]:
    """All stories, told side by side, as most of each is waiting for a machine to come up."""
    folder = tmp_path_factory.mktemp("stories")
    with ThreadPoolExecutor() as pool:
        coming = {}
        for number, (name, story) in enumerate(STORIES.items()):
            desk, system = Desk(folder / f"{number}"), bmcs.system(number % 2)
            bmcs.let_in(desk)
            desk.commit(lab=[bmcs.partition(), at(system, "m", power="On")])
            coming[name] = pool.submit(story, desk, bmcs, system)
        return {name: future.result() for name, future in coming.items()}


@pytest.mark.parametrize("name", STORIES)
class TestPower:
    """A process ends while a machine takes its time to come up, and another one takes over."""

    def test_the_machine_is_told_exactly_once(self, stories: dict[str, Told], name: str) -> None:
        assert stories[name].writes == ["POST Reset"]

    def test_what_was_sent_is_on_record(self, stories: dict[str, Told], name: str) -> None:
        assert stories[name].in_flight == 1
        # By then the machine may have come up, which the plan sees for itself.
        assert "power-on was sent" in stories[name].planned_between.out or stories[name].planned_between.code == 0

    def test_the_next_one_brings_it_to_an_end(self, stories: dict[str, Told], name: str) -> None:
        told = stories[name]
        assert (told.next.code, told.planned_after.code, told.power) == (0, 0, "On"), told


def test_ctrl_c_says_what_is_in_flight(stories: dict[str, Told]) -> None:
    done = stories["apply interrupted"].interrupted
    assert done.code == 1
    assert "stopping: the store has a record of each sent action" in done.err
    assert "not finished: Machine/m: power-on (On)" in done.out
    assert done.out.splitlines()[-1] == "Applied: 0 of 1 as declared, 1 not finished, 1 of them in flight."


def test_a_daemon_that_is_asked_to_stop_leaves_with_0(stories: dict[str, Told]) -> None:
    assert stories["daemon stopped"].interrupted.code == 0


def in_flight(desk: Desk) -> int:
    store = Store.open(f"sqlite:///{desk.store}")
    try:
        return len(store.in_flight())
    finally:
        store.close()


class TestAddresses:
    """Two hundred addresses, and a process that dies among them."""

    def test_none_is_lost_and_none_is_doubled(self, desk: Desk) -> None:
        desk.commit(lab=[network(), *(address(f"ip{n:03}") for n in range(ADDRESSES))])
        with desk.running("apply", "--yes") as apply:
            # Sent is written for many at once, before the first of them is held.
            apply.until(lambda: len(desk.told("ActionConfirmed")) > 1, "the network and an address")
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

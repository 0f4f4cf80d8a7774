"""Of many BMCs a part hangs, in virtual time: the others are looked at as often as ever, and no storm follows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import pytest

from drivers.base import ErrorReason
from reconciler import runtime
from reconciler.model.outcome import Done, Outcome, Waiting
from reconciler.model.resource import ResourceKey
from reconciler.model.retry import retry_policy
from reconciler.operations.simulation.world.simulated_runtime import SimulatedRuntime
from reconciler.workqueue.loop import COMMIT, Loop
from reconciler.workqueue.queue import WorkQueue

MACHINES, HANGING, WORKERS = 200, 60, 12
RESYNC, HANG = 10.0, 15.0
KEYS = [ResourceKey("Machine", f"m{number:03d}") for number in range(MACHINES)]


class Fleet:
    """A loop over machines, each of which is looked at in 50 ms, or hangs. When each look ended, and when it began."""

    def __init__(self, simulation: SimulatedRuntime, *, hanging: int = 0) -> None:
        self.simulation, self.hanging = simulation, set(KEYS[:hanging])
        self.looks: dict[ResourceKey, list[float]] = defaultdict(list)
        self.begun: list[float] = []
        self.reported: dict[ResourceKey, float] = {}
        self._failures: dict[ResourceKey, int] = defaultdict(int)
        self.loop = Loop(WorkQueue(), self.look, runtime.now, runtime.random, resync=RESYNC)
        self.loop.put(KEYS, COMMIT)
        self.stop = runtime.flag()
        runtime.thread(lambda: self.loop.run(self.stop, WORKERS), "loop").start()

    def look(self, key: ResourceKey) -> Outcome:
        self.begun.append(runtime.monotonic())
        hangs = key in self.hanging
        runtime.sleep(HANG if hangs else 0.05)
        if hangs:
            self._failures[key] += 1
            self.reported.setdefault(key, runtime.monotonic())
            wait = retry_policy(ErrorReason.UNREACHABLE).wait.delay(self._failures[key], runtime.random())
            return Waiting(ErrorReason.UNREACHABLE, "silent", wait)
        self._failures[key] = 0
        self.looks[key].append(runtime.monotonic())
        return Done()

    def longest_gaps(self, since: float) -> list[float]:
        """Of each machine that is well: the longest time without a look, from a moment on."""
        found = []
        for key in set(KEYS) - self.hanging:
            times = [max([at for at in self.looks[key] if at <= since], default=since)]
            times += [at for at in self.looks[key] if at > since]
            found.append(max(later - earlier for earlier, later in pairwise([*times, self.simulation.elapsed])))
        return sorted(found)


@pytest.fixture
def simulation() -> Iterator[SimulatedRuntime]:
    simulated = SimulatedRuntime(seed=7)
    try:
        with runtime.replaced(simulated):
            yield simulated
    finally:
        simulated.close()


def nine_of_ten(gaps: list[float]) -> float:
    return gaps[int(len(gaps) * 0.9)]


def test_those_that_are_well_are_looked_at_as_often_from_the_first_second_on(simulation: SimulatedRuntime) -> None:
    fleet = Fleet(simulation)
    simulation.run_for(60.0)
    normal = nine_of_ten(fleet.longest_gaps(20.0))
    fleet.hanging = set(KEYS[:HANGING])
    simulation.run_for(70.0)
    assert nine_of_ten(fleet.longest_gaps(60.0)) < 1.5 * normal


def test_all_that_hang_are_reported_within_a_minute(simulation: SimulatedRuntime) -> None:
    fleet = Fleet(simulation, hanging=MACHINES)
    simulation.run_for(60.0)
    assert set(fleet.reported) == set(KEYS)


def test_they_come_back_one_after_the_other(simulation: SimulatedRuntime) -> None:
    fleet = Fleet(simulation, hanging=HANGING)
    simulation.run_for(300.0)
    fleet.hanging = set()
    since = simulation.elapsed
    simulation.run_for(330.0)
    assert all(any(at > since for at in fleet.looks[key]) for key in KEYS)
    by_second: dict[int, int] = defaultdict(int)
    for at in fleet.begun:
        if at > since:
            by_second[int(at)] += 1
    assert max(by_second.values()) < 3 * MACHINES / RESYNC

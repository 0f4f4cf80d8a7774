"""Threads of which so many work at any time, in virtual time: who hangs holds up nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from reconciler import runtime
from reconciler.observed.crew import CHECK_SECONDS, LATE_SECONDS, Crew, each_done
from reconciler.operations.simulation.world.simulated_runtime import SimulatedRuntime

HANG = 15.0


@pytest.fixture
def simulation() -> Iterator[SimulatedRuntime]:
    simulated = SimulatedRuntime(seed=1)
    try:
        with runtime.replaced(simulated):
            yield simulated
    finally:
        simulated.close()


class Pile:
    """Work that takes as long as it says; when each piece was begun and ended, and how many were under way at most."""

    def __init__(self, seconds: list[float]) -> None:
        self.waiting = list(enumerate(seconds))
        self.begun: dict[int, float] = {}
        self.ended: dict[int, float] = {}
        self.under_way = self.most = 0

    def do(self, seconds: float) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        runtime.sleep(seconds)
        self.under_way -= 1

    def serve(self, crew: Crew) -> bool:
        if not self.waiting:
            return False
        number, seconds = self.waiting.pop(0)
        self.begun[number] = runtime.monotonic()
        with crew.at_work() as work:
            self.do(seconds)
            work.answered = seconds < HANG
        self.ended[number] = runtime.monotonic()
        return True


def watched(simulation: SimulatedRuntime, crew: Crew, seconds: float) -> None:
    def watch() -> None:
        while True:
            crew.fill()
            runtime.sleep(CHECK_SECONDS)

    runtime.thread(watch, "watch").start()
    simulation.run_for(seconds)


def test_those_that_hang_give_up_their_places(simulation: SimulatedRuntime) -> None:
    pile = Pile([HANG] * 4 + [0.1] * 20)
    watched(simulation, Crew(pile.serve, 4, "crew"), 5.0)
    assert sorted(pile.ended) == list(range(4, 24))
    assert min(pile.begun[number] for number in range(4, 24)) <= LATE_SECONDS + 2 * CHECK_SECONDS


def test_a_thousand_that_hang_are_through_within_a_minute(simulation: SimulatedRuntime) -> None:
    pile = Pile([HANG] * 1000)
    watched(simulation, Crew(pile.serve, 48, "crew"), 60.0)
    assert len(pile.ended) == 1000


def test_so_many_hang_at_a_time_at_most(simulation: SimulatedRuntime) -> None:
    pile = Pile([HANG] * 100)
    watched(simulation, Crew(pile.serve, 2, "crew", most_apart=5), 10.0)
    assert pile.most == 7


def test_when_they_come_back_there_are_as_many_threads_as_before(simulation: SimulatedRuntime) -> None:
    pile = Pile([HANG] * 10 + [0.5] * 400)
    crew = Crew(pile.serve, 2, "crew")
    watched(simulation, crew, HANG + 5.0)
    pile.most = 0
    simulation.run_for(20.0)
    assert pile.waiting
    assert pile.most == 2


def test_where_all_are_slow_no_thread_is_added(simulation: SimulatedRuntime) -> None:
    """On a busy host more threads would make each still slower."""
    pile = Pile([0.9] * 20 + [3.0] * 40)
    watched(simulation, Crew(pile.serve, 4, "crew"), 60.0)
    assert pile.most == 4


def test_work_that_fails_leaves_no_place_empty(simulation: SimulatedRuntime) -> None:
    pile = Pile([0.1] * 10)

    def serve(crew: Crew) -> bool:
        if len(pile.waiting) == 5:
            pile.waiting.pop()
            raise ValueError("a defect")
        return pile.serve(crew)

    watched(simulation, Crew(serve, 1, "crew"), 5.0)
    assert len(pile.ended) == 9
    assert [str(error) for error in simulation.errors] == ["a defect"]


def any_answer(_: object) -> bool:
    return True


def outcome_of(simulation: SimulatedRuntime, work: Callable[[], None], seconds: float) -> None:
    runtime.thread(work, "outcome").start()
    simulation.run_for(seconds)


def test_results_come_as_they_are_ready_and_those_that_hang_come_last(simulation: SimulatedRuntime) -> None:
    pile = Pile([])
    found: list[tuple[float, int]] = []

    def one(number: int) -> int:
        pile.do(HANG if number < 8 else 0.1)
        return number

    def collect() -> None:
        found.extend((runtime.monotonic(), number) for number in each_done(one, range(20), 4, "each", any_answer))

    outcome_of(simulation, collect, 60.0)
    assert sorted(number for _, number in found) == list(range(20))
    assert {number for _, number in found[:12]} == set(range(8, 20))
    assert found[11][0] < HANG
    assert found[-1][0] < 2 * HANG


def test_those_that_hang_do_not_count_as_how_long_it_takes(simulation: SimulatedRuntime) -> None:
    found: list[float] = []

    def collect() -> None:
        done = each_done(lambda _: runtime.sleep(HANG), range(1000), 64, "each", lambda _: False)
        found.extend(runtime.monotonic() for _ in done)

    outcome_of(simulation, collect, 60.0)
    assert len(found) == 1000


def test_an_error_of_the_work_is_raised_to_who_asks(simulation: SimulatedRuntime) -> None:
    raised: list[str] = []

    def one(number: int) -> int:
        raise ValueError(f"number {number}")

    def collect() -> None:
        try:
            list(each_done(one, [7], 4, "each", any_answer))
        except ValueError as error:
            raised.append(str(error))

    outcome_of(simulation, collect, 5.0)
    assert raised == ["number 7"]


def test_of_nothing_there_are_no_results() -> None:
    assert list(each_done(str, [], 4, "each", any_answer)) == []

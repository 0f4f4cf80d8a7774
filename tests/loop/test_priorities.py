"""Who goes first, and what never holds up others."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from drivers.base import ErrorReason
from reconciler.model.outcome import Done, Outcome, Waiting
from reconciler.model.resource import ResourceKey
from reconciler.workqueue.loop import COMMIT, RESYNC, Loop
from reconciler.workqueue.queue import WorkQueue

START = datetime(2026, 1, 1, tzinfo=UTC)
DEAD, WELL = ResourceKey("Machine", "dead"), ResourceKey("Machine", "well")
SILENT = Waiting(ErrorReason.UNREACHABLE, "no answer", 5.0)


class Bench:
    """A loop in one thread, and the order in which it stepped."""

    def __init__(self, suspects: Iterable[ResourceKey] = ()) -> None:
        self.at, self.stepped = 0.0, list[str]()
        self.answers: dict[ResourceKey, Outcome] = {}
        self.loop = Loop(
            WorkQueue(), self.step, self.now, lambda: 0.5, suspects=suspects, everything=lambda: [DEAD, WELL]
        )

    def now(self) -> datetime:
        return START + timedelta(seconds=self.at)

    def step(self, key: ResourceKey) -> Outcome:
        self.stepped.append(key.name)
        return self.answers.get(key, Done())

    def run(self, at: float, min_priority: int = -1000) -> list[str]:
        """The names that were stepped from then on."""
        self.at, self.stepped = at, []
        while self.loop.turn(min_priority):
            pass
        return self.stepped


def test_a_commit_goes_before_a_resync() -> None:
    bench = Bench()
    bench.loop.put([DEAD], RESYNC)
    bench.loop.put([WELL], COMMIT)
    assert bench.run(0) == ["well", "dead"]


def test_a_commit_of_all_lets_silent_machines_wait() -> None:
    bench = Bench()
    bench.answers[DEAD] = SILENT
    bench.loop.put([DEAD, WELL], COMMIT)
    assert bench.run(0) == ["dead", "well"]
    bench.loop.put([DEAD, WELL], COMMIT)
    assert bench.run(1, RESYNC) == ["well"]
    assert bench.run(1) == ["dead"]


def test_what_was_silent_before_a_restart_waits_from_the_first_pass_on() -> None:
    bench = Bench(suspects=[DEAD])
    bench.loop.put([DEAD, WELL], COMMIT)
    assert bench.run(0) == ["well", "dead"]


def test_what_answers_again_is_like_the_others() -> None:
    bench = Bench(suspects=[DEAD])
    bench.loop.put([DEAD], COMMIT)
    assert bench.run(0) == ["dead"]
    bench.loop.put([DEAD, WELL], COMMIT)
    assert bench.run(1, RESYNC) == ["dead", "well"]


def test_a_clock_that_was_put_back_keeps_nothing_waiting_until_it_has_caught_up() -> None:
    bench, day = Bench(), 86_400.0
    bench.loop.put([DEAD, WELL], COMMIT)
    assert bench.run(day) == ["dead", "well"]
    assert bench.run(day - 0.5) == [], "another thread may have looked at the clock before"
    assert bench.run(0.0) == []
    assert sorted(bench.run(60.0)) == ["dead", "well"]

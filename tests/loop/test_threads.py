"""The loop with real threads: it ends when told to, and when what it stands on breaks."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from reconciler.model.outcome import Done
from reconciler.model.resource import ResourceKey
from reconciler.store import StoreError
from reconciler.workqueue.loop import COMMIT, Loop
from reconciler.workqueue.queue import ANY_PRIORITY, WorkQueue

KEY = ResourceKey("Machine", "m")


def now() -> datetime:
    return datetime.now(UTC)


class BrokenQueue(WorkQueue):
    """Takes work and cannot give it back."""

    def done(self, key: ResourceKey) -> None:
        raise StoreError("the disk is full")


def test_it_ends_when_told_to() -> None:
    stop = threading.Event()
    loop = Loop(WorkQueue(), lambda _: Done(), now, lambda: 0.5, settled=lambda _key, _outcome: stop.set())
    loop.put([KEY], COMMIT)
    loop.run(stop, 4)


def test_a_queue_that_breaks_ends_it_with_the_error() -> None:
    stop = threading.Event()
    loop = Loop(BrokenQueue(), lambda _: Done(), now, lambda: 0.5, resync=None)
    loop.put([KEY], COMMIT)
    with pytest.raises(StoreError, match="disk is full"):
        loop.run(stop, 4)
    assert stop.is_set()


def test_a_step_that_breaks_ends_nothing() -> None:
    stop, crashes = threading.Event(), list[BaseException]()

    def step(_: ResourceKey) -> Done:
        raise ValueError("a defect")

    def crashed(_: ResourceKey, error: BaseException) -> None:
        crashes.append(error)
        stop.set()

    loop = Loop(WorkQueue(), step, now, lambda: 0.5, crashed=crashed)
    loop.put([KEY], COMMIT)
    loop.run(stop, 4)
    assert [str(error) for error in crashes] == ["a defect"]


class WatchedQueue(WorkQueue):
    """Notes who asks for a key, and says when somebody does so again."""

    def __init__(self, again: Callable[[], None]) -> None:
        super().__init__()
        self._again, self.asked = again, list[str]()

    def take(self, now: datetime, *, min_priority: int = ANY_PRIORITY) -> ResourceKey | None:
        name = threading.current_thread().name
        if name in self.asked:
            self._again()
        self.asked.append(name)
        return super().take(now, min_priority=min_priority)


def test_one_idle_worker_of_each_sort_watches_the_queue() -> None:
    stop = threading.Event()
    queue = WatchedQueue(stop.set)
    Loop(queue, lambda _: Done(), now, lambda: 0.5).run(stop, 64)
    assert len(set(queue.asked)) <= 2


def test_keys_are_handled_at_the_same_time() -> None:
    stop, together = threading.Event(), threading.Barrier(6)

    def step(_: ResourceKey) -> Done:
        together.wait(60)
        stop.set()
        return Done()

    loop = Loop(WorkQueue(), step, now, lambda: 0.5, crashed=lambda _key, _error: stop.set())
    loop.put([ResourceKey("Machine", f"m{n}") for n in range(6)], COMMIT)
    loop.run(stop, 6)
    assert not together.broken


@pytest.mark.parametrize("how", [SystemExit(0), KeyboardInterrupt()])
def test_what_would_end_a_process_without_a_word_ends_it_with_an_error(how: BaseException) -> None:
    """threading ignores SystemExit, and a main thread that raises it leaves with its exit code, such as that of
    success."""
    stop = threading.Event()

    class Leaving(WorkQueue):
        def done(self, key: ResourceKey) -> None:
            raise how

    loop = Loop(Leaving(), lambda _: Done(), now, lambda: 0.5, resync=None)
    loop.put([KEY], COMMIT)
    with pytest.raises(RuntimeError, match=f"{type(how).__name__} ended a thread"):
        loop.run(stop, 4)
    assert stop.is_set()


def test_a_step_that_leaves_ends_nothing() -> None:
    stop, crashes = threading.Event(), list[BaseException]()

    def step(_: ResourceKey) -> Done:
        sys.exit(3)

    def crashed(_: ResourceKey, error: BaseException) -> None:
        crashes.append(error)
        stop.set()

    loop = Loop(WorkQueue(), step, now, lambda: 0.5, crashed=crashed)
    loop.put([KEY], COMMIT)
    loop.run(stop, 4)
    assert [type(error) for error in crashes] == [SystemExit]

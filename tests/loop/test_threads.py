"""The loop with real threads: it ends when told to, and when what it stands on breaks."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from reconciler.daemon.loop import COMMIT, Loop
from reconciler.daemon.queue import Item, MemoryQueue
from reconciler.model.outcome import Done
from reconciler.model.resource import ResourceKey
from reconciler.store import StoreError

KEY = ResourceKey("Machine", "m")


def now() -> datetime:
    return datetime.now(UTC)


class BrokenQueue(MemoryQueue):
    """Takes work and cannot give it back."""

    def done(self, item: Item) -> None:
        raise StoreError("the disk is full")


def test_it_ends_when_told_to() -> None:
    stop = threading.Event()
    loop = Loop(MemoryQueue(), lambda _: Done(), now, lambda: 0.5, settled=lambda _key, _outcome: stop.set())
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

    loop = Loop(MemoryQueue(), step, now, lambda: 0.5, crashed=crashed)
    loop.put([KEY], COMMIT)
    loop.run(stop, 4)
    assert [str(error) for error in crashes] == ["a defect"]

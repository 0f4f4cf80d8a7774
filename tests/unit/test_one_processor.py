"""Threads that take turns run on one processor, and on all again afterwards."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import TypeVar

import pytest

from reconciler import runtime
from reconciler.observed.crew import each_done

T = TypeVar("T")
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs Linux and two processors"
)


def allowed() -> AbstractSet[int]:
    return os.sched_getaffinity(0)


def policy() -> int:
    return os.sched_getscheduler(0)


def in_a_thread(look: Callable[[], T]) -> T:
    found: list[T] = []
    thread = runtime.thread(lambda: found.append(look()), "looks")
    thread.start()
    thread.join()
    return found[0]


def test_a_thread_that_is_begun_within_the_block_shares_the_processor() -> None:
    with runtime.on_one_processor():
        mine, of_thread = allowed(), in_a_thread(allowed)

    assert len(mine) == 1
    assert of_thread == mine


def test_a_thread_that_wakes_up_interrupts_no_other() -> None:
    with runtime.on_one_processor():
        within = policy(), in_a_thread(policy)

    assert within == (os.SCHED_BATCH, os.SCHED_BATCH)
    assert (policy(), in_a_thread(policy)) == (os.SCHED_OTHER, os.SCHED_OTHER)


def test_all_processors_are_used_again_after_an_error() -> None:
    before = allowed()

    with pytest.raises(ValueError, match="odd"), runtime.on_one_processor():
        raise ValueError("odd")

    assert (allowed(), in_a_thread(allowed)) == (before, before)


def test_a_block_within_another_changes_nothing() -> None:
    with runtime.on_one_processor():
        outer = allowed()
        with runtime.on_one_processor():
            inner = allowed()

        assert (inner, allowed()) == (outer, outer)


def test_a_host_that_does_not_allow_it_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: int, _processors: AbstractSet[int]) -> None:
        raise PermissionError

    before = allowed()
    monkeypatch.setattr(os, "sched_setaffinity", refuse)

    with runtime.on_one_processor():
        within = allowed(), policy()

    assert within == (before, os.SCHED_OTHER)


def test_a_fleet_is_observed_on_one_processor() -> None:
    before = allowed()

    seen = list(each_done(lambda _: allowed(), range(20), 4, "observe", answered=lambda _: True))

    assert len({tuple(one) for one in seen}) == 1
    assert len(seen[0]) == 1
    assert allowed() == before

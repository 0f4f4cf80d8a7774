"""Group commit (drivers.ipam.netbox.netbox_batch): what waits while one batch is under way is the next."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from drivers.base import Exhausted
from drivers.ipam.netbox.netbox_batch import LARGEST, Batches


class Sink:
    """Doubles numbers; the first batch waits until it is let go."""

    def __init__(self) -> None:
        self.sent: list[tuple[Hashable, list[int]]] = []
        self.started, self.go = threading.Event(), threading.Event()

    def __call__(self, key: Hashable, items: Sequence[int]) -> list[int | Exception]:
        self.sent.append((key, list(items)))
        self.started.set()
        self.go.wait(10)
        return [Exhausted(f"{item} is too many") if item < 0 else item * 2 for item in items]


def waiting(batches: Batches[int, int], key: Hashable, number: int) -> None:
    """Return when so many wait for the key."""
    while len(batches._waiting.get(key, ())) < number:
        threading.Event().wait(0.001)


def test_alone_an_item_is_sent_at_once() -> None:
    sink = Sink()
    sink.go.set()
    batches = Batches(sink)
    assert [batches.do("a", 1), batches.do("a", 2)] == [2, 4]
    assert sink.sent == [("a", [1]), ("a", [2])]


def test_what_gathers_while_one_is_under_way_goes_together_and_each_gets_its_own_answer() -> None:
    sink = Sink()
    batches = Batches(sink)
    with ThreadPoolExecutor(64) as pool:
        first = pool.submit(batches.do, "a", 0)
        assert sink.started.wait(10)
        others = [pool.submit(batches.do, "a", number) for number in range(1, 40)]
        waiting(batches, "a", 39)
        sink.go.set()
        assert first.result(10) == 0
        assert [one.result(10) for one in others] == [number * 2 for number in range(1, 40)]
    assert [len(items) for _, items in sink.sent] == [1, 39]


def test_a_batch_is_no_larger_than_the_largest() -> None:
    sink = Sink()
    batches = Batches(sink)
    with ThreadPoolExecutor(LARGEST + 10) as pool:
        pool.submit(batches.do, "a", 0)
        assert sink.started.wait(10)
        for number in range(LARGEST + 5):
            pool.submit(batches.do, "a", number)
        waiting(batches, "a", LARGEST + 5)
        sink.go.set()
    assert [len(items) for _, items in sink.sent] == [1, LARGEST, 5]


def test_two_keys_do_not_wait_for_each_other() -> None:
    sink = Sink()
    batches = Batches(sink)
    with ThreadPoolExecutor(2) as pool:
        pool.submit(batches.do, "a", 1)
        assert sink.started.wait(10)
        pool.submit(batches.do, "b", 2)
        while len(sink.sent) < 2:
            threading.Event().wait(0.001)
        sink.go.set()
    assert {key for key, _ in sink.sent} == {"a", "b"}


def test_an_error_is_its_owner_s_alone() -> None:
    sink = Sink()
    batches = Batches(sink)
    with ThreadPoolExecutor(3) as pool:
        pool.submit(batches.do, "a", 0)
        assert sink.started.wait(10)
        bad, good = pool.submit(batches.do, "a", -1), pool.submit(batches.do, "a", 3)
        waiting(batches, "a", 2)
        sink.go.set()
        assert good.result(10) == 6
        with pytest.raises(Exhausted, match="-1 is too many"):
            bad.result(10)


def test_what_the_sending_raises_is_everybody_s_and_the_next_is_sent_anew() -> None:
    calls: list[list[int]] = []

    def broken(_key: Hashable, items: Sequence[int]) -> list[int | Exception]:
        calls.append(list(items))
        if len(calls) == 1:
            raise Exhausted("down")
        return [1 for _ in items]

    batches: Batches[int, int] = Batches(broken)
    with pytest.raises(Exhausted, match="down"):
        batches.do("a", 1)
    assert batches.do("a", 2) == 1

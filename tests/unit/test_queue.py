"""What the work queue promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.resource import ResourceKey
from reconciler.operations.simulation.world.holdings import holdings
from reconciler.workqueue.queue import WorkQueue

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
A, B, C = (ResourceKey("Machine", name) for name in "abc")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def queue() -> WorkQueue:
    return WorkQueue()


def take(queue: WorkQueue, seconds: float = 0, **asked: int) -> ResourceKey:
    key = queue.take(after(seconds), **asked)
    assert key is not None
    return key


def keys(queue: WorkQueue, seconds: float = 0) -> list[ResourceKey]:
    """What is due, in the order of taking; done away with."""
    found = []
    while key := queue.take(after(seconds)):
        queue.done(key)
        found.append(key)
    return found


def test_an_empty_queue_gives_nothing(queue: WorkQueue) -> None:
    assert queue.take(NOW) is None
    assert queue.next_due() is None


def test_a_key_is_taken_when_it_is_due_and_not_before(queue: WorkQueue) -> None:
    queue.put(A, 0, after(10))
    assert queue.take(after(9)) is None
    assert take(queue, 10) == A


def test_a_key_that_is_put_often_and_then_waits_for_long_leaves_little_behind(queue: WorkQueue) -> None:
    for number in range(1000):
        queue.put(A, 0, after(-number))
        queue.done(take(queue))
        queue.put(A, 0, after(3600 + number))
    assert sum(holdings(queue).values()) < 100


def test_the_higher_priority_goes_first_then_the_longest_due_then_by_key(queue: WorkQueue) -> None:
    queue.put_all([(C, 0, after(1)), (B, 0, after(1)), (A, 0, after(2)), (ResourceKey("Machine", "z"), 5, after(3))])
    assert [key.name for key in keys(queue, 10)] == ["z", "b", "c", "a"]


def test_a_key_is_in_it_once(queue: WorkQueue) -> None:
    queue.put_all([(A, 0, NOW), (A, 0, NOW), (B, 0, NOW)])
    assert keys(queue) == [A, B]


@pytest.mark.parametrize("order", [0, 1])
def test_the_earliest_time_and_the_best_priority_of_several_puts_win(queue: WorkQueue, order: int) -> None:
    puts = [(A, 5, after(20)), (A, 0, after(10))]
    queue.put_all(puts[order:] + puts[:order])
    assert queue.next_due() == after(10)
    assert queue.take(after(10), min_priority=6) is None
    assert take(queue, 10, min_priority=5) == A


def test_a_worker_may_ask_for_important_keys_only(queue: WorkQueue) -> None:
    queue.put_all([(A, -100, NOW), (B, 0, after(5))])
    assert queue.take(NOW, min_priority=0) is None
    assert queue.next_due(min_priority=0) == after(5)
    assert queue.next_due() == NOW
    assert take(queue, 0, min_priority=-100) == A


def test_a_key_in_hand_is_given_to_no_other_worker(queue: WorkQueue) -> None:
    queue.put(A, 0, NOW)
    take(queue)
    queue.put(A, 100, NOW)
    assert queue.take(after(10_000)) is None
    assert queue.next_due() is None


def test_done_drops_it(queue: WorkQueue) -> None:
    queue.put(A, 0, NOW)
    queue.done(take(queue))
    assert queue.take(after(10_000)) is None


def test_a_key_that_is_put_while_in_hand_is_handled_once_more(queue: WorkQueue) -> None:
    queue.put(A, 100, NOW)
    key = take(queue)
    queue.put_all([(A, 0, after(5)), (A, 0, after(7))])
    queue.done(key)
    assert queue.take(after(4)) is None
    assert queue.take(after(5), min_priority=1) is None, "the urgency of the last time is over"
    again = take(queue, 5)
    assert again == A
    queue.done(again)
    assert queue.take(after(10_000)) is None


def test_retry_brings_it_back_at_its_time_and_priority(queue: WorkQueue) -> None:
    queue.put(A, 100, NOW)
    queue.retry(take(queue), after(30), -100)
    assert queue.take(after(29)) is None
    assert queue.take(after(30), min_priority=-99) is None
    assert take(queue, 30, min_priority=-100) == A


def test_retry_does_not_put_off_what_was_put_meanwhile(queue: WorkQueue) -> None:
    queue.put(A, 0, NOW)
    key = take(queue)
    queue.put(A, 100, after(1))
    queue.retry(key, after(30), -100)
    again = take(queue, 1, min_priority=100)
    queue.done(again)
    assert queue.take(after(10_000)) is None


def test_ten_thousand_keys_are_put_whole_or_not_at_all(queue: WorkQueue) -> None:
    def entries(count: int) -> Iterator[tuple[ResourceKey, int, datetime]]:
        for number in range(count):
            yield ResourceKey("Machine", f"m{number:05}"), 0, NOW
        if count < 10_000:
            raise KeyError("the source broke off")

    with pytest.raises(KeyError):
        queue.put_all(entries(500))
    assert queue.take(NOW) is None
    queue.put_all(entries(10_000))
    assert take(queue).name == "m00000"


def test_threads_that_take_at_once_get_different_keys(queue: WorkQueue) -> None:
    queue.put_all((ResourceKey("Machine", f"m{number}"), number % 3, NOW) for number in range(60))

    def work(_: int) -> list[ResourceKey]:
        return keys(queue)

    with ThreadPoolExecutor(6) as pool:
        taken = Counter(key for part in pool.map(work, range(6)) for key in part)
    assert len(taken) == 60
    assert set(taken.values()) == {1}


class Model:
    """The same by the words of the promise alone: every question looks at every key."""

    def __init__(self) -> None:
        self.waits: dict[ResourceKey, tuple[int, datetime]] = {}
        self.in_hand: set[ResourceKey] = set()

    def put(self, key: ResourceKey, priority: int, not_before: datetime) -> None:
        before, due = self.waits.get(key, (priority, not_before))
        self.waits[key] = max(before, priority), min(due, not_before)

    def take(self, now: datetime, *, min_priority: int) -> ResourceKey | None:
        due = [(-p, at, key) for key, (p, at) in self._free() if at <= now and p >= min_priority]
        if not due:
            return None
        key = min(due)[-1]
        del self.waits[key]
        self.in_hand.add(key)
        return key

    def done(self, key: ResourceKey) -> None:
        self.in_hand.remove(key)

    def retry(self, key: ResourceKey, not_before: datetime, priority: int) -> None:
        self.in_hand.remove(key)
        self.put(key, priority, not_before)

    def next_due(self) -> datetime | None:
        return min((at for _, (_, at) in self._free()), default=None)

    def _free(self) -> list[tuple[ResourceKey, tuple[int, datetime]]]:
        return [(key, entry) for key, entry in self.waits.items() if key not in self.in_hand]


CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from([A, B, C]), st.integers(-1, 1), st.integers(0, 9)),
        st.tuples(st.just("take"), st.integers(-1, 1)),
        st.tuples(st.just("done"), st.integers(0, 2)),
        st.tuples(st.just("retry"), st.integers(0, 2), st.integers(-1, 1), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.integers(1, 5)),
    ),
    max_size=40,
)


def answers(queue: WorkQueue | Model, calls: list[tuple[object, ...]]) -> list[object]:
    """What a queue says to a sequence of calls."""
    said: list[object] = []
    in_hand: list[ResourceKey] = []
    now = 0.0
    for call in calls:
        match call:
            case ("put", ResourceKey() as key, int() as priority, int() as delay):
                queue.put(key, priority, after(now + delay))
            case ("take", int() as least):
                taken = queue.take(after(now), min_priority=least)
                in_hand += [taken] if taken else []
                said.append(taken)
            case ("done", int() as index) if index < len(in_hand):
                queue.done(in_hand.pop(index))
            case ("retry", int() as index, int() as priority, int() as delay) if index < len(in_hand):
                queue.retry(in_hand.pop(index), after(now + delay), priority)
            case ("wait", int() as seconds):
                now += seconds
            case _:
                pass  # done or retry of what was never taken
        said.append(queue.next_due())
    return said


@given(calls=CALLS)
def test_it_says_what_the_promise_says(calls: list[tuple[object, ...]]) -> None:
    assert answers(WorkQueue(), calls) == answers(Model(), calls)

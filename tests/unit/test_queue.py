"""What the work queue promises, over its three implementations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.resource import ResourceKey
from reconciler.store import Store
from reconciler.workqueue.queue import MemoryQueue, QueueItem, StoredQueue, WorkQueue

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=10)
A, B, C = (ResourceKey("Machine", name) for name in "abc")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def queue(request: pytest.FixtureRequest) -> Iterator[WorkQueue]:
    if request.param == "memory":
        yield MemoryQueue(LEASE)
        return
    store = Store.open(request.getfixturevalue(f"empty_{request.param}_url"))
    yield StoredQueue(store, "1", LEASE)
    store.close()


def take(queue: WorkQueue, seconds: float = 0, **asked: int) -> QueueItem:
    item = queue.take(after(seconds), **asked)
    assert item is not None
    return item


def keys(queue: WorkQueue, seconds: float = 0) -> list[ResourceKey]:
    """What is due, in the order of taking; done away with."""
    found = []
    while item := queue.take(after(seconds)):
        queue.done(item)
        found.append(item.key)
    return found


def test_an_empty_queue_gives_nothing(queue: WorkQueue) -> None:
    assert queue.take(NOW) is None
    assert queue.next_due() is None


def test_a_key_is_taken_when_it_is_due_and_not_before(queue: WorkQueue) -> None:
    queue.put(A, 0, after(10))
    assert queue.take(after(9)) is None
    assert take(queue, 10).key == A


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
    assert take(queue, 10).priority == 5


def test_a_worker_may_ask_for_important_keys_only(queue: WorkQueue) -> None:
    queue.put_all([(A, -100, NOW), (B, 0, after(5))])
    assert queue.take(NOW, min_priority=0) is None
    assert queue.next_due(min_priority=0) == after(5)
    assert queue.next_due() == NOW
    assert take(queue, 0, min_priority=-100).key == A


def test_a_key_in_hand_is_given_to_nobody_else(queue: WorkQueue) -> None:
    queue.put(A, 0, NOW)
    take(queue)
    queue.put(A, 100, NOW)
    assert queue.take(NOW) is None
    assert queue.next_due() is None


def test_done_drops_it(queue: WorkQueue) -> None:
    queue.put(A, 0, NOW)
    queue.done(take(queue))
    assert queue.take(after(10_000)) is None


def test_a_key_that_is_put_while_in_hand_is_handled_once_more(queue: WorkQueue) -> None:
    queue.put(A, 100, NOW)
    item = take(queue)
    queue.put_all([(A, 0, after(5)), (A, 0, after(7))])
    queue.done(item)
    assert queue.take(after(4)) is None
    again = take(queue, 5)
    assert (again.key, again.priority) == (A, 0)
    queue.done(again)
    assert queue.take(after(10_000)) is None


def test_retry_brings_it_back_at_its_time_and_priority(queue: WorkQueue) -> None:
    queue.put(A, 100, NOW)
    queue.retry(take(queue), after(30), -100)
    assert queue.take(after(29)) is None
    assert take(queue, 30).priority == -100


def test_retry_does_not_put_off_what_was_put_meanwhile(queue: WorkQueue) -> None:
    queue.put(A, 0, NOW)
    item = take(queue)
    queue.put(A, 100, after(1))
    queue.retry(item, after(30), -100)
    again = take(queue, 1)
    assert again.priority == 100
    queue.done(again)
    assert queue.take(after(10_000)) is None


def test_what_a_dead_worker_held_is_given_out_after_the_lease(queue: WorkQueue) -> None:
    queue.put(A, 0, NOW)
    take(queue)
    assert queue.take(after(599)) is None
    assert take(queue, 600).key == A


@pytest.mark.parametrize("late", [lambda q, i: q.done(i), lambda q, i: q.retry(i, after(5000), 7)])
def test_one_that_lost_its_lease_changes_nothing(
    queue: WorkQueue, late: Callable[[WorkQueue, QueueItem], None]
) -> None:
    queue.put(A, 0, NOW)
    lost = take(queue)
    current = take(queue, 600)
    late(queue, lost)
    assert queue.take(after(601)) is None
    queue.retry(current, after(700), 3)
    assert take(queue, 700).priority == 3


def test_due_keys_go_before_those_of_dead_workers(queue: WorkQueue) -> None:
    queue.put(A, 0, NOW)
    take(queue)
    queue.put(B, 0, after(600))
    assert [take(queue, 600).key, take(queue, 600).key] == [B, A]


def test_recover_frees_what_an_earlier_life_had_in_hand(queue: WorkQueue) -> None:
    queue.put_all([(A, 3, NOW), (B, 0, NOW), (C, 0, after(50))])
    lost = [take(queue), take(queue)]
    queue.put(B, 0, after(20))
    assert queue.recover(after(5)) == 2
    for item in lost:
        queue.done(item)
    again = take(queue, 5)
    assert (again.key, again.priority) == (A, 3)
    assert queue.next_due() == after(20)
    assert queue.recover(after(5)) == 1


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
    assert take(queue).key.name == "m00000"


def test_threads_that_take_at_once_get_different_keys(queue: WorkQueue) -> None:
    queue.put_all((ResourceKey("Machine", f"m{number}"), number % 3, NOW) for number in range(60))

    def work(_: int) -> list[ResourceKey]:
        return keys(queue)

    with ThreadPoolExecutor(6) as pool:
        taken = Counter(key for part in pool.map(work, range(6)) for key in part)
    assert len(taken) == 60
    assert set(taken.values()) == {1}


CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from([A, B, C]), st.integers(-1, 1), st.integers(0, 9)),
        st.tuples(st.just("take"), st.integers(-1, 1)),
        st.tuples(st.just("done"), st.integers(0, 5)),
        st.tuples(st.just("retry"), st.integers(0, 5), st.integers(-1, 1), st.integers(0, 9)),
        st.tuples(st.just("recover")),
        st.tuples(st.just("wait"), st.integers(1, 5)),
    ),
    max_size=40,
)


def answers(queue: WorkQueue, calls: list[tuple[object, ...]]) -> list[object]:
    """What a queue says to a sequence of calls."""
    said: list[object] = []
    taken: list[QueueItem] = []
    now = 0.0
    for call in calls:
        match call:
            case ("put", ResourceKey() as key, int() as priority, int() as delay):
                queue.put(key, priority, after(now + delay))
            case ("take", int() as least):
                item = queue.take(after(now), min_priority=least)
                taken += [item] if item else []
                said.append((item.key, item.priority) if item else None)
            case ("done", int() as index) if index < len(taken):
                queue.done(taken[index])
            case ("retry", int() as index, int() as priority, int() as delay) if index < len(taken):
                queue.retry(taken[index], after(now + delay), priority)
            case ("recover",):
                said.append(queue.recover(after(now)))
            case ("wait", int() as seconds):
                now += seconds
            case _:
                pass  # done or retry of what was never taken
        said.append(queue.next_due())
    return said


@given(calls=CALLS)
def test_the_stored_queue_says_what_the_one_in_memory_says(calls: list[tuple[object, ...]]) -> None:
    store = Store.open("sqlite://")
    try:
        lease = timedelta(seconds=7)
        assert answers(StoredQueue(store, "1", lease), calls) == answers(MemoryQueue(lease), calls)
    finally:
        store.close()

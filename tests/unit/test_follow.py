"""Who follows the ledger by a cursor gets every event once and in order, beside writers that end in any order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import ResourceKey
from reconciler.model.sink_state import SinkState, SinkTrouble
from reconciler.store import Store
from reconciler.store.rows.retention import EVENTS_KEPT

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WRITERS, EACH = 8, 40


def told(message: str, at: datetime = NOW) -> Event:
    return Event(at, EventType.NORMAL, EventReason.BOUND, message, ResourceKey("Machine", "m"))


def test_a_follower_beside_many_writers_misses_nothing_and_keeps_the_order(empty_store_url: str) -> None:
    """On PostgreSQL the numbers of 16 writers are committed in another order: 8 to 13 % were missed by number alone."""
    reader = Store.open(empty_store_url)

    def write(writer: int) -> None:
        store = Store.open(empty_store_url)
        for number in range(EACH):
            store.append([told(f"{writer}/{number}")])
        store.close()

    seen: list[tuple[int, str]] = []
    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(write, writer) for writer in range(WRITERS)]
        while True:
            over = all(one.done() for one in writing)
            found = reader.follow(seen[-1][0] if seen else 0, limit=7)
            seen += [(entry.seq, entry.event.message) for entry in found]
            if over and not found:
                break
    for one in writing:
        one.result()
    assert [seq for seq, _ in seen] == sorted(seq for seq, _ in seen)
    assert sorted(text for _, text in seen) == sorted(f"{w}/{n}" for w in range(WRITERS) for n in range(EACH))
    reader.close()


def test_the_fleet_has_one_id_and_another_store_has_another(store: Store) -> None:
    other = Store.open("sqlite://")
    assert store.sinks.fleet() == store.sinks.fleet() != other.sinks.fleet()
    other.close()


class TestCursors:
    def test_a_cursor_moves_from_where_it_was_and_not_from_elsewhere(self, store: Store) -> None:
        store.sinks.begin("ops", 5)
        store.sinks.begin("ops", 9)
        trouble = SinkTrouble(failures=1, since=NOW, error="no answer")
        assert store.sinks.advance(SinkState("ops", 5), SinkState("ops", 7, trouble))
        assert not store.sinks.advance(SinkState("ops", 5), SinkState("ops", 6))
        assert store.sinks.get("ops") == SinkState("ops", 7, trouble)

    def test_events_of_a_sink_are_recorded_only_with_its_new_state(self, store: Store) -> None:
        store.sinks.begin("ops", 5)
        store.sinks.advance(SinkState("ops", 1), SinkState("ops", 2), [told("lost")])
        store.sinks.advance(SinkState("ops", 5), SinkState("ops", 6), [told("kept")])
        assert [entry.event.message for entry in store.follow(0)] == ["kept"]

    def test_a_cursor_is_set_back_and_never_forward(self, store: Store) -> None:
        store.sinks.begin("ops", 5)
        assert not store.sinks.rewind("ops", 6, told("no"))
        assert not store.sinks.rewind("web", 1, told("no"))
        assert store.sinks.rewind("ops", 2, told("again"))
        assert store.sinks.get("ops") == SinkState("ops", 2)
        assert [entry.event.message for entry in store.follow(0)] == ["again"]

    def test_a_removed_sink_has_no_cursor(self, store: Store) -> None:
        for name in ("ops", "web"):
            store.sinks.begin(name, 1)
        store.sinks.keep(["web"])
        assert list(store.sinks.reports()) == ["web"]

    def test_the_lag_is_what_comes_after_the_cursor(self, store: Store) -> None:
        store.append([told(str(number), NOW + timedelta(hours=number)) for number in range(3)])
        first = store.follow(0)[0].seq
        store.sinks.begin("ops", first)
        store.sinks.begin("web", store.last_event())
        lags = {name: one.lag for name, one in store.sinks.reports().items()}
        assert (lags["ops"].events, lags["ops"].oldest) == (2, NOW + timedelta(hours=1))
        assert (lags["web"].events, lags["web"].oldest) == (0, None)


@pytest.mark.parametrize(("taken", "left"), [(0, ["1", "2", "3"]), (1, ["2", "3"]), (3, [])])
def test_what_the_slowest_sink_has_not_taken_is_not_trimmed(store: Store, taken: int, left: list[str]) -> None:
    store.append([told(str(number), NOW - timedelta(days=500)) for number in (1, 2, 3)])
    numbers = [0, *(entry.seq for entry in store.follow(0))]
    store.sinks.begin("slow", numbers[taken])
    store.sinks.begin("fast", numbers[3])
    while store.retention.trim(NOW - EVENTS_KEPT):
        pass
    assert [entry.event.message for entry in store.follow(0)] == left

"""Who follows the ledger by a cursor gets every event once and in order, beside writers that end in any order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import ResourceKey
from reconciler.model.sink_state import SinkLag, SinkState, SinkTrouble
from reconciler.store import Store
from reconciler.store.rows.retention import EVENTS_KEPT
from reconciler.store.rows.sink_rows import MOST_COUNTED

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
        assert store.sinks.get("ops") == SinkState("ops", 2, SinkTrouble(replayed_at=NOW))
        assert [entry.event.message for entry in store.follow(0)] == ["again"]

    def test_a_replay_tries_the_sink_at_once_and_forgets_no_failure_that_was_reported(self, store: Store) -> None:
        failing = SinkTrouble(3, NOW, NOW + timedelta(hours=1), "down", ended="x", is_told=True, told_at=NOW)
        store.sinks.begin("ops", 5)
        store.sinks.advance(SinkState("ops", 5), SinkState("ops", 5, failing))
        store.sinks.rewind("ops", 2, told("again"))
        kept = SinkTrouble(3, NOW, None, "down", is_told=True, told_at=NOW, replayed_at=NOW)
        assert store.sinks.get("ops") == SinkState("ops", 2, kept)

    def test_the_lag_is_what_comes_after_the_cursor(self, store: Store) -> None:
        store.append([told(str(number), NOW + timedelta(hours=number)) for number in range(3)])
        first = store.follow(0)[0].seq
        store.sinks.begin("ops", first)
        store.sinks.begin("web", store.last_event())
        lags = {name: one.lag for name, one in store.sinks.reports().items()}
        assert lags["ops"] == SinkLag(2, NOW + timedelta(hours=1))
        assert lags["web"] == SinkLag(0, None)

    def test_a_large_lag_follows_from_the_numbers_and_says_so(self, store: Store) -> None:
        store.append([told(str(number), NOW + timedelta(hours=number)) for number in range(MOST_COUNTED + 2)])
        first = store.follow(0)[0].seq
        store.sinks.begin("counted", first + 1)
        store.sinks.begin("large", first)
        store.sinks.begin("before-the-ledger", first - 1)
        lags = {name: one.lag for name, one in store.sinks.reports().items()}
        assert lags["counted"] == SinkLag(MOST_COUNTED, NOW + timedelta(hours=2))
        assert lags["large"] == SinkLag(MOST_COUNTED + 1, NOW + timedelta(hours=1), exact=False)
        assert lags["before-the-ledger"] == SinkLag(MOST_COUNTED + 2, NOW, exact=False)


def applied(revision: str) -> Event:
    return Event(NOW, EventType.NORMAL, EventReason.REVISION_APPLIED, "applied", revision=revision)


class TestWhichSinksThereAre:
    def arrange(self, store: Store, revision: str = "r1", **declared: tuple[str, ...]) -> list[Event]:
        return list(store.sinks.arrange(declared, revision, NOW))

    @pytest.mark.parametrize(
        ("ledger", "first"),
        [
            pytest.param([applied("r1"), told("a"), told("b")], 0, id="with the event that brought it"),
            pytest.param([told("a"), applied("r0"), told("b"), applied("r1"), told("c")], 3, id="not before"),
            pytest.param([applied("r0"), told("a")], 2, id="the event is not there yet"),
            pytest.param([applied("r0"), applied("r1"), told("a"), applied("r1")], 1, id="it was applied twice"),
            pytest.param([applied("r1"), applied("r0"), told("a"), applied("r1")], 3, id="it is back again"),
            pytest.param([], 0, id="an empty ledger"),
        ],
    )
    def test_a_new_sink_begins_with_the_revision_that_brought_it(
        self, store: Store, ledger: list[Event], first: int
    ) -> None:
        store.append(ledger)
        assert self.arrange(store, ops=()) == []
        state = store.sinks.get("ops")
        assert state is not None
        assert [one.event.message for one in store.follow(state.seq)] == [one.message for one in ledger[first:]]

    def test_one_that_is_there_keeps_its_cursor(self, store: Store) -> None:
        store.append([applied("r1"), told("a")])
        store.sinks.begin("ops", store.last_event())
        assert self.arrange(store, ops=("before",)) == []
        assert store.sinks.get("ops") == SinkState("ops", store.last_event())

    def test_a_removed_sink_is_forgotten_loudly_with_what_waited(self, store: Store) -> None:
        store.append([told(str(number), NOW - timedelta(hours=number)) for number in (9, 8, 7)])
        store.sinks.begin("ops", store.follow(0)[0].seq)
        store.sinks.begin("web", store.last_event())
        events = self.arrange(store)
        assert store.sinks.reports() == {}
        assert [(one.reason, one.type, one.key.name) for one in events if one.key] == [
            ("SinkRemoved", "Warning", "ops"),
            ("SinkRemoved", "Normal", "web"),
        ]
        assert "2 events" in events[0].message
        assert f"since {NOW - timedelta(hours=8):%Y-%m-%d %H:%M:%S}Z" in events[0].message
        assert [one.event for one in store.follow(store.follow(0)[2].seq)] == events

    def test_a_renamed_sink_keeps_its_cursor_and_its_failure(self, store: Store) -> None:
        trouble = SinkTrouble(failures=1, since=NOW, error="no answer")
        store.sinks.begin("ops", 5)
        store.sinks.advance(SinkState("ops", 5), SinkState("ops", 7, trouble))
        events = self.arrange(store, pager=("older", "ops"))
        assert [(str(one.key), one.reason) for one in events] == [("EventSink/pager", "Renamed")]
        assert store.sinks.get("ops") is None
        assert store.sinks.get("pager") == SinkState("pager", 7, trouble)
        assert self.arrange(store, pager=("older", "ops")) == []

    def test_a_name_that_is_declared_itself_is_no_former_one(self, store: Store) -> None:
        store.sinks.begin("ops", 5)
        assert self.arrange(store, pager=("ops",), ops=()) == []
        assert store.sinks.get("ops") == SinkState("ops", 5)
        assert store.sinks.get("pager") == SinkState("pager", 0)


@pytest.mark.parametrize(("taken", "left"), [(0, ["1", "2", "3"]), (1, ["2", "3"]), (3, [])])
def test_what_the_slowest_sink_has_not_taken_is_not_trimmed(store: Store, taken: int, left: list[str]) -> None:
    store.append([told(str(number), NOW - timedelta(days=500)) for number in (1, 2, 3)])
    numbers = [0, *(entry.seq for entry in store.follow(0))]
    store.sinks.begin("slow", numbers[taken])
    store.sinks.begin("fast", numbers[3])
    while store.retention.trim(NOW - EVENTS_KEPT):
        pass
    assert [entry.event.message for entry in store.follow(0)] == left

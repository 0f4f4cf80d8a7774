"""The ledger's retention, over both databases."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import ResourceKey
from reconciler.store import Store
from reconciler.store.rows.retention import EVENTS_KEPT

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MACHINE = ResourceKey("Machine", "r01-01")


def told(days_ago: float, reason: str = "Unreachable", key: ResourceKey | None = MACHINE) -> Event:
    return Event(NOW - timedelta(days=days_ago), EventType.WARNING, EventReason(reason), "it does not answer", key=key)


def ages(store: Store, events: Iterable[Event]) -> list[int]:
    """Append, trim to the end, and say how many days old what is left is."""
    store.append(events)
    for _ in range(1000):
        if not store.retention.trim(NOW - EVENTS_KEPT):
            return [(NOW - one.event.at).days for one in store.events(limit=100_000)]
    raise AssertionError("it does not come to an end")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], []),
        ([500, 450, 401, 399, 1], [399, 1]),
        ([399, 1], [399, 1]),
        ([500, 450], []),
        ([500, 1, 500, 2], [1, 2]),  # a clock was put back in between
    ],
    ids=["empty", "old ones go", "young ones stay", "all of them", "whatever their order"],
)
def test_what_is_older_than_400_days_goes(store: Store, before: list[int], after: list[int]) -> None:
    assert ages(store, map(told, before)) == after


def test_the_revision_that_was_in_force_at_the_edge_stays(store: Store) -> None:
    applied = [told(days, "RevisionApplied", None) for days in (600, 500)]
    assert ages(store, [*applied, told(450), told(1)]) == [500, 1]


def test_an_event_stays_as_long_as_it_is_repeated(store: Store) -> None:
    for days in (404, 402, 399):
        store.append([told(days, "ActionRefused")])
    assert ages(store, [told(401)]) == [404]
    assert [entry.event.count for entry in store.events()] == [3]


def test_the_database_itself_refuses_to_take_out_what_is_kept(store: Store) -> None:
    ages(store, [told(500), told(399), told(1)])
    with pytest.raises(Exception, match="append-only"), store.engine.begin() as connection:
        connection.execute(text("DELETE FROM event"))
    assert len(store.events()) == 2


def test_numbers_go_on_so_that_a_reader_with_a_cursor_misses_nothing(store: Store) -> None:
    ages(store, [told(500), told(450)])
    store.append([told(0)])
    seen = store.events()[-1].seq
    store.retention.trim(NOW + timedelta(days=1))
    store.append([told(1)])
    assert [one.event.at for one in store.follow(seen)] == [told(1).at]


def test_a_ledger_that_is_trimmed_grows_no_more_after_its_400_days(store: Store) -> None:
    """Three years of a machine that somebody binds every hour; it is trimmed every five days."""
    sizes, first = [], NOW - timedelta(days=1100)
    for day in range(0, 1100, 5):
        now = first + timedelta(days=day)
        store.append(
            Event(now + timedelta(hours=hour), EventType.NORMAL, EventReason.BOUND, "to project shop", key=MACHINE)
            for hour in range(5 * 24)
        )
        while store.retention.trim(now - EVENTS_KEPT):
            pass
        sizes.append(len(store.events(limit=100_000)))
    assert max(sizes) == sizes[-1] == 81 * 5 * 24


def test_without_a_daemon_it_is_400_days_and_with_one_what_the_daemon_was_told_last(store: Store) -> None:
    assert store.retention.kept() == EVENTS_KEPT
    for days in (1000, 30):
        store.retention.keep(timedelta(days=days))
        assert store.retention.kept() == timedelta(days=days)

"""What repeats itself is one event with a count, so that a year of it is no more than a few lines a week."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import text

from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import ResourceKey
from reconciler.store import Store
from reconciler.store.rows import ledger
from reconciler.store.rows.ledger import TOLD

START = datetime(2026, 1, 1, tzinfo=UTC)
MACHINE, OTHER = ResourceKey("Machine", "r01-01"), ResourceKey("Machine", "r01-02")
WEEK = 7 * 24 * 60.0


def told(
    minutes: float, reason: str, message: str = "", key: ResourceKey | None = MACHINE, about: tuple[str, ...] = ()
) -> Event:
    at = START + timedelta(minutes=minutes)
    return Event(at, EventType.WARNING, EventReason(reason), message, key=key, by="root@host", about=about)


def kept(store: Store, events: Iterable[Event]) -> list[tuple[str, int]]:
    for event in events:
        store.append([event])
    return [(entry.event.reason, entry.event.count) for entry in store.events()]


def flapping(times: int) -> Iterator[Event]:
    for n in range(times):
        yield told(10 * n, "Unreachable", "no answer in time")
        yield told(10 * n + 5, "ReadableAgain", "Machine/m1 can be read again")


ONES = [("Unreachable", 1), ("ReadableAgain", 1)]


def test_a_bmc_that_comes_and_goes_is_told_three_times_and_then_counted(store: Store) -> None:
    assert kept(store, flapping(TOLD)) == ONES * TOLD
    assert kept(store, flapping(18)) == [*ONES * (TOLD - 1), ("Unreachable", 19), ("ReadableAgain", 19)]


def test_those_of_one_batch_count_like_others(store: Store) -> None:
    store.append(flapping(20))
    assert [entry.event.count for entry in store.events()] == [1] * 2 * (TOLD - 1) + [18, 18]


def test_drift_that_comes_back_is_one_story_though_it_says_since_when(store: Store) -> None:
    def day() -> Iterator[Event]:
        for n in range(20):
            since = f"{START + timedelta(minutes=10 * n):%Y-%m-%d %H:%M:%S}Z"
            yield told(10 * n, "DriftDetected", "spec.power is Off, but On is declared and was applied before")
            yield told(10 * n + 1, "ActionSent", f"power-on (On), because of drift since {since}")
            yield told(10 * n + 2, "ActionConfirmed", "power-on (On) took effect")

    rows = kept(store, day())
    ones = [("DriftDetected", 1), ("ActionSent", 1), ("ActionConfirmed", 1)]
    assert rows == [*ones * (TOLD - 1), ("DriftDetected", 18), ("ActionSent", 18), ("ActionConfirmed", 18)]


def test_what_is_refused_is_counted_from_the_second_time_on(store: Store) -> None:
    def refused() -> Iterator[Event]:
        for n in range(20):
            yield told(10 * n, "ActionSent", "power-on (On), because of commit aaaaaaa")
            yield told(10 * n + 1, "ActionRefused", "power-on (On) was refused: busy")

    assert kept(store, refused()) == [("ActionSent", 20), ("ActionRefused", 20)]


def test_what_is_done_because_of_another_commit_is_told(store: Store) -> None:
    sent = [told(n, "ActionSent", "power-on (On)", about=("power-on", f"{n:040x}")) for n in range(10)]
    refused = [told(n + 0.5, "ActionRefused", "power-on (On) was refused: busy") for n in range(10)]
    rows = kept(store, itertools.chain(*zip(sent, refused, strict=True)))
    assert [row for row in rows if row[0] == "ActionSent"] == [("ActionSent", 1)] * 10


def test_what_was_sent_and_is_not_told_of_yet_is_no_repeat(store: Store) -> None:
    assert kept(store, [told(n, "ActionSent", "power-on (On)") for n in range(2)]) == [("ActionSent", 1)] * 2


@pytest.mark.parametrize("key", [MACHINE, None], ids=str)
@pytest.mark.parametrize("reason", ["Busy", "ActionSent", "InventoryChanged"])
def test_a_bmc_that_never_says_the_same_fills_nothing(store: Store, reason: str, key: ResourceKey | None) -> None:
    """An error with a time, a request's id or random words in it, each time another: no words decide."""
    between = (told(n + 0.5, "ReadableAgain", key=key) for n in range(500))
    said = (told(n, reason, f"try {n}, {hash(str(n)):x}", key) for n in range(500))
    rows = kept(store, itertools.chain(*zip(said, between, strict=True)))
    assert [row for row in rows if row[0] == reason] == [*[(reason, 1)] * (TOLD - 1), (reason, 500 - TOLD + 1)]


def test_what_is_counted_says_what_was_said_last(store: Store) -> None:
    kept(store, (told(n, "ActionRefused", f"power-on (On) was refused: {n}") for n in range(5)))
    [entry] = store.events()
    assert (entry.event.count, entry.event.message) == (5, "power-on (On) was refused: 4")


@pytest.mark.parametrize("reason", ["InventoryChanged", "ActionConfirmed", "Held", "ActionRefused", "Busy"])
def test_what_is_about_something_else_is_another_story_in_the_same_words(store: Store, reason: str) -> None:
    events = (told(n, reason, "no", about=("memory", f"DIMM A{n}")) for n in range(20))
    assert kept(store, events) == [(reason, 1)] * 20


def test_what_it_is_about_is_kept_without_secrets_and_within_bounds(store: Store) -> None:
    store.append([told(0, "ActionSent", about=("insert-media", "https://root:hunter2@a.example/x\x1b[2J", "x" * 9000))])
    [entry] = store.events()
    assert "hunter2" not in str(entry.event.about)
    assert "\x1b" not in str(entry.event.about)
    assert len(entry.event.about[2]) < 2000


@pytest.mark.parametrize("reason", sorted(ledger.TOLD_EACH))
def test_what_a_person_a_commit_or_an_order_did_is_told_each_time(store: Store, reason: str) -> None:
    assert kept(store, (told(n, reason, "the same words") for n in range(3))) == [(reason, 1)] * 3


def test_what_was_done_ends_the_story_before(store: Store) -> None:
    rows = kept(store, [told(0, "Held", "why"), told(1, "BootRequested", "to Install"), told(2, "Held", "why")])
    assert rows == [("Held", 1), ("BootRequested", 1), ("Held", 1)]


def test_a_story_is_told_anew_each_week(store: Store) -> None:
    rows = kept(store, (told(minutes, "ActionRefused", "busy") for minutes in (0, WEEK - 1, WEEK)))
    assert rows == [("ActionRefused", 2), ("ActionRefused", 1)]


def test_a_clock_that_was_far_ahead_begins_another_story_when_it_is_put_back(store: Store) -> None:
    rows = kept(store, (told(minutes, "ActionRefused", "busy") for minutes in (100 * WEEK, 0, 1)))
    assert rows == [("ActionRefused", 1), ("ActionRefused", 2)]


@pytest.mark.parametrize("changed", [{"by": "eve@host"}, {"type": EventType.NORMAL}, {"key": OTHER}], ids=str)
def test_another_one_s_is_another_story(store: Store, changed: dict[str, object]) -> None:
    first = told(0, "ActionRefused", "busy")
    assert len(kept(store, [first, msgspec.structs.replace(first, **changed)])) == 2


def test_a_new_revision_of_which_nothing_concerns_it_does_not_end_a_story(store: Store) -> None:
    first = told(0, "ActionRefused", "busy")
    assert len(kept(store, [first, msgspec.structs.replace(first, revision="b" * 40)])) == 1


def test_newest_first_goes_by_the_last_time(store: Store) -> None:
    store.append([told(0, "ActionRefused", "no"), told(1, "Held", "why", OTHER), told(2, "ActionRefused", "no")])
    assert [entry.event.reason for entry in store.events(newest_first=True)] == ["ActionRefused", "Held"]
    assert [entry.event.reason for entry in store.events(newest_first=True, limit=1)] == ["ActionRefused"]
    assert [entry.event.reason for entry in store.events()] == ["ActionRefused", "Held"]


def test_repeats_are_found_by_their_time_for_who_watches(store: Store) -> None:
    store.append([told(0, "ActionRefused", "no"), told(1, "Held", "why", OTHER)])
    seen = store.last_event()
    assert store.repeats(START, seen) == []
    store.append([told(2, "ActionRefused", "no"), told(3, "Held", "why", MACHINE)])
    assert [(entry.event.reason, entry.event.count) for entry in store.repeats(START, seen)] == [("ActionRefused", 2)]
    assert store.repeats(START + timedelta(minutes=2), seen) == []


STORIES = {
    "it comes and goes": [("Unreachable", "no answer in time"), ("ReadableAgain", "Machine/m1 can be read again")],
    "in ever new words": [("Unreachable", "no answer: {n:x}"), ("ReadableAgain", "Machine/m1 can be read again")],
    "drift that comes back": [
        ("DriftDetected", "spec.power is Off, but On is declared and was applied before"),
        ("ActionSent", "power-on (On), because of drift since {at}"),
        ("ActionConfirmed", "power-on (On) took effect"),
    ],
    "refused writes": [("ActionSent", "set-indicator (Lit)"), ("ActionRefused", "set-indicator was refused: {n}")],
    "holds that come and go": [("Held", "disruption-budget: {n} of 4 are down; to proceed: wait")],
    "all of them": [
        ("Unreachable", "no answer in time"),
        ("ReadableAgain", "Machine/m1 can be read again"),
        ("Held", "disruption-budget: {n} of 4 are down"),
        ("DriftDetected", "spec.power is Off, but On is declared and was applied before"),
        ("ActionSent", "power-on (On), because of drift since {at}"),
        ("ActionRefused", "power-on (On) was refused: {n}"),
        ("SentToDisk", "by 10.0.0.7, no order"),
    ],
}


@pytest.mark.parametrize("story", STORIES)
def test_a_year_of_it_is_a_few_hundred_kilobytes(store: Store, story: str) -> None:
    """Once a day here; the number of rows does not depend on how often it happens."""

    def year() -> Iterator[Event]:
        for n in range(0, 365 * 24, 24):
            at = START + timedelta(hours=n)
            for minute, (reason, words) in enumerate(STORIES[story]):
                said = words.format(n=n * 7919, at=f"{at:%Y-%m-%d %H:%M:%S}Z")
                yield Event(
                    at + timedelta(minutes=minute),
                    EventType.WARNING,
                    EventReason(reason),
                    said,
                    key=MACHINE,
                    by="root@host",
                )

    store.append(year())
    with store.engine.connect() as connection:
        rows, size = connection.execute(text("SELECT count(*), sum(length(value)) FROM event")).one()
    assert size < 400_000, f"{rows} rows"

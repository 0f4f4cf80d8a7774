"""Pauses on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from reconciler.model.plans.pause import ResourcePause
from reconciler.store import Store, StoreError

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ONE = ResourcePause(
    "a1", "INC-7", "ada", AT, AT + HOUR, ("machines",), "rack in (r1)", frozenset({"Machine/m1", "Machine/m2"})
)
FOREVER = ResourcePause("a2", "INC-8", "ada", AT)


def told(store: Store) -> list[tuple[str, str]]:
    return [(entry.event.reason, entry.event.message) for entry in store.events()]


def test_what_is_added_is_read_back_and_in_the_ledger(store: Store) -> None:
    store.pauses.add(ONE)
    store.pauses.add(FOREVER)
    assert store.pauses.all() == (ONE, FOREVER)
    assert told(store) == [
        ("PauseBegan", "a1: machines -l rack in (r1) is paused until 2026-03-01 13:00:00Z: INC-7"),
        ("PauseBegan", "a2: everything is paused until `groundstate resume`: INC-8"),
    ]


def test_one_is_ended_once(store: Store) -> None:
    store.pauses.add(ONE)
    (ended,) = store.pauses.end(["a1"], "eve", AT + HOUR / 2)
    assert (ended.ended_by, ended.stands(AT + HOUR / 2)) == ("eve", False)
    assert store.pauses.all() == (msgspec.structs.replace(ended, known=frozenset()),)
    with pytest.raises(StoreError, match="has already ended"):
        store.pauses.end(["a1"], "eve", AT + HOUR / 2)
    assert [reason for reason, _ in told(store)] == ["PauseBegan", "PauseEnded"]


def test_all_end_or_none(store: Store) -> None:
    store.pauses.add(ONE)
    with pytest.raises(StoreError, match="no pause has the id 'zz'"):
        store.pauses.end(["a1", "zz"], "eve", AT)
    assert store.pauses.all() == (ONE,)


def test_the_end_of_one_is_told_once_and_one_without_end_stands(store: Store) -> None:
    store.pauses.add(ONE)
    store.pauses.add(FOREVER)
    assert store.pauses.expire(AT + HOUR / 2) == ()
    (event,) = store.pauses.expire(AT + HOUR)
    assert event.message == "a1: the pause of machines -l rack in (r1) ended at 2026-03-01 13:00:00Z"
    assert store.pauses.expire(AT + HOUR) == ()
    assert [one.id for one in store.pauses.all() if one.stands(AT + HOUR)] == ["a2"]

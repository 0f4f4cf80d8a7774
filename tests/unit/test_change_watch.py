"""Who reads the store every few seconds can ask first whether there is anything new."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.store import Store
from reconciler.store.sql.store_errors import StoreGone
from tests.unit.test_store_pauses import ONE


def test_a_change_is_seen_once_whoever_made_it(tmp_path: Path) -> None:
    mine, other = (Store.open(f"sqlite:///{tmp_path / 'state.db'}") for _ in range(2))
    with mine.change_watch() as may_have_changed:
        assert [may_have_changed(), may_have_changed()] == [True, False]
        other.pauses.add(ONE)
        assert [may_have_changed(), may_have_changed()] == [True, False]
        mine.pauses.expire(ONE.at)
        mine.put_meta("name", "value")
        assert [may_have_changed(), may_have_changed()] == [True, False]
    mine.close()
    other.close()


def test_where_changes_are_not_counted_there_may_always_be_one() -> None:
    store = Store.open("sqlite://")
    with store.change_watch() as may_have_changed:
        assert [may_have_changed(), may_have_changed()] == [True, True]
    store.close()


def test_a_store_that_was_deleted_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    store = Store.open(f"sqlite:///{file}")
    with store.change_watch() as may_have_changed:
        may_have_changed()
        file.unlink()
        with pytest.raises(StoreGone):
            may_have_changed()
    store.close()

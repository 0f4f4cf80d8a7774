"""Overrides and the daemon's own row, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import text

from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.common.field_types.label_selector import Unmatched
from reconciler.kinds.selectors import is_selected
from reconciler.model.plans.override import Override
from reconciler.model.resource import DesiredState, ResourceKey, Revision
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.standing import DaemonReport
from reconciler.store import Store, StoreError
from reconciler.store.rows.override_rows import OVERRIDES_KEPT, UNREADABLE_OVERRIDE
from reconciler.store.sql.store_errors import Fenced

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
EMPTY = DesiredState(Revision("0", "main", "fleet", None), {})
ONE = Override("a1", "disruption-budget", "INC-7", "ada@ops (override)", AT, AT + HOUR, ("machine/m1",), "rack in (r1)")
DAEMON = DaemonReport("ada (run)", AT, GuardLimits(max_disrupted=FleetShare(count=3)), "10.0.0.1")


def told(store: Store) -> list[str]:
    return [entry.event.reason for entry in store.events()]


class TestOverrides:
    def test_what_is_added_is_read_back_and_in_the_ledger(self, store: Store) -> None:
        store.overrides.add(ONE)
        assert store.overrides.all() == (ONE,)
        (entry,) = store.events()
        assert entry.event.by == "ada@ops (override)"
        assert entry.event.message == (
            "a1: guard disruption-budget is overridden until 2026-03-01 13:00:00Z for machine/m1 -l rack in (r1): INC-7"
        )

    def test_one_is_revoked_once(self, store: Store) -> None:
        store.overrides.add(ONE)
        ended = store.overrides.revoke("a1", "eve", AT + HOUR / 2)
        assert store.overrides.all() == (ended,)
        assert (ended.revoked_by, ended.in_force(AT + HOUR / 2)) == ("eve", False)
        with pytest.raises(StoreError, match="has already ended"):
            store.overrides.revoke("a1", "eve", AT + HOUR / 2)
        assert told(store) == ["OverrideBegan", "OverrideRevoked"]

    def test_one_that_is_not_there_or_over_is_not_revoked(self, store: Store) -> None:
        store.overrides.add(ONE)
        with pytest.raises(StoreError, match="no override has the id 'zz'"):
            store.overrides.revoke("zz", "eve", AT)
        with pytest.raises(StoreError, match="has already ended"):
            store.overrides.revoke("a1", "eve", AT + HOUR)

    def test_the_end_of_one_is_told_once(self, store: Store) -> None:
        store.overrides.add(ONE)
        assert store.overrides.expire(AT + HOUR / 2) == ()
        (event,) = store.overrides.expire(AT + HOUR)
        assert "ended at 2026-03-01 13:00:00Z" in event.message
        assert store.overrides.expire(AT + 2 * HOUR) == ()
        assert told(store) == ["OverrideBegan", "OverrideExpired"]

    def test_one_that_was_revoked_does_not_expire(self, store: Store) -> None:
        store.overrides.add(ONE)
        store.overrides.revoke("a1", "eve", AT)
        assert store.overrides.expire(AT + HOUR) == ()

    def test_those_that_are_over_for_long_are_listed_no_more(self, store: Store) -> None:
        late = msgspec.structs.replace(ONE, id="b2", until=AT + 2 * OVERRIDES_KEPT)
        for one in (ONE, late):
            store.overrides.add(one)
        store.overrides.expire(AT + HOUR)
        store.overrides.expire(AT + 3 * OVERRIDES_KEPT)
        assert [one.id for one in store.overrides.all()] == ["b2"]

    def test_a_row_that_was_damaged_covers_nothing_and_hides_no_other(self, store: Store) -> None:
        for one in (ONE, msgspec.structs.replace(ONE, id="b2")):
            store.overrides.add(one)
        with store.engine.begin() as connection:
            connection.execute(text("UPDATE override SET targets = '[1' WHERE id = 'a1'"))
        first, second = store.overrides.all()
        assert (first.targets, second) == ((UNREADABLE_OVERRIDE,), msgspec.structs.replace(ONE, id="b2"))
        with pytest.raises(Unmatched):
            is_selected(first.targets, "", ResourceKey("Machine", "m1"), EMPTY, {})


class TestTheDaemon:
    def test_none_was_there(self, store: Store) -> None:
        assert store.daemon.get() is None

    def test_what_it_says_is_read_back(self, store: Store) -> None:
        with store.instance("run") as epoch:
            store.daemon.put(DAEMON, epoch, AT)
            store.daemon.heartbeat(DAEMON, epoch, AT + HOUR)
        found = store.daemon.get()
        assert found == msgspec.structs.replace(DAEMON, seen_at=AT + HOUR)
        assert found is not None
        assert found.at_work(AT + HOUR)

    def test_one_that_left_is_not_at_work(self, store: Store) -> None:
        with store.instance("run") as epoch:
            store.daemon.put(DAEMON, epoch, AT)
            store.daemon.leave(epoch)
        found = store.daemon.get()
        assert found is not None
        assert not found.at_work(AT)

    def test_one_that_was_killed_is_not_at_work_as_soon_as_another_holds_the_store(self, store: Store) -> None:
        with store.instance("run") as epoch:
            store.daemon.put(DAEMON, epoch, AT)
        with store.instance("apply"):
            found = store.daemon.get()
        assert found is not None
        assert not found.at_work(AT)
        with pytest.raises(Fenced):
            store.daemon.heartbeat(DAEMON, epoch, AT)

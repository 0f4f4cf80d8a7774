"""A store says by a mark that something in it may have changed, so that who watches it need not read it."""

from __future__ import annotations

import pytest

from reconciler.kinds.common.column import ResourceView
from reconciler.model.observation import Observation
from reconciler.model.outcome import Condition, ConditionReason, ConditionType, Status
from reconciler.operations.reports import resource_views
from reconciler.operations.reports.resource_views import ListRequest, ResourceList, watch_resources
from reconciler.planning.guards.standing import CommandLimits
from reconciler.runtime import now
from reconciler.store import Store
from tests.unit.planning_worlds import machine
from tests.unit.test_store_pauses import ONE


def test_another_process_s_change_changes_the_mark(store_url: str) -> None:
    store = Store.open(store_url)
    reader = Store.read_only(store_url)
    before = reader.mark()
    assert reader.mark() == before
    store.pauses.add(ONE)
    assert reader.mark() != before
    store.close()
    reader.close()


def test_a_store_in_memory_has_a_mark() -> None:
    store = Store.open("sqlite://")
    assert store.mark() == store.mark()
    store.close()


@pytest.mark.parametrize(("marks", "lists"), [("aaaa", 1), ("abbb", 2), ("abbcc", 3)])
def test_the_list_is_made_again_only_where_something_may_have_changed(
    monkeypatch: pytest.MonkeyPatch, marks: str, lists: int
) -> None:
    """`get -w` beside a daemon at rest reads no fleet, and plans none."""
    left, made = list(marks), []

    def mark(_: object) -> str:
        if not left:
            raise KeyboardInterrupt
        return left.pop(0)

    def listing(*_: object) -> ResourceList:
        made.append(1)
        return ResourceList([])

    monkeypatch.setattr(resource_views, "_mark", mark)
    monkeypatch.setattr(resource_views, "list_resources", listing)
    with pytest.raises(KeyboardInterrupt):
        for _ in watch_resources(None, CommandLimits(), ListRequest(), lambda _: None):  # type: ignore[arg-type]
            pass
    assert len(made) == lists


@pytest.mark.parametrize(("second", "rows"), [("matches main@1", [1, 0]), ("matches main@2", [1, 1])])
def test_a_row_is_printed_again_only_where_something_but_times_is_new(
    monkeypatch: pytest.MonkeyPatch, second: str, rows: list[int]
) -> None:
    marks, messages = iter("abbb"), iter(["matches main@1", second])

    def listing(*_: object) -> ResourceList:
        at = now()
        ready = Condition(ConditionType.READY, Status.TRUE, ConditionReason.RECONCILED, next(messages), at)
        seen = Observation(machine("m1").key, at)
        return ResourceList([ResourceView(seen.key, None, seen, "Ready", (ready,), {})])

    monkeypatch.setattr(resource_views, "_mark", lambda _: next(marks))
    monkeypatch.setattr(resource_views, "list_resources", listing)
    watched = watch_resources(None, CommandLimits(), ListRequest(), lambda _: None)  # type: ignore[arg-type]
    assert [len(next(watched).views) for _ in rows] == rows

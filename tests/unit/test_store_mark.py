"""A store says by a mark that something in it may have changed, so that who watches it need not read it."""

from __future__ import annotations

import pytest

from reconciler.operations.reports import resource_views
from reconciler.operations.reports.resource_views import ListRequest, ResourceList, watch_resources
from reconciler.planning.guards.standing import CommandLimits
from reconciler.store import Store
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

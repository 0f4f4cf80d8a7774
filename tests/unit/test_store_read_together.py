"""What is read together is one transaction, which is what an idle PostgreSQL is asked for."""

from __future__ import annotations

from sqlalchemy import event
from sqlalchemy.engine import Connection

from reconciler.store import Store


def test_what_is_read_together_is_one_transaction(empty_postgresql_url: str) -> None:
    store = Store.open(empty_postgresql_url)
    begun: list[Connection] = []
    event.listen(store.engine, "begin", begun.append)
    with store.read_together():
        assert (store.overrides.all(), store.pauses.all(), store.last_event()) == ((), (), 0)
    assert len(begun) == 1
    assert (store.overrides.all(), store.pauses.all()) == ((), ())
    assert len(begun) == 3
    store.close()


def test_what_is_read_together_is_not_read_from_another_store(empty_postgresql_url: str, store: Store) -> None:
    other = Store.open(empty_postgresql_url)
    begun: list[Connection] = []
    event.listen(store.engine, "begin", begun.append)
    with other.read_together():
        assert store.overrides.all() == ()
    assert len(begun) == 1
    other.close()

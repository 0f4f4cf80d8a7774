"""Which worker owns which shard, by leases on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest

from reconciler.model.shard import SLOTS, Shard, ShardId, WorkerDaemon, slot_of
from reconciler.store import Fenced, Store
from reconciler.store.lease.instance import StoreHolder
from reconciler.store.sql.store_errors import StoreError

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
LONG, ENDED = 300.0, 0.0
S1, S2, S3 = (ShardId("fra1", slot) for slot in (1, 2, 3))


def daemon(host: str, *, since: datetime = SINCE) -> StoreHolder:
    return StoreHolder("run", 1, host, since)


A, B = daemon("a"), daemon("b")


@pytest.fixture
def store(empty_postgresql_url: str) -> Iterator[Store]:
    opened = Store.open(empty_postgresql_url)
    yield opened
    opened.close()


@pytest.fixture
def control(store: Store) -> Iterator[int]:
    with store.instance("run") as epoch:
        yield epoch


def of(store: Store, one: ShardId) -> Shard:
    return next(shard for shard in store.shards.all() if shard.id == one)


def test_a_shard_is_read_as_it_is_written() -> None:
    assert str(ShardId("fra1", 3)) == "fra1/3"
    assert ShardId.parse("fra1/3") == ShardId("fra1", 3)
    assert ShardId.parse("a/b/3") == ShardId("a/b", 3)


@pytest.mark.parametrize("text", ["", "fra1", "fra1/", "fra1/x", "fra1/-1", f"fra1/{SLOTS}", "fra1/²", "fra1/1 "])
def test_other_text_is_no_shard(text: str) -> None:
    with pytest.raises(ValueError, match="is no shard: it has the form PARTITION/SLOT"):
        ShardId.parse(text)


def test_a_slot_is_equal_in_each_process_and_version() -> None:
    assert [slot_of(lock) for lock in ("https://10.0.0.1", "https://10.0.0.2", "ä", "\udcff")] == [1, 11, 3, 7]


def test_nobody_has_a_new_shard(store: Store, control: int) -> None:
    store.shards.want(control, {S2: "a/1", S1: None})
    assert store.shards.all() == (Shard(S1, 0, None, None, 0.0), Shard(S2, 0, "a/1", None, 0.0))


def test_a_worker_takes_what_it_is_wanted_for(store: Store, control: int) -> None:
    store.shards.want(control, {S1: "a/1", S2: "b/1", S3: None})
    assert store.shards.beat(A, (), LONG) == {S1: 1}
    assert store.shards.beat(B, (), LONG) == {S2: 1}
    assert of(store, S1).owner == "a/1"
    assert LONG - 60 < of(store, S1).seconds_left <= LONG


def test_a_renewal_changes_no_epoch(store: Store, control: int) -> None:
    store.shards.want(control, {S1: "a/1"})
    assert store.shards.beat(A, (), LONG) == store.shards.beat(A, (), LONG) == {S1: 1}


def test_what_a_worker_had_when_its_lease_ended_it_takes_anew(store: Store, control: int) -> None:
    store.shards.want(control, {S1: "a/1"})
    assert store.shards.beat(A, (), ENDED) == {S1: 1}
    assert store.shards.beat(A, (), LONG) == {S1: 3}


def test_what_is_taken_from_a_worker_while_it_is_paused_is_not_its_own_afterwards(store: Store, control: int) -> None:
    store.shards.want(control, {S1: "a/1"})
    store.shards.beat(A, (), ENDED)
    store.shards.want(control, {S1: None})
    assert store.shards.beat(A, (), LONG) == {}
    assert of(store, S1).owner is None


def test_another_worker_takes_over_only_after_the_lease_ended(store: Store, control: int) -> None:
    store.shards.want(control, {S1: "a/1"})
    store.shards.beat(A, (), LONG)
    store.shards.want(control, {S1: "b/1"})
    assert store.shards.beat(B, (), LONG) == {}
    store.shards.beat(A, (), ENDED)
    assert store.shards.beat(B, (), LONG) == {S1: 2}
    assert of(store, S1).owner == "b/1"


def test_a_paused_worker_does_not_get_back_what_was_taken_over(store: Store, control: int) -> None:
    store.shards.want(control, {S1: "a/1"})
    store.shards.beat(A, (), ENDED)
    store.shards.want(control, {S1: "b/1"})
    store.shards.beat(B, (), LONG)
    assert store.shards.beat(A, (), LONG) == {}
    store.shards.want(control, {S1: "a/1"})
    assert store.shards.beat(A, (), LONG) == {}


def test_what_a_worker_is_not_wanted_for_any_more_it_gives_up_when_it_has_finished(store: Store, control: int) -> None:
    store.shards.want(control, {S1: "a/1", S2: "a/1"})
    store.shards.beat(A, (), LONG)
    store.shards.want(control, {S1: "b/1"})
    assert store.shards.beat(A, (), LONG) == {S1: 1, S2: 1}
    assert store.shards.beat(A, (), LONG, release={S1, S2}) == {S2: 1}
    assert of(store, S1).owner is None
    assert store.shards.beat(B, (), LONG) == {S1: 3}


def test_a_worker_that_leaves_releases_all(store: Store, control: int) -> None:
    store.shards.want(control, {S1: "a/1"})
    store.shards.beat(A, (), LONG)
    store.shards.leave(A)
    assert store.shards.workers() == ()
    store.shards.want(control, {S1: "b/1"})
    assert store.shards.beat(B, (), LONG) == {S1: 3}


def test_an_owner_of_whom_no_row_is_left_keeps_nobody_out(store: Store, control: int) -> None:
    store.shards.want(control, {S1: "a/1"})
    store.shards.beat(A, (), LONG)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM worker")
    store.shards.want(control, {S1: "b/1"})
    assert store.shards.beat(B, (), LONG) == {S1: 2}


def test_workers_are_those_whose_lease_runs(store: Store, control: int) -> None:
    store.shards.beat(B, ("fra2", "fra1"), LONG)
    store.shards.beat(A, (), LONG)
    assert store.shards.workers() == (
        (A, WorkerDaemon("a/1")),
        (B, WorkerDaemon("b/1", ("fra1", "fra2"))),
    )
    store.shards.beat(A, (), ENDED)
    assert [who for who, _ in store.shards.workers()] == [B]


def test_a_worker_is_removed_a_minute_after_its_lease(store: Store, control: int) -> None:
    store.shards.beat(A, (), -59.0)
    store.shards.beat(B, (), -61.0)
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT name FROM worker").scalars().all() == ["a/1"]


def test_a_process_of_the_same_name_waits_for_the_end_of_the_earlier_one(store: Store, control: int) -> None:
    """As of a container that is started again: its processes are all number 1 of the same host."""
    again = daemon("a", since=SINCE.replace(minute=1))
    store.shards.want(control, {S1: "a/1", S2: "a/1"})
    store.shards.beat(A, (), LONG)
    store.shards.want(control, {S2: "b/1"})
    assert store.shards.beat(again, (), LONG) == {}
    store.shards.leave(again)
    assert store.shards.beat(A, (), ENDED) == {S1: 1, S2: 1}
    assert store.shards.beat(again, (), LONG) == {S1: 3}
    assert of(store, S2).owner is None
    assert store.shards.beat(A, (), LONG) == {}


def test_a_process_that_lost_the_store_changes_no_shard(store: Store) -> None:
    with store.instance("run") as earlier:
        store.shards.want(earlier, {S1: "a/1"})
    with store.instance("run"), pytest.raises(Fenced, match="another groundstate process has taken over"):
        store.shards.want(earlier, {S1: "b/1"})
    assert [shard.wanted for shard in store.shards.all()] == ["a/1"]


def test_who_leaves_keeps_the_shards_in_which_something_is_in_hand_until_its_lease_ends(
    store: Store, control: int
) -> None:
    store.shards.want(control, {S1: "a/1", S2: "a/1"})
    store.shards.beat(A, (), LONG)
    store.shards.leave(A, [S1])
    assert [(of(store, one).owner, of(store, one).seconds_left > 0) for one in (S1, S2)] == [
        ("a/1", True),
        (None, False),
    ]
    store.shards.want(control, {S1: "b/1", S2: "b/1"})
    assert list(store.shards.beat(B, (), LONG)) == [S2]
    store.shards.leave(A)
    assert sorted(store.shards.beat(B, (), LONG)) == [S1, S2]


def test_who_leaves_and_has_something_in_hand_is_to_get_no_more(store: Store, control: int) -> None:
    store.shards.want(control, {S1: "a/1"})
    store.shards.beat(A, (), LONG)
    store.shards.leave(A, [S1])
    assert store.shards.workers() == ((A, WorkerDaemon("a/1", is_leaving=True)),)


def test_a_worker_ends_when_a_newer_program_has_changed_the_schema(store: Store, control: int) -> None:
    assert store.shards.news(A, "revision").shards == ()
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="A newer groundstate made the store"):
        store.shards.news(A, "revision")


def test_who_takes_over_waits_for_a_renewal_that_is_under_way(
    store: Store, control: int, postgresql_database: str
) -> None:
    store.shards.want(control, {S1: "a/1"})
    store.shards.beat(A, (), ENDED)
    store.shards.want(control, {S1: "b/1"})
    with psycopg.connect(postgresql_database) as renewing, ThreadPoolExecutor(1) as pool:
        renewing.execute("UPDATE worker SET ends_at = clock_timestamp() + interval '1 hour' WHERE name = 'a/1'")
        taken = pool.submit(store.shards.beat, B, (), LONG)
        _until_one_waits(postgresql_database, taken)
        renewing.commit()
        assert taken.result() == {}
    assert of(store, S1).owner == "a/1"


def test_a_shard_has_one_owner_while_all_take_from_each_other(store: Store, control: int) -> None:
    """Leases end at once, and each worker is wanted for what others own. PostgreSQL would end a deadlock with an
    error."""
    shards = [ShardId("fra1", slot) for slot in range(SLOTS)]
    workers = [daemon(f"w{number}") for number in range(4)]
    taken: list[tuple[ShardId, int, str]] = []

    def work(number: int) -> None:
        me = workers[number]
        seen: dict[ShardId, int] = {}
        for turn in range(25):
            if number == 0:
                others = {one: workers[(one.slot + turn) % 4].name_of_process for one in shards}
                store.shards.want(control, others)
            owned = store.shards.beat(me, (), -1.0 if turn % 2 else 0.001, release=shards[:4])
            taken.extend((one, epoch, me.host) for one, epoch in owned.items() if seen.get(one) != epoch)
            seen = owned

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    by_epoch = {(one, epoch) for one, epoch, _ in taken}
    assert len(by_epoch) == len({(one, epoch, host) for one, epoch, host in taken}) > SLOTS


def _until_one_waits(url: str, call: Future[dict[ShardId, int]]) -> None:
    """Return once a session of the database waits for a lock, or the call has not waited for one."""
    with psycopg.connect(url, autocommit=True) as looking:
        waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        while looking.execute(waits).fetchone() is None and not call.done():
            threading.Event().wait(0.01)


def test_a_file_has_no_shards_and_no_workers() -> None:
    store = Store.open("sqlite://")
    assert store.shards.all() == ()
    assert store.shards.workers() == ()
    store.close()


def test_a_worker_of_another_version_whose_row_cannot_be_read_is_none(store: Store, control: int) -> None:
    store.shards.beat(A, (), LONG)
    store.shards.beat(B, (), LONG)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE worker SET value = '{}' WHERE name = 'a/1'")
    assert [process for process, _ in store.shards.workers()] == [B]

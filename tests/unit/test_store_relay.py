"""Requests to workers and their answers: each is taken once, and none by who has lost its shard or the store."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import msgspec
import pytest

from reconciler.model.shard import ShardId
from reconciler.store import Fenced, Store, StoreError
from reconciler.store.lease.instance import StoreHolder
from reconciler.store.rows.relay_rows import RelayAnswer, RelayRequest
from tests.databases import NoPostgresql, crash, server_url, start_again, start_server, stop_server

S1, S2 = ShardId("fra1", 1), ShardId("fra1", 2)
WORKER = StoreHolder("run", 1, "a", datetime(2026, 1, 1, tzinfo=UTC))
OTHER = StoreHolder("run", 1, "b", datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def store(empty_postgresql_url: str) -> Iterator[Store]:
    opened = Store.open(empty_postgresql_url)
    yield opened
    opened.close()


@pytest.fixture
def control(store: Store) -> Iterator[int]:
    with store.instance("run") as epoch:
        store.shards.want(epoch, {S1: "a/1", S2: "a/1"})
        store.shards.beat(WORKER, (), 300)
        yield epoch


@pytest.fixture
def server() -> Iterator[Path]:
    """The directory of a server of one test alone. Its socket's name may not be long."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)  # The server may run as another user.
        directory = Path(name) / "pg"
        try:
            start_server(directory)
        except NoPostgresql as missing:
            pytest.skip(str(missing))
        try:
            yield directory
        finally:
            stop_server(directory)


def request(name: str, control: int, shard: ShardId = S1, epoch: int = 1) -> RelayRequest:
    return RelayRequest(name, shard, epoch, control, f'{{"key":"Machine/{name}"}}')


def count(store: Store, table: str) -> object:
    with store.engine.connect() as connection:
        return connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()  # noqa: S608


def test_requests_are_taken_in_their_order_and_once(store: Store, control: int) -> None:
    asked = [request(name, control) for name in ("m3", "m1", "m2")]
    store.relay.ask(asked[:2])
    store.relay.ask(asked[2:])
    assert store.relay.take({S1: 1}) == asked
    assert store.relay.take({S1: 1}) == []


def test_a_worker_takes_those_of_its_shards_alone(store: Store, control: int) -> None:
    first, second = request("m1", control), request("m2", control, S2)
    store.relay.ask([first, second])
    assert store.relay.take({S2: 1}) == [second]
    assert store.relay.take({}) == []
    assert store.relay.take({S1: 1, S2: 1}) == [first]


def test_many_that_take_at_once_get_each_request_once(store: Store, control: int) -> None:
    names = [f"m{number}" for number in range(400)]

    def ask(number: int) -> list[str]:
        for one in names[number::4]:
            store.relay.ask([request(one, control, (S1, S2)[number % 2])])
        return []

    def take(_number: int) -> list[str]:
        return [one.id for _ in range(100) for one in store.relay.take({S1: 1, S2: 1})]

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask, number) for number in range(4)]
        taking = [pool.submit(take, number) for number in range(4)]
        taken = list(chain.from_iterable(one.result() for one in (*asking, *taking)))
    taken += [one.id for one in store.relay.take({S1: 1, S2: 1})]
    assert sorted(taken) == sorted(names)


def test_no_request_outlives_a_crash_of_the_database(server: Path) -> None:
    """Else one that was taken might come back, and be carried out twice."""
    store = Store.open(server_url(server, "postgres"))
    with store.instance("run") as epoch:
        store.shards.want(epoch, {S1: "a/1", S2: "a/1"})
        store.shards.beat(WORKER, (), 300)
        store.relay.ask([request("m1", epoch), request("m2", epoch, S2)])
        store.relay.answer([RelayAnswer("{}")])
        assert [one.id for one in store.relay.take({S1: 1})] == ["m1"]
    store.close()
    crash(server)
    start_again(server)
    store = Store.open(server_url(server, "postgres"))
    assert store.relay.take({S1: 1, S2: 1}) == []
    assert store.relay.answers(epoch) == []
    assert [one.epoch for one in store.shards.all()] == [1, 1]
    store.close()


def test_a_request_is_taken_by_its_shard_s_owner_alone_while_shards_change_hands(store: Store, control: int) -> None:
    """Leases end at once, and control wants another worker for each shard each time."""
    shards = [ShardId("fra1", slot) for slot in range(8)]
    workers = [msgspec.structs.replace(WORKER, host=f"w{number}") for number in range(3)]
    owners: list[tuple[ShardId, int, str]] = []
    taken: list[tuple[RelayRequest, str]] = []
    stop = threading.Event()

    def work(me: StoreHolder) -> None:
        while not stop.is_set():
            held = store.shards.beat(me, (), 0)
            owners.extend((one, epoch, me.host) for one, epoch in held.items())
            for _ in range(3):
                taken.extend((one, me.host) for one in store.relay.take(held))

    def ask() -> None:
        for turn in range(60):
            store.shards.want(control, {one: workers[(one.slot + turn) % 3].name_of_process for one in shards})
            known = {one.id: one.epoch for one in store.shards.all()}
            store.relay.ask([request(f"{turn}-{one}", control, one, known[one]) for one in shards])

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(work, me) for me in workers]
        asking = pool.submit(ask)
        asking.add_done_callback(lambda _: stop.set())
    assert [one.result() for one in (asking, *working)] == [None] * 4
    by_epoch = {(shard, epoch): host for shard, epoch, host in owners}
    assert len(by_epoch) == len(set(owners))
    assert len({one.id for one, _ in taken}) == len(taken)
    assert all(by_epoch[one.shard, one.shard_epoch] == host for one, host in taken)


def test_who_has_lost_a_shard_takes_nothing_of_it(store: Store, control: int) -> None:
    store.relay.ask([request("m1", control)])
    store.shards.beat(WORKER, (), -1)
    store.shards.want(control, {S1: "b/1"})
    assert store.shards.beat(OTHER, (), 300) == {S1: 2}
    store.relay.ask([request("m2", control, epoch=2), request("m3", control, S2)])
    assert [one.id for one in store.relay.take({S1: 1, S2: 1})] == ["m3"]
    assert [one.id for one in store.relay.take({S1: 2})] == ["m2"]


def test_what_was_asked_before_a_lease_ended_is_not_carried_out_late(store: Store, control: int) -> None:
    """The daemon in control counts it as lost by then, and may have sent it by another way."""
    store.relay.ask([request("m1", control)])
    store.shards.beat(WORKER, (), -1)
    late = store.shards.beat(WORKER, (), 300)
    assert store.relay.take({S1: 1}) == store.relay.take(late) == []


def test_who_has_released_a_shard_takes_nothing_of_it(store: Store, control: int) -> None:
    store.relay.ask([request("m1", control)])
    store.shards.leave(WORKER)
    assert store.relay.take({S1: 1}) == []


def test_what_was_asked_of_an_earlier_owner_is_dropped(store: Store, control: int) -> None:
    store.relay.ask([request("m1", control)])
    store.shards.beat(WORKER, (), -1)
    store.shards.want(control, {S1: "b/1"})
    store.shards.beat(OTHER, (), 300)
    assert store.relay.take({S1: 2}) == []
    assert count(store, "relay_request") == 0


def test_who_takes_the_store_drops_what_was_asked_before(store: Store) -> None:
    with ExitStack() as before:
        epoch = before.enter_context(store.instance("run"))
        store.shards.want(epoch, {S1: "a/1"})
        store.shards.beat(WORKER, (), 300)
        store.relay.ask([request("m1", epoch)])
    with store.instance("run") as later:
        assert count(store, "relay_request") == 0
        with pytest.raises(Fenced, match="another groundstate process has taken over"):
            store.relay.ask([request("m2", epoch)])
        store.relay.ask([request("m3", later)])
        assert [one.id for one in store.relay.take({S1: 1})] == ["m3"]


def test_a_request_of_an_earlier_control_process_is_not_taken(store: Store, control: int) -> None:
    store.relay.ask([request("m1", control)])
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE instance SET epoch = epoch + 1")
    assert store.relay.take({S1: 1}) == []
    assert count(store, "relay_request") == 0
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE instance SET epoch = epoch - 1")


def test_all_or_none_are_asked(store: Store, control: int) -> None:
    with pytest.raises(StoreError, match="duplicate key"):
        store.relay.ask([request("m1", control), request("m2", control), request("m1", control)])
    assert store.relay.take({S1: 1}) == []


def test_answers_are_taken_in_their_order_and_once(store: Store, control: int) -> None:
    answers = [RelayAnswer('{"id":"m2"}'), RelayAnswer('"\\u0000 ü"'), RelayAnswer("{}")]
    store.relay.answer(answers[:2])
    store.relay.answer(answers[2:])
    assert store.relay.answers(control) == answers
    assert store.relay.answers(control) == []


def test_a_process_that_was_replaced_takes_no_answer_of_its_successor(store: Store, control: int) -> None:
    store.relay.answer([RelayAnswer("{}")])
    with pytest.raises(Fenced):
        store.relay.answers(control - 1)
    assert store.relay.answers(control) == [RelayAnswer("{}")]


def test_what_is_left_of_earlier_processes_is_cleared(store: Store, control: int) -> None:
    store.relay.ask([request("m1", control)])
    store.relay.answer([RelayAnswer("{}")])
    store.relay.clear(control)
    assert store.relay.answers(control) == []
    assert [one.id for one in store.relay.take({S1: 1})] == ["m1"]
    with pytest.raises(Fenced):
        store.relay.clear(control - 1)

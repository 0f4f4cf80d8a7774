"""Which worker is to have which shard."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.shard import SLOTS, ShardId, WorkerDaemon
from reconciler.workqueue.shard_assignment import assign

CONTROL = "c"
PARTITIONS = ("fra1", "fra2", "ams1")
SHARDS = [ShardId(partition, slot) for partition in PARTITIONS for slot in range(SLOTS)]
EVEN = {one: 10 for one in SHARDS if one.partition == "fra1"}
A, B, D, NEW = (WorkerDaemon(name) for name in ("a", "b", "d", "new"))

sizes = st.dictionaries(st.sampled_from(SHARDS), st.integers(1, 60))
own = st.frozensets(st.sampled_from(PARTITIONS))
named = st.builds(
    WorkerDaemon, st.sampled_from("abdefg"), st.sets(st.sampled_from(PARTITIONS)).map(lambda one: tuple(sorted(one)))
)
fleets = st.lists(named, max_size=6, unique_by=lambda one: one.name)
before = st.dictionaries(st.sampled_from(SHARDS), st.sampled_from([*"abdefgx", CONTROL, None]))
general = st.lists(st.sampled_from("abdefg").map(WorkerDaemon), min_size=1, max_size=6, unique=True)

Assigned = dict[ShardId, str | None]


def loads(assigned: Assigned, machines: dict[ShardId, int]) -> Counter[str | None]:
    found: Counter[str | None] = Counter()
    for shard, worker in assigned.items():
        found[worker] += machines[shard]
    return found


def may_have(shard: ShardId, own_workers: frozenset[str], workers: list[WorkerDaemon]) -> set[str | None]:
    if shard.partition in own_workers:
        return {one.name for one in workers if shard.partition in one.partitions} or {None}
    return {one.name for one in workers if not one.partitions or shard.partition in one.partitions} | {None}


def test_without_workers_the_daemon_in_control_has_all() -> None:
    assert assign({}, EVEN, (), (), CONTROL) == dict.fromkeys(EVEN)


@pytest.mark.parametrize(
    ("workers", "parts"),
    [
        ((A,), {"a": 80, None: 80}),
        ((A, B), {"a": 60, "b": 50, None: 50}),
        ((A, B, D), {"a": 40, "b": 40, "d": 40, None: 40}),
        ((WorkerDaemon(CONTROL), A), {"a": 80, None: 80}),
        ((WorkerDaemon("a", ("fra2",)),), {None: 160}),
        ((WorkerDaemon("a", is_leaving=True), B), {"b": 80, None: 80}),
        ((WorkerDaemon("a", ("fra1", "fra2")),), {"a": 80, None: 80}),
    ],
)
def test_each_gets_its_part(workers: tuple[WorkerDaemon, ...], parts: dict[str | None, int]) -> None:
    assert loads(assign({}, EVEN, (), workers, CONTROL), EVEN) == parts


def test_of_two_parts_that_cannot_be_equal_the_daemon_in_control_gets_the_smaller_one() -> None:
    three = {ShardId("fra1", slot): 1 for slot in range(3)}
    for wanted in ({}, dict.fromkeys(three), dict.fromkeys(three, "a")):
        assert loads(assign(wanted, three, (), (A,), CONTROL), three) == {"a": 2, None: 1}


def test_a_partition_with_its_own_workers_goes_to_no_other() -> None:
    site = WorkerDaemon("site", ("fra1",))
    assert set(assign({}, EVEN, {"fra1"}, (A, site), CONTROL).values()) == {"site"}
    assert set(assign(dict.fromkeys(EVEN, "site"), EVEN, {"fra1"}, (A,), CONTROL).values()) == {None}
    assert set(assign(dict.fromkeys(EVEN), EVEN, {"fra1"}, (A, site), CONTROL).values()) == {"site"}


def test_only_the_surplus_moves_to_a_worker_that_joins() -> None:
    alone = assign({}, EVEN, (), (A,), CONTROL)
    joined = assign(alone, EVEN, (), (A, B), CONTROL)
    assert loads(joined, EVEN) == {"a": 60, "b": 50, None: 50}
    assert {joined[one] for one in EVEN if joined[one] != alone[one]} == {"b"}


@given(before, sizes, own, fleets)
def test_each_shard_is_with_one_that_may_have_it(
    wanted: Assigned, machines: dict[ShardId, int], own_workers: frozenset[str], workers: list[WorkerDaemon]
) -> None:
    assigned = assign(wanted, machines, own_workers, workers, CONTROL)
    assert assigned.keys() == machines.keys()
    assert all(worker in may_have(shard, own_workers, workers) for shard, worker in assigned.items())


@given(before, sizes, own, fleets)
def test_what_was_assigned_stays_so(
    wanted: Assigned, machines: dict[ShardId, int], own_workers: frozenset[str], workers: list[WorkerDaemon]
) -> None:
    assigned = assign(wanted, machines, own_workers, workers, CONTROL)
    assert assign(assigned, machines, own_workers, workers, CONTROL) == assigned


@given(before, sizes, own, fleets, st.randoms(use_true_random=False))
def test_the_order_of_what_is_given_does_not_matter(
    wanted: Assigned,
    machines: dict[ShardId, int],
    own_workers: frozenset[str],
    workers: list[WorkerDaemon],
    chance: Random,
) -> None:
    shuffled: list[list[Any]] = [list(one) for one in (wanted.items(), machines.items(), workers)]
    for one in shuffled:
        chance.shuffle(one)
    mixed = assign(dict(shuffled[0]), dict(shuffled[1]), sorted(own_workers), shuffled[2], CONTROL)
    assert mixed == assign(wanted, machines, own_workers, workers, CONTROL)


@given(before, sizes, own, fleets)
def test_no_candidate_has_less_than_another_by_more_than_a_shard(
    wanted: Assigned, machines: dict[ShardId, int], own_workers: frozenset[str], workers: list[WorkerDaemon]
) -> None:
    assigned = assign(wanted, machines, own_workers, workers, CONTROL)
    parts = loads({one: who for one, who in assigned.items() if one.partition not in own_workers or who}, machines)
    for shard, worker in assigned.items():
        for other in may_have(shard, own_workers, workers) - {worker}:
            movable = [
                machines[one]
                for one, who in assigned.items()
                if who == worker and other in may_have(one, own_workers, workers)
            ]
            assert parts[worker] - parts[other] <= max(movable)


@given(sizes, general)
def test_a_worker_that_leaves_moves_its_own_shards_alone(
    machines: dict[ShardId, int], workers: list[WorkerDaemon]
) -> None:
    assigned = assign({}, machines, (), workers, CONTROL)
    left = assign(assigned, machines, (), workers[1:], CONTROL)
    assert all(left[shard] == worker for shard, worker in assigned.items() if worker != workers[0].name)


@given(sizes, general)
def test_a_worker_that_joins_gets_its_part(machines: dict[ShardId, int], workers: list[WorkerDaemon]) -> None:
    assigned = assign({}, machines, (), workers, CONTROL)
    parts = loads(assign(assigned, machines, (), [*workers, NEW], CONTROL), machines)
    most = max([parts[None], *(parts[one.name] for one in workers)])
    assert parts["new"] >= most - max(machines.values(), default=0)


@given(st.sets(st.sampled_from(SHARDS)), general)
def test_of_equal_shards_all_that_move_go_to_the_worker_that_joins(
    shards: set[ShardId], workers: list[WorkerDaemon]
) -> None:
    machines = dict.fromkeys(shards, 7)
    assigned = assign({}, machines, (), workers, CONTROL)
    joined = assign(assigned, machines, (), [*workers, NEW], CONTROL)
    assert {joined[one] for one in shards if joined[one] != assigned[one]} <= {"new"}

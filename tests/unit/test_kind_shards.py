"""Which shard a resource has, which shards are distributed, and what a process that asks no other one reaches."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.base import NoWorker
from reconciler.kinds.catalogue.partition import PartitionSpec
from reconciler.kinds.common.field_types.bmc_access import BmcSpec
from reconciler.kinds.ipam.pool import PoolSpec
from reconciler.kinds.kind_shards import endpoints_by_shard, keys_in_partitions, keys_of_shards, shard_of, shared_shards
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.resource import Resource, ResourceKey
from reconciler.model.shard import ShardId, slot_of
from reconciler.observed.relay.relayed_backend import DirectReach
from tests.unit.planning_worlds import desired, resource

POOL = resource("Pool", "vrfs", PoolSpec(ranges=("1-9",)))


def machine(name: str, partition: str = "fra1", address: str = "", system: str | None = None) -> Resource[MachineSpec]:
    bmc = BmcSpec(address=address or f"{name}.bmc", system_id=system)
    return resource("Machine", name, MachineSpec(partition=partition, bmc=bmc))


def partition(name: str, *, own: bool) -> Resource[Any]:
    return resource("Partition", name, PartitionSpec(own_workers=own))


M1, M2, AWAY = machine("m1"), machine("m2"), machine("m3", "fra2")
FLEET = desired(partition("fra1", own=False), partition("fra2", own=True), M1, M2, AWAY, POOL)


def test_a_machine_has_a_slot_of_its_partition() -> None:
    assert shard_of(M1) == ShardId("fra1", slot_of("m1.bmc"))
    assert shard_of(AWAY) == ShardId("fra2", slot_of("m3.bmc"))


def test_the_systems_of_one_bmc_have_one_shard() -> None:
    sleds = [machine(f"sled{n}", address="chassis.bmc", system=str(n)) for n in range(8)]
    assert len({shard_of(one) for one in sleds}) == 1


@pytest.mark.parametrize("one", [POOL, partition("fra1", own=True), None])
def test_what_has_no_endpoint_in_a_partition_has_no_shard(one: Resource[Any] | None) -> None:
    assert shard_of(one) is None


def test_shards_are_counted_by_their_endpoints() -> None:
    assert endpoints_by_shard(FLEET).total() == 3
    assert endpoints_by_shard(desired(M1, machine("again", address="m1.bmc", system="2"))) == {shard_of(M1): 2}


@pytest.mark.parametrize(
    ("share_above", "shared"),
    [(0, {"fra1", "fra2"}), (2, {"fra1", "fra2"}), (3, {"fra2"}), (1000, {"fra2"})],
)
def test_a_large_fleet_is_shared_and_a_partition_with_its_own_daemons_always(
    share_above: int, shared: set[str]
) -> None:
    assert {shard.partition for shard in shared_shards(FLEET, share_above)} == shared


def test_the_resources_of_shards_and_of_partitions_are_found() -> None:
    wanted = shard_of(AWAY)
    assert wanted is not None
    assert keys_of_shards(FLEET, {wanted}) == [AWAY.key]
    assert keys_in_partitions(FLEET, {"fra1"}) == [M1.key, M2.key]
    assert keys_in_partitions(FLEET, {"fra1", "fra2"}) == [M1.key, M2.key, AWAY.key]
    assert keys_in_partitions(FLEET, ()) == []


@pytest.mark.parametrize("key", [M1.key, POOL.key, ResourceKey("Machine", "unknown")])
def test_a_process_that_asks_no_other_one_reaches_what_nobody_else_does(key: ResourceKey) -> None:
    with DirectReach().reaching(key, FLEET) as carry:
        assert carry is None


def test_a_process_that_asks_no_other_one_leaves_the_machines_of_others_alone() -> None:
    with (
        pytest.raises(NoWorker, match=r"partition fra2 has daemons of its own \(spec\.ownWorkers\).*Commit the change"),
        DirectReach().reaching(AWAY.key, FLEET),
    ):
        pass

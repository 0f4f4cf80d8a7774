"""The shard of the endpoint of a resource: a part of a partition, which one daemon at a time attends to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from reconciler.kinds import KINDS
from reconciler.kinds.catalogue.partition import attended_partitions as attended_partitions
from reconciler.kinds.catalogue.partition import partition_key as partition_key
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.model.shard import ShardId, slot_of

_ATTENDED = tuple(kind.name for kind in KINDS.values() if kind.rules is not None and kind.endpoint is not None)
"""The kinds whose endpoints are contacted one by one."""


def shard_of(resource: Resource[Any] | None) -> ShardId | None:
    """The shard of a resource; None: it has no endpoint in a partition, so the daemon that decides attends to it.

    Resources with one lock have one shard, such as the systems of one BMC."""
    if resource is None or resource.key.kind not in _ATTENDED:
        return None
    partition = getattr(resource.spec, "partition", None)
    kind = KINDS[resource.key.kind]
    return None if partition is None else ShardId(partition, slot_of(kind.lock_of(resource)))


def endpoints_by_shard(desired: DesiredState) -> Counter[ShardId]:
    """How many resources each shard has."""
    return Counter(shard for kind in _ATTENDED for one in desired.of_kind(kind) if (shard := shard_of(one)) is not None)


def keys_of_shards(desired: DesiredState, shards: Collection[ShardId]) -> list[ResourceKey]:
    """The resources of these shards, in order."""
    return sorted(one.key for kind in _ATTENDED for one in desired.of_kind(kind) if shard_of(one) in shards)


def shared_shards(desired: DesiredState, share_above: int) -> dict[ShardId, int]:
    """The shards that are distributed to several daemons, with the number of their resources. Those of the partitions
    with daemons of their own always are; the others are if the fleet has more than `share_above` endpoints."""
    counted, own = endpoints_by_shard(desired), attended_partitions(desired)
    is_large = counted.total() > share_above
    return {shard: number for shard, number in counted.items() if is_large or shard.partition in own}


def keys_in_partitions(desired: DesiredState, partitions: Collection[str]) -> list[ResourceKey]:
    """The resources of these partitions that have a shard, in order."""
    shards = {shard for shard in endpoints_by_shard(desired) if shard.partition in partitions}
    return keys_of_shards(desired, shards)

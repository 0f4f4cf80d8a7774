"""Shards: parts of a partition's BMCs and switches, each carried out by one worker daemon at a time."""

from __future__ import annotations

import zlib

import msgspec

SLOTS = 16
"""Shards of a partition. Another number would give BMCs to other shards while their old ones still have owners."""


class ShardId(msgspec.Struct, frozen=True, order=True):
    """A slot of a partition, such as `fra1/3`."""

    partition: str
    slot: int
    """From 0 to `SLOTS` - 1."""

    def __str__(self) -> str:
        return f"{self.partition}/{self.slot}"

    @classmethod
    def parse(cls, text: str) -> ShardId:
        """The shard that is written so. Raises ValueError."""
        partition, between, slot = text.rpartition("/")
        if not between or not (slot.isascii() and slot.isdigit()) or int(slot) >= SLOTS:
            raise ValueError(f"{text!r} is no shard: it has the form PARTITION/SLOT, with a slot from 0 to {SLOTS - 1}")
        return cls(partition, int(slot))


def slot_of(lock: str) -> int:
    """The slot of what is behind this lock, such as a BMC's address. Equal in each process and version."""
    return zlib.crc32(lock.encode(errors="surrogatepass")) % SLOTS


class Shard(msgspec.Struct, frozen=True):
    """Who has a shard. `epoch`: goes up each time an owner takes or releases it. `wanted`: the name of the worker
    that is to have it. `seconds_left`: of its owner's lease; 0 or less: it has ended, or there is no owner."""

    id: ShardId
    epoch: int
    wanted: str | None
    owner: str | None
    seconds_left: float


class WorkerDaemon(msgspec.Struct, frozen=True):
    """A daemon that carries out shards. `partitions`: the only ones that it reaches; empty: any that has no workers of
    its own. `is_leaving`: it finishes what it has in hand, and then ends. `boot_address`: of its boot service, if it
    has one. `revision`: the commit that it has read last."""

    name: str
    partitions: tuple[str, ...] = ()
    is_leaving: bool = False
    boot_address: str | None = None
    revision: str | None = None

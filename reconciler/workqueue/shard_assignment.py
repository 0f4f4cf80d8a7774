"""Which worker daemon is to have which shard: as even as whole shards allow, and with as few moves as that needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from reconciler.model.shard import ShardId, WorkerDaemon

Candidates = Mapping[ShardId, tuple[str, ...]]
"""The names of those that may have each shard, without repeats."""


def assign(
    wanted: Mapping[ShardId, str | None],
    machines: Mapping[ShardId, int],
    own_workers: Collection[str],
    workers: Sequence[WorkerDaemon],
    control: str,
) -> dict[ShardId, str | None]:
    """The worker of each shard of `machines`, which says how many machines and switches are in each. `wanted`: what
    this returned before.

    A shard of a partition of `own_workers` goes only to a worker that names the partition; None: there is none. Any
    other shard goes to a worker that names its partition or no partition, or to the daemon in control, which None
    stands for. Where loads are equal, a worker comes before the daemon in control. One that leaves gets nothing.

    A shard stays where it is, unless its owner has more than another candidate by more than the largest shard that it
    could hand over. So what this returned is returned again, and a worker that leaves moves its own shards alone."""
    candidates = {shard: _candidates(shard, own_workers, workers, control) for shard in sorted(machines)}
    placed = _Placed(machines, candidates, control)
    homeless = []
    for shard, names in candidates.items():
        before = wanted.get(shard) or control
        if shard in wanted and before in names:
            placed.put(shard, before)
        elif names:
            homeless.append(shard)
    for shard in sorted(homeless, key=placed.largest_first):
        placed.put(shard, min(candidates[shard], key=placed.lightest_first))
    while placed.even_out():
        pass
    return {shard: placed.worker_of(shard) for shard in candidates}


def _candidates(
    shard: ShardId, own_workers: Collection[str], workers: Sequence[WorkerDaemon], control: str
) -> tuple[str, ...]:
    has_own = shard.partition in own_workers
    names = {
        worker.name
        for worker in workers
        if not worker.is_leaving and (shard.partition in worker.partitions or not (has_own or worker.partitions))
    } - {control}
    return tuple(sorted(names)) if has_own else (*sorted(names), control)


class _Placed:
    """Where each shard is, and how much each owner has."""

    def __init__(self, machines: Mapping[ShardId, int], candidates: Candidates, control: str) -> None:
        self._machines, self._candidates, self._control = machines, candidates, control
        self._owners: dict[ShardId, str] = {}
        self._loads = dict.fromkeys((name for names in candidates.values() for name in names), 0)
        if control in self._loads:
            self._loads[control] = 1

    def _weight(self, shard: ShardId) -> int:
        """Twice the number of machines: the daemon in control has one more, and so comes last among equals."""
        return 2 * max(1, self._machines[shard])

    def largest_first(self, shard: ShardId) -> tuple[int, ShardId]:
        """To sort shards by."""
        return -self._weight(shard), shard

    def lightest_first(self, name: str) -> tuple[int, str]:
        """To sort owners by."""
        return self._loads[name], name

    def worker_of(self, shard: ShardId) -> str | None:
        """None: it is with the daemon in control, or nowhere."""
        owner = self._owners.get(shard)
        return None if owner == self._control else owner

    def put(self, shard: ShardId, owner: str) -> None:
        """The shard is with this owner from now on."""
        before = self._owners.get(shard)
        if before is not None:
            self._loads[before] -= self._weight(shard)
        self._loads[owner] += self._weight(shard)
        self._owners[shard] = owner

    def even_out(self) -> bool:
        """Move one shard from an owner that has too much. False: there is none. Each move makes the sum of the squares
        of all loads smaller, so they come to an end."""
        lightest = sorted(self._loads, key=self.lightest_first)
        shards: dict[str, list[ShardId]] = {name: [] for name in lightest}
        for shard, owner in sorted(self._owners.items(), key=lambda one: self.largest_first(one[0])):
            shards[owner].append(shard)
        for giver in reversed(lightest):
            for taker in lightest:
                largest = next((one for one in shards[giver] if taker in self._candidates[one]), None)
                if largest is not None and self._loads[taker] + self._weight(largest) < self._loads[giver]:
                    self.put(largest, taker)
                    return True
        return False

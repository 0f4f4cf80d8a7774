"""The IPAM and its pools as a backend: what all of its kinds have is read in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, assert_never

from drivers.base import ACCEPTED, OUTSIDE_ERRORS, Accepted, Ipam, Pools, Task, Unreadable, Usage
from reconciler.kinds import KINDS
from reconciler.kinds.ipam.ipaddress import AddressState
from reconciler.kinds.ipam.network import NetworkState
from reconciler.kinds.ipam.pool import NumberState, PoolState
from reconciler.model.actions.action import Action
from reconciler.model.actions.ipam_actions import (
    Acquire,
    AcquireNumber,
    DescribeAddress,
    DropNetwork,
    DropPool,
    IpamAction,
    PutNetwork,
    PutPool,
    Release,
    ReleaseNumber,
    Transfer,
)
from reconciler.model.facts import NO_FACTS, ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.observed.backend import (
    FactsByKey,
    checked_observation,
    no_tasks,
    not_carried_out,
    observation_of,
    read_failure_of,
)


class IpamBackend:
    """Implements Backend."""

    def __init__(self, ipam: Ipam, pools: Pools, now: Callable[[], datetime]) -> None:
        self._ipam, self._pools, self._now = ipam, pools, now

    def observe(self, key: ResourceKey, desired: DesiredState, facts: ResourceFacts) -> Any:
        """What it holds under this name, or for this owner."""
        match key.kind:
            case "Network":
                return NetworkState(self._ipam.network(key.name), self._pools.number(str(key)))
            case "IPAddress":
                return AddressState.of(self._ipam.holding(str(key)))
            case "Pool":
                return PoolState(self._pools.pools().get(key.name))
            case "Number":
                return NumberState.of(self._pools.number(str(key)))
            case kind:
                raise LookupError(f"the IPAM has no objects of kind {kind}")

    def observe_all(
        self,
        keys: Sequence[ResourceKey],
        desired: DesiredState,
        facts: FactsByKey,
        concurrency: int,
    ) -> Iterator[Observation]:
        """It is read whole, and what it holds beside those that were asked for comes too."""
        try:
            found = self.holdings()
        except Unreadable:
            # One object makes no sense; the others are there to be asked for.
            for key in keys:
                yield observation_of(key, partial(self.observe, key, desired, NO_FACTS), self._now)
            return
        except OUTSIDE_ERRORS as error:  # as in `observation_of`
            failure = read_failure_of(error)
            yield from (Observation(key, self._now(), error=failure) for key in keys)
            return
        at = self._now()
        for key in keys:
            value = found.pop(key, None)
            yield checked_observation(Observation(key, at, value=KINDS[key.kind].absent if value is None else value))
        yield from (checked_observation(Observation(key, at, value=found[key])) for key in sorted(found))

    def holdings(self) -> dict[ResourceKey, Any]:
        """All that IPAM and pools hold, by name or owner; owners in other forms are not ours to judge."""
        ipam, pools = self._ipam, self._pools
        usage: dict[str, list[Usage]] = {}
        for one in ipam.usage():
            usage.setdefault(one.network, []).append(one)
        numbers = {one.owner: one for one in pools.numbers()}
        found: dict[ResourceKey, Any] = {
            ResourceKey("Pool", name): PoolState(pool) for name, pool in pools.pools().items()
        }
        for owner, number in numbers.items():
            kind, _, name = owner.partition("/")
            if name and kind == "Number":
                found[ResourceKey(kind, name)] = NumberState.of(number)
            elif name and kind == "Network":
                found[ResourceKey(kind, name)] = NetworkState(None, number)
        for name, network in ipam.networks().items():
            key = ResourceKey("Network", name)
            found[key] = NetworkState(network, numbers.get(str(key)), tuple(usage.get(name, ())))
        for allocation in ipam.list():
            kind, _, name = allocation.owner.partition("/")
            if name and kind == "IPAddress":
                found[ResourceKey(kind, name)] = AddressState.of(allocation)
        return found

    def send(self, action: Action, desired: DesiredState) -> Accepted:
        """Send it to the IPAM, or to its pools."""
        if not isinstance(action, IpamAction):
            raise not_carried_out(action, "the IPAM")
        ipam, pools = self._ipam, self._pools
        match action:
            case PutNetwork(key=key, network=network, lengths=lengths):
                ipam.put_network(key.name, network, dict(lengths))
            case DropNetwork(key=key):
                ipam.drop_network(key.name)
            case Acquire(key=key, network=within, address=address, family=family, about=about):
                ipam.acquire(within, str(key), address=address, family=family, about=about)
            case DescribeAddress(key=key, about=about):
                ipam.describe(str(key), about)
            case Release(key=key):
                ipam.release(str(key))
            case Transfer(key=key, was=was):
                ipam.transfer(was, str(key))
            case PutPool(key=key, ranges=ranges):
                pools.put_pool(key.name, ranges)
            case DropPool(key=key):
                pools.drop_pool(key.name)
            case AcquireNumber(key=key, pool=pool, number=number, ephemeral=ephemeral):
                pools.acquire_number(pool, str(key), number=number, ephemeral=ephemeral)
            case ReleaseNumber(key=key):
                pools.release_number(str(key))
            case _:
                assert_never(action)
        return ACCEPTED

    def task(self, handle: str, key: ResourceKey, desired: DesiredState) -> Task:
        """Raise Unsupported: what an IPAM accepted is done."""
        raise no_tasks(key)

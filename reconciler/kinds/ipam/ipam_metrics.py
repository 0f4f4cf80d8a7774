"""How full networks and pools are, for the metrics. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.kinds.common.kind_metrics import FillLevel, LevelGauge
from reconciler.kinds.ipam.network import NetworkState, family_of
from reconciler.kinds.ipam.pool import PoolState, pool_size


def _prefixes(value: NetworkState) -> Iterator[FillLevel]:
    for one in value.usage or ():
        yield FillLevel((one.cidr, f"IPv{family_of(one.cidr)}"), one.size, one.used)


def _numbers(value: PoolState) -> Iterator[FillLevel]:
    if value.pool is not None:
        yield FillLevel((), pool_size(value.pool), value.pool.held)


NETWORK_ADDRESSES = LevelGauge(
    "groundstate_network_addresses", "Addresses of a network's prefix.", ("network", "prefix", "family"), _prefixes
)
POOL_NUMBERS = LevelGauge("groundstate_pool_numbers", "Numbers of a pool.", ("pool",), _numbers)

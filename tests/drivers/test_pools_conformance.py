"""Our own pools pass the suite that outside ones are given, and are apart from the IPAM in the same tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from drivers.base import IntegerRange, IpamNetwork, Number, Pools, Prefix, Rejected
from drivers.ipam.embedded.embedded import EmbeddedIpam
from drivers.ipam.embedded.embedded_pools import EmbeddedPools
from drivers.testing.pools_conformance import PoolsConformance
from reconciler.store import Store


@pytest.mark.usefixtures("store")
class TestEmbeddedPools(PoolsConformance):
    @classmethod
    @contextmanager
    def start(cls, request: pytest.FixtureRequest) -> Iterator[Pools]:
        store: Store = request.getfixturevalue("store")
        yield EmbeddedPools(store.engine)
        assert EmbeddedIpam(store.engine).check() == []


def test_pools_and_networks_of_one_name_and_one_owner_are_apart(store: Store) -> None:
    ipam, pools = EmbeddedIpam(store.engine), EmbeddedPools(store.engine)
    ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.0/24"),)))
    pools.put_pool("lan", [IntegerRange(1, 2)])
    assert (ipam.acquire("lan", "a"), pools.acquire_number("lan", "a")) == ("10.0.0.1", 1)
    assert (len(ipam.networks()), len(ipam.list()), len(ipam.usage())) == (1, 1, 1)
    ipam.release("a")
    assert pools.number("a") == Number("a", "lan", 1)
    for name in ("#lan", "", "a\0b", "tab\t"):
        with pytest.raises(Rejected, match="not a valid name"):
            ipam.release(name)
        with pytest.raises(Rejected, match="not a valid name"):
            pools.release_number(name)

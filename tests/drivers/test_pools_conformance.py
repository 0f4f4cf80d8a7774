"""What the Pools promise (drivers.base.Pools)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from drivers.base import Conflict, Exhausted, IntegerRange, IpamNetwork, Number, Pool, Pools, Prefix, Rejected
from drivers.ipam.embedded import EmbeddedIpam
from drivers.ipam.embedded_pools import EmbeddedPools
from reconciler.store import Store

LAST = 2**32 - 1


@pytest.fixture
def pools(store: Store) -> Iterator[Pools]:
    yield EmbeddedPools(store.engine)
    assert EmbeddedIpam(store.engine).check() == []


class TestPools:
    def test_they_come_back_with_their_ranges_ascending_and_joined(self, pools: Pools) -> None:
        pools.put_pool("vrf", [IntegerRange(20, 29), IntegerRange(1, 9), IntegerRange(10, 10), IntegerRange(25, 40)])
        pools.put_pool("asn", [IntegerRange(LAST, LAST)])
        pools.acquire_number("vrf", "a")
        assert pools.pools() == {
            "asn": Pool((IntegerRange(LAST, LAST),)),
            "vrf": Pool((IntegerRange(1, 10), IntegerRange(20, 40)), held=1),
        }

    def test_putting_again_changes_nothing(self, pools: Pools) -> None:
        for _ in range(2):
            pools.put_pool("vrf", [IntegerRange(1, 3)])
            assert pools.acquire_number("vrf", "a") == 1

    def test_one_may_grow_and_shrink_around_what_is_held(self, pools: Pools) -> None:
        pools.put_pool("vrf", [IntegerRange(1, 10)])
        pools.acquire_number("vrf", "a", number=5)
        pools.put_pool("vrf", [IntegerRange(5, 6), IntegerRange(0, 0)])
        assert [pools.acquire_number("vrf", owner) for owner in "bc"] == [0, 6]

    def test_one_that_would_lose_a_number_changes_nothing(self, pools: Pools) -> None:
        pools.put_pool("vrf", [IntegerRange(1, 10)])
        pools.acquire_number("vrf", "Network/lan", number=5)
        with pytest.raises(Conflict, match="vrf: 5 by Network/lan"):
            pools.put_pool("vrf", [IntegerRange(1, 4), IntegerRange(6, 10)])
        with pytest.raises(Conflict, match="vrf: 5 by Network/lan"):
            pools.drop_pool("vrf")
        assert pools.pools() == {"vrf": Pool((IntegerRange(1, 10),), held=1)}

    def test_an_empty_one_is_dropped_and_an_absent_one_too(self, pools: Pools) -> None:
        pools.put_pool("vrf", [IntegerRange(1, 10)])
        pools.drop_pool("vrf")
        pools.drop_pool("vrf")
        assert pools.pools() == {}

    @pytest.mark.parametrize(
        "wrong",
        [
            IntegerRange(2, 1),
            IntegerRange(-1, 5),
            IntegerRange(0, LAST + 1),
            IntegerRange(True, 5),
            IntegerRange("1", 5),  # type: ignore[arg-type]
        ],
    )
    def test_a_range_that_cannot_be_is_rejected(self, pools: Pools, wrong: IntegerRange) -> None:
        with pytest.raises(Rejected, match="vrf"):
            pools.put_pool("vrf", [IntegerRange(10, 20), wrong])
        assert pools.pools() == {}


class TestNumbers:
    @pytest.fixture
    def vrf(self, pools: Pools) -> Pools:
        pools.put_pool("vrf", [IntegerRange(1, 2), IntegerRange(10, 11)])
        return pools

    def test_the_lowest_free_one(self, vrf: Pools) -> None:
        assert [vrf.acquire_number("vrf", owner) for owner in "abc"] == [1, 2, 10]
        vrf.release_number("b")
        assert vrf.acquire_number("vrf", "d") == 2

    def test_the_same_owner_gets_the_same_answer(self, vrf: Pools) -> None:
        assert [vrf.acquire_number("vrf", "a", ephemeral=one) for one in (True, False)] == [1, 1]
        assert vrf.number("a") == Number("a", "vrf", 1, ephemeral=True)

    def test_a_given_one(self, vrf: Pools) -> None:
        assert vrf.acquire_number("vrf", "a", number=11) == 11
        assert vrf.acquire_number("vrf", "a", number=11) == 11

    def test_zero_is_a_number(self, pools: Pools) -> None:
        pools.put_pool("vlan", [IntegerRange(0, 4094)])
        assert pools.acquire_number("vlan", "a", number=0) == 0
        pools.release_number("a")
        assert pools.acquire_number("vlan", "b") == 0

    @pytest.mark.parametrize(("number", "why"), [(2, "held by Network/lan"), (5, "outside of pool vrf.*1-2, 10-11")])
    def test_one_that_cannot_be_had(self, vrf: Pools, number: int, why: str) -> None:
        vrf.acquire_number("vrf", "Network/lan", number=2)
        with pytest.raises(Conflict, match=f"{number}.*{why}"):
            vrf.acquire_number("vrf", "a", number=number)

    def test_an_owner_holds_one(self, vrf: Pools) -> None:
        vrf.put_pool("asn", [IntegerRange(65000, 65001)])
        vrf.acquire_number("vrf", "a")
        for ask in ({"pool": "vrf", "number": 2}, {"pool": "asn"}):
            with pytest.raises(Conflict, match="a holds 1 of pool vrf already"):
                vrf.acquire_number(owner="a", **ask)

    def test_a_full_pool_is_exhausted(self, vrf: Pools) -> None:
        for owner in "abcd":
            vrf.acquire_number("vrf", owner)
        with pytest.raises(Exhausted, match="vrf has no free number: all 4 of it"):
            vrf.acquire_number("vrf", "e")

    @pytest.mark.parametrize(("pool", "number"), [("unknown", None), ("vrf", -1), ("vrf", LAST + 1), ("vrf", True)])
    def test_what_makes_no_sense_is_rejected(self, vrf: Pools, pool: str, number: Any) -> None:
        with pytest.raises(Rejected):
            vrf.acquire_number(pool, "a", number=number)
        assert vrf.number("a") is None

    def test_they_are_listed_by_owner_and_pool(self, vrf: Pools) -> None:
        vrf.put_pool("asn", [IntegerRange(65000, 65001)])
        vrf.acquire_number("vrf", "b")
        vrf.acquire_number("asn", "a", ephemeral=True)
        first, second = Number("a", "asn", 65000, ephemeral=True), Number("b", "vrf", 1)
        assert vrf.numbers() == [first, second]
        assert vrf.numbers("vrf") == [second]
        assert vrf.numbers("other") == []

    def test_giving_back_nothing_is_success(self, vrf: Pools) -> None:
        vrf.release_number("a")


def test_pools_and_networks_of_one_name_and_one_owner_are_apart(store: Store, pools: Pools) -> None:
    ipam = EmbeddedIpam(store.engine)
    ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.0/24"),)))
    pools.put_pool("lan", [IntegerRange(1, 2)])
    assert (ipam.acquire("lan", "a"), pools.acquire_number("lan", "a")) == ("10.0.0.1", 1)
    assert (len(ipam.networks()), len(ipam.list()), len(ipam.usage())) == (1, 1, 1)
    ipam.release("a")
    assert pools.number("a") == Number("a", "lan", 1)
    for name in ("#lan", "", "a\0b", "tab\t"):
        with pytest.raises(Rejected, match="no name"):
            ipam.release(name)
        with pytest.raises(Rejected, match="no name"):
            pools.release_number(name)

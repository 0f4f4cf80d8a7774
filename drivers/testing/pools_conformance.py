"""What every driver of Pools does: inherit from PoolsConformance, say how empty pools are had, and run pytest.

class TestMine(PoolsConformance):
    @classmethod
    def start(cls, request: pytest.FixtureRequest) -> AbstractContextManager[Pools]:
        return empty_pools(request.getfixturevalue("tmp_path"))
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from drivers.base import Conflict, Exhausted, IntegerRange, Number, Pool, Pools, Rejected

_LAST = 2**32 - 1


class PoolsConformance:
    """The suite. A subclass whose name begins with Test is run."""

    @classmethod
    def start(cls, request: pytest.FixtureRequest) -> AbstractContextManager[Pools]:
        """Pools of which there are none yet, for one test. `request`: pytest's, for fixtures of your own."""
        raise NotImplementedError

    @pytest.fixture
    def pools(self, request: pytest.FixtureRequest) -> Iterator[Pools]:
        """What `start` gives."""
        with self.start(request) as opened:
            yield opened

    def test_pools_come_back_with_their_ranges_ascending_and_joined(self, pools: Pools) -> None:
        pools.put_pool("vrf", [IntegerRange(20, 29), IntegerRange(1, 9), IntegerRange(10, 10), IntegerRange(25, 40)])
        pools.put_pool("asn", [IntegerRange(_LAST, _LAST)])
        pools.acquire_number("vrf", "a")
        assert pools.pools() == {
            "asn": Pool((IntegerRange(_LAST, _LAST),)),
            "vrf": Pool((IntegerRange(1, 10), IntegerRange(20, 40)), held=1),
        }

    def test_putting_a_pool_again_changes_nothing(self, pools: Pools) -> None:
        for _ in range(2):
            pools.put_pool("vrf", [IntegerRange(1, 3)])
            assert pools.acquire_number("vrf", "a") == 1

    def test_a_pool_may_grow_and_shrink_around_what_is_held(self, pools: Pools) -> None:
        pools.put_pool("vrf", [IntegerRange(1, 10)])
        pools.acquire_number("vrf", "a", number=5)
        pools.put_pool("vrf", [IntegerRange(5, 6), IntegerRange(0, 0)])
        assert [pools.acquire_number("vrf", owner) for owner in "bc"] == [0, 6]

    def test_a_change_that_would_lose_a_number_changes_nothing(self, pools: Pools) -> None:
        pools.put_pool("vrf", [IntegerRange(1, 10)])
        pools.acquire_number("vrf", "Network/lan", number=5)
        with pytest.raises(Conflict, match=r"vrf.*5.*Network/lan"):
            pools.put_pool("vrf", [IntegerRange(1, 4), IntegerRange(6, 10)])
        with pytest.raises(Conflict, match=r"vrf.*5.*Network/lan"):
            pools.drop_pool("vrf")
        assert pools.pools() == {"vrf": Pool((IntegerRange(1, 10),), held=1)}

    def test_an_empty_pool_is_dropped_and_an_absent_one_too(self, pools: Pools) -> None:
        pools.put_pool("vrf", [IntegerRange(1, 10)])
        pools.drop_pool("vrf")
        pools.drop_pool("vrf")
        assert pools.pools() == {}

    @pytest.mark.parametrize(
        "wrong",
        [
            IntegerRange(2, 1),
            IntegerRange(-1, 5),
            IntegerRange(0, _LAST + 1),
            IntegerRange(True, 5),
            IntegerRange("1", 5),  # type: ignore[arg-type]
        ],
    )
    def test_a_range_that_cannot_be_is_rejected(self, pools: Pools, wrong: IntegerRange) -> None:
        with pytest.raises(Rejected, match="vrf"):
            pools.put_pool("vrf", [IntegerRange(10, 20), wrong])
        assert pools.pools() == {}

    @pytest.fixture
    def vrf(self, pools: Pools) -> Pools:
        pools.put_pool("vrf", [IntegerRange(1, 2), IntegerRange(10, 11)])
        return pools

    def test_the_lowest_free_number_is_given(self, vrf: Pools) -> None:
        assert [vrf.acquire_number("vrf", owner) for owner in "abc"] == [1, 2, 10]
        vrf.release_number("b")
        assert vrf.acquire_number("vrf", "d") == 2

    def test_the_same_owner_gets_the_same_answer(self, vrf: Pools) -> None:
        assert [vrf.acquire_number("vrf", "a", ephemeral=one) for one in (True, False)] == [1, 1]
        assert vrf.number("a") == Number("a", "vrf", 1, ephemeral=True)

    def test_a_given_number_is_acquired(self, vrf: Pools) -> None:
        assert vrf.acquire_number("vrf", "a", number=11) == 11
        assert vrf.acquire_number("vrf", "a", number=11) == 11

    def test_zero_is_a_number(self, pools: Pools) -> None:
        pools.put_pool("vlan", [IntegerRange(0, 4094)])
        assert pools.acquire_number("vlan", "a", number=0) == 0
        pools.release_number("a")
        assert pools.acquire_number("vlan", "b") == 0

    @pytest.mark.parametrize(("number", "why"), [(2, "Network/lan"), (5, "vrf")])
    def test_a_number_that_cannot_be_had_is_a_conflict(self, vrf: Pools, number: int, why: str) -> None:
        vrf.acquire_number("vrf", "Network/lan", number=2)
        with pytest.raises(Conflict, match=f"{number}.*{why}"):
            vrf.acquire_number("vrf", "a", number=number)

    def test_an_owner_holds_one_number(self, vrf: Pools) -> None:
        vrf.put_pool("asn", [IntegerRange(65000, 65001)])
        vrf.acquire_number("vrf", "a")
        for ask in ({"pool": "vrf", "number": 2}, {"pool": "asn"}):
            with pytest.raises(Conflict, match=r"a.*1.*vrf"):
                vrf.acquire_number(owner="a", **ask)

    def test_a_full_pool_is_exhausted(self, vrf: Pools) -> None:
        for owner in "abcd":
            vrf.acquire_number("vrf", owner)
        with pytest.raises(Exhausted, match=r"vrf.*4"):
            vrf.acquire_number("vrf", "e")

    @pytest.mark.parametrize(("pool", "number"), [("unknown", None), ("vrf", -1), ("vrf", _LAST + 1), ("vrf", True)])
    def test_what_makes_no_sense_is_rejected(self, vrf: Pools, pool: str, number: Any) -> None:
        with pytest.raises(Rejected):
            vrf.acquire_number(pool, "a", number=number)
        assert vrf.number("a") is None

    def test_numbers_are_listed_by_owner_and_pool(self, vrf: Pools) -> None:
        vrf.put_pool("asn", [IntegerRange(65000, 65001)])
        vrf.acquire_number("vrf", "b")
        vrf.acquire_number("asn", "a", ephemeral=True)
        first, second = Number("a", "asn", 65000, ephemeral=True), Number("b", "vrf", 1)
        assert vrf.numbers() == [first, second]
        assert vrf.numbers("vrf") == [second]
        assert vrf.numbers("other") == []

    def test_releasing_nothing_is_success(self, vrf: Pools) -> None:
        vrf.release_number("a")

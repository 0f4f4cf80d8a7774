"""Who is left out so that what is worked out over a whole fleet can be."""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from reconciler.kinds.common.defect import MAX_TRIES, to_blame


@given(st.integers(1, 200), st.sets(st.integers(0, 199), min_size=1, max_size=3))
def test_just_those_are_blamed_that_make_it_fail(size: int, guilty: set[int]) -> None:
    guilty = {one % size for one in guilty}
    assert to_blame(range(size), lambda left_out: guilty <= set(left_out)) == sorted(guilty)


def test_nobody_is_blamed_for_what_fails_without_all_of_them() -> None:
    assert to_blame(range(9), lambda _: False) is None


def test_one_alone_is_blamed_if_it_works_without_either() -> None:
    """Of two that fail only together, either will do."""
    assert to_blame("ab", bool) in (["a"], ["b"])


def test_it_ends_however_many_are_to_blame() -> None:
    tries = 0

    def works_without(left_out: Collection[int]) -> bool:
        nonlocal tries
        tries += 1
        return set(range(0, 1000, 2)) <= set(left_out)

    blamed = to_blame(range(1000), works_without)
    assert blamed is not None
    assert set(range(0, 1000, 2)) <= set(blamed)
    assert tries <= MAX_TRIES + 3

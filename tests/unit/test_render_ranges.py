"""Node ranges: folding names loses none and invents none."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.views.render.ranges import fold, unfold

NAMES = st.lists(
    st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,6}[a-z0-9])?", fullmatch=True)
    | st.builds("r{}-{:02d}".format, st.integers(0, 3), st.integers(0, 120))
    | st.builds("{}n{}".format, st.sampled_from(["", "0", "00"]), st.integers(0, 15)),
    max_size=40,
)


@given(NAMES)
def test_folding_and_unfolding_gives_the_names_back(names: list[str]) -> None:
    back = [name for part in fold(names) for name in unfold(part)]
    assert sorted(back) == sorted(set(names))


@given(NAMES, st.randoms())
def test_folding_does_not_depend_on_the_order(names: list[str], chance: random.Random) -> None:
    shuffled = list(names)
    chance.shuffle(shuffled)
    assert fold(shuffled) == fold(names)


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        ([], []),
        (["r12-01"], ["r12-01"]),
        (["r12-03", "r12-01", "r12-02"], ["r12-[01-03]"]),
        (["r12-01", "r12-02", "r12-03", "r12-07"], ["r12-[01-03,07]"]),
        (["r12-08", "r12-09", "r12-10"], ["r12-[08-10]"]),
        (["n8", "n9", "n10", "n11"], ["n[8-11]"]),
        (["n098", "n099", "n100"], ["n[098-100]"]),
        (["r1-01", "r1-02", "r2-01", "r2-02"], ["r1-[01-02]", "r2-[01-02]"]),
        (["r01-bmc1", "r02-bmc1", "r03-bmc1"], ["r[01-03]-bmc1"]),
        (["db", "web"], ["db", "web"]),
        (["n2", "n10", "n1x"], ["n1x", "n[2,10]"]),
        (["1", "2"], ["[1-2]"]),
    ],
)
def test_what_is_folded(names: list[str], folded: list[str]) -> None:
    assert fold(names) == folded


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("r[", "is not a node range"),
        ("r[1-2", "is not a node range"),
        ("r[a-b]", "is not a node range"),
        ("r[1-2]-[3-4]", "is not a node range"),
        ("r[1-2-3]", "is not a number or a range"),
        ("r[1,]", "is not a number or a range"),
        ("r[9-1]", "ends before it begins"),
        ("r[1-999999999999]", "too many names"),
        ("r[1-60000,1-60000]", "too many names"),
    ],
)
def test_a_malformed_range_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        unfold(text)

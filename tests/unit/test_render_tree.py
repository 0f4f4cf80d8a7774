"""The prefix tree, and the bars in it."""

from __future__ import annotations

import pytest

from drivers.base import IntegerRange, IpamNetwork, Pool, Prefix, Usage
from reconciler.views.render.tables.tree import ASCII, bar, free_words, pool_lines, tree, tree_lines


def net(*cidrs: str, parent: str | None = None, container: bool = False, namespace: str = "") -> IpamNetwork:
    return IpamNetwork(tuple(Prefix(cidr) for cidr in cidrs), parent, namespace, container)


NETWORKS = {
    "tenants": net("10.64.0.0/16", "2001:db8::/48", container=True),
    "shop": net("10.64.4.0/22", "2001:db8::/64", parent="tenants"),
    "ads": net("10.64.0.0/24", parent="tenants"),
    "edge": net("9.0.0.0/24"),
    "lab": net("10.64.0.0/16", namespace="blue"),
}
USAGE = [
    Usage("tenants", "10.64.0.0/16", 65536, 1280, ((17, 1), (18, 1), (19, 1), (20, 1))),
    Usage("tenants", "2001:db8::/48", 2**80, 2**64, ((49, 1),)),
    Usage("shop", "10.64.4.0/22", 1022, 1022),
    Usage("shop", "2001:db8::/64", 2**64 - 1, 3),
    Usage("ads", "10.64.0.0/24", 254, 200),
    Usage("edge", "9.0.0.0/24", 254, 0),
    Usage("lab", "10.64.0.0/16", 65534, 1),
]


def test_prefixes_stand_in_order_of_address_with_children_under_the_prefix_they_are_part_of() -> None:
    assert list(tree_lines(tree(NETWORKS, USAGE), marks=ASCII)) == [
        "9.0.0.0/24  edge        ..........   0 %  0 of 254",
        "10.64.0.0/16  tenants   #.........   1 %  Super, 2 children; free: 1 x /17, 1 x /18, 1 x /19 and smaller",
        "|- 10.64.0.0/24  ads    ########..  78 %  200 of 254",
        "`- 10.64.4.0/22  shop   ########## 100 %  1,022 of 1,022",
        "2001:db8::/48  tenants  #.........   0 %  Super, 1 child; free: 1 x /49",
        "`- 2001:db8::/64  shop  #.........   0 %  3 held",
        "namespace blue",
        "10.64.0.0/16  lab       #.........   0 %  1 of 65,534",
    ]


def test_depth_one_leaves_the_children_out() -> None:
    lines = list(tree_lines(tree(NETWORKS, USAGE), marks=ASCII, depth=1))
    assert not [line for line in lines if "shop" in line]
    assert "2 children" in lines[1]


def test_a_child_whose_parent_is_not_shown_stands_for_itself() -> None:
    assert [node.network for node in tree({"ads": NETWORKS["ads"]}, USAGE)] == ["ads"]


@pytest.mark.parametrize(
    ("used", "size", "said"),
    [
        (0, 254, "..........   0 %"),
        (1, 65534, "#.........   0 %"),
        (127, 254, "#####.....  50 %"),
        (253, 254, "#########.  99 %"),
        (254, 254, "########## 100 %"),
        (0, 0, "..........   0 %"),
    ],
)
def test_what_is_not_empty_shows_and_what_is_not_full_is_not_shown_as_full(used: int, size: int, said: str) -> None:
    assert bar(used, size, marks=ASCII) == said


def test_colour_tells_how_full_it_is() -> None:
    def colour(used: int) -> str:
        return bar(used, 100, lambda name, _: name, ASCII).rstrip(". %0123456789")

    assert [colour(n) for n in (10, 70, 90)] == ["green", "yellow", "red"]


def test_free_blocks_are_told_widest_first() -> None:
    assert free_words([(17, 1), (24, 1200)]) == "1 x /17, 1,200 x /24"
    assert free_words([]) == "nothing"


def test_pools_are_told_with_their_ranges() -> None:
    pools = {"vrfs": Pool((IntegerRange(1, 9), IntegerRange(20, 20)), 5)}
    assert list(pool_lines(pools, marks=ASCII)) == ["vrfs  1-9, 20-20  #####.....  50 %  5 of 10"]

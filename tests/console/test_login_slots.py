"""Which logins may be under way at once: a few hostile networks do not keep the others out."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from reconciler.services.console.login_slots import LoginSlots


def slots(total: int = 8, per_network: int = 4, for_known: int = 2) -> LoginSlots[int]:
    return LoginSlots(total, per_network, for_known)


def fill(found: LoginSlots[int], numbers: count[int], *networks: str) -> None:
    for network in networks:
        for _ in range(4):
            found.admit(next(numbers), network)


def test_a_network_has_no_more_than_its_share() -> None:
    found = slots()
    assert [found.admit(number, "a")[0] for number in range(6)] == [True] * 4 + [False] * 2
    assert not found.has_place("a")
    found.over(0)
    assert found.has_place("a")


def test_two_hostile_networks_do_not_keep_a_third_out() -> None:
    found, numbers = slots(), count()
    fill(found, numbers, "evil", "bad")
    for _ in range(3):
        number = next(numbers)
        assert found.admit(number, "ada")[0]
        found.over(number)
        fill(found, numbers, "evil", "bad")
    assert len(found) == 8


def test_the_oldest_login_of_the_network_that_has_the_most_is_dropped() -> None:
    found = slots(total=5)
    for number, network in enumerate(["bob", "evil", "evil", "evil", "bob"]):
        found.admit(number, network)
    assert found.admit(9, "ada") == (True, 1)


def test_a_newcomer_with_as_many_as_the_others_waits() -> None:
    found = slots(total=2)
    found.admit(0, "ada")
    found.admit(1, "bob")
    assert found.admit(2, "ada") == (False, None)


def test_a_network_that_logged_in_before_is_not_dropped_and_has_places_of_its_own() -> None:
    found = slots(total=4, for_known=2)
    found.succeeded("ada")
    for number, network in enumerate(["ada", "ada", "x1", "x2"]):
        assert found.admit(number, network) == (True, None)
    assert found.admit(4, "x3") == (True, 2)
    assert found.admit(5, "ada") == (True, None)
    assert found.admit(6, "ada") == (True, None)


def test_a_crowd_of_networks_with_one_login_each_makes_room_for_a_known_one() -> None:
    found = slots(total=4, for_known=0)
    found.succeeded("ada")
    for number in range(4):
        found.admit(number, f"x{number}")
    assert found.admit(9, "ada") == (True, 0)


NETWORKS = st.sampled_from(["a", "b", "c", "d", "known"])


@given(st.lists(st.tuples(NETWORKS, st.booleans())))
def test_the_limits_hold_whatever_comes(events: list[tuple[str, bool]]) -> None:
    found, under_way = slots(total=3, per_network=2, for_known=1), dict[int, str]()
    found.succeeded("known")
    for number, (network, ends) in enumerate(events):
        if ends and under_way:
            oldest = next(iter(under_way))
            found.over(oldest)
            del under_way[oldest]
        admitted, dropped = found.admit(number, network)
        if dropped is not None:
            assert under_way.pop(dropped) != "known"
        if admitted:
            under_way[number] = network
        assert len(found) == len(under_way) <= 4
        assert all(list(under_way.values()).count(one) <= 2 for one in under_way.values())
        if network == "known" and not admitted:
            assert list(under_way.values()).count("known") == 2

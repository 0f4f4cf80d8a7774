"""What other IPAMs for bare metal get wrong, each as a test that it is not so here.

Read in the code of go-ipam and metal-stack, where not said otherwise; the letters and numbers are those of our notes.
(d), that the check for overlap races, is in test_ipam_embedded.py: networks and children that are put at once.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from drivers.base import Conflict, DriverError, Exhausted, IntegerRange, IpamNetwork, Prefix, Rejected
from drivers.ipam.embedded.embedded import EmbeddedIpam
from drivers.ipam.embedded.embedded_pools import EmbeddedPools
from reconciler.store import Store
from tests.drivers.ipam_crashes import Crash, CrashingDatabase

SUPER = IpamNetwork((Prefix("10.0.0.0/24"), Prefix("2001:db8::/56")), container=True)
CHILD = IpamNetwork(parent="super")


@pytest.fixture
def ipam(store: Store) -> EmbeddedIpam:
    opened = EmbeddedIpam(store.engine)
    opened.put_network("super", SUPER)
    return opened


def crash_everywhere(ipam: EmbeddedIpam, store: Store, call: Callable[[], object]) -> int:
    """Let the call die before and after each of its statements in turn, until it gets through; how often it died."""
    database = ipam._database = CrashingDatabase(store.engine)
    for at in range(200):
        for database.done in (False, True):
            database.after = at
            try:
                call()
            except Crash:
                assert ipam.check() == []
                continue
            database.after = None
            return at
    raise AssertionError("it never got through")


def test_a_crash_between_the_parent_s_and_the_child_s_write_leaks_no_child(ipam: EmbeddedIpam, store: Store) -> None:
    """(a): they are two writes. D08: several writes to the IPAM and then one to a database, not resumable."""
    assert crash_everywhere(ipam, store, lambda: ipam.put_network("a", CHILD, {4: 28, 6: 64})) > 0
    assert ipam.put_network("a", CHILD, {4: 28, 6: 64}).prefixes == (Prefix("10.0.0.0/28"), Prefix("2001:db8::/64"))
    ipam.drop_network("a")
    assert ipam.put_network("b", CHILD, {4: 24}).prefixes == (Prefix("10.0.0.0/24"),)


def test_a_crash_while_a_child_is_dropped_leaks_nothing(ipam: EmbeddedIpam, store: Store) -> None:
    """D08, the other way round."""
    ipam.put_network("a", CHILD, {4: 28, 6: 64})
    crash_everywhere(ipam, store, lambda: ipam.drop_network("a"))
    assert ipam.networks() == {"super": SUPER}
    assert ipam.put_network("b", CHILD, {4: 24, 6: 56}).prefixes == SUPER.prefixes


@pytest.mark.parametrize("length", [{4: 28}, {6: 64}])
def test_a_child_with_a_single_address_is_not_given_up(ipam: EmbeddedIpam, length: dict[int, int]) -> None:
    """(b): of an IPv6 child with one address the parent is told that it is free, and may hand it out again."""
    before = ipam.put_network("a", CHILD, length)
    ipam.acquire("a", "o")
    with pytest.raises(Conflict, match="by o"):
        ipam.drop_network("a")
    assert ipam.network("a") == before
    assert ipam.put_network("b", CHILD, length).prefixes != before.prefixes


def test_what_is_reserved_cannot_be_released(ipam: EmbeddedIpam) -> None:
    """(c): network and broadcast address are entries that anybody may release, after which in-use counts are wrong."""
    ipam.put_network("a", CHILD, {4: 30})
    for owner in ("10.0.0.0", "10.0.0.3", "broadcast"):
        ipam.release(owner)
    for address in ("10.0.0.0", "10.0.0.3"):
        with pytest.raises(Conflict, match="reserved"):
            ipam.acquire("a", "o", address=address)
    assert [one.size for one in ipam.usage("a")] == [2]


def test_a_child_with_host_bits_set_is_refused_and_leaks_nothing(ipam: EmbeddedIpam) -> None:
    """(e), dsx-ai-factory/infra-controller#6496: it is taken by one name and released by another."""
    with pytest.raises(Rejected, match=r"bits set.*10\.0\.0\.16/28"):
        ipam.put_network("a", IpamNetwork((Prefix("10.0.0.17/28"),), parent="super"))
    assert ipam.put_network("b", CHILD, {4: 24}).prefixes == (Prefix("10.0.0.0/24"),)


def test_a_container_whose_children_are_gone_may_hold_addresses_again(ipam: EmbeddedIpam) -> None:
    """(f): it is a parent for ever."""
    ipam.put_network("a", CHILD, {4: 28})
    ipam.drop_network("a")
    ipam.put_network("super", IpamNetwork(SUPER.prefixes))
    assert ipam.acquire("super", "o") == "10.0.0.1"


def test_who_dies_between_acquiring_and_writing_it_down_gets_the_same_again(ipam: EmbeddedIpam, store: Store) -> None:
    """(g): addresses have no owner, so the address is lost."""
    ipam.put_network("a", CHILD, {4: 28})
    crash_everywhere(ipam, store, lambda: ipam.acquire("a", "IPAddress/web"))
    assert ipam.acquire("a", "IPAddress/web") == "10.0.0.1"
    assert len(ipam.list()) == 1


def test_an_address_keeps_its_owner_until_it_is_free(ipam: EmbeddedIpam, store: Store) -> None:
    """D07: the tag that says whose it is goes first, the address later; a job lost between them leaks it."""
    ipam.put_network("a", CHILD, {4: 28})
    ipam.acquire("a", "IPAddress/web")
    crash_everywhere(ipam, store, lambda: ipam.release("IPAddress/web"))
    assert ipam.holding("IPAddress/web") is None
    assert ipam.acquire("a", "IPAddress/db", address="10.0.0.1") == "10.0.0.1"


def test_an_owner_that_finds_no_child_prefix_still_finds_its_number(ipam: EmbeddedIpam, store: Store) -> None:
    """D09: a VRF is acquired for a child network first, and lost when there is no prefix for it."""
    pools = EmbeddedPools(store.engine)
    pools.put_pool("vrf", [IntegerRange(1, 2)])
    for _ in range(5):
        assert pools.acquire_number("vrf", "Network/a") == 1
        with pytest.raises(Exhausted):
            ipam.put_network("a", CHILD, {4: 28, 6: 48})
    assert [one.owner for one in pools.numbers()] == ["Network/a"]
    assert ipam.put_network("b", CHILD, {4: 24}).prefixes == (Prefix("10.0.0.0/24"),)


def test_a_refusal_leaves_no_trace(ipam: EmbeddedIpam) -> None:
    """D08 and D13: what is checked and what is written are one transaction, and all of it is undone."""
    ipam.put_network("a", IpamNetwork((Prefix("10.0.0.0/28"),), parent="super"))
    ipam.acquire("a", "o")
    before, used = ipam.networks(), ipam.usage()
    refused: list[Callable[[], object]] = [
        lambda: ipam.put_network("b", IpamNetwork((Prefix("10.0.0.64/26"), Prefix("10.0.0.8/29")), parent="super")),
        lambda: ipam.put_network("a", IpamNetwork((Prefix("10.0.0.128/25"),), parent="super"), {6: 60}),
        lambda: ipam.put_network("a", IpamNetwork((Prefix("10.0.0.16/28"),), parent="super"), {6: 64}),
        lambda: ipam.put_network("super", IpamNetwork((Prefix("10.0.0.0/29"), Prefix("10.0.0.16/28")), container=True)),
        lambda: ipam.drop_network("super"),
    ]
    for call in refused:
        with pytest.raises(DriverError):
            call()
        assert (ipam.networks(), ipam.usage(), ipam.check()) == (before, used, [])

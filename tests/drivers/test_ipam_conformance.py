"""What every Ipam promises of networks and addresses (drivers.base.Ipam). A driver joins in `ipams.py`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from drivers.base import (
    NO_ABOUT,
    About,
    Allocation,
    Conflict,
    Exhausted,
    Ipam,
    IpamNetwork,
    Prefix,
    Rejected,
    Usage,
)

SMALL = (Prefix("10.0.0.0/29", ("10.0.0.1",)),)
DUAL = (Prefix("10.0.0.0/29", ("10.0.0.1",)), Prefix("2001:db8::/125"))
ABOUT = About(ephemeral=True, dns_name="web.example.org", tags=("blue", "rack 1"), project="shop")


class TestNetworks:
    def test_an_unknown_one_is_none(self, ipam: Ipam) -> None:
        assert ipam.network("lan") is None
        assert ipam.networks() == {}

    def test_prefixes_come_back_as_they_were_put(self, ipam: Ipam) -> None:
        prefixes = (Prefix("2001:DB8:0::/48", ("2001:db8::0-2001:db8::ff",)), *SMALL)
        ipam.put_network("lan", IpamNetwork(prefixes))
        assert ipam.network("lan") == IpamNetwork(prefixes)
        assert ipam.networks() == {"lan": IpamNetwork(prefixes)}

    @pytest.mark.needs("empty")
    def test_without_prefixes_it_is_known(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(()))
        assert ipam.network("lan") == IpamNetwork(())

    def test_an_owner_may_have_colons_in_its_name(self, ipam: Ipam) -> None:
        owner = "IPAddress/web:0:lan:4"
        ipam.put_network("lan", IpamNetwork(SMALL))
        assert ipam.acquire("lan", owner) == "10.0.0.2"
        assert ipam.holding(owner) == Allocation(owner, "lan", "10.0.0.2")
        assert [one.owner for one in ipam.list()] == [owner]
        ipam.release(owner)
        assert ipam.holding(owner) is None

    def test_put_is_idempotent(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(DUAL))
        ipam.acquire("lan", "a")
        ipam.put_network("lan", IpamNetwork(DUAL))
        assert ipam.network("lan") == IpamNetwork(DUAL)
        assert ipam.acquire("lan", "b") == "10.0.0.3"

    @pytest.mark.needs("order")
    def test_order_decides_where_addresses_come_from(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(DUAL))
        ipam.put_network("lan", IpamNetwork(DUAL[::-1]))
        assert ipam.network("lan") == IpamNetwork(DUAL[::-1])
        assert ipam.acquire("lan", "a") == "2001:db8::1"

    def test_a_prefix_that_grows_keeps_what_is_held_and_gives_more(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.0/30"),)))
        assert [ipam.acquire("lan", owner) for owner in "ab"] == ["10.0.0.1", "10.0.0.2"]
        ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.0/29"),)))
        assert ipam.holding("a") == Allocation("a", "lan", "10.0.0.1")
        assert ipam.acquire("lan", "c") == "10.0.0.3"

    def test_a_prefix_that_is_split_keeps_what_is_held(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.0/29"),)))
        for number in (1, 6):
            ipam.acquire("lan", f"o{number}", address=f"10.0.0.{number}")
        ipam.put_network(
            "lan",
            IpamNetwork(
                (
                    Prefix("10.0.0.4/30"),
                    Prefix("10.0.0.0/30"),
                )
            ),
        )
        assert [one.address for one in ipam.list(network="lan")] == ["10.0.0.1", "10.0.0.6"]
        assert [ipam.acquire("lan", owner) for owner in "ab"] == ["10.0.0.5", "10.0.0.2"]
        ipam.release("o6")
        assert ipam.acquire("lan", "c") == "10.0.0.6"

    def test_two_prefixes_that_are_joined_keep_what_is_held(self, ipam: Ipam) -> None:
        ipam.put_network(
            "lan",
            IpamNetwork(
                (
                    Prefix("10.0.0.0/30"),
                    Prefix("10.0.0.4/30"),
                )
            ),
        )
        ipam.acquire("lan", "a", address="10.0.0.1")
        ipam.acquire("lan", "b", address="10.0.0.5")
        ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.0/29"),)))
        assert [ipam.acquire("lan", owner) for owner in "cdef"] == ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.6"]

    @pytest.mark.needs("reserved")
    def test_what_becomes_reserved_is_given_no_more(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.0/29"),)))
        ipam.acquire("lan", "a")
        ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.0/29", ("10.0.0.2-10.0.0.5",)),)))
        assert ipam.acquire("lan", "b") == "10.0.0.6"

    @pytest.mark.parametrize(
        "after",
        [
            (Prefix("10.0.1.0/29"),),
            (Prefix("10.0.0.0/31"),),
            (Prefix("10.0.0.0/30"),),  # 10.0.0.3 would become the broadcast address
            (Prefix("10.0.0.0/29", ("10.0.0.3",)),),
            (),
        ],
    )
    def test_a_change_that_would_lose_an_allocation_changes_nothing(
        self, ipam: Ipam, after: tuple[Prefix, ...]
    ) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "IPAddress/web", address="10.0.0.3")
        with pytest.raises(
            Conflict, match=r"10\.0\.0\.3 by IPAddress/web would be outside of its prefixes or reserved"
        ):
            ipam.put_network("lan", IpamNetwork(after))
        assert ipam.network("lan") == IpamNetwork(SMALL)
        assert ipam.acquire("lan", "b") == "10.0.0.2"

    @pytest.mark.parametrize("cidr", ["10.0.0.0/29", "10.0.0.4/30", "10.0.0.0/8"])
    def test_prefixes_of_two_networks_may_not_overlap(self, ipam: Ipam, cidr: str) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.put_network("dmz", IpamNetwork((Prefix("192.168.0.0/24"),)))
        with pytest.raises(Conflict, match=rf"network dmz: prefix {cidr} overlaps 10\.0\.0\.0/29 of network lan"):
            ipam.put_network(
                "dmz",
                IpamNetwork(
                    (
                        Prefix("192.168.0.0/24"),
                        Prefix(cidr),
                    )
                ),
            )
        assert ipam.network("dmz") == IpamNetwork((Prefix("192.168.0.0/24"),))

    def test_nor_those_of_one(self, ipam: Ipam) -> None:
        with pytest.raises(Conflict, match=r"10\.0\.0\.0/8 and 10\.1\.0\.0/16 overlap"):
            ipam.put_network(
                "lan",
                IpamNetwork(
                    (
                        Prefix("10.0.0.0/8"),
                        Prefix("10.1.0.0/16"),
                    )
                ),
            )
        assert ipam.network("lan") is None

    def test_a_prefix_that_cannot_be_read_changes_nothing(self, ipam: Ipam) -> None:
        with pytest.raises(Rejected, match=r"10\.0\.0\.1/29"):
            ipam.put_network(
                "lan",
                IpamNetwork(
                    (
                        *SMALL,
                        Prefix("10.0.0.1/29"),
                    )
                ),
            )
        assert ipam.network("lan") is None

    def test_put_returns_the_network_as_it_is(self, ipam: Ipam) -> None:
        wanted = IpamNetwork(DUAL, shared=True, project="shop")
        assert ipam.put_network("lan", wanted) == wanted
        assert ipam.put_network("lan", wanted) == wanted
        assert ipam.network("lan") == wanted

    def test_its_attributes_change_beneath_what_is_held(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(DUAL))
        ipam.acquire("lan", "a")
        ipam.put_network("lan", IpamNetwork(DUAL, shared=True, project="shop"))
        assert ipam.network("lan") == IpamNetwork(DUAL, shared=True, project="shop")
        assert ipam.acquire("lan", "a") == "10.0.0.2"

    @pytest.mark.needs("namespaces")
    def test_networks_of_two_namespaces_may_overlap(self, ipam: Ipam) -> None:
        for name in ("red", "blue"):
            ipam.put_network(f"lan-{name}", IpamNetwork(SMALL, namespace=name))
            assert ipam.acquire(f"lan-{name}", name) == "10.0.0.2"
        with pytest.raises(Conflict, match=r"lan-red"):
            ipam.put_network("lan", IpamNetwork(SMALL, namespace="red"))
        assert ipam.network("lan") is None

    @pytest.mark.needs("namespaces")
    def test_a_network_moves_to_another_namespace_where_it_overlaps_nothing(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.put_network("lan-red", IpamNetwork(SMALL, namespace="red"))
        ipam.acquire("lan-red", "a")
        with pytest.raises(Conflict, match="network lan"):
            ipam.put_network("lan-red", IpamNetwork(SMALL))
        ipam.put_network("lan-red", IpamNetwork(SMALL, namespace="blue"))
        ipam.put_network("lan", IpamNetwork(SMALL, namespace="red"))
        assert ipam.acquire("lan-red", "a") == "10.0.0.2"

    @pytest.mark.parametrize(
        ("cidr", "addresses"),
        [
            ("10.0.0.0/30", ["10.0.0.1", "10.0.0.2"]),
            ("10.0.0.4/31", ["10.0.0.4", "10.0.0.5"]),
            ("10.0.0.7/32", ["10.0.0.7"]),
            ("2001:db8::/126", ["2001:db8::1", "2001:db8::2", "2001:db8::3"]),
            ("2001:db8::4/127", ["2001:db8::4", "2001:db8::5"]),
            ("2001:db8::7/128", ["2001:db8::7"]),
        ],
    )
    def test_the_smallest_give_what_they_have(self, ipam: Ipam, cidr: str, addresses: list[str]) -> None:
        ipam.put_network("lan", IpamNetwork((Prefix(cidr),)))
        assert [ipam.acquire("lan", f"o{number}") for number in range(len(addresses))] == addresses
        with pytest.raises(Exhausted):
            ipam.acquire("lan", "one too many")

    def test_an_empty_one_can_be_dropped_and_its_space_used_again(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.drop_network("lan")
        assert ipam.network("lan") is None
        ipam.put_network("dmz", IpamNetwork(SMALL))

    def test_dropping_an_absent_one_is_success(self, ipam: Ipam) -> None:
        ipam.drop_network("lan")

    def test_one_in_use_cannot_be_dropped(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        for owner in "abcd":
            ipam.acquire("lan", owner)
        with pytest.raises(Conflict, match=r"lan .*10\.0\.0\.2 by a, .* and 1 more"):
            ipam.drop_network("lan")
        assert len(ipam.list()) == 4


class TestAcquire:
    @pytest.fixture
    def lan(self, ipam: Ipam) -> Ipam:
        ipam.put_network("lan", IpamNetwork(DUAL))
        return ipam

    def test_the_lowest_free_one_that_is_not_reserved(self, lan: Ipam) -> None:
        assert [lan.acquire("lan", owner) for owner in "abc"] == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
        lan.release("b")
        assert lan.acquire("lan", "d") == "10.0.0.3"

    def test_the_same_owner_gets_the_same_answer(self, lan: Ipam) -> None:
        assert [lan.acquire("lan", "a") for _ in range(3)] == ["10.0.0.2"] * 3
        assert len(lan.list()) == 1

    @pytest.mark.parametrize(("family", "address"), [(4, "10.0.0.2"), (6, "2001:db8::1"), (None, "10.0.0.2")])
    def test_of_a_family(self, lan: Ipam, family: int | None, address: str) -> None:
        assert lan.acquire("lan", "a", family=family) == address

    def test_the_next_prefix_when_one_is_full(self, lan: Ipam) -> None:
        got = [lan.acquire("lan", f"o{number}") for number in range(7)]
        assert got[4:] == ["10.0.0.6", "2001:db8::1", "2001:db8::2"]

    def test_a_given_address_in_any_spelling(self, lan: Ipam) -> None:
        assert lan.acquire("lan", "a", address="2001:DB8:0:0::5") == "2001:db8::5"
        assert lan.acquire("lan", "a", address="2001:db8::5") == "2001:db8::5"
        assert lan.acquire("lan", "b", address="10.0.0.4") == "10.0.0.4"
        assert [lan.acquire("lan", owner) for owner in "cde"] == ["10.0.0.2", "10.0.0.3", "10.0.0.5"]

    @pytest.mark.parametrize(
        ("asked", "message"),
        [
            ({"address": "10.0.0.3"}, r"10\.0\.0\.3 in network lan is held by IPAddress/web"),
            ({"address": "10.0.0.1"}, r"10\.0\.0\.1 in network lan is reserved"),
            ({"address": "10.0.0.0"}, r"10\.0\.0\.0 in network lan is reserved"),
            ({"address": "10.0.0.7"}, r"10\.0\.0\.7 in network lan is reserved"),
            ({"address": "2001:db8::"}, r"2001:db8:: in network lan is reserved"),
            (
                {"address": "10.0.0.8"},
                r"10\.0\.0\.8 is outside of network lan, whose prefixes are: 10\.0\.0\.0/29, 2001",
            ),
        ],
    )
    def test_an_address_that_cannot_be_had(self, lan: Ipam, asked: dict[str, str], message: str) -> None:
        lan.acquire("lan", "IPAddress/web", address="10.0.0.3")
        with pytest.raises(Conflict, match=message):
            lan.acquire("lan", "IPAddress/db", **asked)  # type: ignore[arg-type]  # address only
        assert lan.holding("IPAddress/db") is None

    @pytest.mark.parametrize(
        "ask",
        [
            lambda ipam: ipam.acquire("lan", "a", address="10.0.0.5"),
            lambda ipam: ipam.acquire("lan", "a", family=6),
            lambda ipam: ipam.acquire("dmz", "a"),
        ],
    )
    def test_an_owner_holds_one_address(self, lan: Ipam, ask: Callable[[Ipam], str]) -> None:
        lan.put_network("dmz", IpamNetwork((Prefix("192.168.0.0/24"),)))
        lan.acquire("lan", "a")
        with pytest.raises(Conflict, match=r"a holds 10\.0\.0\.2 in network lan already"):
            ask(lan)

    def test_a_full_network_is_exhausted(self, lan: Ipam) -> None:
        for number in range(5):
            lan.acquire("lan", f"o{number}", family=4)
        with pytest.raises(Exhausted, match=r"lan has no free IPv4 address: all 5 of its prefixes \(10\.0\.0\.0/29\)"):
            lan.acquire("lan", "a", family=4)
        assert lan.acquire("lan", "a") == "2001:db8::1"

    def test_a_family_that_it_has_not_is_exhausted(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        with pytest.raises(Exhausted, match="no free IPv6 address"):
            ipam.acquire("lan", "a", family=6)

    @pytest.mark.parametrize(
        ("network", "asked"), [("dmz", {}), ("lan", {"address": "10.0.0.300"}), ("lan", {"family": 5})]
    )
    def test_what_makes_no_sense_is_rejected(self, lan: Ipam, network: str, asked: dict[str, str]) -> None:
        with pytest.raises(Rejected):
            lan.acquire(network, "a", **asked)  # type: ignore[arg-type]  # that is the point
        assert lan.list() == []


class TestAbout:
    def test_is_kept_with_the_address(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "a", about=ABOUT)
        ipam.acquire("lan", "b")
        assert ipam.holding("a") == Allocation("a", "lan", "10.0.0.2", ABOUT)
        assert [one.about for one in ipam.list()] == [ABOUT, NO_ABOUT]

    def test_stays_as_it_was_when_the_owner_asks_again(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "a", about=ABOUT)
        ipam.acquire("lan", "a", about=About(project="other"))
        assert ipam.holding("a") == Allocation("a", "lan", "10.0.0.2", ABOUT)

    @pytest.mark.parametrize("about", [ABOUT, About(tags=("",)), NO_ABOUT])
    def test_changes_by_describe(self, ipam: Ipam, about: About) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "a", about=About(project="other"))
        ipam.describe("a", about)
        assert ipam.holding("a") == Allocation("a", "lan", "10.0.0.2", about)

    def test_goes_with_the_address(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "a", about=ABOUT)
        ipam.release("a")
        ipam.acquire("lan", "a")
        assert ipam.holding("a") == Allocation("a", "lan", "10.0.0.2")

    def test_of_who_holds_nothing_is_refused(self, ipam: Ipam) -> None:
        with pytest.raises(Conflict, match="IPAddress/web"):
            ipam.describe("IPAddress/web", ABOUT)


class TestRelease:
    def test_frees_the_address(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "a")
        ipam.release("a")
        assert ipam.holding("a") is None
        assert ipam.acquire("lan", "b") == "10.0.0.2"

    def test_of_nothing_is_success(self, ipam: Ipam) -> None:
        ipam.release("a")

    @pytest.mark.parametrize("order", ["abcde", "edcba", "bdace", "caebd"])
    def test_in_any_order_makes_the_network_whole_again(self, ipam: Ipam, order: str) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        for owner in "abcde":
            ipam.acquire("lan", owner)
        for owner in order:
            ipam.release(owner)
        assert ipam.list() == []
        assert [ipam.acquire("lan", owner) for owner in "vwxyz"] == [f"10.0.0.{number}" for number in range(2, 7)]


class TestLooking:
    def test_allocations_are_listed_by_owner_and_network(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.put_network("dmz", IpamNetwork((Prefix("2001:db8::/64"),)))
        ipam.acquire("lan", "b")
        ipam.acquire("dmz", "a")
        first, second = Allocation("a", "dmz", "2001:db8::1"), Allocation("b", "lan", "10.0.0.2")
        assert ipam.list() == [first, second]
        assert ipam.list(network="lan") == [second]
        assert ipam.list(network="wan") == []
        assert ipam.holding("a") == first
        assert ipam.holding("c") is None

    @pytest.mark.needs("usage")
    def test_usage_counts_what_can_be_given_out_and_what_is_held(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(DUAL))
        ipam.put_network("dmz", IpamNetwork((Prefix("192.168.0.0/31"),)))
        for owner in "abc":
            ipam.acquire("lan", owner)
        lan = [Usage("lan", "10.0.0.0/29", 5, 3), Usage("lan", "2001:db8::/125", 7, 0)]
        assert ipam.usage("lan") == lan
        assert ipam.usage() == [Usage("dmz", "192.168.0.0/31", 2, 0), *lan]
        assert ipam.usage("wan") == []

    def test_a_sound_one_has_nothing_to_say(self, ipam: Ipam) -> None:
        assert ipam.check() == []


class TestTransfer:
    """hashicorp/terraform#27229: what has another name now keeps what it had under the old one."""

    def test_what_one_holds_the_other_holds_with_all_that_is_said_of_it(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "a", address="10.0.0.5", about=ABOUT)
        ipam.transfer("a", "b")
        assert ipam.holding("a") is None
        assert ipam.list() == [Allocation("b", "lan", "10.0.0.5", ABOUT)]
        assert ipam.acquire("lan", "b") == "10.0.0.5"
        assert ipam.acquire("lan", "a") == "10.0.0.2"

    def test_again_and_of_nothing_is_success(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "a")
        for _ in range(2):
            ipam.transfer("a", "b")
        ipam.transfer("b", "b")
        ipam.transfer("nobody", "b")
        assert ipam.list() == [Allocation("b", "lan", "10.0.0.2")]

    def test_one_that_holds_another_does_not_get_it(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        for owner in ("a", "b"):
            ipam.acquire("lan", owner)
        with pytest.raises(Conflict, match=r"b holds an address already, and cannot have that of a too"):
            ipam.transfer("a", "b")
        assert [one.owner for one in ipam.list()] == ["a", "b"]

    def test_the_old_owner_releases_nothing_any_more(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "a")
        ipam.transfer("a", "b")
        ipam.release("a")
        assert ipam.holding("b") == Allocation("b", "lan", "10.0.0.2")
        ipam.release("b")
        assert ipam.list() == []

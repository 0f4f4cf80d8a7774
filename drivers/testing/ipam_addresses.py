"""What every Ipam promises of addresses by owner (`drivers.base.Ipam`)."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from drivers.base import NO_ABOUT, About, Allocation, Conflict, Exhausted, Ipam, IpamNetwork, Prefix, Rejected, Usage
from drivers.testing.ipam_networks import DUAL, SMALL

ABOUT = About(ephemeral=True, dns_name="web.example.org", tags=("blue", "rack 1"), project="shop")


class AddressSuite:
    """A part of IpamConformance."""

    @pytest.fixture
    def lan(self, ipam: Ipam) -> Ipam:
        ipam.put_network("lan", IpamNetwork(DUAL))
        return ipam

    def test_acquire_the_lowest_free_one_that_is_not_reserved(self, lan: Ipam) -> None:
        assert [lan.acquire("lan", owner) for owner in "abc"] == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
        lan.release("b")
        assert lan.acquire("lan", "d") == "10.0.0.3"

    def test_acquire_the_same_owner_gets_the_same_answer(self, lan: Ipam) -> None:
        assert [lan.acquire("lan", "a") for _ in range(3)] == ["10.0.0.2"] * 3
        assert len(lan.list()) == 1

    @pytest.mark.parametrize(("family", "address"), [(4, "10.0.0.2"), (6, "2001:db8::1"), (None, "10.0.0.2")])
    def test_acquire_of_a_family(self, lan: Ipam, family: int | None, address: str) -> None:
        assert lan.acquire("lan", "a", family=family) == address

    def test_acquire_the_next_prefix_when_one_is_full(self, lan: Ipam) -> None:
        got = [lan.acquire("lan", f"o{number}") for number in range(7)]
        assert got[4:] == ["10.0.0.6", "2001:db8::1", "2001:db8::2"]

    def test_acquire_a_given_address_in_any_spelling(self, lan: Ipam) -> None:
        assert lan.acquire("lan", "a", address="2001:DB8:0:0::5") == "2001:db8::5"
        assert lan.acquire("lan", "a", address="2001:db8::5") == "2001:db8::5"
        assert lan.acquire("lan", "b", address="10.0.0.4") == "10.0.0.4"
        assert [lan.acquire("lan", owner) for owner in "cde"] == ["10.0.0.2", "10.0.0.3", "10.0.0.5"]

    @pytest.mark.parametrize(
        ("address", "named"),
        [
            ("10.0.0.3", "IPAddress/web"),
            ("10.0.0.1", "lan"),
            ("10.0.0.0", "lan"),
            ("10.0.0.7", "lan"),
            ("2001:db8::", "lan"),
            ("10.0.0.8", r"lan.*10\.0\.0\.0/29"),
        ],
        ids=["held", "reserved", "network", "broadcast", "anycast", "outside"],
    )
    def test_acquire_an_address_that_cannot_be_had(self, lan: Ipam, address: str, named: str) -> None:
        lan.acquire("lan", "IPAddress/web", address="10.0.0.3")
        with pytest.raises(Conflict, match=f"{re.escape(address)}.*{named}"):
            lan.acquire("lan", "IPAddress/db", address=address)
        assert lan.holding("IPAddress/db") is None

    @pytest.mark.parametrize(
        "ask",
        [
            lambda ipam: ipam.acquire("lan", "a", address="10.0.0.5"),
            lambda ipam: ipam.acquire("lan", "a", family=6),
            lambda ipam: ipam.acquire("dmz", "a"),
        ],
    )
    def test_acquire_an_owner_holds_one_address(self, lan: Ipam, ask: Callable[[Ipam], str]) -> None:
        lan.put_network("dmz", IpamNetwork((Prefix("192.168.0.0/24"),)))
        lan.acquire("lan", "a")
        with pytest.raises(Conflict, match=r"a.*10\.0\.0\.2.*lan"):
            ask(lan)

    def test_acquire_a_full_network_is_exhausted(self, lan: Ipam) -> None:
        for number in range(5):
            lan.acquire("lan", f"o{number}", family=4)
        with pytest.raises(Exhausted, match=r"lan.*IPv4.*5.*10\.0\.0\.0/29"):
            lan.acquire("lan", "a", family=4)
        assert lan.acquire("lan", "a") == "2001:db8::1"

    def test_acquire_a_family_that_it_has_not_is_exhausted(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        with pytest.raises(Exhausted, match=r"lan.*IPv6"):
            ipam.acquire("lan", "a", family=6)

    @pytest.mark.parametrize(
        ("network", "asked"), [("dmz", {}), ("lan", {"address": "10.0.0.300"}), ("lan", {"family": 5})]
    )
    def test_acquire_what_makes_no_sense_is_rejected(self, lan: Ipam, network: str, asked: dict[str, str]) -> None:
        with pytest.raises(Rejected):
            lan.acquire(network, "a", **asked)  # type: ignore[arg-type]  # that is the point
        assert lan.list() == []

    def test_about_is_kept_with_the_address(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "a", about=ABOUT)
        ipam.acquire("lan", "b")
        assert ipam.holding("a") == Allocation("a", "lan", "10.0.0.2", ABOUT)
        assert [one.about for one in ipam.list()] == [ABOUT, NO_ABOUT]

    def test_about_stays_as_it_was_when_the_owner_asks_again(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "a", about=ABOUT)
        ipam.acquire("lan", "a", about=About(project="other"))
        assert ipam.holding("a") == Allocation("a", "lan", "10.0.0.2", ABOUT)

    @pytest.mark.parametrize("about", [ABOUT, About(tags=("",)), NO_ABOUT])
    def test_about_changes_by_describe(self, ipam: Ipam, about: About) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "a", about=About(project="other"))
        ipam.describe("a", about)
        assert ipam.holding("a") == Allocation("a", "lan", "10.0.0.2", about)

    def test_about_goes_with_the_address(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "a", about=ABOUT)
        ipam.release("a")
        ipam.acquire("lan", "a")
        assert ipam.holding("a") == Allocation("a", "lan", "10.0.0.2")

    def test_about_of_who_holds_nothing_is_refused(self, ipam: Ipam) -> None:
        with pytest.raises(Conflict, match="IPAddress/web"):
            ipam.describe("IPAddress/web", ABOUT)

    def test_release_frees_the_address(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "a")
        ipam.release("a")
        assert ipam.holding("a") is None
        assert ipam.acquire("lan", "b") == "10.0.0.2"

    def test_release_of_nothing_is_success(self, ipam: Ipam) -> None:
        ipam.release("a")

    @pytest.mark.parametrize("order", ["abcde", "edcba", "bdace", "caebd"])
    def test_release_in_any_order_makes_the_network_whole_again(self, ipam: Ipam, order: str) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        for owner in "abcde":
            ipam.acquire("lan", owner)
        for owner in order:
            ipam.release(owner)
        assert ipam.list() == []
        assert [ipam.acquire("lan", owner) for owner in "vwxyz"] == [f"10.0.0.{number}" for number in range(2, 7)]

    def test_list_is_by_owner_and_network(self, ipam: Ipam) -> None:
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

    @pytest.mark.usefixtures("needs_usage")
    def test_list_usage_counts_what_can_be_given_out_and_what_is_held(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(DUAL))
        ipam.put_network("dmz", IpamNetwork((Prefix("192.168.0.0/31"),)))
        for owner in "abc":
            ipam.acquire("lan", owner)
        lan = [Usage("lan", "10.0.0.0/29", 5, 3), Usage("lan", "2001:db8::/125", 7, 0)]
        assert ipam.usage("lan") == lan
        assert ipam.usage() == [Usage("dmz", "192.168.0.0/31", 2, 0), *lan]
        assert ipam.usage("wan") == []

    def test_list_of_what_is_wrong_is_empty_where_all_is_sound(self, ipam: Ipam) -> None:
        assert ipam.check() == []

    def test_transfer_what_one_holds_the_other_holds_with_all_that_is_said_of_it(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "a", address="10.0.0.5", about=ABOUT)
        ipam.transfer("a", "b")
        assert ipam.holding("a") is None
        assert ipam.list() == [Allocation("b", "lan", "10.0.0.5", ABOUT)]
        assert ipam.acquire("lan", "b") == "10.0.0.5"
        assert ipam.acquire("lan", "a") == "10.0.0.2"

    def test_transfer_again_and_of_nothing_is_success(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "a")
        for _ in range(2):
            ipam.transfer("a", "b")
        ipam.transfer("b", "b")
        ipam.transfer("nobody", "b")
        assert ipam.list() == [Allocation("b", "lan", "10.0.0.2")]

    def test_transfer_one_that_holds_another_does_not_get_it(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        for owner in ("a", "b"):
            ipam.acquire("lan", owner)
        with pytest.raises(Conflict, match=r"b.*a"):
            ipam.transfer("a", "b")
        assert [one.owner for one in ipam.list()] == ["a", "b"]

    def test_transfer_the_old_owner_releases_nothing_any_more(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "a")
        ipam.transfer("a", "b")
        ipam.release("a")
        assert ipam.holding("b") == Allocation("b", "lan", "10.0.0.2")
        ipam.release("b")
        assert ipam.list() == []

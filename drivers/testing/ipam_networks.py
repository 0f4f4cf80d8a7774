"""What every Ipam promises of networks (`drivers.base.Ipam`)."""

from __future__ import annotations

import pytest

from drivers.base import Allocation, Conflict, Exhausted, Ipam, IpamNetwork, Prefix, Rejected

SMALL = (Prefix("10.0.0.0/29", ("10.0.0.1",)),)
DUAL = (Prefix("10.0.0.0/29", ("10.0.0.1",)), Prefix("2001:db8::/125"))


class NetworkSuite:
    """A part of IpamConformance."""

    def test_network_that_is_unknown_is_none(self, ipam: Ipam) -> None:
        assert ipam.network("lan") is None
        assert ipam.networks() == {}

    def test_network_prefixes_come_back_as_they_were_put(self, ipam: Ipam) -> None:
        prefixes = (Prefix("2001:DB8:0::/48", ("2001:db8::0-2001:db8::ff",)), *SMALL)
        ipam.put_network("lan", IpamNetwork(prefixes))
        assert ipam.network("lan") == IpamNetwork(prefixes)
        assert ipam.networks() == {"lan": IpamNetwork(prefixes)}

    @pytest.mark.usefixtures("needs_empty")
    def test_network_without_prefixes_is_known(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(()))
        assert ipam.network("lan") == IpamNetwork(())

    def test_network_an_owner_may_have_colons_in_its_name(self, ipam: Ipam) -> None:
        owner = "IPAddress/web:0:lan:4"
        ipam.put_network("lan", IpamNetwork(SMALL))
        assert ipam.acquire("lan", owner) == "10.0.0.2"
        assert ipam.holding(owner) == Allocation(owner, "lan", "10.0.0.2")
        assert [one.owner for one in ipam.list()] == [owner]
        ipam.release(owner)
        assert ipam.holding(owner) is None

    def test_network_put_is_idempotent(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(DUAL))
        ipam.acquire("lan", "a")
        ipam.put_network("lan", IpamNetwork(DUAL))
        assert ipam.network("lan") == IpamNetwork(DUAL)
        assert ipam.acquire("lan", "b") == "10.0.0.3"

    @pytest.mark.usefixtures("needs_order")
    def test_network_order_decides_where_addresses_come_from(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(DUAL))
        ipam.put_network("lan", IpamNetwork(DUAL[::-1]))
        assert ipam.network("lan") == IpamNetwork(DUAL[::-1])
        assert ipam.acquire("lan", "a") == "2001:db8::1"

    def test_network_a_prefix_that_grows_keeps_what_is_held_and_gives_more(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.0/30"),)))
        assert [ipam.acquire("lan", owner) for owner in "ab"] == ["10.0.0.1", "10.0.0.2"]
        ipam.put_network("lan", IpamNetwork((Prefix("10.0.0.0/29"),)))
        assert ipam.holding("a") == Allocation("a", "lan", "10.0.0.1")
        assert ipam.acquire("lan", "c") == "10.0.0.3"

    def test_network_a_prefix_that_is_split_keeps_what_is_held(self, ipam: Ipam) -> None:
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

    def test_network_two_prefixes_that_are_joined_keep_what_is_held(self, ipam: Ipam) -> None:
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

    @pytest.mark.usefixtures("needs_reserved")
    def test_network_what_becomes_reserved_is_given_no_more(self, ipam: Ipam) -> None:
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
    def test_network_a_change_that_would_lose_an_allocation_changes_nothing(
        self, ipam: Ipam, after: tuple[Prefix, ...]
    ) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.acquire("lan", "IPAddress/web", address="10.0.0.3")
        with pytest.raises(Conflict, match=r"10\.0\.0\.3.*IPAddress/web"):
            ipam.put_network("lan", IpamNetwork(after))
        assert ipam.network("lan") == IpamNetwork(SMALL)
        assert ipam.acquire("lan", "b") == "10.0.0.2"

    @pytest.mark.parametrize("cidr", ["10.0.0.0/29", "10.0.0.4/30", "10.0.0.0/8"])
    def test_network_prefixes_of_two_networks_may_not_overlap(self, ipam: Ipam, cidr: str) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.put_network("dmz", IpamNetwork((Prefix("192.168.0.0/24"),)))
        with pytest.raises(Conflict, match=rf"{cidr}.*10\.0\.0\.0/29.*lan"):
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

    def test_network_prefixes_of_one_may_not_overlap(self, ipam: Ipam) -> None:
        with pytest.raises(Conflict, match=r"10\.0\.0\.0/8.*10\.1\.0\.0/16"):
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

    def test_network_a_prefix_that_cannot_be_read_changes_nothing(self, ipam: Ipam) -> None:
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

    def test_network_put_returns_the_network_as_it_is(self, ipam: Ipam) -> None:
        wanted = IpamNetwork(DUAL, shared=True, project="shop")
        assert ipam.put_network("lan", wanted) == wanted
        assert ipam.put_network("lan", wanted) == wanted
        assert ipam.network("lan") == wanted

    def test_network_its_attributes_change_beneath_what_is_held(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(DUAL))
        ipam.acquire("lan", "a")
        ipam.put_network("lan", IpamNetwork(DUAL, shared=True, project="shop"))
        assert ipam.network("lan") == IpamNetwork(DUAL, shared=True, project="shop")
        assert ipam.acquire("lan", "a") == "10.0.0.2"

    @pytest.mark.usefixtures("needs_namespaces")
    def test_network_networks_of_two_namespaces_may_overlap(self, ipam: Ipam) -> None:
        for name in ("red", "blue"):
            ipam.put_network(f"lan-{name}", IpamNetwork(SMALL, namespace=name))
            assert ipam.acquire(f"lan-{name}", name) == "10.0.0.2"
        with pytest.raises(Conflict, match=r"lan-red"):
            ipam.put_network("lan", IpamNetwork(SMALL, namespace="red"))
        assert ipam.network("lan") is None

    @pytest.mark.usefixtures("needs_namespaces")
    def test_network_a_network_moves_to_another_namespace_where_it_overlaps_nothing(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.put_network("lan-red", IpamNetwork(SMALL, namespace="red"))
        ipam.acquire("lan-red", "a")
        with pytest.raises(Conflict, match="lan"):
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
    def test_network_the_smallest_give_what_they_have(self, ipam: Ipam, cidr: str, addresses: list[str]) -> None:
        ipam.put_network("lan", IpamNetwork((Prefix(cidr),)))
        assert [ipam.acquire("lan", f"o{number}") for number in range(len(addresses))] == addresses
        with pytest.raises(Exhausted):
            ipam.acquire("lan", "one too many")

    def test_network_an_empty_one_can_be_dropped_and_its_space_used_again(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        ipam.drop_network("lan")
        assert ipam.network("lan") is None
        ipam.put_network("dmz", IpamNetwork(SMALL))

    def test_network_dropping_an_absent_one_is_success(self, ipam: Ipam) -> None:
        ipam.drop_network("lan")

    def test_network_one_in_use_cannot_be_dropped(self, ipam: Ipam) -> None:
        ipam.put_network("lan", IpamNetwork(SMALL))
        for owner in "abcd":
            ipam.acquire("lan", owner)
        with pytest.raises(Conflict, match=r"lan.*10\.0\.0\.2.*a"):
            ipam.drop_network("lan")
        assert len(ipam.list()) == 4

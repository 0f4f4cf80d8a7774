"""What every Ipam promises of containers and their children (`drivers.base.Ipam`)."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from drivers.base import Allocation, Conflict, Exhausted, Ipam, IpamNetwork, Prefix, Rejected, Usage

SUPER = IpamNetwork((Prefix("10.0.0.0/24"), Prefix("2001:db8::/56")), container=True)
CHILD = IpamNetwork(parent="super")


def child(*cidrs: str) -> IpamNetwork:
    """A child of `super` with these prefixes."""
    return IpamNetwork(tuple(Prefix(cidr) for cidr in cidrs), parent="super")


def cidrs(network: IpamNetwork | None) -> list[str]:
    """The prefixes of a network that is known."""
    assert network is not None
    return [prefix.cidr for prefix in network.prefixes]


class ChildSuite:
    """A part of IpamConformance."""

    @pytest.fixture
    def below(self, ipam: Ipam) -> Ipam:
        """An IPAM with the container `super`."""
        ipam.put_network("super", SUPER)
        return ipam

    def test_chosen_child_the_lowest_free_block_of_the_length_for_each_family(self, below: Ipam) -> None:
        put = below.put_network("a", CHILD, {6: 64, 4: 28})
        assert put == IpamNetwork((Prefix("10.0.0.0/28"), Prefix("2001:db8::/64")), parent="super")
        assert below.network("a") == put
        assert cidrs(below.put_network("b", CHILD, {4: 28, 6: 64})) == ["10.0.0.16/28", "2001:db8:0:1::/64"]

    def test_chosen_child_the_smallest_block_that_fits_goes_before_a_lower_one(self, below: Ipam) -> None:
        for name, cidr in (("low", "10.0.0.0/26"), ("high", "10.0.0.192/28")):
            below.put_network(name, child(cidr))
        below.drop_network("low")
        assert cidrs(below.put_network("a", CHILD, {4: 28})) == ["10.0.0.208/28"]
        assert cidrs(below.put_network("b", CHILD, {4: 27})) == ["10.0.0.224/27"]
        assert cidrs(below.put_network("c", CHILD, {4: 27})) == ["10.0.0.128/27"]

    @pytest.mark.usefixtures("needs_order")
    def test_chosen_child_the_smallest_block_goes_before_an_earlier_prefix(self, ipam: Ipam) -> None:
        halves = (Prefix("10.0.0.128/25"), Prefix("10.0.0.0/25"))
        ipam.put_network("super", IpamNetwork(halves, container=True))
        ipam.put_network("a", child("10.0.0.0/26"))
        got = [cidrs(ipam.put_network(f"c{number}", CHILD, {4: 27}))[0] for number in range(3)]
        assert got == ["10.0.0.64/27", "10.0.0.96/27", "10.0.0.128/27"]
        ipam.drop_network("a")
        ipam.put_network("d", child("10.0.0.192/26"))
        assert cidrs(ipam.put_network("e", CHILD, {4: 26})) == ["10.0.0.0/26"]

    @pytest.mark.usefixtures("needs_whole")
    def test_chosen_child_that_is_a_container_has_room_for_children(self, below: Ipam) -> None:
        below.put_network("mid", IpamNetwork(parent="super", container=True), {4: 30})
        assert cidrs(below.put_network("a", IpamNetwork(parent="mid"), {4: 30})) == ["10.0.0.0/30"]
        assert [below.acquire("a", owner) for owner in "xy"] == ["10.0.0.1", "10.0.0.2"]

    @pytest.mark.usefixtures("needs_whole")
    def test_chosen_child_a_released_one_joins_its_neighbours(self, below: Ipam) -> None:
        names = [f"c{number}" for number in range(4)]
        for name in names:
            below.put_network(name, CHILD, {4: 26})
        for name in (names[2], names[0], names[3], names[1]):
            below.drop_network(name)
        assert cidrs(below.put_network("whole", CHILD, {4: 24})) == ["10.0.0.0/24"]

    def test_chosen_child_is_kept(self, below: Ipam) -> None:
        below.put_network("a", CHILD, {4: 28})
        first = below.put_network("b", CHILD, {4: 28})
        below.drop_network("a")
        assert below.put_network("b", CHILD, {4: 28}) == first
        assert cidrs(below.put_network("b", CHILD, {6: 64, 4: 28})) == ["10.0.0.16/28", "2001:db8::/64"]

    def test_chosen_child_another_length_is_chosen_anew_and_the_old_one_is_free(self, below: Ipam) -> None:
        below.put_network("a", CHILD, {4: 28})
        assert cidrs(below.put_network("a", CHILD, {4: 25})) == ["10.0.0.0/25"]
        assert cidrs(below.put_network("b", CHILD, {4: 25})) == ["10.0.0.128/25"]

    def test_chosen_child_another_length_that_would_lose_an_address_changes_nothing(self, below: Ipam) -> None:
        below.put_network("other", child("10.0.0.0/29"))
        before = below.put_network("a", CHILD, {4: 29})
        below.acquire("a", "IPAddress/web")
        with pytest.raises(Conflict, match=r"10\.0\.0\.9.*IPAddress/web"):
            below.put_network("a", CHILD, {4: 28})
        assert below.network("a") == before
        assert cidrs(below.put_network("b", CHILD, {4: 28})) == ["10.0.0.16/28"]

    def test_chosen_child_one_beside_those_that_are_declared(self, below: Ipam) -> None:
        wanted = IpamNetwork((Prefix("10.0.0.128/28"),), parent="super")
        put = below.put_network("a", wanted, {4: 28})
        assert cidrs(put) == ["10.0.0.128/28", "10.0.0.144/28"]
        assert below.put_network("a", wanted, {4: 28}) == put

    @pytest.mark.parametrize("length", [31, 32])
    def test_chosen_child_may_be_of_the_smallest_length(self, below: Ipam, length: int) -> None:
        assert cidrs(below.put_network("a", CHILD, {4: length})) == [f"10.0.0.0/{length}"]
        assert below.acquire("a", "o") == "10.0.0.0"

    @pytest.mark.usefixtures("needs_reserved")
    def test_chosen_child_what_is_reserved_in_the_container_is_never_chosen(self, ipam: Ipam) -> None:
        reserved = ("10.0.0.0/28", "10.0.0.17")
        ipam.put_network("super", IpamNetwork((Prefix("10.0.0.0/27", reserved),), container=True))
        got = [cidrs(ipam.put_network(f"c{number}", CHILD, {4: 30}))[0] for number in range(3)]
        assert got == ["10.0.0.20/30", "10.0.0.24/30", "10.0.0.28/30"]
        assert cidrs(ipam.put_network("one", CHILD, {4: 32})) == ["10.0.0.16/32"]
        assert cidrs(ipam.put_network("two", CHILD, {4: 31})) == ["10.0.0.18/31"]

    def test_chosen_child_a_full_container_is_exhausted_and_says_what_is_free(self, below: Ipam) -> None:
        below.put_network("a", child("10.0.0.64/26"))
        with pytest.raises(Exhausted, match=r"super.*IPv4.*/24.*/25.*/26"):
            below.put_network("b", CHILD, {6: 64, 4: 24})
        assert below.network("b") is None
        assert cidrs(below.put_network("c", CHILD, {6: 64})) == ["2001:db8::/64"]

    def test_chosen_child_a_family_that_the_container_has_not_is_exhausted(self, ipam: Ipam) -> None:
        ipam.put_network("super", IpamNetwork((Prefix("10.0.0.0/24"),), container=True))
        with pytest.raises(Exhausted, match=r"super.*IPv6"):
            ipam.put_network("a", CHILD, {6: 64})

    @pytest.mark.parametrize(
        ("wanted", "lengths"),
        [(CHILD, {4: 33}), (CHILD, {6: 0}), (CHILD, {5: 24}), (IpamNetwork(), {4: 28})],
    )
    def test_chosen_child_a_length_that_cannot_be_is_rejected(
        self, below: Ipam, wanted: IpamNetwork, lengths: dict[int, int]
    ) -> None:
        with pytest.raises(Rejected):
            below.put_network("a", wanted, lengths)
        assert below.network("a") is None

    def test_declared_child_is_taken_from_the_container(self, below: Ipam) -> None:
        assert below.put_network("a", child("10.0.0.32/27")) == child("10.0.0.32/27")
        got = [cidrs(below.put_network(f"c{number}", CHILD, {4: 27}))[0] for number in range(3)]
        assert got == ["10.0.0.0/27", "10.0.0.64/27", "10.0.0.96/27"]

    @pytest.mark.usefixtures("needs_whole")
    def test_declared_child_may_be_the_whole_container(self, below: Ipam) -> None:
        below.put_network("a", child("10.0.0.0/24"))
        below.drop_network("a")
        below.put_network("b", child("10.0.0.0/24"))

    @pytest.mark.parametrize("cidr", ["10.0.0.0/24", "10.0.0.48/28", "10.0.0.33/32", "10.0.0.32/27"])
    def test_declared_child_one_that_is_not_free_is_refused_with_who_has_it(self, below: Ipam, cidr: str) -> None:
        below.put_network("a", child("10.0.0.32/27"))
        with pytest.raises(Conflict, match=r"b.*10\.0\.0\.32/27.*a"):
            below.put_network("b", child("2001:db8::/64", cidr))
        assert below.network("b") is None
        assert cidrs(below.put_network("c", CHILD, {6: 64})) == ["2001:db8::/64"]

    @pytest.mark.parametrize("cidr", ["10.0.1.0/28", "10.0.0.0/23", "2001:db8:1::/64"])
    def test_declared_child_one_that_is_not_within_the_parent_is_refused(self, below: Ipam, cidr: str) -> None:
        with pytest.raises(Conflict, match=r"super.*10\.0\.0\.0/24"):
            below.put_network("a", child(cidr))
        assert below.network("a") is None

    @pytest.mark.usefixtures("needs_reserved")
    def test_declared_child_one_that_is_reserved_in_the_parent_is_refused(self, ipam: Ipam) -> None:
        ipam.put_network("super", IpamNetwork((Prefix("10.0.0.0/24", ("10.0.0.17",)),), container=True))
        with pytest.raises(Conflict, match="super"):
            ipam.put_network("a", child("10.0.0.16/28"))

    def test_declared_child_a_child_may_grow_and_shrink_over_what_is_free(self, below: Ipam) -> None:
        below.put_network("a", child("10.0.0.16/28"))
        assert below.acquire("a", "o") == "10.0.0.17"
        below.put_network("a", child("10.0.0.0/26"))
        assert below.acquire("a", "p") == "10.0.0.1"
        below.put_network("b", child("10.0.0.64/28"))
        with pytest.raises(Conflict, match="b"):
            below.put_network("a", child("10.0.0.0/25"))
        below.release("o")
        below.put_network("a", child("10.0.0.0/29"))
        assert cidrs(below.put_network("c", CHILD, {4: 27})) == ["10.0.0.32/27"]

    def test_declared_child_may_become_chosen_and_a_chosen_one_declared(self, below: Ipam) -> None:
        below.put_network("a", CHILD, {4: 28})
        below.acquire("a", "o")
        assert below.put_network("a", child("10.0.0.0/28")) == child("10.0.0.0/28")
        assert below.put_network("a", CHILD, {4: 28}) == child("10.0.0.0/28")
        assert below.holding("o") == Allocation("o", "a", "10.0.0.1")

    def test_container_no_addresses_are_in_a_container(self, below: Ipam) -> None:
        with pytest.raises(Rejected, match="super"):
            below.acquire("super", "a")
        with pytest.raises(Rejected, match="super"):
            below.acquire("super", "a", address="10.0.0.5")

    @pytest.mark.parametrize("parent", ["lan", "unknown", "a"])
    def test_container_one_that_is_no_container_is_rejected(self, below: Ipam, parent: str) -> None:
        below.put_network("lan", IpamNetwork((Prefix("192.168.0.0/24"),)))
        with pytest.raises(Rejected, match=parent):
            below.put_network("a", IpamNetwork(parent=parent))
        assert below.network("a") is None

    def test_container_is_not_within_itself(self, below: Ipam) -> None:
        below.put_network("a", IpamNetwork((Prefix("10.0.0.0/25"),), parent="super", container=True))
        with pytest.raises(Rejected, match=r"super.*a"):
            below.put_network("super", IpamNetwork(SUPER.prefixes, parent="a", container=True))
        assert below.network("super") == SUPER

    def test_container_one_with_children_cannot_be_dropped_or_stop_being_a_container(self, below: Ipam) -> None:
        below.put_network("a", CHILD, {4: 28})
        with pytest.raises(Conflict, match=r"super.*a"):
            below.drop_network("super")
        with pytest.raises(Conflict, match=r"super.*a"):
            below.put_network("super", IpamNetwork(SUPER.prefixes))
        assert below.network("super") == SUPER
        below.drop_network("a")
        below.put_network("super", IpamNetwork(SUPER.prefixes))
        assert below.acquire("super", "o") == "10.0.0.1"

    def test_container_an_empty_network_may_become_a_container_and_one_with_addresses_may_not(self, ipam: Ipam) -> None:
        ipam.put_network("super", IpamNetwork(SUPER.prefixes))
        ipam.acquire("super", "IPAddress/web")
        with pytest.raises(Conflict, match=r"super.*10\.0\.0\.1.*IPAddress/web"):
            ipam.put_network("super", SUPER)
        ipam.release("IPAddress/web")
        ipam.put_network("super", SUPER)
        assert cidrs(ipam.put_network("a", CHILD, {4: 28})) == ["10.0.0.0/28"]

    @pytest.mark.usefixtures("needs_whole")
    def test_container_its_prefixes_change_around_its_children(self, below: Ipam) -> None:
        below.put_network("a", child("10.0.0.64/26"))
        for wide in ("10.0.0.0/23", "10.0.0.64/26", "10.0.0.0/16"):
            below.put_network("super", IpamNetwork((Prefix(wide),), container=True))
            assert below.check() == []
        assert cidrs(below.put_network("b", CHILD, {4: 26})) == ["10.0.0.0/26"]

    @pytest.mark.usefixtures("needs_whole")
    def test_container_two_of_its_prefixes_are_joined_and_split_around_its_children(self, below: Ipam) -> None:
        below.put_network("a", child("10.0.0.0/25"))
        below.put_network("super", IpamNetwork((Prefix("10.0.0.0/25"), Prefix("10.0.0.128/25")), container=True))
        assert cidrs(below.put_network("b", CHILD, {4: 25})) == ["10.0.0.128/25"]
        below.put_network("super", IpamNetwork((Prefix("10.0.0.0/23"),), container=True))
        assert cidrs(below.put_network("c", CHILD, {4: 24})) == ["10.0.1.0/24"]

    @pytest.mark.parametrize("after", [(), ("10.0.1.0/24",), ("10.0.0.0/26",), ("10.0.0.64/27", "10.0.0.96/27")])
    def test_container_change_that_would_lose_a_child_changes_nothing(
        self, below: Ipam, after: tuple[str, ...]
    ) -> None:
        below.put_network("a", child("10.0.0.64/26"))
        with pytest.raises(Conflict, match=r"super.*10\.0\.0\.64/26.*a"):
            below.put_network("super", IpamNetwork(tuple(map(Prefix, after)), container=True))
        assert below.network("super") == SUPER

    @pytest.mark.usefixtures("needs_reserved")
    def test_container_reserving_a_part_leaves_the_children_and_refuses_to_take_theirs(self, below: Ipam) -> None:
        below.put_network("a", child("10.0.0.64/26"))
        keep = IpamNetwork((Prefix("10.0.0.0/24", ("10.0.0.0/26",)),), container=True)
        below.put_network("super", keep)
        assert cidrs(below.put_network("b", CHILD, {4: 26})) == ["10.0.0.128/26"]
        with pytest.raises(Conflict, match=r"10\.0\.0\.64/26.*a"):
            below.put_network("super", IpamNetwork((Prefix("10.0.0.0/24", ("10.0.0.127",)),), container=True))
        assert below.network("super") == keep

    def test_container_within_a_container(self, below: Ipam) -> None:
        below.put_network("mid", IpamNetwork(parent="super", container=True), {4: 26})
        assert cidrs(below.put_network("a", IpamNetwork(parent="mid"), {4: 28})) == ["10.0.0.0/28"]
        assert below.acquire("a", "o") == "10.0.0.1"
        with pytest.raises(Conflict, match="mid"):
            below.drop_network("mid")
        assert cidrs(below.put_network("b", CHILD, {4: 26})) == ["10.0.0.64/26"]

    def test_container_a_network_becomes_a_child_and_stops_being_one_with_its_addresses(self, ipam: Ipam) -> None:
        ipam.put_network("super", IpamNetwork((Prefix("10.0.0.0/16"),), container=True, namespace=""))
        ipam.put_network("lan", IpamNetwork((Prefix("192.168.0.0/24"),)))
        ipam.acquire("lan", "o")
        with pytest.raises(Conflict, match=r"lan"):
            ipam.put_network("lan", IpamNetwork((Prefix("192.168.0.0/24"),), parent="super"))
        ipam.put_network("super", IpamNetwork((Prefix("10.0.0.0/16"),), container=True))
        ipam.put_network("c", child("10.0.4.0/24"))
        ipam.acquire("c", "p")
        with pytest.raises(Conflict, match="super"):
            ipam.put_network("c", IpamNetwork((Prefix("10.0.4.0/24"),)))
        ipam.put_network("d", CHILD, {4: 17})
        ipam.drop_network("d")
        assert ipam.holding("p") == Allocation("p", "c", "10.0.4.1")

    def test_container_a_network_moves_from_one_parent_to_another_with_its_addresses(self, below: Ipam) -> None:
        below.put_network("mid", IpamNetwork((Prefix("10.0.0.0/25"),), parent="super", container=True))
        below.put_network("a", IpamNetwork((Prefix("10.0.0.16/28"),), parent="mid"))
        below.acquire("a", "o")
        below.put_network("b", child("10.0.0.128/28"))
        with pytest.raises(Conflict, match="mid"):
            below.put_network("a", child("10.0.0.16/28"))
        with pytest.raises(Conflict, match="mid"):
            below.put_network("b", IpamNetwork((Prefix("10.0.0.128/28"),), parent="mid"))
        below.put_network("b", IpamNetwork(parent="mid"), {4: 28})
        assert cidrs(below.network("b")) == ["10.0.0.0/28"]
        assert cidrs(below.put_network("c", CHILD, {4: 25})) == ["10.0.0.128/25"]

    @pytest.mark.usefixtures("needs_namespaces")
    def test_container_takes_in_a_network_of_another_namespace_with_its_addresses(self, below: Ipam) -> None:
        below.put_network("lan", IpamNetwork((Prefix("10.0.0.16/28"),), namespace="red"))
        below.acquire("lan", "o")
        below.put_network("lan", child("10.0.0.16/28"))
        assert cidrs(below.put_network("a", CHILD, {4: 28})) == ["10.0.0.0/28"]
        assert cidrs(below.put_network("b", CHILD, {4: 28})) == ["10.0.0.32/28"]
        below.put_network("lan", IpamNetwork((Prefix("10.0.0.16/28"),), namespace="red"))
        assert below.holding("o") == Allocation("o", "lan", "10.0.0.17")
        assert cidrs(below.put_network("c", CHILD, {4: 28})) == ["10.0.0.16/28"]

    @pytest.mark.usefixtures("needs_namespaces")
    def test_container_children_are_in_their_parent_s_namespace(self, ipam: Ipam) -> None:
        for name in ("red", "blue"):
            ipam.put_network(f"super-{name}", IpamNetwork(SUPER.prefixes, container=True, namespace=name))
            put = ipam.put_network(name, IpamNetwork(parent=f"super-{name}"), {4: 28})
            assert put == IpamNetwork((Prefix("10.0.0.0/28"),), parent=f"super-{name}", namespace=name)
        with pytest.raises(Rejected, match=r"blue.*super-red.*red"):
            ipam.put_network("a", IpamNetwork(parent="super-red", namespace="blue"), {4: 28})

    @pytest.mark.usefixtures("needs_namespaces")
    def test_container_children_go_with_their_parent_to_another_namespace(self, below: Ipam) -> None:
        below.put_network("mid", IpamNetwork(parent="super", container=True), {4: 26})
        below.put_network("a", IpamNetwork(parent="mid"), {4: 28})
        below.put_network("super", IpamNetwork(SUPER.prefixes, container=True, namespace="red"))
        assert {name: one.namespace for name, one in below.networks().items()} == dict.fromkeys(
            ["a", "mid", "super"], "red"
        )

    @pytest.mark.usefixtures("needs_usage")
    def test_container_usage_names_the_largest_free_blocks(self, below: Ipam) -> None:
        below.put_network("a", child("10.0.0.0/28"))
        below.put_network("b", child("10.0.0.64/26"))
        assert below.usage("super") == [
            Usage("super", "10.0.0.0/24", 256, 80, ((25, 1), (27, 1), (28, 1))),
            Usage("super", "2001:db8::/56", 2**72, 0, ((56, 1),)),
        ]

    def test_container_children_are_each_elsewhere(self, below: Ipam) -> None:
        got = [cidrs(below.put_network(f"c{number}", CHILD, {4: 26 + number % 4}))[0] for number in range(8)]
        networks = [ip_network(cidr) for cidr in got]
        assert all(not one.overlaps(other) for one in networks for other in networks if one is not other)

"""Who has what is asked for by name, and whether they let go of it: held in the plan, with the holder and a way out."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.base import About, IntegerRange, IpamNetwork, Number, Pool, Prefix
from reconciler.kinds.ipam.allocation.conflicts import ConflictVerdict, Room
from reconciler.kinds.ipam.ipaddress import AddressState
from reconciler.kinds.ipam.network import NetworkState
from reconciler.kinds.ipam.pool import NumberState, PoolState
from reconciler.model.facts import Facts, Failure, ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.outcome import ActionFailure
from reconciler.model.plans.plan import Change, HoldKind
from reconciler.model.resource import ResourceKey
from tests.loop.world import declare
from tests.unit.planning_worlds import NOW, World, planned

Document = tuple[str, str, dict[str, Any]]
NET: Document = ("Network", "n", {"prefixes": [{"cidr": "10.0.0.0/24"}]})
POOL: Document = ("Pool", "p", {"ranges": ["1-9"]})
THERE = NetworkState(IpamNetwork((Prefix("10.0.0.0/24"),)))
A, B, C = (ResourceKey("IPAddress", name) for name in "abc")


def address(name: str, **spec: Any) -> Document:
    return "IPAddress", name, {"network": "n", **spec}


def number(name: str, **spec: Any) -> Document:
    return "Number", name, {"pool": "p", **spec}


def network(name: str, cidr: str, **spec: Any) -> Document:
    return "Network", name, {"prefixes": [{"cidr": cidr}], **spec}


def at(last: str, *, ephemeral: bool = True) -> AddressState:
    return AddressState("n", f"10.0.0.{last}", About(ephemeral=ephemeral))


def changes(
    documents: list[Document], holding: dict[str, Any], remembered: dict[str, ResourceFacts] | None = None
) -> dict[str, Change]:
    """By key, the changes of the plan. `holding`: what was seen; what is declared beside is seen to hold nothing."""
    desired = declare(*documents)
    nothing = {"Network": NetworkState(), "IPAddress": AddressState(), "Pool": PoolState(), "Number": NumberState()}
    looks: dict[ResourceKey, Any] = {key: nothing[key.kind] for key in desired.resources if key.kind in nothing}
    looks |= {ResourceKey.parse(key): value for key, value in holding.items()}
    observed = {key: Observation(key, NOW, value) for key, value in looks.items()}
    facts = {ResourceKey.parse(key): one for key, one in (remembered or {}).items()}
    found = planned(World(desired, observed, Facts(facts, {})))
    return {str(change.key): change for change in found.changes}


def holds(change: Change) -> list[tuple[HoldKind, str]]:
    return [(hold.kind, hold.by) for hold in change.held_by]


ORPHAN, RELEASE = ResourceFacts(deletion_policy="Orphan"), ResourceFacts(deletion_policy="Release")


class TestAddresses:
    """cloudfoundry/bosh#462, terraform-providers/terraform-provider-opc#71: an address goes from one to another."""

    def test_one_that_is_renamed_is_held_with_the_old_name(self) -> None:
        found = changes(
            [NET, address("web", address="10.0.0.80", type="Static")],
            {"Network/n": THERE, "IPAddress/www": at("80", ephemeral=False)},
            {"IPAddress/www": ORPHAN},
        )
        hold = found["IPAddress/web"].held_by[0]
        assert (hold.kind, hold.by) == (HoldKind.GUARD, "taken")
        assert "IPAddress/www" in hold.reason
        assert "declare IPAddress/www again" in hold.hint
        assert not found["IPAddress/web"].goes

    def test_one_that_another_has_is_held_with_the_place_of_the_other(self) -> None:
        found = changes(
            [NET, address("any"), address("new", address="10.0.0.1")],
            {"Network/n": THERE, "IPAddress/any": at("1")},
        )
        hold = found["IPAddress/new"].held_by[0]
        assert (hold.kind, hold.by) == (HoldKind.GUARD, "taken")
        assert "IPAddress/any (any.yaml:1)" in hold.reason

    def test_the_old_address_is_not_given_up_for_one_that_cannot_be_had(self) -> None:
        found = changes(
            [NET, address("any"), address("vip", address="10.0.0.1")],
            {"Network/n": THERE, "IPAddress/any": at("1"), "IPAddress/vip": at("7")},
        )
        assert not found["IPAddress/vip"].actions

    def test_one_that_is_about_to_be_released_is_waited_for(self) -> None:
        found = changes(
            [NET, address("new", address="10.0.0.5")],
            {"Network/n": THERE, "IPAddress/old": at("5")},
            {"IPAddress/old": RELEASE},
        )
        assert holds(found["IPAddress/new"]) == [(HoldKind.BLOCKED, "IPAddress/old")]
        assert found["IPAddress/old"].goes

    def test_two_that_swap_let_go_first(self) -> None:
        found = changes(
            [NET, address("a", address="10.0.0.6"), address("b", address="10.0.0.5")],
            {"Network/n": THERE, "IPAddress/a": at("5"), "IPAddress/b": at("6")},
        )
        assert all(change.goes and change.actions[0].name == "release" for change in found.values())

    def test_in_another_namespace_the_same_address_is_another(self) -> None:
        other = NetworkState(IpamNetwork((Prefix("10.0.0.0/24"),), namespace="lab"))
        found = changes(
            [NET, network("o", "10.0.0.0/24", namespace="lab"), address("a", address="10.0.0.5")],
            {"Network/n": THERE, "Network/o": other, "IPAddress/x": AddressState("o", "10.0.0.5")},
        )
        assert found["IPAddress/a"].goes


class TestOthersGoOn:
    """metal3-io/ip-address-manager#988: a claim in error kept all others from getting an address."""

    def test_who_takes_any_does_not_wait_for_a_number_that_is_another_s(self) -> None:
        found = changes(
            [NET, address("web", address="10.0.0.80"), address("one"), address("two")],
            {"Network/n": THERE, "IPAddress/www": at("80", ephemeral=False)},
            {"IPAddress/www": ORPHAN},
        )
        assert [key for key, change in found.items() if change.goes] == [
            "IPAddress/one",
            "IPAddress/two",
            "IPAddress/www",
        ]

    @pytest.mark.parametrize(("reason", "waits"), [("Conflict", False), ("Unreachable", True)])
    def test_nor_for_one_that_the_ipam_refused(self, reason: str, waits: bool) -> None:
        failure = Failure(ActionFailure(reason), "somebody else's", NOW, terminal=False, attempts=1, fingerprint="")
        found = changes(
            [NET, address("web", address="10.0.0.80"), address("one")],
            {"Network/n": THERE},
            {"IPAddress/web": ResourceFacts(failures={"spec.address": failure})},
        )
        assert found["IPAddress/one"].goes is not waits

    def test_nor_for_one_of_a_project_that_has_all_that_it_may_have(self) -> None:
        tenancy: list[Document] = [
            ("Tenant", "t", {}),
            ("Project", "poor", {"tenant": "t", "quotas": {"addresses": 0}}),
            ("Project", "rich", {"tenant": "t"}),
        ]
        found = changes(
            [*tenancy, NET, address("web", address="10.0.0.80", project="poor"), address("one", project="rich")],
            {"Network/n": THERE},
        )
        assert (HoldKind.GUARD, "quota") in holds(found["IPAddress/web"])
        assert found["IPAddress/one"].goes

    def test_a_number_that_is_another_s_holds_up_no_number(self) -> None:
        found = changes(
            [POOL, number("a", number=5), number("b")],
            {"Pool/p": PoolState(Pool((IntegerRange(1, 9),), 1)), "Number/x": NumberState("p", 5)},
            {"Number/x": ORPHAN},
        )
        assert holds(found["Number/a"]) == [(HoldKind.GUARD, "taken")]
        assert found["Number/b"].goes

    def test_a_prefix_that_is_another_s_holds_up_no_child(self) -> None:
        parent: Document = (
            "Network",
            "s",
            {"type": "Super", "prefixes": [{"cidr": "10.1.0.0/16"}], "childPrefixLength": {"IPv4": 24}},
        )
        inner = {"parent": "s", "project": "x"}
        found = changes(
            [parent, network("named", "10.1.5.0/24", **inner), ("Network", "any", inner)],
            {
                "Network/s": NetworkState(IpamNetwork((Prefix("10.1.0.0/16"),), container=True)),
                "Network/was": NetworkState(IpamNetwork((Prefix("10.1.5.0/24"),), parent="s", project="x")),
            },
            {"Network/was": ORPHAN},
        )
        assert holds(found["Network/named"]) == [(HoldKind.GUARD, "taken")]
        assert found["Network/any"].goes


class TestNetworks:
    """hetznercloud/terraform-provider-hcloud#1223: a rename of something that is unique."""

    def test_one_that_is_renamed_is_held_with_the_old_name_and_is_no_drift(self) -> None:
        found = changes(
            [network("n2", "10.0.0.0/24"), ("IPAddress", "any", {"network": "n2"})],
            {"Network/n": THERE, "IPAddress/any": at("1")},
            {"Network/n": ORPHAN},
        )
        assert holds(found["Network/n2"]) == [(HoldKind.GUARD, "taken")]
        assert "Network/n" in found["Network/n2"].held_by[0].reason
        assert holds(found["IPAddress/any"]) == [(HoldKind.BLOCKED, "Network/n2")]

    def test_one_that_is_to_be_released_stays_while_what_is_in_it_waits_for_the_other(self) -> None:
        """Each would wait for the other: the addresses for the new network, the old network for its addresses."""
        found = changes(
            [network("n2", "10.0.0.0/24"), ("IPAddress", "any", {"network": "n2"})],
            {"Network/n": THERE, "IPAddress/any": at("1")},
            {"Network/n": RELEASE},
        )
        assert holds(found["Network/n2"]) == [(HoldKind.GUARD, "taken")]
        assert holds(found["Network/n"]) == [(HoldKind.GUARD, "in-use")]

    def test_an_empty_one_that_is_to_be_released_is_waited_for(self) -> None:
        found = changes([network("n2", "10.0.0.0/25")], {"Network/n": THERE}, {"Network/n": RELEASE})
        assert holds(found["Network/n2"]) == [(HoldKind.BLOCKED, "Network/n")]
        assert found["Network/n"].goes

    def test_the_part_that_one_gives_up_is_waited_for_though_an_address_stays_in_the_rest(self) -> None:
        """A network is split: what lives in it stays in the part that it keeps."""
        split = [network("n", "10.0.0.0/25"), network("m", "10.0.0.128/25"), address("a")]
        found = changes(split, {"Network/n": THERE, "IPAddress/a": at("1")})
        assert found["Network/n"].goes
        assert holds(found["Network/m"]) == [(HoldKind.BLOCKED, "Network/n")]

    def test_the_part_is_not_given_up_while_an_address_stays_in_it(self) -> None:
        static = address("s", type="Static")
        split = [network("n", "10.0.0.0/25"), network("m", "10.0.0.128/25"), static]
        found = changes(split, {"Network/n": THERE, "IPAddress/s": at("200", ephemeral=False)})
        assert holds(found["Network/m"]) == [(HoldKind.GUARD, "taken")]

    def test_two_that_would_change_places_are_held_and_told_to_do_it_in_two_commits(self) -> None:
        other = NetworkState(IpamNetwork((Prefix("10.9.0.0/24"),)))
        found = changes(
            [network("n", "10.9.0.0/24"), network("o", "10.0.0.0/24")], {"Network/n": THERE, "Network/o": other}
        )
        assert [holds(change) for change in found.values()] == [[(HoldKind.GUARD, "taken")]] * 2
        assert "two commits" in found["Network/n"].held_by[0].hint


class TestNumbers:
    def test_a_vrf_number_that_a_network_has_is_held_for_another(self) -> None:
        mine = NetworkState(THERE.network, Number("Network/n", "p", 5))
        found = changes(
            [
                POOL,
                network("n", "10.0.0.0/24", vrf={"pool": "p"}),
                network("o", "10.9.0.0/24", vrf={"pool": "p", "number": 5}),
            ],
            {
                "Pool/p": PoolState(Pool((IntegerRange(1, 9),), 1)),
                "Network/n": mine,
                "Network/o": NetworkState(IpamNetwork((Prefix("10.9.0.0/24"),))),
            },
        )
        hold = found["Network/o"].held_by[0]
        assert (hold.kind, hold.by, hold.path) == (HoldKind.GUARD, "taken", "spec.vrf")
        assert "Network/n" in hold.reason

    def test_what_is_given_back_makes_room_for_who_waits(self) -> None:
        found = changes(
            [("Pool", "p", {"ranges": ["5"]}), number("b")],
            {"Pool/p": PoolState(Pool((IntegerRange(5, 5),), 1)), "Number/a": NumberState("p", 5, ephemeral=True)},
            {"Number/a": RELEASE},
        )
        assert holds(found["Number/b"]) == [(HoldKind.BLOCKED, "exhausted")]
        assert found["Number/a"].goes


@pytest.mark.parametrize(
    ("wants", "leaves", "verdict"),
    [
        ({}, (), ConflictVerdict(B)),
        ({}, (B,), ConflictVerdict(B, goes=True)),
        ({B: None}, (), ConflictVerdict(B, goes=True)),
        ({B: "free"}, (), ConflictVerdict(B, goes=True)),
        ({B: "c"}, (), ConflictVerdict(B)),
        ({B: "c"}, (C,), ConflictVerdict(B, goes=True)),
        ({A: "b", B: "a"}, (), ConflictVerdict(B, goes=True, swaps=True)),
        ({A: "b", B: "c", C: "a"}, (), ConflictVerdict(B, goes=True, swaps=True)),
        ({A: "b", B: "c", C: "b"}, (), ConflictVerdict(B, goes=True)),
    ],
)
def test_who_moves_lets_go_if_what_it_moves_to_is_let_go(
    wants: dict[ResourceKey, str | None], leaves: tuple[ResourceKey, ...], verdict: ConflictVerdict
) -> None:
    room = Room({"a": A, "b": B, "c": C}, wants, frozenset(leaves))
    assert room.verdict(A, "b") == verdict

"""Network and IPAddress: acquired, held, released, and compared by value."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from drivers.base import About, IpamNetwork, Prefix
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.ipam.ipaddress import AddressState, IPAddressSpec, check_ipaddress
from reconciler.kinds.ipam.network import NetworkSpec, NetworkState, declared_prefixes
from reconciler.kinds.ipam.rules.ipaddress_rules import IPAddressRules
from reconciler.kinds.ipam.rules.network_rules import NetworkRules
from reconciler.model.actions.ipam_actions import Acquire, PutNetwork, Release
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import Resource, ResourceKey
from tests.unit.planning_worlds import resource, seen

NET = ResourceKey("Network", "net")
KEY = ResourceKey("IPAddress", "vip")
THERE = {NET: seen(NET, NetworkState(IpamNetwork((Prefix("10.0.0.0/24"),))))}
RULES = IPAddressRules()


def address(**spec: Any) -> Resource[IPAddressSpec]:
    return resource("IPAddress", "vip", msgspec.convert({"network": "net", **spec}, IPAddressSpec))


def look(network: str | None = None, held: str | None = None, policy: str | None = None) -> KindView:
    about = About(ephemeral=held is not None)
    return KindView(KEY, AddressState(network, held, about), ResourceFacts(deletion_policy=policy), THERE)


@pytest.mark.parametrize(
    ("spec", "network", "held", "equal"),
    [
        ({}, "net", "10.0.0.7", True),
        ({}, "other", "10.9.0.7", False),
        ({}, None, None, False),
        ({"address": "10.0.0.7"}, "net", "10.0.0.7", True),
        ({"address": "10.0.0.7"}, "net", "10.0.0.8", False),
        ({"address": "2001:DB8::0:1"}, "net", "2001:db8::1", True),
        ({"family": "IPv4"}, "net", "10.0.0.7", True),
        ({"family": "IPv6"}, "net", "10.0.0.7", False),
    ],
)
def test_what_is_held_is_compared_by_value(spec: Any, network: str | None, held: str | None, equal: bool) -> None:
    assert all(field.equal for field in RULES.fields(address(**spec), look(network, held))) is equal


def steps(one: Resource[IPAddressSpec], at: KindView) -> tuple[list[str], list[str]]:
    found = RULES.steps(one, at, RULES.fields(one, at))
    return [action.name for action in found.actions], [hold.by for hold in found.holds]


def test_nothing_is_done_where_all_is_equal() -> None:
    assert steps(address(), look("net", "10.0.0.7")) == ([], [])


def test_an_address_that_is_not_the_declared_one_is_given_back_first() -> None:
    assert steps(address(address="10.0.0.9"), look("net", "10.0.0.7")) == (["release", "acquire"], [])


@pytest.mark.parametrize("state", [NetworkState(None), None], ids=["absent", "not seen"])
def test_an_address_waits_for_its_network(state: NetworkState | None) -> None:
    at = KindView(KEY, AddressState(), ResourceFacts(), {NET: seen(NET, state)} if state else {})
    assert steps(address(), at) == (["acquire"], ["Network/net"])


@pytest.mark.parametrize(
    ("held", "policy", "actions"),
    [
        (None, "Release", ["forget"]),
        ("10.0.0.7", "Release", ["release", "forget"]),
        ("10.0.0.7", "Orphan", ["forget"]),
        ("10.0.0.7", None, ["forget"]),
    ],
)
def test_what_becomes_of_an_address_that_git_no_longer_declares(
    held: str | None, policy: str | None, actions: list[str]
) -> None:
    assert [a.name for a in RULES.removal(look("net" if held else None, held, policy)).actions] == actions


@pytest.mark.parametrize(
    ("asked", "state", "done"),
    [
        (None, AddressState("net", "10.0.0.7"), True),
        ("10.0.0.7", AddressState("net", "10.0.0.7"), True),
        ("2001:DB8::1", AddressState("net", "2001:db8::1"), True),
        ("10.0.0.8", AddressState("net", "10.0.0.7"), False),
        (None, AddressState("other", "10.0.0.7"), False),
        (None, AddressState(), False),
    ],
)
def test_what_confirms_an_acquire(asked: str | None, state: AddressState, done: bool) -> None:
    assert RULES.confirmed(Acquire(key=KEY, network="net", address=asked), state) is done


def test_what_confirms_a_release() -> None:
    action = Release(key=KEY, address="10.0.0.7")
    assert RULES.confirmed(action, AddressState())
    assert not RULES.confirmed(action, AddressState("net", "10.0.0.7"))


def test_address_and_family_exclude_each_other() -> None:
    assert [p.code for p in check_ipaddress(address(address="10.0.0.7", family="IPv4"))] == ["address-and-family"]
    assert not check_ipaddress(address(family="IPv4"))


NETS = NetworkRules()


def network(*spec: dict[str, Any]) -> Resource[NetworkSpec]:
    return resource("Network", "net", msgspec.convert({"prefixes": list(spec)}, NetworkSpec))


def test_the_gateway_is_among_what_is_never_handed_out() -> None:
    one = network({"cidr": "10.0.0.0/24", "gateway": "10.0.0.1", "reserved": ["10.0.0.5", "10.0.0.1"]})
    assert declared_prefixes(one.spec) == (Prefix("10.0.0.0/24", ("10.0.0.1", "10.0.0.5")),)


@pytest.mark.parametrize(
    ("known", "action"),
    [(None, "put-network"), (("10.1.0.0/24",), "put-network"), (("10.0.0.0/24",), None)],
    ids=["absent", "others", "the same"],
)
def test_a_network_is_put_whole(known: tuple[str, ...] | None, action: str | None) -> None:
    one = network({"cidr": "10.0.0.0/24"})
    state = NetworkState(None if known is None else IpamNetwork(tuple(Prefix(cidr) for cidr in known)))
    at = KindView(NET, state, ResourceFacts(), {})
    found = NETS.steps(one, at, NETS.fields(one, at))
    assert [a.name for a in found.actions] == ([action] if action else [])
    assert all(NETS.confirmed(a, NetworkState(a.network)) for a in found.actions if isinstance(a, PutNetwork))


@pytest.mark.parametrize(
    ("there", "policy", "actions"),
    [
        (False, "Release", ["forget"]),
        (True, "Release", ["drop-network", "forget"]),
        (True, "Orphan", ["forget"]),
        (True, None, ["forget"]),
    ],
)
def test_what_becomes_of_a_network_that_git_no_longer_declares(
    there: bool, policy: str | None, actions: list[str]
) -> None:
    state = NetworkState(IpamNetwork((Prefix("10.0.0.0/24"),)) if there else None)
    at = KindView(NET, state, ResourceFacts(deletion_policy=policy), {})
    assert [a.name for a in NETS.removal(at).actions] == actions

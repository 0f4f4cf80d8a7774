"""Quotas: whatever limit is reached first counts, and what is there stays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import About, IpamNetwork
from reconciler.kinds.catalogue.tenancy import ProjectSpec, TenantQuotas, TenantSpec
from reconciler.kinds.common.field_types.fields import Quotas
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.kinds.ipam.ipaddress import AddressState, IPAddressSpec
from reconciler.kinds.ipam.network import NetworkSpec, NetworkState, PrefixSpec
from reconciler.model.facts import Facts
from reconciler.model.plans.plan import HoldKind
from reconciler.model.resource import Resource, ResourceKey
from reconciler.placement.quotas import over_quota
from tests.unit.planning_worlds import World, desired, machine, resource, seen, unreachable

most = st.none() | st.integers(0, 4)


def tenant(quotas: TenantQuotas | None = None, each: Quotas | None = None) -> Resource[TenantSpec]:
    return resource("Tenant", "acme", TenantSpec(quotas=quotas, project_quotas=each))


def project(name: str, quotas: Quotas | None = None) -> Resource[ProjectSpec]:
    return resource("Project", name, ProjectSpec(tenant="acme", quotas=quotas))


def held(*resources: Resource[Any], facts: dict[str, str] | None = None) -> dict[str, str]:
    """Machine -> what holds it; `facts` are machine -> project."""
    remembered = {ResourceKey("Machine", name): MachineFacts(project=whose) for name, whose in (facts or {}).items()}
    found = over_quota(desired(*resources), {}, Facts(remembered, {}))
    assert all((hold.kind, hold.by, hold.path) == (HoldKind.GUARD, "quota", "spec.project") for hold in found.values())
    return {key.name: hold.reason for key, hold in found.items()}


def machines(whose: str, *names: str) -> list[Resource[Any]]:
    return [machine(name, project=whose) for name in names]


def test_a_project_starts_from_what_its_tenant_gives_each_and_its_own_replaces_it() -> None:
    each = tenant(each=Quotas(machines=1))
    two = machines("shop", "m1", "m2")
    assert held(each, project("shop"), *two) == {
        "m2": "project shop has 1 machine (m1); the limit is 1 (spec.projectQuotas.machines, acme.yaml:1)"
    }
    assert held(each, project("shop", Quotas(machines=2)), *two) == {}
    assert held(each, project("shop", Quotas(addresses=2)), *two) != {}


def test_the_tenants_own_quota_is_over_all_of_its_projects() -> None:
    whole = tenant(TenantQuotas(machines=2))
    fleet = [*machines("shop", "m1", "m3"), *machines("ware", "m2")]
    assert held(whole, project("shop", Quotas(machines=9)), project("ware"), *fleet) == {
        "m3": "tenant acme has 2 machines (m1, m2); the limit is 2 (spec.quotas.machines, acme.yaml:1)"
    }


def test_what_is_bound_comes_first_whatever_it_is_called() -> None:
    found = held(project("shop", Quotas(machines=1)), tenant(), *machines("shop", "m1", "m2"), facts={"m2": "shop"})
    assert found == {"m1": "project shop has 1 machine (m2); the limit is 1 (spec.quotas.machines, shop.yaml:1)"}


def test_nothing_is_taken_when_a_quota_is_lowered() -> None:
    none = project("shop", Quotas(machines=0))
    assert held(none, tenant(), *machines("shop", "m1"), facts={"m1": "shop"}) == {}
    assert held(none, tenant(), *machines("shop", "m1")) == {
        "m1": "project shop has 0 machines; the limit is 0 (spec.quotas.machines, shop.yaml:1)"
    }


def test_what_one_limit_holds_takes_nothing_of_the_other() -> None:
    fleet = [*machines("shop", "m1", "m2"), *machines("ware", "m3")]
    limits = tenant(TenantQuotas(machines=2)), project("shop", Quotas(machines=1)), project("ware")
    assert list(held(*limits, *fleet)) == ["m2"]


NETWORK = NetworkSpec(prefixes=(PrefixSpec(cidr="10.0.0.0/24"),), project="shop")


@pytest.mark.parametrize(
    ("view", "is_there"),
    [
        (AddressState("n", "10.0.0.1", About()), True),
        (AddressState(), False),
        ("unreadable", True),
        ("not looked at", True),
    ],
)
def test_an_address_counts_for_its_networks_project_and_goes_first_if_it_may_be_held(view: Any, is_there: bool) -> None:
    names = ResourceKey("IPAddress", "a"), ResourceKey("IPAddress", "z")
    state = desired(
        tenant(),
        project("shop", Quotas(addresses=1)),
        resource("Network", "n", NETWORK),
        *(resource("IPAddress", key.name, IPAddressSpec(network="n")) for key in names),
    )
    observed = {names[0]: seen(names[0], AddressState())}
    if isinstance(view, AddressState):
        observed[names[1]] = seen(names[1], view)
    elif view == "unreadable":
        observed[names[1]] = unreachable(names[1])
    found = over_quota(state, observed, Facts({}, {}))
    assert [key.name for key in found] == (["a"] if is_there else ["z"])
    assert all(hold.path is None for hold in found.values()), "nothing of it is there: all of it waits"


def test_networks_are_counted() -> None:
    nets = [resource("Network", name, NETWORK) for name in ("a", "b")]
    observed = {
        nets[0].key: seen(nets[0].key, NetworkState()),
        nets[1].key: seen(nets[1].key, NetworkState(IpamNetwork())),
    }
    found = over_quota(desired(tenant(), project("shop", Quotas(networks=1)), *nets), observed, Facts({}, {}))
    assert list(found) == [nets[0].key]


@given(
    st.lists(st.tuples(st.sampled_from(["shop", "ware"]), st.booleans()), max_size=9), most, most, most, st.randoms()
)
def test_no_more_is_let_in_than_fits_and_never_less(
    claims: list[tuple[str, bool]], whole: int | None, each: int | None, own: int | None, order: Any
) -> None:
    fleet = [machine(f"m{n}", project=whose) for n, (whose, _) in enumerate(claims)]
    facts = {one.key: MachineFacts(project=claims[n][0]) for n, one in enumerate(fleet) if claims[n][1]}
    tenants = tenant(TenantQuotas(machines=whole), Quotas(machines=each))
    resources = [tenants, project("shop", Quotas(machines=own)), project("ware"), *fleet]
    order.shuffle(resources)
    world = World(desired(*resources), {}, Facts(facts, {}))
    beyond = over_quota(world.desired, world.observed, world.facts)
    assert not beyond.keys() & facts.keys()
    limits = {"shop": own if own is not None else each, "ware": each}
    inside = [one for one in fleet if one.key not in beyond]
    total = {name: sum(one.spec.project == name for one in inside) for name in limits}
    fixed = {name: sum(fact.project == name for fact in facts.values()) for name in limits}
    for name, limit in limits.items():
        assert limit is None or total[name] <= max(limit, fixed[name])
    assert whole is None or len(inside) <= max(whole, len(facts))
    for n, (whose, _) in enumerate(claims):
        limit = limits[whose]
        if fleet[n].key in beyond:
            assert (limit is not None and total[whose] >= limit) or (whole is not None and len(inside) >= whole)

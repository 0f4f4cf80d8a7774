"""Whatever documents follow each other, what the IPAM would refuse is held in the plan, and all else comes to rest.

A real (embedded) IPAM under the real engine; the documents move addresses, numbers and prefixes among few owners and
few places, so that they want each other's (metal3-io/ip-address-manager#988, cloudfoundry/bosh#462,
terraform-providers/terraform-provider-opc#71).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.model.plans.plan import Change, HoldKind
from reconciler.model.resource import ResourceKey
from tests.loop.world import World, declare

Document = tuple[str, str, dict[str, Any]]
NAMES = ("a", "b", "c", "d", "e")
NETWORKS: tuple[Document, ...] = (
    ("Network", "n1", {"prefixes": [{"cidr": "10.0.0.0/29"}]}),
    ("Network", "n2", {"prefixes": [{"cidr": "10.0.1.0/30"}]}),
)
POOLS: tuple[Document, ...] = (("Pool", "p1", {"ranges": ["1-3"]}), ("Pool", "p2", {"ranges": ["11-12"]}))
PARENT: Document = (
    "Network",
    "s",
    {"type": "Super", "prefixes": [{"cidr": "10.1.0.0/24"}], "childPrefixLength": {"IPv4": 26}},
)


@st.composite
def addresses(draw: st.DrawFn) -> list[Document]:
    found: list[Document] = []
    free = {"n1": [f"10.0.0.{n}" for n in range(1, 5)], "n2": ["10.0.1.1", "10.0.1.2"]}
    for name in NAMES:
        if not draw(st.booleans()):
            continue
        network = draw(st.sampled_from(("n1", "n2")))
        spec: dict[str, Any] = {"network": network, "type": draw(st.sampled_from(("Ephemeral", "Static")))}
        if spec["type"] == "Static":
            spec["deletionPolicy"] = draw(st.sampled_from(("Orphan", "Release")))
        given_one = draw(st.booleans())
        if free[network] and given_one:
            spec["address"] = draw(st.sampled_from(free[network]))
            free[network].remove(spec["address"])
        found.append(("IPAddress", name, spec))
    return found


@st.composite
def numbers(draw: st.DrawFn) -> list[Document]:
    found: list[Document] = []
    free = {"p1": [1, 2, 3], "p2": [11, 12]}
    for name in NAMES:
        if not draw(st.booleans()):
            continue
        pool = draw(st.sampled_from(("p1", "p2")))
        spec: dict[str, Any] = {"pool": pool, "deletionPolicy": draw(st.sampled_from(("Orphan", "Release")))}
        given_one = draw(st.booleans())
        if free[pool] and given_one:
            spec["number"] = draw(st.sampled_from(free[pool]))
            free[pool].remove(spec["number"])
        found.append(("Number", name, spec))
    return found


@st.composite
def children(draw: st.DrawFn) -> list[Document]:
    found: list[Document] = []
    free = ["10.1.0.0/26", "10.1.0.64/26", "10.1.0.128/27", "10.1.0.160/27"]
    for name in NAMES:
        if not draw(st.booleans()):
            continue
        spec: dict[str, Any] = {
            "parent": "s",
            "project": "p",
            "deletionPolicy": draw(st.sampled_from(("Orphan", "Release"))),
        }
        given_one = draw(st.booleans())
        if free and given_one:
            cidr = draw(st.sampled_from(free))
            free.remove(cidr)
            spec["prefixes"] = [{"cidr": cidr}]
        else:
            spec["prefixLength"] = {"IPv4": draw(st.sampled_from((26, 27)))}
        found.append(("Network", name, spec))
    return found


def told(world: World, reason: str) -> list[str]:
    return [f"{event.key}: {event.message}" for event in world.events if event.reason == reason]


def left(world: World) -> list[Change]:
    return list(world.engine.plan().changes)


def comes_to_rest(states: list[list[Document]], around: tuple[Document, ...]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        for number, documents in enumerate(states):
            world.commit(declare(*around, *documents, revision=f"{number:040x}"))
            world.run(600)
            rest = left(world)
            assert not [change for change in rest if change.goes], "it would go on, and does not"
            held = {change.key for change in rest if change.held(HoldKind.GUARD)}
            for change in rest:
                assert change.key in held or waits_for(change) & (held | {one.key for one in rest}), change
            if not held:
                assert not rest, "nothing is held, and they wait for each other"
        assert not told(world, "ActionRefused")
        assert not told(world, "DriftDetected")
        assert not world.crashes


def waits_for(change: Change) -> set[ResourceKey]:
    found = set()
    for hold in change.held_by:
        if hold.kind is HoldKind.BLOCKED and "/" in hold.by:
            found.add(ResourceKey.parse(hold.by))
        elif hold.kind is HoldKind.BLOCKED:
            found.add(change.key)
    return found


several = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@several
@given(st.lists(addresses(), min_size=1, max_size=4))
def test_addresses_that_want_each_others_places(states: list[list[Document]]) -> None:
    comes_to_rest(states, NETWORKS)


@several
@given(st.lists(numbers(), min_size=1, max_size=4))
def test_numbers_that_want_each_others_places(states: list[list[Document]]) -> None:
    comes_to_rest(states, POOLS)


@several
@given(st.lists(children(), min_size=1, max_size=4))
def test_prefixes_that_want_each_others_places(states: list[list[Document]]) -> None:
    comes_to_rest(states, (PARENT,))

"""What is held in the IPAM, over time: it goes with what it is for, stays where it should, and does not leak."""

from __future__ import annotations

import threading
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from drivers.base import About, Rejected
from reconciler.kinds.ipam.exhaustion import in_order
from reconciler.model.event import EventReason
from reconciler.model.resource import ResourceKey
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.workqueue.loop import RESYNC
from tests.loop.world import World, declare, machine

NET = ("Network", "n", {"prefixes": [{"cidr": "10.0.0.0/24"}]})
SUPER = ("Network", "s", {"type": "Super", "prefixes": [{"cidr": "10.1.0.0/16"}], "childPrefixLength": {"IPv4": 24}})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def address(name: str, **spec: Any) -> tuple[str, str, dict[str, Any]]:
    return "IPAddress", name, {"network": "n", **spec}


def child(name: str, **spec: Any) -> tuple[str, str, dict[str, Any]]:
    return "Network", name, {"parent": "s", "project": "p", "deletionPolicy": "Release", **spec}


def held(world: World) -> dict[str, str]:
    return {one.owner: one.address for one in world.ipam.list()}


def collect(world: World) -> None:
    """What the daemon does every few minutes."""
    world.loop.put(world.engine.collect(), RESYNC)
    world.run(60)


def test_an_ephemeral_address_goes_with_its_machine_and_a_static_one_survives_it(world: World) -> None:
    mine = (address("eph", machine="m1"), address("stat", machine="m1", type="Static"))
    others = [machine(f"m{n}") for n in range(2, 15)]
    world.commit(declare(NET, machine("m1"), *others, *mine))
    world.run(60)
    assert set(held(world)) == {"IPAddress/eph", "IPAddress/stat"}
    world.commit(declare(NET, *others, *mine, revision="b" * 40))
    world.run(30)
    assert set(held(world)) == {"IPAddress/stat"}
    assert not world.engine.plan().changes


def test_an_ephemeral_address_goes_with_its_document_and_a_static_one_stays(world: World) -> None:
    world.commit(declare(NET, address("eph"), address("stat", type="Static")))
    world.run(60)
    world.commit(declare(NET, revision="b" * 40))
    world.run(60)
    assert set(held(world)) == {"IPAddress/stat"}
    assert world.facts().keys() == {ResourceKey("Network", "n")}


@pytest.mark.parametrize(
    ("before", "after", "warned"),
    [
        (child("a", deletionPolicy="Orphan"), child("b"), True),
        (child("a", deletionPolicy="Release"), child("b"), False),
        (child("a", deletionPolicy="Orphan"), child("b", project="q"), False),
        (child("a", deletionPolicy="Orphan"), child("b", prefixLength={"IPv4": 26}), False),
        (address("a", type="Static"), address("b", type="Static"), True),
        (address("a", type="Static"), address("b", type="Static", renamedFrom="a"), False),
        (address("a", type="Static"), address("b"), False),
        (address("a"), address("b", type="Static"), False),
    ],
)
def test_what_may_be_a_rename_that_gets_a_second_prefix_or_address_is_said_in_the_plan(
    world: World, before: Any, after: Any, warned: bool
) -> None:
    world.commit(declare(NET, SUPER, before))
    world.run(60)
    world.commit(declare(NET, SUPER, after, revision="b" * 40))
    found = world.engine.plan().diagnostics
    assert [one.code for one in found] == ["second-allocation"] * warned
    assert all(f"{after[0]}/b gets another allocation" in one.summary for one in found)
    world.run(120)
    assert not world.engine.plan().diagnostics, "it is said once, before it happens"


class TestCollecting:
    def test_what_has_leaked_is_released_and_is_in_the_ledger(self, world: World) -> None:
        world.commit(declare(NET))
        world.run(60)
        world.ipam.acquire("n", "IPAddress/lost", about=About(ephemeral=True))
        collect(world)
        assert held(world) == {}
        assert world.reasons("lost") == ["ActionSent", "ActionConfirmed", "Forgotten"]
        assert "because of a leak" in next(
            e.message for e in world.events if e.reason == "ActionSent" and e.key and e.key.name == "lost"
        )

    def test_what_is_static_and_what_others_wrote_is_left_alone(self, world: World) -> None:
        world.commit(declare(NET, address("mine")))
        world.run(60)
        world.ipam.acquire("n", "IPAddress/kept")
        world.ipam.acquire("n", "somebody else's", about=About(ephemeral=True))
        collect(world)
        assert set(held(world)) == {"IPAddress/mine", "IPAddress/kept", "somebody else's"}

    def test_many_leaks_at_once_are_held_until_somebody_says_so(self, tmp_path: Path) -> None:
        world = World(tmp_path, GuardLimits())
        world.commit(declare(NET))
        world.run(60)
        for number in range(6):
            world.ipam.acquire("n", f"IPAddress/lost-{number}", about=About(ephemeral=True))
        collect(world)
        assert len(held(world)) == 6
        assert "Held" in world.reasons("lost-0")

    def test_a_number_whose_network_was_never_made_is_given_back(self, world: World) -> None:
        world.commit(declare(("Pool", "vrfs", {"ranges": ["1-9"]})))
        world.run(60)
        world.pools.acquire_number("vrfs", "Network/half-made")
        collect(world)
        assert world.pools.numbers() == []


class TestChildren:
    def test_a_chosen_prefix_stays_when_the_store_of_facts_is_lost(self, world: World) -> None:
        world.commit(declare(SUPER, child("a"), child("b")))
        world.run(60)
        before = world.ipam.networks()
        world.store.put_facts(dict.fromkeys(world.facts()))
        world.restart()
        world.run(120)
        assert world.ipam.networks() == before

    def test_one_that_goes_leaves_its_block_and_its_number_to_the_next(self, world: World) -> None:
        pool = ("Pool", "vrfs", {"ranges": ["5"]})
        world.commit(declare(pool, SUPER, child("a", vrf={"pool": "vrfs"})))
        world.run(60)
        world.commit(declare(pool, SUPER, child("b", vrf={"pool": "vrfs"}), revision="b" * 40))
        world.run(400)
        assert [prefix.cidr for prefix in world.ipam.networks()["b"].prefixes] == ["10.1.0.0/24"]
        assert [(one.owner, one.number) for one in world.pools.numbers()] == [("Network/b", 5)]

    def test_a_network_waits_until_its_addresses_are_gone_too(self, world: World) -> None:
        inside = ("IPAddress", "x", {"network": "a"})
        world.commit(declare(SUPER, child("a"), inside))
        world.run(60)
        world.commit(declare(SUPER, revision="b" * 40))
        world.run(120)
        assert set(world.ipam.networks()) == {"s"}
        assert held(world) == {}


def test_what_the_ipam_refuses_for_the_sake_of_others_is_tried_again(world: World) -> None:
    """A network that went between the look and the asking: nothing of the address's own tells when it is back."""
    acquire, refusals = world.ipam.acquire, ["network n is not in the IPAM; apply the document of the network first"]

    def refusing(*arguments: Any, **named: Any) -> str:
        if refusals:
            raise Rejected(refusals.pop())
        return acquire(*arguments, **named)

    world.ipam.acquire = refusing  # type: ignore[method-assign]  # the real one, once refused
    world.commit(declare(NET, address("a")))
    world.run(30)
    assert world.reasons("a") == ["ActionSent", "ActionRefused"]
    world.run(120)
    assert set(held(world)) == {"IPAddress/a"}


class TestOurOwnDoing:
    """What was changed from here is no drift (found beside cloudfoundry/bosh#462)."""

    def test_addresses_that_are_swapped_are_no_drift(self, world: World) -> None:
        world.commit(declare(NET, address("a", address="10.0.0.5"), address("b", address="10.0.0.6")))
        world.run(60)
        swapped = (address("a", address="10.0.0.6"), address("b", address="10.0.0.5"))
        world.commit(declare(NET, *swapped, revision="b" * 40))
        world.run(300)
        assert held(world) == {"IPAddress/a": "10.0.0.6", "IPAddress/b": "10.0.0.5"}
        assert "DriftDetected" not in [event.reason for event in world.events]

    def test_a_number_of_another_pool_is_no_drift(self, world: World) -> None:
        pools = (("Pool", "x", {"ranges": ["1-9"]}), ("Pool", "y", {"ranges": ["11-19"]}))
        world.commit(declare(*pools, ("Number", "one", {"pool": "x"})))
        world.run(60)
        world.commit(declare(*pools, ("Number", "one", {"pool": "y"}), revision="b" * 40))
        world.run(60)
        assert [(one.pool, one.number) for one in world.pools.numbers()] == [("y", 11)]
        assert "DriftDetected" not in [event.reason for event in world.events]

    def test_what_somebody_else_changed_is_drift_until_it_is_repaired(self, world: World) -> None:
        world.commit(declare(NET, address("a", address="10.0.0.5")))
        world.run(60)
        world.ipam.release("IPAddress/a")
        world.ipam.acquire("n", "IPAddress/a", address="10.0.0.9", about=About(ephemeral=True))
        world.loop.put([ResourceKey("IPAddress", "a")], RESYNC)
        world.run(60)
        assert held(world) == {"IPAddress/a": "10.0.0.5"}
        told = [(event.reason, event.message) for event in world.events if event.key and event.key.name == "a"]
        assert [reason for reason, _ in told].count(EventReason.DRIFT_DETECTED) == 1
        sent = [message for reason, message in told if reason == "ActionSent"][1:]
        assert len(sent) == 2
        assert all("because of drift" in message for message in sent)


class TestTheOrderOfNames:
    """What nobody names is given in the order of names, whoever is looked at first; slots by their number."""

    NAMES = ("db", "a", "web-10", "web-2", "z", "m", "k", "b")

    @pytest.mark.parametrize("priority", [0, 1, 2])
    def test_addresses(self, world: World, priority: int) -> None:
        state = declare(NET, *(address(name) for name in self.NAMES))
        world.desired = state
        keys = sorted(world.engine.put_in_force(state), key=lambda key: hash((priority, key.name)))
        world.loop.put(keys[::-1], RESYNC)
        world.run(60)
        given = {owner.partition("/")[2]: at for owner, at in held(world).items()}
        assert sorted(given, key=lambda name: ip_address(given[name])) == sorted(self.NAMES)

    def test_with_many_workers_at_once(self, world: World) -> None:
        state = declare(NET, *(address(f"a{n:02}") for n in range(40)))
        world.desired = state
        world.loop.put(world.engine.put_in_force(state)[::-1], RESYNC)
        started = time.monotonic()

        def work() -> None:
            while len(held(world)) < 40 and time.monotonic() < started + 60:
                if not world.loop.turn():
                    world.at += 0.05

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one.owner[-3:] for one in sorted(world.ipam.list(), key=lambda one: ip_address(one.address))] == [
            f"a{n:02}" for n in range(40)
        ]

    def test_slots_of_a_claim_go_by_their_number(self) -> None:
        names = ["web:10:n:4", "web:2:n:4", "web:0:n:6", "web:0:n:4", "app:11:n:4", "weaver"]
        keys = [ResourceKey("IPAddress", name) for name in names]
        ordered = ["app:11:n:4", "weaver", "web:0:n:4", "web:0:n:6", "web:2:n:4", "web:10:n:4"]
        assert [key.name for key in sorted(keys, key=in_order)] == ordered

    def test_numbers_and_child_prefixes(self, world: World) -> None:
        pool = ("Pool", "vrfs", {"ranges": ["1-9"]})
        networks = [child(name, vrf={"pool": "vrfs"}) for name in ("c", "a", "b")]
        numbers = [("Number", name, {"pool": "vrfs"}) for name in ("z", "y")]
        state = declare(pool, SUPER, *networks, *numbers)
        world.desired = state
        world.loop.put(sorted(world.engine.put_in_force(state), reverse=True), RESYNC)
        world.run(120)
        assert {one.owner: one.number for one in world.pools.numbers()} == {
            "Network/a": 1,
            "Network/b": 2,
            "Network/c": 3,
            "Number/y": 4,
            "Number/z": 5,
        }
        found = world.ipam.networks()
        assert [found[name].prefixes[0].cidr for name in "abc"] == ["10.1.0.0/24", "10.1.1.0/24", "10.1.2.0/24"]

    def test_one_that_is_refused_keeps_nobody_waiting(self, world: World) -> None:
        acquire = world.ipam.acquire

        def refusing(network: str, owner: str, **named: Any) -> str:
            if owner == "IPAddress/a":
                raise Rejected("not this one")
            return acquire(network, owner, **named)

        world.ipam.acquire = refusing  # type: ignore[method-assign]  # the real one, but for one owner
        world.commit(declare(NET, address("a"), address("b"), address("c")))
        world.run(30)
        assert held(world) == {"IPAddress/b": "10.0.0.1", "IPAddress/c": "10.0.0.2"}

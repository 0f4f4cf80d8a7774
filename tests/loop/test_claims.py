"""Claims get machines and give them back; addresses come before and go after."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.base import PowerState, SystemState
from drivers.bmc.fake.fake import FakeFleet
from drivers.bmc.fake.fake_faults import Fault, FaultKind
from drivers.ipam.embedded.embedded import EmbeddedIpam
from drivers.ipam.embedded.embedded_pools import EmbeddedPools
from reconciler.applying.context import Context
from reconciler.applying.engine import Engine
from reconciler.desired.rules.implied import with_implied
from reconciler.kinds import record_action
from reconciler.kinds.claim.spec import of_claim, slot_addresses
from reconciler.kinds.common.fact_rules import Occasion
from reconciler.kinds.common.machine_facts import LifecycleFacts, MachineFacts, all_machine_facts
from reconciler.model.actions.record_actions import Free
from reconciler.model.facts import Facts
from reconciler.model.observation import Observation
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.observed.connections import Connections, Drivers
from reconciler.placement.place import place_all
from reconciler.placement.placement_result import Placements
from reconciler.planning.guards.standing import Standing
from reconciler.store import AlreadyBound, Store
from tests.loop.world import ALL, START, World, declare, machine

ROOT = {"url": "https://images.example/x", "checksum": "sha256:" + "0" * 64}
READY = MachineFacts(lifecycle=LifecycleFacts(inspected_at=START))
WEB = ResourceKey("MachineClaim", "web")


def fleet(count: int | None, *machines: str, **claim: Any) -> DesiredState:
    """Machines of a lab, and a claim for some of them unless `count` is None; each has an address."""
    asked = {
        "project": "shop",
        "partitions": ["lab"],
        "selector": {},
        "machines": list(machines),
        "count": count,
        "image": "debian-12",
        "networks": [{"network": "front"}],
        **claim,
    }
    return with_implied(
        declare(
            ("Partition", "lab", {}),
            ("Tenant", "acme", {}),
            ("Project", "shop", {"tenant": "acme"}),
            (
                "Image",
                "debian-12.0.1",
                {"os": "debian", "version": "12.0.1", "classification": "supported", "root": ROOT},
            ),
            ("Network", "front", {"prefixes": [{"cidr": "10.0.0.0/24"}]}),
            *(machine(name, lifecycle={"mode": "Managed"}) for name in machines),
            *([("MachineClaim", "web", asked)] if count is not None else []),
            revision=f"{count}" * 40 if count is not None else "f" * 40,
        )
    )


def inspected(tmp_path: Path, *machines: str) -> World:
    """A world whose machines are off and inspected."""
    world = World(tmp_path)
    world.store.put_facts({ResourceKey("Machine", name): READY for name in machines})
    world.restart()
    return world


def whose(world: World) -> dict[str, int | None]:
    """Machine -> slot, of the claimed ones."""
    return {key.name: one.lifecycle.slot for key, one in world.machines().items() if one.lifecycle.claim is not None}


def of_claims(world: World) -> list[ResourceKey]:
    """What the plan would change, but for the machines: no agent is there to install them."""
    return [change.key for change in world.engine.plan().changes if change.key.kind != "Machine"]


def addresses(world: World) -> set[str]:
    return {one.owner for one in world.ipam.list()}


def free(world: World, name: str) -> None:
    """What the machine's own life comes to once it was wiped."""
    key = ResourceKey("Machine", name)
    world.store.put_facts(dict(record_action(Free(key=key), world.facts(), Occasion(world.now(), "")).facts))
    world.restart()


def test_a_claim_is_placed_and_its_addresses_are_there_and_nothing_is_left_to_do(tmp_path: Path) -> None:
    world = inspected(tmp_path, "m1", "m2", "m3")
    world.commit(fleet(2, "m1", "m2", "m3"))
    world.run(60)
    assert whose(world) == {"m1": 0, "m2": 1}
    assert world.machines()[ResourceKey("Machine", "m1")].project == "shop"
    assert addresses(world) == {"IPAddress/web:0:front:4", "IPAddress/web:1:front:4"}
    assert world.reasons("web") == ["Placed"]
    assert world.reasons("m1")[0] == "Claimed"
    assert not of_claims(world)
    world.restart()
    world.run(60)
    assert whose(world) == {"m1": 0, "m2": 1}
    assert not of_claims(world)


def test_a_claim_waits_with_all_of_it_until_there_is_enough(tmp_path: Path) -> None:
    world = inspected(tmp_path, "m1", "m2")
    world.bmc("m2").faults.add(Fault(FaultKind.UNREACHABLE, times=None))
    world.commit(fleet(2, "m1", "m2"))
    world.run(60)
    assert whose(world) == {}
    assert len(addresses(world)) == 2, "they do not wait for machines"
    world.bmc("m2").faults.clear()
    world.run(600)
    assert whose(world) == {"m1": 0, "m2": 1}


def test_a_machine_that_the_claim_is_not_to_have_is_given_back_and_another_takes_its_slot(tmp_path: Path) -> None:
    world = inspected(tmp_path, "m1", "m2", "m3")
    world.commit(fleet(2, "m1", "m2", "m3"))
    world.run(60)
    held = addresses(world)
    world.commit(fleet(2, "m1", "m2", "m3", without=["m1"]))
    world.run(60)
    assert world.machines()[ResourceKey("Machine", "m1")].lifecycle.releasing_at is not None
    assert whose(world) == {"m1": 0, "m2": 1}, "the slot waits until it is wiped"
    free(world, "m1")
    world.run(600)
    assert whose(world) == {"m3": 0, "m2": 1}
    assert addresses(world) == held
    assert not of_claims(world)


def test_nothing_is_left_to_do_for_a_claim_that_gives_back_one_by_name_and_has_enough_without_it(
    tmp_path: Path,
) -> None:
    world = inspected(tmp_path, "m1", "m2")
    world.commit(fleet(2, "m1", "m2"))
    world.run(60)
    world.commit(fleet(1, "m1", "m2", without=["m2"]))
    world.run(60)
    assert world.machines()[ResourceKey("Machine", "m2")].lifecycle.releasing_at is not None
    assert WEB not in of_claims(world), "it would stand there as held, with no reason"


def test_a_machine_that_the_claim_is_not_to_have_is_not_given_to_it(tmp_path: Path) -> None:
    world = inspected(tmp_path, "m1", "m2")
    world.commit(fleet(1, "m1", "m2", without=["m1"]))
    world.run(60)
    assert whose(world) == {"m2": 0}


def test_the_address_of_a_slot_goes_when_its_machine_is_free_and_not_before(tmp_path: Path) -> None:
    world = inspected(tmp_path, "m1", "m2")
    world.commit(fleet(2, "m1", "m2"))
    world.run(60)
    world.commit(fleet(1, "m1", "m2"))
    world.run(60)
    assert world.machines()[ResourceKey("Machine", "m2")].lifecycle.releasing_at is not None
    assert len(addresses(world)) == 2
    assert world.machines()[ResourceKey("Machine", "m1")].lifecycle.releasing_at is None
    free(world, "m2")
    world.run(60)
    assert addresses(world) == {"IPAddress/web:0:front:4"}
    assert whose(world) == {"m1": 0}
    assert not of_claims(world)


def test_a_claim_that_goes_is_forgotten_with_its_last_machine(tmp_path: Path) -> None:
    world = inspected(tmp_path, "m1", "m2")
    world.commit(fleet(2, "m1", "m2"))
    world.run(60)
    world.commit(fleet(None, "m1", "m2"))
    world.run(60)
    assert WEB in world.facts()
    for name in ("m1", "m2"):
        free(world, name)
        world.run(60)
    assert WEB not in world.facts()
    assert addresses(world) == set()
    assert not of_claims(world)


def test_a_machine_that_cannot_be_wiped_is_replaced_beside_its_slot_and_the_count_goes_down_without_a_release(
    tmp_path: Path,
) -> None:
    """The two steps of docs/claims.md, "A broken machine". m2 is never wiped here."""
    names = ("m1", "m2", "m3", "m4", "m5")
    world = inspected(tmp_path, *names)
    world.commit(fleet(3, *names))
    world.run(60)
    world.commit(fleet(4, *names, without=["m2"], partial=True))
    world.run(120)
    assert whose(world) == {"m1": 0, "m2": 1, "m3": 2, "m4": 3}
    world.commit(fleet(3, *names, machines=["m1", "m3", "m4"]))
    world.run(120)
    assert [name for name in names if "Releasing" in world.reasons(name)] == ["m2"]
    assert WEB not in of_claims(world), "the claim has what it asks for"
    free(world, "m2")
    world.run(600)
    assert whose(world) == {"m1": 0, "m3": 2, "m4": 3}
    assert WEB not in of_claims(world)


class TestMachinesByName:
    """hashicorp/terraform#14275: an element that is taken out of the middle of a list moves no other."""

    def test_the_one_that_is_named_no_more_is_given_back_and_the_others_keep_slot_and_address(
        self, tmp_path: Path
    ) -> None:
        world = inspected(tmp_path, "m2", "m3", "m4")
        world.commit(fleet(3, "m2", "m3", "m4"))
        world.run(60)
        world.commit(fleet(2, "m2", "m3", "m4", machines=["m3", "m4"]))
        world.run(60)
        assert world.reasons("m2")[-1] != "Claimed"
        assert [name for name in ("m2", "m3", "m4") if "Releasing" in world.reasons(name)] == ["m2"]
        free(world, "m2")
        world.run(120)
        assert whose(world) == {"m3": 1, "m4": 2}
        assert addresses(world) == {"IPAddress/web:1:front:4", "IPAddress/web:2:front:4"} | {"IPAddress/web:0:front:4"}
        assert not of_claims(world)
        world.restart()
        world.run(120)
        assert whose(world) == {"m3": 1, "m4": 2}
        assert not of_claims(world)
        lifecycle = world.machines()[ResourceKey("Machine", "m4")].lifecycle
        assert slot_addresses(world.desired, lifecycle) == [ResourceKey("IPAddress", "web:2:front:4")]  # type: ignore[arg-type]
        assert "DriftDetected" not in world.reasons("web")

    def test_one_that_is_replaced_in_the_list_goes_back_and_the_other_takes_its_slot(self, tmp_path: Path) -> None:
        world = inspected(tmp_path, "m2", "m3", "m4", "m5")
        world.commit(fleet(3, "m2", "m3", "m4", "m5", machines=["m2", "m3", "m4"]))
        world.run(60)
        world.commit(fleet(3, "m2", "m3", "m4", "m5", machines=["m5", "m3", "m4"]))
        world.run(60)
        assert "Releasing" in world.reasons("m2")
        free(world, "m2")
        world.run(120)
        assert whose(world) == {"m5": 0, "m3": 1, "m4": 2}
        assert not of_claims(world)
        assert "DriftDetected" not in world.reasons("web")


def test_no_machine_goes_while_the_claim_has_no_more_than_it_asks_for(tmp_path: Path) -> None:
    """The list of names is removed, and a machine stands in a slot that is not below the count."""
    world = inspected(tmp_path, "m2", "m3", "m4")
    world.commit(fleet(3, "m2", "m3", "m4"))
    world.run(60)
    world.commit(fleet(2, "m2", "m3", "m4", machines=["m3", "m4"]))
    world.run(60)
    free(world, "m2")
    world.run(120)
    assert whose(world) == {"m3": 1, "m4": 2}
    world.commit(fleet(2, "m2", "m3", "m4", machines=[]))
    world.run(600)
    world.restart()
    world.run(600)
    assert whose(world) == {"m3": 1, "m4": 2}
    assert [name for name in ("m3", "m4") if "Releasing" in world.reasons(name)] == []
    assert not of_claims(world)
    world.commit(fleet(1, "m2", "m3", "m4", machines=[]))
    world.run(60)
    assert [name for name in ("m3", "m4") if "Releasing" in world.reasons(name)] == ["m4"]


def renamed(state: DesiredState, name: str, revision: str, **changed: Any) -> DesiredState:
    """The same state with the claim `web` under another name."""
    declared = {key: one for key, one in state.resources.items() if of_claim(key) is None}
    web = declared.pop(WEB)
    key = ResourceKey("MachineClaim", name)
    spec = msgspec.structs.replace(web.spec, **changed)
    again = msgspec.structs.replace(web, key=key, spec=spec)
    of = msgspec.structs.replace(state.revision, id=revision * 40)
    return with_implied(DesiredState(of, {**declared, key: again}))


class TestRenames:
    """hashicorp/terraform#18347, #33540, #27229: a rename was a removal, which wiped, and an addition."""

    @pytest.mark.parametrize(
        "changed",
        [
            {},
            {"count": 1},
            {"count": 3},
            {"image": "debian-12.0.1"},
            {"partitions": ("elsewhere",), "networks": ()},
            {"size": "c9", "selector": None, "networks": ()},
            {"without": ("m1", "m2"), "networks": ()},
        ],
    )
    def test_a_claim_under_another_name_is_held_and_nothing_is_wiped_or_taken(
        self, tmp_path: Path, changed: dict[str, Any]
    ) -> None:
        world = inspected(tmp_path, "m1", "m2", "m3", "m4")
        first = fleet(2, "m1", "m2", "m3", "m4")
        world.commit(first)
        world.run(60)
        before, held = whose(world), addresses(world)
        world.commit(renamed(first, "www", "b", **changed))
        world.run(900)
        world.restart()
        world.run(300)
        assert whose(world) == before
        assert addresses(world) == held
        assert "Releasing" not in [event.reason for event in world.events]
        holds = {change.key: change.held_by[0].by for change in world.engine.plan().changes if change.held_by}
        assert holds[WEB] == holds[ResourceKey("MachineClaim", "www")] == "renamed"

    def test_the_old_name_again_goes_on_as_before(self, tmp_path: Path) -> None:
        world = inspected(tmp_path, "m1", "m2", "m3")
        first = fleet(2, "m1", "m2", "m3")
        world.commit(first)
        world.run(60)
        world.commit(renamed(first, "www", "b"))
        world.run(60)
        world.commit(first)
        world.run(60)
        assert whose(world) == {"m1": 0, "m2": 1}
        assert not of_claims(world)

    def test_one_that_is_removed_in_a_commit_of_its_own_is_given_back(self, tmp_path: Path) -> None:
        world = inspected(tmp_path, "m1", "m2", "m3")
        first = fleet(1, "m1", "m2", "m3")
        world.commit(first)
        world.run(60)
        world.commit(fleet(None, "m1", "m2", "m3"))
        world.run(60)
        world.commit(renamed(first, "www", "b"))
        world.run(60)
        assert "Releasing" in world.reasons("m1")
        assert whose(world)["m2"] == 0

    def test_one_that_was_waiting_before_gets_what_another_gives_back(self, tmp_path: Path) -> None:
        world = inspected(tmp_path, "m1")
        both = fleet(1, "m1")
        waiting = renamed(both, "zoo", "b", networks=())
        state = DesiredState(both.revision, {**waiting.resources, **both.resources})
        world.commit(state)
        world.run(60)
        world.commit(waiting)
        world.run(60)
        assert "Releasing" in world.reasons("m1")


def test_of_many_engines_that_place_at_once_none_binds_a_machine_twice(store: Store, tmp_path: Path) -> None:
    """The instance lock keeps them apart; this is what holds when it does not."""
    names = [f"m{n:02d}" for n in range(12)]
    claims = [f"c{n}" for n in range(6)]
    base, like = fleet(None, *names), fleet(2, *names).resources[WEB]
    keys = [ResourceKey("MachineClaim", name) for name in claims]
    wanted = {key: msgspec.structs.replace(like, key=key) for key in keys}
    state = DesiredState(base.revision, {**base.resources, **wanted})
    store.put_facts({_key(name): READY for name in names})
    engines = [_engine(store, tmp_path, number) for number in range(6)]
    for number, engine in enumerate(engines):
        engine.put_in_force(state)
        # Each has seen others off, so that they do not all choose alike.
        engine.use_observations(
            Observation(_key(name), START, SystemState(power=PowerState.OFF)) for name in names[number : number + 7]
        )
    gate, lost = threading.Barrier(len(engines)), []

    def work(number: int) -> None:
        gate.wait()
        for turn in range(len(claims)):
            key = ResourceKey("MachineClaim", claims[(number + turn) % len(claims)])
            try:
                engines[number].reconcile(key)
            except AlreadyBound as error:
                lost.append(error)

    with ThreadPoolExecutor(len(engines)) as pool:
        list(pool.map(work, range(len(engines))))
    facts = all_machine_facts(store.facts())
    bound = {
        key.name: (one.lifecycle.claim, one.lifecycle.slot)
        for key, one in facts.items()
        if one.lifecycle.claim is not None
    }
    assert len(set(bound.values())) == len(bound) > 0
    assert lost, "they did meet"
    for claim in claims:
        assert sum(1 for whose, _ in bound.values() if whose == claim) in (0, 2), "all or nothing"


def _key(name: str) -> ResourceKey:
    return ResourceKey("Machine", name)


def _engine(store: Store, path: Path, number: int) -> Engine:
    drivers = Drivers(
        lambda _: FakeFleet(lambda: 0.0), _no_secret, EmbeddedIpam(store.engine), EmbeddedPools(store.engine)
    )
    context = Context(
        now=lambda: START, random=lambda: 0.0, by=f"engine {number}", epoch=number, standing=lambda: Standing(ALL)
    )
    return Engine(store, Connections(drivers, path), Facts(store.facts(), {}), context)


def _no_secret(_reference: object) -> Any:
    raise AssertionError("no credential is asked for")


def test_what_is_kept_of_placements_is_what_would_be_worked_out_anew(tmp_path: Path) -> None:
    """Looks, claims and releases change which machines can be had; the engine's counts follow each of them."""
    world = inspected(tmp_path, "m1", "m2", "m3")
    kept = world.engine._planner._placements

    def anew() -> Placements:
        state = world.engine._state
        assert state.desired is not None
        return place_all(state.desired, state.observed, state.all_facts(), world.now())

    for count, power in ((2, PowerState.ON), (2, PowerState.OFF), (1, PowerState.OFF), (3, PowerState.ON)):
        world.commit(fleet(count, "m1", "m2", "m3"))
        bmc = world.bmc("m1")
        bmc.state = msgspec.structs.replace(bmc.state, power=power)
        for _ in range(10):
            world.run(7)
            assert kept.placements() == anew()


def test_placements_are_kept_while_the_same_is_observed(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.commit(fleet(3, "m1", "m2"))
    world.run(60)
    kept = world.engine._planner._placements
    found = kept.placements()
    world.run(600)
    assert kept.placements() is found
    bmc = world.bmc("m1")
    other = PowerState.OFF if bmc.state.power is PowerState.ON else PowerState.ON
    bmc.state = msgspec.structs.replace(bmc.state, power=other)
    world.run(120)
    assert kept.placements() is not found


def test_the_last_events_of_a_removed_claim_are_still_those_of_its_project(tmp_path: Path) -> None:
    """Also after a restart of the daemon, which reads only the commit without the claim."""
    world = inspected(tmp_path, "m1")
    world.commit(labelled(fleet(1, "m1"), WEB, tier="front"))
    world.run(60)
    world.commit(fleet(None, "m1"))
    world.restart()
    world.run(60)
    free(world, "m1")
    world.run(600)
    told = [one.event for one in world.store.follow(0) if one.event.key == WEB]
    assert [one.reason for one in told] == ["Placed", "Releasing", "Forgotten"]
    assert {(one.project, str(one.labels)) for one in told} == {("shop", "{'tier': 'front'}")}


def labelled(state: DesiredState, key: ResourceKey, **labels: str) -> DesiredState:
    changed = msgspec.structs.replace(state.resources[key], labels=labels)
    return msgspec.structs.replace(state, resources={**state.resources, key: changed})

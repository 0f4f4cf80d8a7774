"""No machine is two claims', and no slot has two machines, whoever writes: the database refuses it, whole."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from reconciler.kinds.common.machine_facts import LifecycleFacts, MachineFacts, all_machine_facts
from reconciler.kinds.common.renamed_facts import ClaimFacts
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import ResourceKey
from reconciler.store import AlreadyBound, Store
from reconciler.store.rows import bindings

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
M1, M2 = ResourceKey("Machine", "m1"), ResourceKey("Machine", "m2")


def claimed(claim: str, slot: int = 0, *, leaving: bool = False) -> ResourceFacts:
    lifecycle = LifecycleFacts(claim=claim, slot=slot, claimed_at=NOW, releasing_at=NOW if leaving else None)
    return MachineFacts(project="shop", lifecycle=lifecycle)


@pytest.mark.parametrize(
    "second",
    [
        {M1: claimed("db")},
        {M1: claimed("web", 1)},
        {M2: claimed("web", 0)},
        {M2: claimed("db", 0), M1: claimed("db", 1)},
    ],
    ids=["another claim", "another slot", "another machine in the slot", "one of two"],
)
def test_a_second_binding_is_refused_and_changes_nothing(
    store: Store, second: dict[ResourceKey, ResourceFacts | None]
) -> None:
    first = {M1: claimed("web", 0), M2: MachineFacts(image="debian-12.0.1")}
    store.put_facts(dict(first))
    with pytest.raises(AlreadyBound, match=r"Machine/m[12], or slot [01] of MachineClaim/(web|db), was bound by"):
        store.put_facts(second)
    assert store.facts() == first


def test_a_machine_that_was_given_back_and_freed_can_be_bound_anew(store: Store) -> None:
    for facts in (claimed("web"), claimed("web", leaving=True), MachineFacts(), claimed("db")):
        store.put_facts({M1: facts})
    assert store.facts() == {M1: claimed("db")}
    store.put_facts({M2: claimed("web")})


def test_a_writer_that_has_not_heard_of_a_binding_cannot_write_it_away(store: Store) -> None:
    store.put_facts({M1: claimed("web")})
    with pytest.raises(AlreadyBound):
        store.put_facts({M1: MachineFacts(once_done="d1")})
    assert store.facts() == {M1: claimed("web")}


def test_what_is_written_of_a_claimed_machine_leaves_its_binding(store: Store) -> None:
    store.put_facts({M1: claimed("web")})
    store.put_facts({M1: claimed("web", leaving=True)})
    with pytest.raises(AlreadyBound):
        store.put_facts({M2: claimed("web")})


def test_a_forgotten_machine_leaves_its_slot(store: Store) -> None:
    store.put_facts({M1: claimed("web")})
    store.put_facts({M1: None})
    store.put_facts({M2: claimed("web")})


WEB, WWW = ResourceKey("MachineClaim", "web"), ResourceKey("MachineClaim", "www")


def test_with_a_claim_that_gets_another_name_its_machines_keep_their_slots(store: Store) -> None:
    store.put_facts({WEB: ClaimFacts(), M1: claimed("web"), M2: claimed("web", 1, leaving=True)})
    renamed = {M1: claimed("www"), M2: claimed("www", 1, leaving=True), WWW: ClaimFacts(was=("web",))}
    store.put_facts({WEB: None, **renamed})
    assert store.facts() == renamed
    with pytest.raises(AlreadyBound):
        store.put_facts({M1: claimed("web")})
    store.put_facts({ResourceKey("Machine", "m3"): claimed("web")})


@pytest.mark.parametrize(
    "rest",
    [
        {WWW: ClaimFacts(was=("web",))},
        {WEB: None, WWW: ClaimFacts()},
        {WEB: None, WWW: ClaimFacts(was=("db",))},
    ],
    ids=["the old name stays", "the new one says nothing", "the new one was another"],
)
def test_no_other_write_takes_a_machine_to_another_claim(
    store: Store, rest: dict[ResourceKey, ResourceFacts | None]
) -> None:
    store.put_facts({WEB: ClaimFacts(), M1: claimed("web")})
    with pytest.raises(AlreadyBound):
        store.put_facts({M1: claimed("www"), **rest})
    with pytest.raises(AlreadyBound):
        store.put_facts({M1: claimed("www", 1), WEB: None, WWW: ClaimFacts(was=("web",))})
    assert store.facts() == {WEB: ClaimFacts(), M1: claimed("web")}


def test_more_machines_than_a_statement_has_parameters_for(store: Store) -> None:
    many = {ResourceKey("Machine", f"n{n:05d}"): MachineFacts() for n in range(40_000)}
    bound = {ResourceKey("Machine", f"n{n:05d}"): claimed("web", n) for n in range(3)}
    store.put_facts({**many, **bound})
    with pytest.raises(AlreadyBound):
        store.put_facts({**many, **bound, ResourceKey("Machine", "n00009"): claimed("web", 0)})


def test_of_many_that_bind_at_once_each_machine_and_each_slot_goes_to_one(store: Store) -> None:
    def bind(writer: int) -> list[tuple[str, str, int]]:
        won = []
        for step in range(20):
            machine, claim, slot = f"m{(writer + step) % 10}", f"c{writer % 3}", step % 4
            try:
                store.put_facts({ResourceKey("Machine", machine): claimed(claim, slot)})
            except AlreadyBound:
                continue
            won.append((machine, claim, slot))
        return won

    with ThreadPoolExecutor(8) as pool:
        won = {one for found in pool.map(bind, range(8)) for one in found}
    assert len(won) == len({machine for machine, _, _ in won}) == len({(claim, slot) for _, claim, slot in won})
    there = {
        (key.name, fact.lifecycle.claim, fact.lifecycle.slot) for key, fact in all_machine_facts(store.facts()).items()
    }
    assert there == won != set()


def test_of_two_writers_that_wait_for_each_other_one_has_lost_the_machine(store: Store) -> None:
    if store.engine.dialect.name != "postgresql":
        pytest.skip("one writes after the other here, so that they cannot wait for each other")
    both = threading.Barrier(2)

    def bind(claim: str, first: ResourceKey, second: ResourceKey) -> str:
        try:
            with store.engine.begin() as connection:
                bindings.write_bindings(connection, {first: claimed(claim, 0)})
                both.wait(10)
                bindings.write_bindings(connection, {second: claimed(claim, 1)})
        except AlreadyBound:
            return "lost"
        return "bound"

    with ThreadPoolExecutor(2) as pool:
        said = [pool.submit(bind, "web", M1, M2), pool.submit(bind, "db", M2, M1)]
        assert sorted(one.result(30) for one in said) == ["bound", "lost"]

"""Inventories are kept with what was there before, until somebody accepts the change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from drivers.base import Disk, ErrorReason, Inventory
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.kinds.common.machine_inventory import NO_INVENTORY, Origin, StoredInventory
from reconciler.model.observation import ReadError
from reconciler.model.resource import ResourceKey
from reconciler.store import Store

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER, LATEST = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
BMC = Origin.OUT_OF_BAND
TWO = Inventory(disks=(Disk("a", 1), Disk("b", 1)))
ONE = Inventory(disks=(Disk("a", 1),))
NONE = Inventory()


def machine_key(name: str) -> ResourceKey:
    return ResourceKey("Machine", name)


M1, M2, M3 = (machine_key(name) for name in ("m1", "m2", "m3"))


def test_what_was_put_is_there_by_machine_and_origin(store: Store) -> None:
    kept = store.inventories.put(M1, BMC, TWO, NOW)
    agent = store.inventories.put(M1, Origin.IN_BAND, ONE, LATER)
    assert (kept.value, kept.since, kept.taken_at, kept.previous) == (TWO, NOW, NOW, None)
    assert store.inventories.of(M1) == StoredInventory(kept, agent)
    assert store.inventories.all() == {M1: StoredInventory(kept, agent)}
    assert store.inventories.of(M2) == NO_INVENTORY


def test_the_same_again_is_newer_and_no_change(store: Store) -> None:
    store.inventories.put(M1, BMC, TWO, NOW)
    kept = store.inventories.put(M1, BMC, TWO, LATER)
    assert (kept.since, kept.taken_at, kept.previous) == (NOW, LATER, None)


def test_a_change_keeps_what_was_there_before_with_its_time(store: Store) -> None:
    store.inventories.put(M1, BMC, TWO, NOW)
    kept = store.inventories.put(M1, BMC, ONE, LATER)
    assert (kept.value, kept.since, kept.previous, kept.previous_at) == (ONE, LATER, TWO, NOW)
    assert store.inventories.put(M1, BMC, ONE, LATEST).previous == TWO


def test_a_second_change_is_still_measured_against_what_was_as_it_should_be(store: Store) -> None:
    for at, value in ((NOW, TWO), (LATER, ONE), (LATEST, NONE)):
        kept = store.inventories.put(M1, BMC, value, at)
    assert (kept.value, kept.previous, kept.previous_at) == (NONE, TWO, NOW)


def test_a_change_that_is_taken_back_is_none(store: Store) -> None:
    for at, value in ((NOW, TWO), (LATER, ONE), (LATEST, TWO)):
        kept = store.inventories.put(M1, BMC, value, at)
    assert (kept.value, kept.previous, kept.previous_at) == (TWO, None, None)


def test_an_accepted_change_is_how_it_should_be(store: Store) -> None:
    store.inventories.put(M1, BMC, TWO, NOW)
    store.inventories.put(M1, BMC, ONE, LATER)
    kept = store.inventories.accept(M1, BMC)
    assert (kept.value, kept.previous, kept.previous_at) == (ONE, None, None)


def test_a_failure_keeps_what_was_read_until_it_can_be_read_again(store: Store) -> None:
    store.inventories.put(M1, BMC, TWO, NOW)
    failed = store.inventories.fail(M1, BMC, ReadError(ErrorReason.UNREACHABLE, "no answer"), LATER)
    assert (failed.value, failed.taken_at, failed.tried_at) == (TWO, NOW, LATER)
    assert failed.error == ReadError(ErrorReason.UNREACHABLE, "no answer")
    assert store.inventories.put(M1, BMC, TWO, LATEST).error is None


def test_a_failure_can_be_all_that_is_known(store: Store) -> None:
    store.inventories.fail(M1, BMC, ReadError(ErrorReason.UNREACHABLE, "no answer"), NOW)
    assert store.inventories.of(M1).best is None


def test_a_machine_that_is_forgotten_has_none(store: Store) -> None:
    store.inventories.put(M1, BMC, TWO, NOW)
    store.inventories.put(M2, BMC, TWO, NOW)
    store.put_facts({M1: MachineFacts()})
    store.put_facts({M1: None})
    assert list(store.inventories.all()) == [M2]


def test_two_kinds_of_the_same_name_have_an_inventory_each(store: Store) -> None:
    enclosure = ResourceKey("Enclosure", "m1")
    store.inventories.put(M1, BMC, TWO, NOW)
    store.inventories.put(enclosure, BMC, ONE, NOW)
    store.inventories.put(enclosure, BMC, NONE, LATER)
    store.inventories.accept(enclosure, BMC)
    assert (store.inventories.of(M1).best, store.inventories.of(enclosure).best) == (TWO, NONE)
    assert sorted(store.inventories.all({M1, M2})) == [M1]
    store.put_facts({M1: MachineFacts()})
    store.put_facts({M1: None})
    assert list(store.inventories.all()) == [enclosure]


def test_of_many_machines_those_that_are_asked_for_are_read(store: Store) -> None:
    for key in (M1, M2, M3):
        store.inventories.put(key, BMC, TWO, NOW)
    assert sorted(store.inventories.all({M1, M3, machine_key("m9")})) == [M1, M3]
    assert store.inventories.all(set()) == {}
    assert sorted(store.inventories.all({machine_key(f"m{n}") for n in range(1000)})) == [M1, M2, M3]


def test_one_by_one_they_come_in_order_however_many_they_are(store: Store) -> None:
    keys = [machine_key(f"m{number:03d}") for number in range(520)]
    for key in reversed(keys):
        store.inventories.fail(key, BMC, ReadError(ErrorReason.UNREACHABLE, "no answer"), NOW)
    assert [key for key, _ in store.inventories.each()] == keys
    assert dict(store.inventories.each()) == store.inventories.all()
    asked = {machine_key(name) for name in ("m007", "m003", "none")}
    assert [key for key, _ in store.inventories.each(asked)] == [keys[3], keys[7]]
    assert list(store.inventories.each(set())) == []


def test_one_that_cannot_be_read_is_read_anew_and_the_others_are_there(store: Store) -> None:
    for key in (M1, M2):
        store.inventories.put(key, BMC, TWO, NOW)
    with store.engine.begin() as connection:
        connection.execute(text("""UPDATE inventory SET value = '{"disks": 7}' WHERE name = 'm1'"""))
    found = store.inventories.all()
    assert found[M2].best == TWO
    damaged = found[M1].out_of_band
    assert damaged is not None
    assert damaged.error is not None
    assert "damaged" in damaged.error.message
    assert store.inventories.put(M1, BMC, ONE, LATER).value == ONE

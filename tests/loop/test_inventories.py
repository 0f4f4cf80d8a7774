"""Inventories through real connections and the store: what becomes of a machine's parts, from reading to condition."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from drivers.base import Inventory
from drivers.bmc.fake.fake import FakeFleet
from drivers.bmc.fake.fake_faults import Fault, FaultKind
from drivers.bmc.fake.fake_machine import NEW_INVENTORY
from drivers.ipam.embedded.embedded import EmbeddedIpam
from drivers.ipam.embedded.embedded_pools import EmbeddedPools
from reconciler.kinds.common.field_types.bmc_access import BmcSpec
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.event import Event
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.observed.backends import Backends
from reconciler.observed.connections import Connections, Drivers
from reconciler.observed.inventory_reader import InventoryReader
from reconciler.onboarding.inventory_comparison import inventory_conditions
from reconciler.store import Store
from tests.unit.planning_worlds import desired, resource

KEY = ResourceKey("Machine", "m1")
STATE = desired(resource("Machine", "m1", MachineSpec(partition="p", bmc=BmcSpec(address="bmc-1", driver="fake"))))


def of_bmc(drivers: Drivers, base: Path) -> Callable[[ResourceKey, DesiredState], Inventory]:
    return Backends(Connections(drivers, base), lambda: datetime(2026, 3, 1, tzinfo=UTC)).inventory


def test_a_disk_that_is_pulled_is_a_condition_until_it_is_back(tmp_path: Path) -> None:
    store, fleet = Store.open(f"sqlite:///{tmp_path / 'state.db'}"), FakeFleet(lambda: 0.0)
    drivers = Drivers(
        lambda _: fleet, lambda _: pytest.fail("no credential"), EmbeddedIpam(store.engine), EmbeddedPools(store.engine)
    )
    events: list[Event] = []
    clock = [datetime(2026, 3, 1, tzinfo=UTC)]
    reader = InventoryReader(of_bmc(drivers, tmp_path), store.inventories, events.append, lambda: clock[0], lambda: 0.5)
    reader.set_desired(STATE)
    told = []
    for disks in (NEW_INVENTORY.disks, NEW_INVENTORY.disks[:1], NEW_INVENTORY.disks[:1], NEW_INVENTORY.disks):
        fleet.machine("bmc-1").inventory = msgspec.structs.replace(NEW_INVENTORY, disks=disks)
        assert reader.due() == [KEY]
        reader.read(KEY)
        clock[0] += timedelta(hours=24)
        told.append([one.type for one in inventory_conditions(STATE.resources[KEY], store.inventories.of(KEY), STATE)])
    assert told == [[], ["InventoryComplete"], ["InventoryComplete"], []]
    assert [one.reason for one in events] == ["InventoryTaken", "InventoryChanged", "InventoryChanged"]
    store.close()


def test_a_bmc_that_does_not_answer_is_a_condition_and_what_was_read_stays(tmp_path: Path) -> None:
    store, fleet = Store.open(f"sqlite:///{tmp_path / 'state.db'}"), FakeFleet(lambda: 0.0)
    drivers = Drivers(
        lambda _: fleet, lambda _: pytest.fail("no credential"), EmbeddedIpam(store.engine), EmbeddedPools(store.engine)
    )
    now = datetime(2026, 3, 1, tzinfo=UTC)
    reader = InventoryReader(of_bmc(drivers, tmp_path), store.inventories, lambda _: None, lambda: now, lambda: 0.5)
    reader.set_desired(STATE)
    reader.read(KEY)
    fleet.machine("bmc-1").faults.add(Fault(FaultKind.UNREACHABLE, times=None))
    reader.read(KEY)
    known = store.inventories.of(KEY)
    assert known.best == NEW_INVENTORY
    (found,) = inventory_conditions(STATE.resources[KEY], known, STATE)
    assert (found.type, found.reason) == ("InventoryRead", "Unreachable")
    store.close()

"""Size and aggregates are labels that follow from the inventory and from what git says now."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from drivers.base import Disk, ErrorReason, Inventory, Nic, Processor
from reconciler.desired.load import load_state
from reconciler.kinds.catalogue.size import Constraint, ConstraintType, SizeSpec
from reconciler.kinds.common.field_types.label_selector import Unmatched
from reconciler.kinds.common.machine_inventory import SIZE_LABEL, Kept, Origin, StoredInventory
from reconciler.kinds.machine.labels import effective_labels, size_by_inventory
from reconciler.kinds.selectors import select
from reconciler.model.observation import ReadError
from reconciler.model.outcome import ConditionReason, ConditionType
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.onboarding import inventory_comparison
from reconciler.onboarding.inventory_comparison import inventory_conditions, labels_from_inventories, on_sizes
from tests.unit import desired_worlds as worlds
from tests.unit.planning_worlds import desired, machine, resource

NOW = datetime(2026, 3, 1, tzinfo=UTC)
M1 = ResourceKey("Machine", "m1")
SMALL = Inventory((Processor("X", 8, 16),), 64 << 30, (Disk("a", 100),))


def size(name: str, cores: tuple[int, int]) -> Any:
    ranges = {ConstraintType.CORES: cores, ConstraintType.MEMORY: (1, 1 << 40), ConstraintType.STORAGE: (0, 1 << 50)}
    return resource(
        "Size", name, SizeSpec(constraints=tuple(Constraint(type=t, min=a, max=b) for t, (a, b) in ranges.items()))
    )


def kept(value: Inventory | None, origin: Origin = Origin.OUT_OF_BAND, **more: Any) -> Kept:
    return Kept(origin, value, NOW, NOW, **more)


def known(value: Inventory) -> StoredInventory:
    return StoredInventory(out_of_band=kept(value))


@pytest.mark.parametrize(
    ("sizes", "inventory", "name", "why"),
    [
        ([size("c1", (1, 8)), size("c2", (9, 16))], SMALL, "c1", "the inventory fits size c1"),
        ([size("c2", (9, 16))], SMALL, None, "the inventory fits no size"),
        ([size("c1", (1, 8)), size("c3", (8, 9))], SMALL, None, "the inventory fits 2 sizes: c1, c3"),
        ([], SMALL, None, "no Size is declared"),
        ([size("c1", (1, 8))], None, None, "has not been read yet"),
        (
            [size("c1", (1, 8))],
            msgspec.structs.replace(SMALL, missing=("disks",), disks=()),
            None,
            "the inventory may fit size c1, but does not report disks",
        ),
    ],
)
def test_exactly_one_size_fits_or_it_is_said_why_none_is_told(
    sizes: list[Any], inventory: Inventory | None, name: str | None, why: str
) -> None:
    found = size_by_inventory(machine("m1"), inventory, desired(*sizes))
    assert found.name == name
    assert why in found.why


def state(cores: tuple[int, int] = (1, 8), **spec: Any) -> DesiredState:
    labelled = msgspec.structs.replace(machine("m1", **spec), labels={"rack": "r1", SIZE_LABEL: "forged"})
    return desired(labelled, size("c1", cores))


def test_the_labels_of_a_machine_are_its_own_and_those_of_its_inventory() -> None:
    found = effective_labels(state().resources[M1], SMALL, state())
    assert found == {
        "rack": "r1",
        SIZE_LABEL: "c1",
        "aggregate/cpus.cores": "8",
        "aggregate/cpus.sockets": "1",
        "aggregate/cpus.threads": "16",
        "aggregate/disks.capacity": "100",
        "aggregate/disks.count": "1",
    }


def test_a_derived_label_cannot_be_declared() -> None:
    found = effective_labels(state().resources[M1], None, state())
    assert found == {"rack": "r1"}


@pytest.mark.parametrize("label", [SIZE_LABEL, "aggregate/disks.count"])
def test_a_document_that_declares_a_derived_label_is_refused(label: str) -> None:
    text = worlds.machine("m1").replace("  name: m1\n", f"  name: m1\n  labels: {{{label}: x}}\n")
    (found,) = load_state(worlds.MemorySnapshot({"m.yaml": text, "p.yaml": worlds.PARTITION})).diagnostics
    assert (found.code, found.summary) == ("derived-label", f"the label {label} cannot be declared")
    assert found.source is not None
    assert found.source.line == 5


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        (f"{SIZE_LABEL}=c1", True),
        (f"{SIZE_LABEL}=forged", False),
        ("aggregate/disks.count=1,rack=r1", True),
        ("aggregate/disks.count=2", False),
        (f"!{SIZE_LABEL}", False),
    ],
)
def test_machines_are_selected_by_what_is_in_them(selector: str, chosen: bool) -> None:
    now = state()
    with nullcontext() if chosen else pytest.raises(Unmatched):
        assert select(["machines"], selector, now, derived=lambda: labels_from_inventories(now, [(M1, known(SMALL))]))


def test_a_size_that_changes_in_git_changes_the_label() -> None:
    before, after = state(), state(cores=(9, 16))
    inventories = {M1: known(SMALL)}
    assert SIZE_LABEL in labels_from_inventories(before, inventories.items())[M1]
    assert SIZE_LABEL not in labels_from_inventories(after, inventories.items())[M1]


def test_what_the_agent_says_counts_and_the_bmc_where_it_says_nothing() -> None:
    agent = Inventory((Processor("X", 4, 8),), missing=("memory", "disks", "gpus"))
    best = StoredInventory(kept(SMALL), kept(agent, Origin.IN_BAND)).best
    assert best is not None
    assert (best.processors, best.memory, best.disks, best.missing) == (agent.processors, 64 << 30, SMALL.disks, ())


@pytest.mark.parametrize(
    ("declared", "inventory", "warned"),
    [
        ("c1", SMALL, False),
        ("c2", SMALL, True),
        (None, SMALL, False),
        ("c2", Inventory(missing=("processors", "memory", "disks", "gpus")), False),
    ],
)
def test_a_declared_size_that_does_not_fit_is_a_condition_and_a_warning(
    declared: str | None, inventory: Inventory, warned: bool
) -> None:
    now = state(size=declared)
    key = M1
    found = on_sizes([key], now, {M1: known(inventory)})
    assert [one.code for one in found] == (["size-differs"] if warned else [])
    told = [one.type for one in inventory_conditions(now.resources[key], known(inventory), now)]
    assert told == (["SizeAsDeclared"] if warned else [])


def test_a_loss_is_a_condition_until_it_is_accepted_and_a_gain_is_none() -> None:
    now, more = state(), msgspec.structs.replace(SMALL, disks=(*SMALL.disks, Disk("b", 5)))
    one = now.resources[M1]
    lost = StoredInventory(kept(SMALL, previous=more, previous_at=NOW))
    (found,) = inventory_conditions(one, lost, now)
    assert (found.type, found.status, found.reason) == ("InventoryComplete", "False", "PartsLost")
    assert "disk b is missing" in found.message
    assert list(inventory_conditions(one, StoredInventory(kept(more, previous=SMALL, previous_at=NOW)), now)) == []
    assert list(inventory_conditions(one, StoredInventory(kept(SMALL)), now)) == []


def test_an_inventory_that_cannot_be_read_is_a_condition() -> None:
    now = state()
    failed = StoredInventory(kept(None, error=ReadError(ErrorReason.UNREACHABLE, "no answer"), tried_at=NOW))
    (found,) = inventory_conditions(now.resources[M1], failed, now)
    assert (found.type, found.reason, found.since) == ("InventoryRead", "Unreachable", NOW)


def test_an_inventory_that_gives_no_labels_because_of_a_defect_is_a_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(*_args: object) -> object:
        raise KeyError("cores")

    monkeypatch.setattr(inventory_comparison, "inventory_labels", odd)
    now, known = state(), StoredInventory(kept(SMALL))
    assert labels_from_inventories(now, [(M1, known)]) == {}
    found = {one.type: one for one in inventory_conditions(now.resources[M1], known, now)}
    assert found[ConditionType.INVENTORY_READ].reason is ConditionReason.INTERNAL
    assert "KeyError: 'cores' (test_machine_labels.py, line" in found[ConditionType.INVENTORY_READ].message


def test_a_machine_is_known_by_the_mac_addresses_of_both() -> None:
    one, two = (msgspec.structs.replace(SMALL, nics=(Nic("e", f"52:54:00:00:00:0{n}"),)) for n in (1, 2))
    both = StoredInventory(kept(one), kept(two, Origin.IN_BAND))
    assert both.macs == {"52:54:00:00:00:01", "52:54:00:00:00:02"}
    assert StoredInventory(kept(SMALL)).macs == set()

"""What a machine is, by its inventory: its size and its aggregates, as labels to select by. Pure.

They are computed each time from the stored inventory and the current documents, and are in no document. A size that is
changed in git changes the machines that are of it in the same moment."""

from __future__ import annotations

from drivers.base import Inventory
from reconciler.kinds.catalogue.aggregate import aggregate_items, aggregates, label_number
from reconciler.kinds.catalogue.size_matching import SizeVerdict, explain_size
from reconciler.kinds.common.machine_inventory import AGGREGATE, SIZE_LABEL, SizeFound, is_derived
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.resource import DesiredState, Resource


def size_by_inventory(machine: Resource[MachineSpec], inventory: Inventory | None, desired: DesiredState) -> SizeFound:
    """The machine's size by its inventory: exactly one fits, or none is given."""
    if inventory is None:
        return SizeFound(None, f"the inventory of {machine.key} has not been read yet", decided=False)
    # A fleet has few models of machines: each is held against the sizes once for a revision.
    known = desired.derived("size of", lambda _: dict[object, SizeFound]())
    disks = tuple((one.name, one.size) for one in inventory.disks)
    model = (inventory.processors, inventory.memory, disks, inventory.gpus, inventory.missing)
    found = known.get(model)
    if found is None:
        found = known[model] = _size_of(inventory, desired)
    return found


def _size_of(inventory: Inventory, desired: DesiredState) -> SizeFound:
    fits, unknown, silent = [], [], set[str]()
    for size in desired.of_kind("Size"):
        found = explain_size(size.key.name, size.spec.constraints, inventory)
        silent.update(found.unknown)
        if found.verdict is SizeVerdict.FITS:
            fits.append(found.size)
        elif found.verdict is SizeVerdict.UNKNOWN:
            unknown.append(found.size)
    if len(fits) == 1:
        return SizeFound(fits[0], f"the inventory fits size {fits[0]}")
    if fits:
        why = f"the inventory fits {len(fits)} sizes: {', '.join(fits)}"
        return SizeFound(None, f"{why}; change spec.constraints of these Sizes, so that only one fits")
    if unknown:
        why = f"the inventory may fit size {' or '.join(unknown)}, but does not report {' and '.join(sorted(silent))}"
        return SizeFound(None, why, decided=False)
    return SizeFound(None, "the inventory fits no size" if desired.count("Size") else "no Size is declared")


def aggregate_labels(inventory: Inventory | None, desired: DesiredState) -> dict[str, str]:
    """The labels of the numbers that aggregates make of an inventory, of whatever kind."""
    numbers = {name: label_number(value) for name, value in aggregates(inventory, aggregate_items(desired)).items()}
    return {f"{AGGREGATE}{name}": text for name, text in numbers.items() if text is not None}


def inventory_labels(
    machine: Resource[MachineSpec], inventory: Inventory | None, desired: DesiredState
) -> dict[str, str]:
    """The labels that follow from the inventory of a machine alone."""
    found = aggregate_labels(inventory, desired)
    size = size_by_inventory(machine, inventory, desired).name
    return found if size is None else {SIZE_LABEL: size, **found}


def effective_labels(
    machine: Resource[MachineSpec], inventory: Inventory | None, desired: DesiredState
) -> dict[str, str]:
    """The labels of the document and those that follow from the inventory (`Known.best`), which cannot be declared."""
    declared = {name: text for name, text in machine.labels.items() if not is_derived(name)}
    return declared | inventory_labels(machine, inventory, desired)

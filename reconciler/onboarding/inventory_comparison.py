"""The results of comparing inventories: conditions, and warnings beside a plan. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from drivers.base import Inventory
from reconciler.kinds import INVENTORIED, KINDS, SIZED
from reconciler.kinds.common.defect import REPORT, defect
from reconciler.kinds.common.inventory_diff import PartChange, between, inventory_differences
from reconciler.kinds.common.kind import Inventories
from reconciler.kinds.common.machine_inventory import Kept, StoredInventory
from reconciler.kinds.machine.labels import aggregate_labels, inventory_labels, size_by_inventory
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.facts import ResourceFacts
from reconciler.model.outcome import Condition, ConditionReason, ConditionType, Status
from reconciler.model.plans.plan import digest
from reconciler.model.resource import DesiredState, Resource, ResourceKey

_NAMED = 5


def changes(kept: Kept) -> tuple[PartChange, ...]:
    """By what the newest reading differs from the last one that was as it should be."""
    return () if kept.value is None or kept.previous is None else inventory_differences(kept.previous, kept.value)


def disagreements(inventory: StoredInventory) -> tuple[PartChange, ...]:
    """By what the BMC and the agent differ."""
    bmc, agent = inventory.out_of_band, inventory.in_band
    if bmc is None or agent is None or bmc.value is None or agent.value is None:
        return ()
    return between(bmc.value, agent.value)


def inventory_conditions(
    resource: Resource[Any] | None, inventory: StoredInventory, desired: DesiredState
) -> Iterator[Condition]:
    """A resource's conditions that follow from its inventory; each only while it is False.

    InventoryComplete is False from a loss on until the part is back or a person accepts that it is gone (`groundstate
    inventory --accept`). The next reading says the same as this one, and must not silence it."""
    if resource is None:
        return
    for kept in inventory.all:
        if kept.error is not None:
            message = f"{kept.origin}: {kept.error.message}"
            yield Condition(
                ConditionType.INVENTORY_READ, Status.FALSE, ConditionReason(kept.error.reason), message, kept.tried_at
            )
        lost = [one for one in changes(kept) if one.loss]
        if lost:
            message = (
                f"{kept.origin}: {listed_changes(lost)}; if the loss is intended, accept it with `groundstate "
                f"inventory {resource.key.name} --accept`"
            )
            yield Condition(
                ConditionType.INVENTORY_COMPLETE, Status.FALSE, ConditionReason.PARTS_LOST, message, kept.since
            )
    if isinstance(why := _labels_or_why_not(resource, inventory, desired), str):
        yield Condition(ConditionType.INVENTORY_READ, Status.FALSE, ConditionReason.INTERNAL, why)
    if problem := _size_problem(resource, inventory, desired):
        yield Condition(ConditionType.SIZE_AS_DECLARED, Status.FALSE, ConditionReason.SIZE_DIFFERS, problem)


def on_sizes(keys: Collection[ResourceKey], desired: DesiredState, inventories: Inventories) -> tuple[Diagnostic, ...]:
    """The resources of which the document declares another size than the one that their inventory fits."""
    found = []
    for key in sorted(key for key in keys if key in inventories):
        resource = desired.resources.get(key)
        if resource is None:
            continue
        if problem := _size_problem(resource, inventories[key], desired):
            hint = f"`groundstate explain-size {key.name}` shows each constraint; correct spec.size, or the Size"
            said = f"{key}: {problem}"
            found.append(Diagnostic("size-differs", Severity.WARNING, said, resource.source, "", hint))
    return tuple(found)


def labels_from_inventories(
    desired: DesiredState, inventories: Iterable[tuple[ResourceKey, StoredInventory]]
) -> dict[ResourceKey, dict[str, str]]:
    """The labels that follow from these inventories; a resource of which none is known has none."""
    found = {}
    for key, known in inventories:
        resource = desired.resources.get(key)
        if resource is not None and key.kind in INVENTORIED:
            labels = _labels_or_why_not(resource, known, desired)
            if isinstance(labels, dict):
                found[key] = labels
    return found


def _labels_or_why_not(
    resource: Resource[Any], inventory: StoredInventory, desired: DesiredState
) -> dict[str, str] | str:
    """The labels; in words, why a defect prevents them, which `inventory_conditions` shows."""
    try:
        return _labels(resource, inventory, desired)
    except Exception as error:  # noqa: BLE001  an inventory that nobody expected is one resource's
        return f"the inventory gives no labels because of {defect(error)}; {REPORT}"


def _labels(resource: Resource[Any], inventory: StoredInventory, desired: DesiredState) -> dict[str, str]:
    if resource.key.kind in SIZED:
        return inventory_labels(resource, inventory.best, desired)
    return aggregate_labels(inventory.best, desired)


def labelling(desired: DesiredState) -> str:
    """What the labels are worked out by, beside the inventories: equal for states that give equal labels."""
    by = (*desired.of_kind("Size"), *desired.of_kind("Aggregate"))
    return desired.derived("labelling", lambda _: digest([(str(one.key), one.spec) for one in by]))


def relabelled(
    facts: Mapping[ResourceKey, ResourceFacts],
    labels: Mapping[ResourceKey, Mapping[str, str]],
    only: Collection[ResourceKey] | None = None,
) -> dict[ResourceKey, ResourceFacts]:
    """What is remembered of the resources of which these labels are new. `only`: those that the labels are of; None: of
    all."""
    known = ((key, facts.get(key)) for key in (facts if only is None else only) if key.kind in INVENTORIED)
    return {
        key: msgspec.structs.replace(one, labels=dict(labels.get(key, {})))
        for key, one in known
        if one is not None and one.labels != labels.get(key, {})
    }


def listed_changes(found: Collection[PartChange]) -> str:
    """The first few in words."""
    words = "; ".join(str(one) for one in list(found)[:_NAMED])
    return f"{words}; and {len(found) - _NAMED} more" if len(found) > _NAMED else words


def _size_problem(resource: Resource[Any], inventory: StoredInventory, desired: DesiredState) -> str | None:
    """Nothing while it is not known what is in the machine."""
    size_of = KINDS[resource.key.kind].size_of
    declared = size_of(resource.spec) if size_of is not None else None
    if declared is None or inventory.best is None:
        return None
    try:
        size = size_by_inventory(resource, inventory.best, desired)
    except Exception as error:  # noqa: BLE001  an inventory that nobody expected is one machine's
        return f"size {declared} is declared, and the size by inventory is unknown because of {defect(error)}; {REPORT}"
    if size.name == declared or not size.decided:
        return None
    return f"size {declared} is declared; {size.why}"


def summary(value: Inventory) -> str:
    """What is in a resource, in a few words."""
    cores = sum(one.cores for one in value.processors)
    parts = [f"{len(value.processors)} processors, {cores} cores", f"{_size(value.memory)} of memory"]
    parts += [f"{len(value.disks)} disks", f"{len(value.gpus)} GPUs"]
    reported = [
        part
        for part, name in zip(parts, ("processors", "memory", "disks", "gpus"), strict=True)
        if name not in value.missing
    ]
    return ", ".join(reported) or "no hardware reported"


def _size(number: int) -> str:
    return f"{number >> 30} GiB" if number >= 1 << 30 else f"{number >> 20} MiB"

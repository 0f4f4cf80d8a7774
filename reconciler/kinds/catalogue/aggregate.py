"""Aggregate: numbers that are worked out of each machine's inventory, to be shown and selected by. Pure.

Paths are JMESPath over the inventory (`processors`, `memory`, `modules`, `disks`, `gpus`, `nics`, `neighbours`), as far
as they yield one value or one collection. That is checked against the inventory's type when the document is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta

from drivers.base import Inventory, clean
from reconciler.kinds.catalogue.inventory_path import Malformed, compiled, element
from reconciler.kinds.common.field_types.fields import Spec, Text
from reconciler.kinds.common.kind import RuleFinding
from reconciler.kinds.common.machine_inventory import as_json
from reconciler.model.resource import DesiredState, Resource


class Function(StrEnum):
    """How the values of a path are combined."""

    AVG = "avg"
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    COUNT = "count"


class AggregateItem(Spec, frozen=True, kw_only=True):
    """One number that groundstate computes for each machine."""

    source_path: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=253,
            description=(
                "A JMESPath expression over the inventory: fields, `[*]`, `[]`, an index, and filters. A filter "
                "compares texts and numbers. It may use `&&`, `||`, `!`, `contains`, `starts_with`, `ends_with` "
                "and `length`."
            ),
            examples=["disks[*].size", "disks[?size > `1000000000000`].size"],
        ),
    ]
    target_path: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$",
            max_length=63,
            description=(
                "The name of the result, here NAME. `get machines -o wide` shows the result in a column of this "
                "name, and machines have it as the label `aggregate/NAME`."
            ),
            examples=["disks.capacity"],
        ),
    ]
    aggregate: Annotated[Function, Meta(description="How the values are combined. All except count need numbers.")]


class AggregateSpec(Spec, frozen=True, kw_only=True):
    """Numbers that are computed for each machine. Without data, the machine does not have this label, and JSON
    shows null."""

    description: Annotated[Text, Meta(description="What the numbers are for.")] | None = None
    items: Annotated[
        tuple[AggregateItem, ...], Meta(min_length=1, max_length=64, description=("The numbers to compute."))
    ]


def _default(source: str, target: str, function: Function) -> AggregateItem:
    return AggregateItem(source_path=source, target_path=target, aggregate=function)


DEFAULTS = (
    _default("processors[*]", "cpus.sockets", Function.COUNT),
    _default("processors[*].cores", "cpus.cores", Function.SUM),
    _default("processors[*].threads", "cpus.threads", Function.SUM),
    _default("disks[*]", "disks.count", Function.COUNT),
    _default("disks[*].size", "disks.capacity", Function.SUM),
    _default("nics[*]", "nics.count", Function.COUNT),
)
"""Always there (ironcore's own); an Aggregate that declares the same name takes the place of one. They do not go when
the first Aggregate is declared, as claims may select by them already."""


def check_aggregate(resource: Resource[AggregateSpec]) -> list[RuleFinding]:
    """Paths must make sense, and each name stand once."""
    found: list[RuleFinding] = []
    seen: set[str] = set()
    for index, item in enumerate(resource.spec.items):
        path = f"spec.items.{index}"
        try:
            kind = element(item.source_path)
            if item.aggregate is not Function.COUNT and kind not in (int, float):
                what = f"{clean(item.source_path)} gives no numbers, but {item.aggregate} needs numbers"
                found.append(
                    RuleFinding("not-a-number", f"{path}.sourcePath", what, "select a numeric field, or use count")
                )
        except Malformed as error:
            hint = "write a path such as disks[*].size; to join lists inside of a list, write [] in place of [*]"
            found.append(RuleFinding("malformed-path", f"{path}.sourcePath", f"the path cannot be used: {error}", hint))
        if item.target_path in seen:
            what = f"{item.target_path} is defined twice"
            found.append(
                RuleFinding("second-target", f"{path}.targetPath", what, "keep only one item with this targetPath")
            )
        seen.add(item.target_path)
    return found


def aggregate_items(desired: DesiredState) -> tuple[AggregateItem, ...]:
    """All that are in force, by name."""
    return desired.derived("aggregates", _items)


def _items(desired: DesiredState) -> tuple[AggregateItem, ...]:
    declared = [item for one in desired.of_kind("Aggregate") for item in one.spec.items]
    found = {item.target_path: item for item in (*DEFAULTS, *declared)}
    return tuple(found[name] for name in sorted(found))


def aggregates(inventory: Inventory | None, wanted: Iterable[AggregateItem]) -> dict[str, int | float | None]:
    """Each number by its name; None: there is no data for it."""
    document = {} if inventory is None else as_json(inventory)
    return {item.target_path: item_value(item, document) for item in wanted}


def item_value(item: AggregateItem, document: Mapping[str, Any]) -> int | float | None:
    """The number that the item makes of an inventory in JSON form."""
    from jmespath.exceptions import JMESPathError

    try:
        found = compiled(item.source_path).search(document)
    except (JMESPathError, Malformed, ArithmeticError, TypeError, ValueError, RecursionError):
        # A function of a filter was given what it does not take, such as a text that is not reported.
        return None
    if found is None:
        return None
    values = found if isinstance(found, list) else [found]
    if item.aggregate is Function.COUNT:
        return len(values)
    numbers = [one for one in values if isinstance(one, int | float)]
    if not numbers:
        return None
    match item.aggregate:
        case Function.AVG:
            return sum(numbers) / len(numbers)
        case Function.SUM:
            return sum(numbers)
        case Function.MIN:
            return min(numbers)
        case Function.MAX:
            return max(numbers)


def label_number(number: float | None) -> str | None:
    """The number as a label has it: whole where it is whole."""
    if number is None:
        return None
    return (
        str(int(number)) if isinstance(number, int) or number.is_integer() else f"{number:.3f}".rstrip("0").rstrip(".")
    )

"""Aggregate: numbers that are worked out of each machine's inventory, to be shown and selected by. Pure.

Paths are JMESPath over the inventory (`processors`, `memory`, `modules`, `disks`, `gpus`, `nics`, `neighbours`), as far
as they yield one value or one collection: that is checked against the inventory's type when the document is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from drivers.base import Inventory
from reconciler.kinds.fields import Spec, Text
from reconciler.kinds.inventory import as_json
from reconciler.kinds.kind import Place
from reconciler.model.resource import DesiredState, Resource


class Function(StrEnum):
    """What is made of the values that a path yields."""

    AVG = "avg"
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    COUNT = "count"


class AggregateItem(Spec, frozen=True, kw_only=True):
    """One number."""

    source_path: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=253,
            description="JMESPath over the inventory: fields, `[*]`, `[]`, an index, and filters.",
            examples=["disks[*].size", "disks[?size > `1000000000000`].size"],
        ),
    ]
    target_path: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$",
            max_length=63,
            description="What it is called: a column of `get machines -o wide`, and the label `aggregate/NAME`.",
            examples=["disks.capacity"],
        ),
    ]
    aggregate: Annotated[Function, Meta(description="What is made of the values; all but count need numbers.")]


class AggregateSpec(Spec, frozen=True, kw_only=True):
    """Numbers of each machine. Without data a number is not there: no label, and null in JSON."""

    description: Annotated[Text, Meta(description="What the numbers are for.")] | None = None
    items: Annotated[tuple[AggregateItem, ...], Meta(min_length=1, max_length=64, description="The numbers.")]


class Malformed(ValueError):
    """A path that cannot be used; the text says why and what is possible."""


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


def check(resource: Resource[AggregateSpec]) -> list[Place]:
    """Paths must make sense, and each name stand once."""
    found: list[Place] = []
    seen: set[str] = set()
    for index, item in enumerate(resource.spec.items):
        path = f"spec.items.{index}"
        try:
            kind = element(item.source_path)
            if item.aggregate is not Function.COUNT and kind not in (int, float):
                what = f"{item.source_path} yields no numbers, and {item.aggregate} needs them"
                found.append(Place("not-a-number", f"{path}.sourcePath", what, "name a number in it, or use count"))
        except Malformed as error:
            hint = "such as disks[*].size; several collections are joined by a flattening []"
            found.append(Place("malformed-path", f"{path}.sourcePath", f"the path cannot be used: {error}", hint))
        if item.target_path in seen:
            what = f"{item.target_path} is made twice"
            found.append(Place("second-target", f"{path}.targetPath", what, "keep one of them"))
        seen.add(item.target_path)
    return found


def items(desired: DesiredState) -> tuple[AggregateItem, ...]:
    """All that are in force, by name."""
    return desired.derived("aggregates", _items)


def _items(desired: DesiredState) -> tuple[AggregateItem, ...]:
    declared = [item for one in desired.of_kind("Aggregate") for item in one.spec.items]
    found = {item.target_path: item for item in (*DEFAULTS, *declared)}
    return tuple(found[name] for name in sorted(found))


def aggregates(inventory: Inventory | None, wanted: Iterable[AggregateItem]) -> dict[str, int | float | None]:
    """Each number by its name; None: there is no data for it."""
    document = {} if inventory is None else as_json(inventory)
    return {item.target_path: value(item, document) for item in wanted}


def value(item: AggregateItem, document: Mapping[str, Any]) -> int | float | None:
    """The number that the item makes of an inventory in JSON form."""
    from jmespath.exceptions import JMESPathError

    try:
        found = _compiled(item.source_path).search(document)
    except JMESPathError:  # A function of a filter was given what it does not take, such as a text that is not told.
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


def shown(number: float | None) -> str | None:
    """The number as a label has it: whole where it is whole."""
    if number is None:
        return None
    return str(int(number)) if isinstance(number, int) or number.is_integer() else f"{number:.3f}".rstrip("0")


# -- paths -------------------------------------------------------------------------------------------------------------


def element(path: str) -> Any:
    """The type of the one value, or of the members of the one collection, that the path yields. Raises Malformed."""
    return _one_of(_type(_compiled(path).parsed, Inventory))


@lru_cache(maxsize=1024)
def _compiled(path: str) -> Any:
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        return jmespath.compile(path)
    except JMESPathError as error:
        raise Malformed(" ".join(str(error).split())) from None


class _Many(msgspec.Struct, frozen=True):
    """A collection of values of a type."""

    of: Any


def _one_of(found: Any) -> Any:
    if isinstance(found, _Many):
        if isinstance(found.of, _Many):
            raise Malformed("it yields several collections")
        return found.of
    return found


def _type(node: Mapping[str, Any], here: Any) -> Any:
    """What a node of a parsed path yields where it is held against a value of the type `here`."""
    inner = node["children"]
    match node["type"]:
        case "field":
            return _field(node["value"], here)
        case "identity":
            return here
        case "subexpression" | "index_expression":
            for one in inner:
                here = _type(one, here)
            return here
        case "index":
            return _members(here)
        case "projection":
            return _Many(_type(inner[1], _members(_type(inner[0], here))))
        case "filter_projection":
            members = _members(_type(inner[0], here))
            _condition(inner[2], members)
            return _Many(_type(inner[1], members))
        case "flatten":
            found = _type(inner[0], here)
            return _Many(_one_of(_Many(_members(found)) if not isinstance(_members(found), _Many) else found.of))
        case "multi_select_list" | "multi_select_dict":
            raise Malformed("it yields several collections")
        case other:
            raise Malformed(f"{other.replace('_', ' ')}s are not for paths")


def _condition(node: Mapping[str, Any], here: Any) -> None:
    """What a filter asks for must be there, whatever it does with it."""
    if node["type"] == "field":
        _field(node["value"], here)
    elif node["type"] == "subexpression":
        _type(node, here)
    else:
        for one in node["children"]:
            _condition(one, here)


def _members(found: Any) -> Any:
    if not isinstance(found, _Many):
        raise Malformed("[...] stands behind what is no list")
    return found.of


def _field(name: str, here: Any) -> Any:
    fields = _fields(here)
    if name not in fields:
        near = get_close_matches(name, fields, 1)
        known = ", ".join(fields)
        hint = f"did you mean {near[0]}?" if near else f"there are {known}" if fields else "it stands behind a value"
        if isinstance(here, _Many):
            hint = f"it stands behind a list: write [*].{name}"
        raise Malformed(f"there is no {name}; {hint}")
    return fields[name]


def _fields(here: Any) -> dict[str, Any]:
    if isinstance(here, _Many) or not (isinstance(here, type) and issubclass(here, msgspec.Struct)):
        return {}
    return dict(_typed(here))


@lru_cache
def _typed(struct: type[msgspec.Struct]) -> tuple[tuple[str, Any], ...]:
    return tuple(_read(struct))


def _read(struct: type[msgspec.Struct]) -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(struct):
        if field.name != "missing":
            yield field.name, _plain(msgspec.inspect.type_info(field.type))


def _plain(node: msgspec.inspect.Type) -> Any:
    match node:
        case msgspec.inspect.UnionType(types=types):
            return next(_plain(one) for one in types if not isinstance(one, msgspec.inspect.NoneType))
        case msgspec.inspect.VarTupleType(item_type=inner):
            return _Many(_plain(inner))
        case msgspec.inspect.StructType(cls=cls):
            return cls
        case msgspec.inspect.IntType():
            return int
        case _:
            return str

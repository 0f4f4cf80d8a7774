"""Paths over the inventory: JMESPath, as far as a path yields one value or one collection. Pure.

That is checked against the inventory's type before there is any inventory, so that a typing error is reported when
it is made. The library parses and searches; what is allowed is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import msgspec

from drivers.base import Inventory, clean

FUNCTIONS = frozenset({"contains", "starts_with", "ends_with", "length"})
"""Of JMESPath's functions those that ask something of one value."""

_STEPS = frozenset(
    {"field", "identity", "subexpression", "index_expression", "index"} | {"projection", "filter_projection", "flatten"}
)
_CONDITION = frozenset(
    {"field", "current", "subexpression", "literal", "comparator", "function_expression"}
    | {"and_expression", "or_expression", "not_expression"}
)
_LONGEST = 300


class Malformed(ValueError):
    """A path that cannot be used; the text says why and what is possible."""


def element(path: str) -> Any:
    """The type of the one value, or of the members of the one collection, that the path yields. Raises Malformed."""
    return _one_of(_type(compiled(path).parsed, Inventory))


@lru_cache(maxsize=1024)
def compiled(path: str) -> Any:
    """The path, ready to be searched with. Nothing else is, as a path that may do all that JMESPath can doubles what it
    holds with each step. Raises Malformed."""
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        found = jmespath.compile(path)
    except (JMESPathError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Malformed(clean(str(error) or type(error).__name__)[:_LONGEST]) from None
    _allow(found.parsed, _STEPS)
    return found


def _allow(node: Mapping[str, Any], allowed: frozenset[str]) -> None:
    """Only what yields no more than it is given. Raises Malformed for another node or function."""
    kind, inner = node["type"], node["children"]
    if kind in ("multi_select_list", "multi_select_dict") and allowed is _STEPS:
        raise Malformed("the path gives several lists, but only one is allowed")
    if kind not in allowed:
        where = "" if allowed is _STEPS else " inside of filters"
        raise Malformed(f"{kind.replace('_', ' ')}s are not allowed in paths{where}")
    if kind == "function_expression" and node["value"] not in FUNCTIONS:
        raise Malformed(f"a filter cannot use {clean(node['value'])}; it can use {', '.join(sorted(FUNCTIONS))}")
    if kind == "literal" and isinstance(node["value"], list | dict):
        raise Malformed("a filter compares with texts, numbers, true, false and null, not with lists or objects")
    for at, one in enumerate(inner):
        _allow(one, _CONDITION if kind == "filter_projection" and at == 2 else allowed)


class _Many(msgspec.Struct, frozen=True):
    """A collection of values of a type."""

    of: Any


def _one_of(found: Any) -> Any:
    if isinstance(found, _Many):
        if isinstance(found.of, _Many):
            raise Malformed("the path gives several lists, but only one is allowed")
        return found.of
    return found


def _type(node: Mapping[str, Any], here: Any) -> Any:
    """What a node of a parsed path yields where it is held against a value of the type `here`."""
    inner = node["children"]
    match node["type"]:
        case "field":
            return _field(node["value"], here)
        case "identity" | "current":
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
        case other:
            raise Malformed(f"{other.replace('_', ' ')}s are not allowed in paths")


def _condition(node: Mapping[str, Any], here: Any) -> None:
    """What a filter asks for must be there, whatever it does with it."""
    if node["type"] == "field":
        _field(node["value"], here)
    elif node["type"] == "subexpression" and node["children"][0]["type"] != "function_expression":
        _type(node, here)
    else:
        for one in node["children"]:
            _condition(one, here)


def _members(found: Any) -> Any:
    if not isinstance(found, _Many):
        raise Malformed("[...] can only follow a list")
    return found.of


def _field(name: str, here: Any) -> Any:
    fields = _fields(here)
    if name not in fields:
        near = get_close_matches(name, fields, 1)
        known, name = ", ".join(fields), clean(str(name))
        hint = (
            f"did you mean {near[0]}?"
            if near
            else (f"the fields there are {known}")
            if fields
            else "a plain value has no fields"
        )
        if isinstance(here, _Many):
            hint = f"a list has no fields: write [*].{name}"
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
        if field.name not in ("missing", "unread"):
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

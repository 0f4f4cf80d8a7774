"""Which fields of a spec name other resources: read off the schema (`reference_field`, `mention_field`). Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import msgspec
import msgspec.inspect

from reconciler.kinds.common.field_types.fields import MENTION, REFERENCE


@cache
def reference_fields(spec_type: type[msgspec.Struct]) -> tuple[tuple[Callable[[Any], Any], str, str], ...]:
    """A spec's fields that name resources, one or a list of them. Gives how to read it from a spec, its name in
    documents, the kind it names. A field of the items of a list is called `list.field`."""
    spec = msgspec.inspect.type_info(spec_type)
    if not isinstance(spec, msgspec.inspect.StructType):
        raise TypeError(f"internal error: the spec type {spec_type.__name__} is not a struct")
    found = ((field, _target(field.type)) for field in spec.fields)
    own = [(operator.attrgetter(field.name), field.encode_name, target) for field, target in found if target]
    return (*own, *(one for field in spec.fields for one in _in_items(field)))


def _in_items(field: msgspec.inspect.Field) -> Iterator[tuple[Callable[[Any], Any], str, str]]:
    items = field.type.type if isinstance(field.type, msgspec.inspect.Metadata) else field.type
    if not isinstance(items, msgspec.inspect.VarTupleType) or not isinstance(
        items.item_type, msgspec.inspect.StructType
    ):
        return
    for inner in items.item_type.fields:
        if target := _target(inner.type):
            yield _each(field.name, inner.name), f"{field.encode_name}.{inner.encode_name}", target


def _each(outer: str, inner: str) -> Callable[[Any], tuple[Any, ...]]:
    return lambda spec: tuple(getattr(item, inner) for item in getattr(spec, outer))


def _target(node: msgspec.inspect.Type, marks: Sequence[str] = (REFERENCE,)) -> str | None:
    if isinstance(node, msgspec.inspect.UnionType):
        return next((found for one in node.types if (found := _target(one, marks))), None)
    if isinstance(node, msgspec.inspect.VarTupleType):
        return _target(node.item_type, marks)
    if not isinstance(node, msgspec.inspect.Metadata):
        return None
    found = next((str(node.extra[mark]) for mark in marks if mark in node.extra), None) if node.extra else None
    return found or _target(node.type, marks)


NameReader = Callable[[Any], Iterator[str]]
"""Reads the names in one field of a spec, or of a part of it."""


@cache
def named_resources(spec_type: type[msgspec.Struct]) -> tuple[tuple[NameReader, str], ...]:
    """Every field, also of nested parts, that names resources, whether they have to be declared or not. Gives how to
    read the names from a spec, and the kind that they are of."""
    spec = msgspec.inspect.type_info(spec_type)
    return tuple(_readers(spec)) if isinstance(spec, msgspec.inspect.StructType) else ()


def _readers(spec: msgspec.inspect.StructType) -> Iterator[tuple[NameReader, str]]:
    for field in spec.fields:
        if target := _target(field.type, (REFERENCE, MENTION)):
            yield _names_in(field.name), target
            continue
        for part in _parts(field.type):
            yield from ((_inside(field.name, read), inner) for read, inner in _readers(part))


def _parts(node: msgspec.inspect.Type) -> Iterator[msgspec.inspect.StructType]:
    match node:
        case msgspec.inspect.StructType():
            yield node
        case msgspec.inspect.Metadata():
            yield from _parts(node.type)
        case msgspec.inspect.VarTupleType():
            yield from _parts(node.item_type)
        case msgspec.inspect.UnionType():
            for one in node.types:
                yield from _parts(one)
        case _:
            pass


def _each_of(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _names_in(name: str) -> NameReader:
    return lambda spec: iter(_each_of(getattr(spec, name, None)))


def _inside(name: str, read: NameReader) -> NameReader:
    return lambda spec: (found for part in _each_of(getattr(spec, name, None)) for found in read(part))

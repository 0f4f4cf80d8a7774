"""How much a daemon holds in memory, counted: entries of its containers, threads, connections. The same for each seed,
as bytes are not."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import msgspec

_OURS = ("reconciler.", "drivers.")
_NOT_HELD = ("reconciler.operations.simulation.", "drivers.bmc.fake.", "reconciler.model.", "reconciler.desired.")
"""The simulation itself, values, and the documents."""
_CONTAINERS = (dict, list, set, frozenset, tuple, deque)


def holdings(root: object) -> dict[str, int]:
    """How many entries are in the containers that can be reached from here, by `Class.attribute`."""
    found: Counter[str] = Counter()
    seen: set[int] = set()
    todo: list[tuple[str, Any]] = [("", root)]
    while todo:
        name, one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, _CONTAINERS):
            found[name] += len(one)
            todo += ((name, inner) for inner in (_values(one) if isinstance(one, Mapping) else one))
        else:
            todo += _attributes(one)
    return dict(found)


def _values(mapping: Mapping[Any, Any]) -> Iterator[Any]:
    yield from mapping.keys()
    yield from mapping.values()


def _attributes(one: object) -> Iterator[tuple[str, Any]]:
    """What an object of the program refers to."""
    match one:
        case MethodType():
            yield "", one.__self__
        case partial():
            yield from (("", inner) for inner in (one.func, *one.args, *one.keywords.values()))
        case FunctionType():
            for cell in one.__closure__ or ():
                if (inner := getattr(cell, "cell_contents", None)) is not None:
                    yield "", inner
        case msgspec.Struct() | type():
            return
        case _ if type(one).__module__.startswith(_OURS) and not type(one).__module__.startswith(_NOT_HELD):
            slots = [name for each in type(one).__mro__ for name in getattr(each, "__slots__", ())]
            for name in (*getattr(one, "__dict__", ()), *slots):
                yield f"{type(one).__name__}.{name}", getattr(one, name, None)
        case _:
            return

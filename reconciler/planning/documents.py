"""Two versions of a document, compared field by field. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec


class FieldChange(msgspec.Struct, frozen=True):
    """A field, `path` as in the document; None: it is not there."""

    path: str
    before: Any
    after: Any


def compare(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[FieldChange]:
    """What differs, in the order of the newer one; lists are compared whole."""
    one, other = dict(_flat(before or {})), dict(_flat(after or {}))
    paths = [*other, *(path for path in one if path not in other)]
    found = (FieldChange(path, one.get(path), other.get(path)) for path in paths)
    return [change for change in found if change.before != change.after]


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        path = f"{prefix}{name}"
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, f"{path}.")
        else:
            yield path, inner

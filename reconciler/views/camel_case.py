"""Values as documents have them: the fields of structs in camelCase, and keys that are data as they are. Pure."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec


def camel(name: str) -> str:
    """`allowed_resets` as `allowedResets`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def camel_form(value: Any) -> Any:
    """The value as dicts, lists, texts and numbers."""
    return _renamed(value, msgspec.to_builtins(value, str_keys=True))


def _renamed(value: Any, built: Any) -> Any:
    if isinstance(value, msgspec.Struct) and isinstance(built, dict):
        fields = _fields(type(value))
        return {
            camel(name): _renamed(getattr(value, fields[name]), one) if name in fields else one
            for name, one in built.items()
        }
    if isinstance(value, dict) and isinstance(built, dict):
        return {name: _renamed(one, two) for one, (name, two) in zip(value.values(), built.items(), strict=True)}
    if isinstance(value, list | tuple) and isinstance(built, list | tuple):
        return [_renamed(one, two) for one, two in zip(value, built, strict=True)]
    return built


@cache
def _fields(of: type[msgspec.Struct]) -> dict[str, str]:
    """The name of each field by the one that it has in JSON."""
    return {one.encode_name: one.name for one in msgspec.structs.fields(of)}

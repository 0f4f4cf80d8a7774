"""`explain`: a kind or a field in the form of `kubectl explain`, from the schema that validates it. Pure."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import msgspec

from reconciler.desired.manifest.schemas import schema_for
from reconciler.kinds import KINDS, find_kind
from reconciler.kinds.common.kind import Kind
from reconciler.model.resource import API_VERSION
from reconciler.views.camel_case import camel
from reconciler.views.resource_document import ResourceStatus

Node = dict[str, Any]

_WIDTH = 96
_STATUS = "What groundstate observed, as `get -o yaml` shows it. A document in git has no status."
_OBSERVED = "What the BMC or the IPAM reported at the latest observation."
_FACETS = {"default": "Default", "examples": "Examples", "pattern": "Pattern", "minimum": "Min", "maximum": "Max"}


def explain_field(path: str) -> str:
    """`machine`, `machine.spec.boot.enabled` (or `machine.boot.enabled`) in words.

    Raises LookupError, naming the nearest, for what does not exist.
    """
    word, *fields = path.split(".")
    kind = find_kind(word)
    if kind is None:
        raise LookupError(f"{word!r} is not a kind; kinds are {', '.join(KINDS)}")
    schema = _schema(kind)
    top = list(schema["properties"])
    if fields and fields[0] not in top:
        if near := get_close_matches(fields[0], top, 1, 0.8):  # As `statu`: it stands for no field of the spec.
            raise LookupError(f"{kind.name}.{fields[0]} does not exist; did you mean {near[0]}?")
        fields.insert(0, "spec")
    node, required = schema, False
    for index, name in enumerate(fields):
        children = _children(node, schema)
        if name not in children:
            place = ".".join([kind.name, *fields[: index + 1]])
            raise LookupError(f"{place} does not exist; {_nearest(name, list(children))}")
        required = name in _body(node, schema).get("required", ())
        node = children[name]
    return "\n".join(_page(kind, fields, node, schema, required))


def fields_below(path: str) -> list[str]:
    """The fields that follow the last dot of `machine.spec.bo`, in order; none for what does not exist."""
    word, *fields = path.split(".")[:-1] or [path]
    kind = find_kind(word)
    if kind is None:
        return []
    schema = node = _schema(kind)
    if fields and fields[0] not in schema["properties"]:
        fields.insert(0, "spec")
    for name in fields:
        node = _children(node, schema).get(name, {})
    return list(_children(node, schema))


def _nearest(name: str, fields: list[str]) -> str:
    if near := get_close_matches(name, fields, 1, 0.5):
        return f"did you mean {near[0]}?"
    return f"the fields there are {', '.join(fields)}" if fields else "the value there has no fields"


def _schema(kind: Kind) -> Node:
    """The kind's schema, with the `status` that no document has and that `get -o yaml` shows."""
    schema = schema_for(kind)
    types = [ResourceStatus, *([kind.observed_type] if kind.observed_type else [])]
    (status, *observed), parts = msgspec.json.schema_components(types, ref_template="#/definitions/{name}")
    fields = parts["ResourceStatus"]["properties"]
    fields |= {"observed": observed[0] | {"description": _OBSERVED}} if observed else {}
    schema["properties"] |= {"status": status | {"description": _STATUS}}
    for part in parts.values():
        part.pop("description", None)  # It is the docstring of a type, for the readers of the code.
        if "properties" in part:
            part["properties"] = {camel(name): one for name, one in part["properties"].items()}
            part["required"] = [camel(name) for name in part.get("required", ())]
    schema["definitions"] = parts | schema["definitions"]
    return schema


def _page(kind: Kind, fields: list[str], node: Node, schema: Node, required: bool) -> Iterator[str]:
    yield f"KIND:     {kind.name}"
    yield f"VERSION:  {API_VERSION}"
    if fields:
        yield from ("", f"FIELD: {'.'.join(fields)} {_typed(node, schema, required)}")
    about = node.get("description") or _body(node, schema).get("description")
    yield from ("", "DESCRIPTION:", _filled(about if fields and about else kind.summary))
    yield from (f"    {title}: {_shown(node[word])}" for word, title in _FACETS.items() if node.get(word))
    if choices := _choices(node, schema):
        yield from ("", "ENUM:", *(f"    {choice}" for choice in choices))
    if children := _children(node, schema):
        needed = _body(node, schema).get("required", ())
        yield from ("", "FIELDS:")
        for name, child in children.items():
            yield from _entry(name, child, schema, name in needed)


def _entry(name: str, node: Node, schema: Node, required: bool) -> Iterator[str]:
    yield f"  {name}\t{_typed(node, schema, required)}"
    if choices := _choices(node, schema):
        yield f"  enum: {', '.join(choices)}"
    if text := node.get("description") or _body(node, schema).get("description", ""):
        yield _filled(text)
    yield ""


def _filled(text: str) -> str:
    return "\n".join(
        textwrap.fill(" ".join(part.split()), _WIDTH, initial_indent="    ", subsequent_indent="    ")
        for part in text.split("\n\n")
    )


def _shown(value: Any) -> str:
    every = value if isinstance(value, list) else [value]
    return ", ".join(one if isinstance(one, str) else json.dumps(one) for one in every)


def _typed(node: Node, schema: Node, required: bool) -> str:
    return f"<{_type(node, schema)}>" + (" -required-" if required else "")


def _resolve(node: Node, schema: Node) -> Node:
    """Follow `$ref` and the one alternative that is not null."""
    while True:
        if "$ref" in node:
            node = schema["definitions"][node["$ref"].rsplit("/", 1)[-1]]
        elif len(node.get("allOf", ())) == 1:
            node = node["allOf"][0]
        elif len(options := _options(node)) == 1:
            node = options[0]
        else:
            return node


def _options(node: Node) -> list[Node]:
    return [option for option in node.get("anyOf", ()) if option.get("type") != "null"]


def _body(node: Node, schema: Node) -> Node:
    """The object that holds the fields: the node itself, or what its list or map holds."""
    found = _resolve(node, schema)
    inner = found.get("items") or found.get("additionalProperties")
    return _resolve(inner, schema) if isinstance(inner, dict) else found


def _children(node: Node, schema: Node) -> dict[str, Node]:
    children: dict[str, Node] = _body(node, schema).get("properties", {})
    return children


def _choices(node: Node, schema: Node) -> list[str]:
    found = _body(node, schema)
    return [str(one) for one in found.get("enum", [found["const"]] if "const" in found else [])]


def _type(node: Node, schema: Node) -> str:
    """`string`, `[]string`, `map[string]string`, or the name of an object's type."""
    found = _resolve(node, schema)
    if options := _options(found):
        return " or ".join(_type(option, schema) for option in options)
    if isinstance(found.get("items"), dict):
        return f"[]{_type(found['items'], schema)}"
    if "enum" in found or "const" in found:
        return "string"
    if found.get("type") == "object":
        values = found.get("additionalProperties")
        return f"map[string]{_type(values, schema)}" if isinstance(values, dict) else found.get("title", "Object")
    return str(found.get("type") or "Object")

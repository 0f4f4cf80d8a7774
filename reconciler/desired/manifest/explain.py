"""`explain`: a kind or a field in words, from the schema that validates it. Pure."""

from __future__ import annotations

import textwrap
from difflib import get_close_matches
from typing import Any

from reconciler.desired.manifest.schemas import schema_for
from reconciler.kinds import KINDS, find_kind


def explain_field(path: str) -> str:
    """`machine`, `machine.spec.boot.enabled` (or `machine.boot.enabled`) in words.

    Raises LookupError, naming the nearest, for what does not exist.
    """
    word, *fields = path.split(".")
    kind = find_kind(word)
    if kind is None:
        raise LookupError(f"{word!r} is not a kind; kinds are {', '.join(KINDS)}")
    schema = schema_for(kind)
    node = _resolve(schema, schema)
    if fields and fields[0] not in ("spec", "metadata", "apiVersion", "kind"):
        fields.insert(0, "spec")
    required = False
    for index, name in enumerate(fields):
        children = _children(node, schema)
        if name not in children:
            near = get_close_matches(name, children, 1, 0.5)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(children) or 'no fields'}"
            raise LookupError(f"{kind.name}.{'.'.join(fields[: index + 1])} does not exist{hint}")
        required = name in _body(node, schema).get("required", ())
        node = children[name]
    return _page(kind.name, kind.summary, fields, node, schema, required)


def _page(
    kind: str, summary: str, fields: list[str], node: dict[str, Any], schema: dict[str, Any], required: bool
) -> str:
    title = ".".join([kind, *fields])
    lines = [f"{title}  <{_type(node, schema)}>" + ("  required" if required else "")]
    about = node.get("description") or _body(node, schema).get("description") or summary
    lines += ["", textwrap.fill(about if fields else summary, 100, initial_indent="  ", subsequent_indent="  ")]
    for word in ("default", "examples", "pattern", "minimum", "maximum"):
        if word in node:
            shown = ", ".join(map(str, node[word])) if word == "examples" else node[word]
            lines.append(f"  {word}: {shown}")
    choices = _resolve(node, schema).get("enum")
    if choices:
        lines.append(f"  one of: {', '.join(map(str, choices))}")
    children = _children(node, schema)
    if children:
        lines += ["", "Fields:"]
        needed = _body(node, schema).get("required", ())
        for name, child in children.items():
            mark = "  required" if name in needed else ""
            lines.append(f"  {name}  <{_type(child, schema)}>{mark}")
            text = child.get("description") or _body(child, schema).get("description", "")
            lines.append(textwrap.fill(text, 100, initial_indent="      ", subsequent_indent="      "))
    return "\n".join(lines)


def _resolve(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Follow `$ref` and the one alternative that is not null."""
    while True:
        if "$ref" in node:
            node = schema["definitions"][node["$ref"].rsplit("/", 1)[-1]]
        elif len(node.get("allOf", ())) == 1:
            node = node["allOf"][0]
        elif "anyOf" in node:
            options = [option for option in node["anyOf"] if option.get("type") != "null"]
            if len(options) != 1:
                return node
            node = options[0]
        else:
            return node


def _body(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The object that holds the fields: the node itself, or what its list holds."""
    found = _resolve(node, schema)
    return _resolve(found["items"], schema) if isinstance(found.get("items"), dict) else found


def _children(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    children: dict[str, dict[str, Any]] = _body(node, schema).get("properties", {})
    return children


def _type(node: dict[str, Any], schema: dict[str, Any]) -> str:
    found = _resolve(node, schema)
    if "anyOf" in found:
        return " or ".join(_type(option, schema) for option in found["anyOf"] if option.get("type") != "null")
    if isinstance(found.get("items"), dict):
        return f"list of {_type(found['items'], schema)}"
    if "const" in found:
        return repr(found["const"])
    return str(found.get("type") or ("enum" if "enum" in found else "any"))

"""The public contract: one draft-07 JSON Schema a kind, made from the kind's own types.

`python -m reconciler.desired.manifest.schemas` writes the files under `schemas/v1/`.
A test holds that they are what this makes.
The types say everything once; two things differ by intent. A schema refuses `null`, since an empty value in a
document is a typing error, where the types use None for "not declared". And a schema names formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect

from reconciler.kinds import KINDS
from reconciler.kinds.common.field_types.fields import Metadata
from reconciler.kinds.common.kind import Kind
from reconciler.model.resource import API_VERSION

DRAFT = "http://json-schema.org/draft-07/schema#"
BASE = "https://groundstate.dev/schemas/v1/"
ANY_KIND = "groundstate"


def schema_for(kind: Kind) -> dict[str, Any]:
    """The whole schema of a kind's documents."""
    document, definitions = _document(kind)
    head = {"$schema": DRAFT, "$id": f"{BASE}{kind.name.lower()}.json", "title": kind.name}
    return {**head, **document, "definitions": definitions}


def schema_for_all() -> dict[str, Any]:
    """One schema for every kind, chosen by `kind`: what a repository with mixed files points its editor at."""
    definitions: dict[str, Any] = {}
    choices = []
    for name, kind in KINDS.items():
        document, parts = _document(kind)
        definitions |= parts | {f"{name}Document": document}
        given = {"properties": {"kind": {"const": name}}, "required": ["kind"]}
        choices.append({"if": given, "then": {"$ref": f"#/definitions/{name}Document"}})
    return {
        "$schema": DRAFT,
        "$id": f"{BASE}{ANY_KIND}.json",
        "title": "groundstate document",
        "description": "A document of any kind.",
        "type": "object",
        "properties": {
            "apiVersion": {"const": API_VERSION, "description": "The version of the document format."},
            "kind": {"enum": list(KINDS), "description": "The kind of the resource."},
        },
        "required": ["apiVersion", "kind"],
        "allOf": choices,
        "definitions": dict(sorted(definitions.items())),
    }


def _document(kind: Kind) -> tuple[dict[str, Any], dict[str, Any]]:
    types = [Metadata, kind.spec_type]
    (metadata, spec), components = msgspec.json.schema_components(types, ref_template="#/definitions/{name}")
    document = {
        "description": kind.summary,
        "type": "object",
        "properties": {
            "apiVersion": {"const": API_VERSION, "description": "The version of the document format."},
            "kind": {"const": kind.name, "description": "The kind of the resource."},
            "metadata": plain_schema({"description": "Name, labels and annotations of the document.", **metadata}),
            "spec": plain_schema({"description": "The desired state of the resource.", **spec}),
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
    }
    for struct, field, words in _described(msgspec.inspect.type_info(kind.spec_type)):
        # msgspec drops the words of an optional field that is a struct.
        components[struct]["properties"][field].setdefault("description", words)
    return document, {name: plain_schema(part) for name, part in sorted(components.items())}


def _described(node: msgspec.inspect.Type) -> Iterator[tuple[str, str, str]]:
    """Struct, field and description of every described field under a type."""
    match node:
        case msgspec.inspect.Metadata(type=inner):
            yield from _described(inner)
        case msgspec.inspect.UnionType(types=types):
            for inner in types:
                yield from _described(inner)
        case msgspec.inspect.VarTupleType(item_type=inner):
            yield from _described(inner)
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            for field in fields:
                if words := _words(field.type):
                    yield cls.__name__, field.encode_name, words
                yield from _described(field.type)
        case _:
            pass


def _words(node: msgspec.inspect.Type) -> str:
    if isinstance(node, msgspec.inspect.UnionType):
        return next(filter(None, map(_words, node.types)), "")
    extra = node.extra_json_schema if isinstance(node, msgspec.inspect.Metadata) else None
    return str((extra or {}).get("description", ""))


def plain_schema(node: Any) -> Any:
    """msgspec's schema in the form that draft-07 and editors understand: no null, no words beside a `$ref`."""
    if isinstance(node, list):
        return [plain_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: plain_schema(value) for key, value in node.items() if key != "required" or value}
    if {"type": "null"} in made.get("anyOf", ()):
        made = _without_null(made)
    if "$ref" in made and len(made) > 1:
        # Draft-07 ignores whatever stands beside a $ref.
        made["allOf"] = [{"$ref": made.pop("$ref")}]
    return made


def _without_null(node: dict[str, Any]) -> dict[str, Any]:
    rest = [choice for choice in node["anyOf"] if choice != {"type": "null"}]
    kept = {key: value for key, value in node.items() if key != "anyOf" and (key, value) != ("default", None)}
    return {**kept, **rest[0]} if len(rest) == 1 else {**kept, "anyOf": rest}


def files() -> dict[str, str]:
    """File name -> text of every schema file."""
    schemas = {f"{name.lower()}.json": schema_for(kind) for name, kind in KINDS.items()}
    schemas[f"{ANY_KIND}.json"] = schema_for_all()
    return {
        name: msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"
        for name, schema in schemas.items()
    }


def write_schemas(folder: Path) -> None:
    """Make the folder's schema files be exactly these."""
    made = files()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(__file__).parents[3] / "schemas" / "v1")

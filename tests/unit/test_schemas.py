"""The public contract: the schema files are the types, and say the same of every document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from reconciler.desired.manifest import schemas
from reconciler.desired.manifest.validation import accepts, problems
from reconciler.kinds import KINDS
from reconciler.kinds.common.field_types.fields import Metadata
from reconciler.model.resource import API_VERSION

FOLDER = Path(__file__).parents[2] / "schemas" / "v1"
BMC = {"address": "10.1.0.12"}
DIGEST = "sha256:" + "0" * 64
ROOT = {"url": "https://images.example/x", "checksum": DIGEST}

VALID: list[tuple[str, dict[str, Any]]] = [
    ("Machine", {"partition": "p", "bmc": BMC}),
    ("Machine", {"partition": "p", "bmc": {**BMC, "systemId": "1", "credentialRef": {"env": "X"}}, "power": "On"}),
    ("Machine", {"partition": "p", "bmc": BMC, "boot": {"enabled": "Once", "target": "Pxe", "mode": "UEFI"}}),
    ("Machine", {"partition": "p", "bmc": BMC, "macs": ["52-54-00-12-34-56", "5254.0012.3457"], "indicatorLED": "Lit"}),
    ("Machine", {"partition": "p", "bmc": BMC, "shutdown": {"timeoutSeconds": 10}, "suspend": {"reason": "x"}}),
    ("Network", {"prefixes": [{"cidr": "10.0.0.0/24", "gateway": "10.0.0.1", "reserved": ["10.0.0.2-10.0.0.9"]}]}),
    ("Network", {"type": "Super", "prefixes": [{"cidr": "10.0.0.0/8"}], "childPrefixLength": {"IPv4": 22}}),
    ("Network", {"parent": "s", "project": "p", "prefixLength": {"IPv6": 64}, "vrf": {"pool": "v", "number": 7}}),
    ("Pool", {"ranges": ["1-131072", "200000"]}),
    ("Number", {"pool": "asns", "number": 4210000001}),
    ("IPAddress", {"network": "n", "address": "10.0.0.7"}),
    ("IPAddress", {"network": "n", "type": "Static", "machine": "m", "tags": ["a"], "dnsName": "www.example"}),
    ("Image", {"os": "debian", "version": "12.0.20260101", "root": ROOT, "expires": "2027-01-31"}),
    ("Size", {"constraints": [{"type": "memory", "min": 1, "max": "64Gi"}]}),
    ("Partition", {}),
    ("Partition", {"dnsServers": ["10.0.0.1"], "bmcNetworks": ["10.0.0.0/8"], "bmc": {"driver": "fake"}}),
    ("Tenant", {"quotas": {"machines": 0}}),
    ("Project", {"tenant": "t"}),
]
INVALID: list[tuple[str, Any]] = [
    ("Machine", {"partition": "p"}),
    ("Machine", {"bmc": BMC}),
    ("Machine", {"partition": "p", "bmc": {}}),
    ("Machine", {"partition": "P", "bmc": BMC}),
    ("Machine", {"partition": 1, "bmc": BMC}),
    ("Machine", {"partition": "p", "bmc": BMC, "power": True}),
    ("Machine", {"partition": "p", "bmc": BMC, "power": "on"}),
    ("Machine", {"partition": "p", "bmc": BMC, "indicator_led": "Lit"}),
    ("Machine", {"partition": "p", "bmc": BMC, "macs": "52:54:00:12:34:56"}),
    ("Machine", {"partition": "p", "bmc": BMC, "shutdown": {"timeoutSeconds": 9}}),
    ("Machine", {"partition": "p", "bmc": BMC, "shutdown": {"timeoutSeconds": True}}),
    ("Machine", {"partition": "p", "bmc": BMC, "boot": {"target": "Pxe"}}),
    ("Machine", {"partition": "p", "bmc": {"address": "a b"}}),
    ("Machine", {"partition": "p", "bmc": {**BMC, "password": "x"}}),
    ("Network", {"prefixes": "10.0.0.0/24"}),
    ("Network", {"type": "Super", "childPrefixLength": {"IPv4": 33}}),
    ("Network", {"vrf": {"pool": "P"}}),
    ("Pool", {"ranges": []}),
    ("Pool", {"ranges": [7]}),
    ("Number", {"number": 7}),
    ("Network", {"prefixes": [{}]}),
    ("IPAddress", {"network": "n", "type": "static"}),
    ("Image", {"os": "debian", "version": 1.1, "root": ROOT}),
    ("Image", {"os": "debian", "version": "12", "root": ROOT}),
    ("Size", {"constraints": [{"type": "memory", "min": "64GB", "max": 1}]}),
    ("Size", {"constraints": [{"type": "memory", "min": -1, "max": 1}]}),
    ("Tenant", {"quotas": {"machines": "1"}}),
    ("Tenant", []),
    ("Tenant", "x"),
]
NARROWER: list[tuple[str, Any]] = [
    ("Machine", {"partition": "p", "bmc": BMC, "power": None}),
    ("Tenant", {"quotas": {"machines": None}}),
    ("Network", {"prefixes": [{"cidr": "10.0.0.1/24"}]}),
    ("Network", {"prefixes": [{"cidr": "10.0.0.0/24", "gateway": "10.0.0.01"}]}),
    ("IPAddress", {"network": "n", "address": "::ffff:10.0.0.1"}),
    ("Image", {"os": "debian", "version": "12.0.1", "root": ROOT, "expires": "2027-02-30"}),
    ("Machine", {"partition": "p\n", "bmc": BMC}),
]
"""Refused by the schema, though the type would have it: no value, a format, a line break after a name."""


def document(kind: str, spec: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "x"}, "spec": spec}


def type_accepts(kind: str, spec: Any) -> bool:
    try:
        msgspec.convert(spec, KINDS[kind].spec_type)
    except msgspec.ValidationError:
        return False
    return True


def test_the_files_are_what_the_types_make() -> None:
    assert {path.name: path.read_text("utf-8") for path in FOLDER.glob("*")} == schemas.files()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_file_is_a_draft_7_schema(path: Path) -> None:
    schema = json.loads(path.read_text("utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["$schema"] == schemas.DRAFT
    assert "$defs" not in path.read_text("utf-8")


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from nodes(value, f"{path}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from nodes(value, f"{path}/{index}")


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described_and_no_object_is_open(kind: str) -> None:
    for path, node in nodes(schemas.schema_for(KINDS[kind])):
        if node.get("type") == "object":
            assert "additionalProperties" in node, path
            for name, field in node.get("properties", {}).items():
                assert field.get("description"), f"{path}/{name}"
        assert "$ref" not in node or list(node) == ["$ref"], path


@pytest.mark.parametrize(("kind", "spec"), VALID)
def test_schema_and_type_accept_the_same(kind: str, spec: Any) -> None:
    assert type_accepts(kind, spec)
    assert accepts(kind)(document(kind, spec))
    assert problems(kind, document(kind, spec)) == []


@pytest.mark.parametrize(("kind", "spec"), INVALID)
def test_schema_and_type_refuse_the_same(kind: str, spec: Any) -> None:
    assert not type_accepts(kind, spec)
    assert not accepts(kind)(document(kind, spec))
    assert problems(kind, document(kind, spec))


@pytest.mark.parametrize(("kind", "spec"), NARROWER)
def test_the_schema_is_the_narrower(kind: str, spec: Any) -> None:
    assert type_accepts(kind, spec)
    assert not accepts(kind)(document(kind, spec))
    assert problems(kind, document(kind, spec))


@pytest.mark.parametrize(
    "metadata",
    [{}, {"name": "x", "labels": {"a": 1}}, {"name": "-x"}, {"name": "x", "labels": None}, {"name": "x", "uid": "1"}],
)
def test_metadata_is_held_to_the_same(metadata: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(metadata, Metadata)
    assert not accepts("Tenant")(document("Tenant", {}) | {"metadata": metadata})


@pytest.mark.parametrize(("kind", "spec"), VALID + INVALID)
def test_the_schema_of_all_kinds_says_what_the_kinds_own_says(kind: str, spec: Any) -> None:
    whole = jsonschema.Draft7Validator(schemas.schema_for_all())
    own = jsonschema.Draft7Validator(schemas.schema_for(KINDS[kind]))
    assert whole.is_valid(document(kind, spec)) == own.is_valid(document(kind, spec))


def test_the_schema_of_all_kinds_refuses_other_kinds() -> None:
    assert not jsonschema.Draft7Validator(schemas.schema_for_all()).is_valid(document("Machines", {}))


def test_writing_removes_what_is_no_schema_any_more(tmp_path: Path) -> None:
    (tmp_path / "gone.json").write_text("{}")
    schemas.write_schemas(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(schemas.files())

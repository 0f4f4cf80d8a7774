"""What a resource depends on is read off the schema: a field that names another resource says so once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from reconciler.kinds import KINDS
from reconciler.model.resource import Resource, ResourceKey, Source


def depends_on(kind: str, spec: dict[str, Any]) -> list[str]:
    value = msgspec.convert(spec, KINDS[kind].spec_type)
    resource = Resource(ResourceKey(kind, "one"), value, {}, {}, Source("a.yaml"))
    return [str(key) for key in KINDS[kind].depends_on(resource)]


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        ("Tenant", {}, []),
        ("Project", {"tenant": "t"}, ["Tenant/t"]),
        ("Network", {"parent": "up", "project": "p"}, ["Network/up", "Project/p"]),
        ("Network", {"vrf": {"pool": "vrfs"}}, ["Pool/vrfs"]),
        ("Network", {"vrf": {"network": "other"}}, ["Network/other"]),
        ("IPAddress", {"network": "n"}, ["Network/n"]),
        ("IPAddress", {"network": "n", "machine": "m"}, ["Network/n", "Machine/m"]),
        (
            "MachineClaim",
            {
                "project": "p",
                "partitions": ["a", "b"],
                "count": 1,
                "image": "debian-12",
                "networks": [{"network": "n"}],
            },
            ["Project/p", "Partition/a", "Partition/b", "Network/n"],
        ),
    ],
)
def test_a_resource_depends_on_what_its_document_names(kind: str, spec: dict[str, Any], expected: list[str]) -> None:
    assert depends_on(kind, spec) == expected


def test_a_name_that_stands_twice_is_one_dependency() -> None:
    spec = {"project": "p", "partitions": ["a"], "machines": ["m"], "without": ["m"], "image": "debian-12"}
    assert depends_on("MachineClaim", spec) == ["Project/p", "Partition/a", "Machine/m"]

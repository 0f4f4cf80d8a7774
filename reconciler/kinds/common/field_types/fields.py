"""Field types that several kinds share. Their constraints make the JSON Schemas, so each is written once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

NAME_PATTERN = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"

Name = Annotated[
    str,
    Meta(
        pattern=NAME_PATTERN,
        max_length=253,
        description="Lower-case letters, digits, '-' and '.'; unique per kind.",
    ),
]
LabelKey = Annotated[str, Meta(max_length=253, pattern=r"^[^\s!=,()]+$")]
"""What a selector can name: `reconciler.kinds.common.field_types.label_selector`."""
LabelValue = Annotated[
    str,
    Meta(
        max_length=253,
        pattern=r"^[^\s!=,()]*$",
        description="A label's value, without blanks and !=,() so that a selector can name it; quote what looks like a "
        "number.",
        examples=["r12"],
    ),
]
Note = Annotated[str, Meta(max_length=253, description="An annotation's value; quote what looks like a number.")]
Mac = Annotated[
    str,
    Meta(
        max_length=32,
        description="A MAC address in any common spelling: `52:54:00:12:34:56`, `52-54-00-12-34-56`, `5254.0012.3456`.",
        examples=["52:54:00:12:34:56"],
        extra_json_schema={"format": "mac"},
    ),
]
Cidr = Annotated[
    str,
    Meta(
        max_length=49,
        description="An IPv4 or IPv6 prefix in CIDR form, without host bits.",
        examples=["10.20.0.0/16", "2001:db8::/48"],
        extra_json_schema={"format": "cidr"},
    ),
]
Address = Annotated[
    str,
    Meta(
        max_length=45,
        description="An IPv4 or IPv6 address, without a prefix length or zone.",
        examples=["10.20.0.7"],
        extra_json_schema={"format": "ip"},
    ),
]
AddressRange = Annotated[
    str,
    Meta(
        max_length=91,
        description="An address, a prefix, or a range `first-last`.",
        examples=["10.20.0.1", "10.20.0.0/28", "10.20.0.10-10.20.0.19"],
        extra_json_schema={"format": "ip-range"},
    ),
]
Url = Annotated[
    str,
    Meta(
        pattern=r"^https?://[^\s/?#]+[^\s]*$",
        max_length=2048,
        description="An http or https URL.",
        examples=["https://images.example/vmlinuz"],
    ),
]
Sha256 = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}$", description="`sha256:` and 64 lower-case hex digits.")]
Text = Annotated[str, Meta(max_length=1024, description="Free text for people.")]
KindName = Annotated[str, Meta(pattern=r"^[A-Z][A-Za-z]*$", max_length=63)]


REFERENCE, MENTION = "kind", "mentions"
"""Marks of a field that names a resource of a kind: one that has to be declared, and one that need not."""


def reference_field(kind: str, description: str) -> Meta:
    """The constraints of a field that names another resource; checked across files (`x-groundstate-kind`)."""
    return Meta(
        pattern=NAME_PATTERN,
        max_length=253,
        description=description,
        extra={REFERENCE: kind},
        extra_json_schema={"x-groundstate-kind": kind},
    )


def mention_field(kind: str, description: str) -> Meta:
    """The constraints of a field that names another resource, which need not be declared."""
    return Meta(pattern=NAME_PATTERN, max_length=253, description=description, extra={MENTION: kind})


PartitionRef = Annotated[str, reference_field("Partition", "The Partition of the machine.")]
ProjectRef = Annotated[str, reference_field("Project", "The Project that owns the resource.")]


_Name = Annotated[str, Meta(pattern=NAME_PATTERN, max_length=253)]
RenamedFrom = Annotated[
    _Name | tuple[_Name, ...],
    Meta(
        description="The earlier name of this document, or a list of all earlier names. Facts, machines, addresses and "
        "the place of an EventSink in the ledger move to the new name: nothing is released, wiped, restarted or left "
        "out. The field may stay after the rename.",
        examples=["web"],
    ),
]


def names_of(renamed_from: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The names that a `renamedFrom` gives."""
    if renamed_from is None:
        return ()
    return (renamed_from,) if isinstance(renamed_from, str) else renamed_from


class Family(StrEnum):
    """The address family: IPv4 or IPv6."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


FAMILIES = {Family.IPV4: 4, Family.IPV6: 6}


class DeletionPolicy(StrEnum):
    """What happens to the allocation when the document is removed from git."""

    ORPHAN = "Orphan"
    RELEASE = "Release"


class Spec(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel", kw_only=True, gc=False
):
    """The base of every spec and part of a spec: camelCase in documents, nothing unknown, nothing changeable. A tree,
    so that there are no cycles to collect."""


class Metadata(Spec, frozen=True, kw_only=True):
    """The name, labels and annotations of a document."""

    name: Name
    labels: Annotated[
        dict[LabelKey, LabelValue],
        Meta(description="Key-value pairs, by which `-l` selects resources: `groundstate get machines -l rack=r12`."),
    ] = {}
    annotations: Annotated[
        dict[Annotated[str, Meta(max_length=253)], Note],
        Meta(description="Notes for people and tools; never used to select."),
    ] = {}


class Quotas(Spec, frozen=True, kw_only=True):
    """Limits. If a field is absent, there is no such limit here."""

    machines: Annotated[int, Meta(ge=0, description="Maximum number of machines.")] | None = None
    addresses: Annotated[int, Meta(ge=0, description="Maximum number of addresses.")] | None = None
    networks: Annotated[int, Meta(ge=0, description="Maximum number of networks.")] | None = None


class TaintEffect(StrEnum):
    """The effect of a taint."""

    NO_CLAIM = "NoClaim"


class Taint(Spec, frozen=True, kw_only=True):
    """A mark on a machine; only claims that tolerate the taint get the machine."""

    key: Annotated[str, Meta(min_length=1, max_length=253, description="The name of the taint.")]
    value: Annotated[str, Meta(max_length=253, description="The taint's value.")] | None = None
    effect: Annotated[
        TaintEffect,
        Meta(description="What the taint does: NoClaim keeps away new claims that do not tolerate the taint."),
    ] = TaintEffect.NO_CLAIM

"""Image: an operating system that can be written to a machine."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from reconciler.kinds.fields import Sha256, Spec, Text, Url


class Classification(StrEnum):
    """How far an image may be relied on."""

    PREVIEW = "preview"
    SUPPORTED = "supported"
    DEPRECATED = "deprecated"


class Artifact(Spec, frozen=True, kw_only=True):
    """A file and its checksum."""

    url: Annotated[Url, Meta(description="Where it is fetched from.")]
    checksum: Annotated[Sha256, Meta(description="What it must hash to: `sha256:` and 64 lower-case hex digits.")]


class ImageSpec(Spec, frozen=True, kw_only=True):
    """An operating system image."""

    description: Annotated[Text, Meta(description="What the image is, for people.")] | None = None
    os: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*$", description="The system's name.", examples=["debian"])]
    version: Annotated[
        str,
        Meta(
            pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$",
            description="major.minor.patch, in quotes; the patch is usually a date.",
            examples=["12.0.20260101"],
        ),
    ]
    kernel: Annotated[Artifact, Meta(description="The kernel to boot.")] | None = None
    initrd: Annotated[Artifact, Meta(description="The initial ramdisk.")] | None = None
    root: Annotated[Artifact, Meta(description="The root image that is written to disk.")]
    classification: Annotated[Classification, Meta(description="How far it may be relied on.")] = Classification.PREVIEW
    expires: (
        Annotated[
            str,
            Meta(
                description="The last day on which it may be given out, YYYY-MM-DD.",
                examples=["2027-01-31"],
                extra_json_schema={"format": "date"},
            ),
        ]
        | None
    ) = None

"""Image: an operating system that can be written to a machine, and which one a reference means."""

from __future__ import annotations

import re
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from reconciler.kinds.catalogue import image_versions
from reconciler.kinds.catalogue.size import DiskSize
from reconciler.kinds.common.column import spec_column
from reconciler.kinds.common.field_types.fields import Sha256, Spec, Text, Url
from reconciler.kinds.common.kind import RuleFinding
from reconciler.model.resource import DesiredState, Resource

REFERENCE_PATTERN = r"^[a-z][a-z0-9-]*-[0-9]+(\.[0-9]+){0,2}$"
_REFERENCE = re.compile(r"(?P<os>[a-z][a-z0-9-]*)-(?P<version>[0-9]+(?:\.[0-9]+){0,2})")


class Classification(StrEnum):
    """The status of an image: preview, supported or deprecated."""

    PREVIEW = "preview"
    SUPPORTED = "supported"
    DEPRECATED = "deprecated"


class Artifact(Spec, frozen=True, kw_only=True):
    """A file and its checksum."""

    url: Annotated[Url, Meta(description="The URL of the file.")]
    checksum: Annotated[Sha256, Meta(description="The checksum of the file: `sha256:` and 64 lower-case hex digits.")]


class ImageSpec(Spec, frozen=True, kw_only=True):
    """An operating system image; its name is `<os>-<version>`."""

    description: Annotated[Text, Meta(description="What the image is, for people.")] | None = None
    os: Annotated[
        str,
        Meta(
            pattern=r"^[a-z][a-z0-9-]*$",
            description=("The name of the operating system, such as debian."),
            examples=["debian"],
        ),
    ]
    version: Annotated[
        str,
        Meta(
            pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$",
            description="major.minor.patch, in quotes; the patch is usually a date.",
            examples=["12.0.20260101"],
        ),
    ]
    kernel: Annotated[Artifact, Meta(description=("The kernel, as a separate file."))] | None = None
    initrd: Annotated[Artifact, Meta(description="The initial ramdisk.")] | None = None
    root: Annotated[
        Artifact,
        Meta(
            description="The content of the disk: a whole disk, or a tar of a root file system with a kernel in "
            "boot/. Plain, gzip, xz or zstd."
        ),
    ]
    disk_size: (
        Annotated[
            DiskSize,
            Meta(
                description="The size of the smallest disk that can be used: at least the size of the unpacked `root`. "
                "The default is no minimum.",
                examples=["8Gi"],
            ),
        ]
        | None
    ) = None
    classification: Annotated[
        Classification,
        Meta(
            description=(
                "The status of the image. A reference without the patch (the third number) means a supported image. "
                "A preview image is used only by its full name. "
                "A deprecated image stays on machines that have it and is not installed on others."
            )
        ),
    ] = Classification.PREVIEW
    expires: (
        Annotated[
            str,
            Meta(
                description="The last day (in UTC) on which machines can get the image, YYYY-MM-DD. Machines that "
                "have it keep it.",
                examples=["2027-01-31"],
                extra_json_schema={"format": "date"},
            ),
        ]
        | None
    ) = None


class Reference(msgspec.Struct, frozen=True):
    """An operating system, and one to three numbers that its version begins with."""

    os: str
    numbers: tuple[int, ...]

    @property
    def full(self) -> bool:
        """Whether it names one image, and not the newest of several."""
        return len(self.numbers) == 3

    def means(self, name: str) -> bool:
        """Whether the image of that name is one of those that it can mean. Numbers are compared as such: 24.04 is
        24.4."""
        other = parse_reference(name)
        return other is not None and other.os == self.os and other.numbers[: len(self.numbers)] == self.numbers


def parse_reference(text: str) -> Reference | None:
    """`debian-12.0` taken apart; None when it has not that form."""
    found = _REFERENCE.fullmatch(text)
    return Reference(found["os"], tuple(int(part) for part in found["version"].split("."))) if found else None


IMAGE_COLUMNS = (
    spec_column("os", "OS"),
    spec_column("version", "VERSION"),
    spec_column("classification", "CLASS"),
)
"""What `get images` shows."""


def check_image(resource: Resource[ImageSpec]) -> list[RuleFinding]:
    """The name says what is in it (metal-stack parses os and version from the id)."""
    spec, found = resource.spec, []
    wanted = f"{spec.os}-{spec.version}"
    if resource.key.name != wanted:
        found.append(
            RuleFinding(
                "image-name",
                "metadata.name",
                f"the name does not match os and version ({spec.os} {spec.version})",
                f"name the image {wanted}, or correct os and version",
            )
        )
    if spec.initrd is not None and spec.kernel is None:
        found.append(
            RuleFinding(
                "initrd-without-kernel",
                "spec.initrd",
                "spec.initrd is set, but spec.kernel is missing",
                "add spec.kernel, or remove spec.initrd",
            )
        )
    return found


def matching_images(text: str, desired: DesiredState) -> list[Resource[ImageSpec]]:
    """The declared images that a reference can mean, the newest first."""
    wanted = parse_reference(text)
    if wanted is None:
        return []
    found = [
        image for image in desired.derived("images by os", _by_os).get(wanted.os, ()) if wanted.means(image.key.name)
    ]
    return sorted(found, key=lambda image: image_versions.parse_version(image.spec.version), reverse=True)


def _by_os(desired: DesiredState) -> dict[str, list[Resource[ImageSpec]]]:
    found: dict[str, list[Resource[ImageSpec]]] = {}
    for image in desired.of_kind("Image"):
        found.setdefault(image.spec.os, []).append(image)
    return found


def expired(spec: ImageSpec, now: datetime) -> bool:
    """Whether its last day is over."""
    return spec.expires is not None and date.fromisoformat(spec.expires) < now.date()


class Refusal(msgspec.Struct, frozen=True):
    """Why no image can be used: `by` a rule, in words, and a hint."""

    by: str
    reason: str
    hint: str


def choose_image(text: str, desired: DesiredState, now: datetime) -> Resource[ImageSpec] | Refusal:
    """The image for a machine that has no matching image yet. With a full name: that image, if it may be installed.
    Else the newest that is supported and has not expired (metal-apiserver's choice)."""
    found, wanted = matching_images(text, desired), parse_reference(text)
    if not found or wanted is None:
        return Refusal("image", f"no declared Image matches {text}", "declare the image, or correct spec.image")
    if wanted.full:
        return _refusal(found[0], now) or found[0]
    good = (i for i in found if i.spec.classification is Classification.SUPPORTED and not expired(i.spec, now))
    chosen = next(good, None)
    if chosen is not None:
        return chosen
    newest = found[0]
    if newest.spec.classification is Classification.PREVIEW:
        reason = f"{text} matches preview images only, such as {newest.key.name} ({stands_at(newest)})"
        return Refusal(
            "image", reason, (f"set spec.classification of that Image to supported, or spec.image to {newest.key.name}")
        )
    return _refusal(newest, now) or Refusal("image", f"no image of {text} is supported", "declare a newer image")


def _refusal(image: Resource[ImageSpec], now: datetime) -> Refusal | None:
    if expired(image.spec, now):
        reason = f"image {image.key.name} expired on {image.spec.expires} (spec.expires, {stands_at(image)})"
        return Refusal(
            "image-expired", reason, f"set spec.image to a newer image, or raise spec.expires in {stands_at(image)}"
        )
    if image.spec.classification is Classification.DEPRECATED:
        reason = f"image {image.key.name} is deprecated (spec.classification, {stands_at(image)})"
        return Refusal(
            "image-deprecated",
            reason,
            "set spec.image to a supported image; machines that already have this image keep it",
        )
    return None


def stands_at(resource: Resource[Any]) -> str:
    """Where a document stands, for a sentence: `images.yaml:12`."""
    return f"{resource.source.file}:{resource.source.line}"

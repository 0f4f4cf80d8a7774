"""Rules between sizes, images, machines, projects and tenants. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import combinations
from typing import Any

from reconciler.desired.rules.findings import Finding
from reconciler.kinds.catalogue import image_versions
from reconciler.kinds.catalogue.aggregate import AggregateSpec
from reconciler.kinds.catalogue.image import ImageSpec, matching_images, parse_reference, stands_at
from reconciler.kinds.catalogue.size import SizeSpec
from reconciler.kinds.catalogue.size_overlap import example
from reconciler.model.counting import listed_names
from reconciler.model.resource import DesiredState, Resource, ResourceKey


def check_catalogue(desired: DesiredState, claimed: Collection[ResourceKey] = ()) -> list[Finding]:
    """Everything that is wrong between them. `claimed`: keys of documents that are there but broken."""
    return [
        *_sizes(desired.of_kind("Size")),
        *_images(desired.of_kind("Image")),
        *_no_such_image(desired, claimed),
        *_too_many_projects(desired),
        *_aggregates(desired.of_kind("Aggregate")),
    ]


def _sizes(sizes: list[Resource[SizeSpec]]) -> Iterator[Finding]:
    """A size that contradicts itself fits no machine; of two that can fit the same one, neither is certain."""
    path = ("spec", "constraints")
    sound = []
    for size in sizes:
        if example(size.spec.constraints) is None:
            why = "no machine can meet all constraints of this size"
            yield Finding("never-matches", size, path, "the constraints exclude each other", why, "correct min and max")
        else:
            sound.append(size)
    for first, second in combinations(sound, 2):
        both = example(first.spec.constraints, second.spec.constraints)
        if both is not None:
            what = f"a machine can fit this size and {first.key}: {both}"
            hint = "narrow a range or a pattern of one size, so that each machine fits exactly one"
            yield Finding("overlapping-sizes", second, path, what, f"{first.key} is at {first.source}", hint)


def _images(images: list[Resource[ImageSpec]]) -> Iterator[Finding]:
    """24.04.1 and 24.4.1 are one version."""
    first: dict[tuple[str, image_versions.ImageVersion], Resource[ImageSpec]] = {}
    for image in images:
        same = first.setdefault((image.spec.os, image_versions.parse_version(image.spec.version)), image)
        if same is not image:
            what = f"{same.key} has the same version of {image.spec.os}"
            yield Finding(
                "duplicate-image",
                image,
                ("spec", "version"),
                what,
                f"{same.key} is at {same.source}",
                "keep one of the two Images",
            )


def _aggregates(declared: list[Resource[AggregateSpec]]) -> Iterator[Finding]:
    """A machine has one number of a name. Twice in one document is that document's own error."""
    first: dict[str, Resource[AggregateSpec]] = {}
    for one in declared:
        for index, item in enumerate(one.spec.items):
            other = first.setdefault(item.target_path, one)
            if other is not one:
                what = f"{other.key} already defines {item.target_path}"
                path = ("spec", "items", index, "targetPath")
                yield Finding(
                    "duplicate-aggregate",
                    one,
                    path,
                    what,
                    (f"{other.key} is at {other.source}"),
                    "change targetPath in one of the two documents",
                )


def _no_such_image(desired: DesiredState, claimed: Collection[ResourceKey]) -> Iterator[Finding]:
    users: dict[str, list[Resource[Any]]] = {}
    for user in (*desired.of_kind("Machine"), *desired.of_kind("MachineClaim")):
        if (text := user.spec.image) is not None:
            users.setdefault(text, []).append(user)
    broken = [key.name for key in claimed if key.kind == "Image"]
    for text, those in users.items():
        wanted = parse_reference(text)
        if wanted is None or matching_images(text, desired) or any(map(wanted.means, broken)):
            continue
        others = [image.key.name for image in desired.of_kind("Image") if image.spec.os == wanted.os]
        hint = (
            f"the declared versions are {listed_names(reversed(others), 3)}"
            if others
            else f"declare the image; no Image of {wanted.os} is declared"
        )
        yield Finding(
            "no-such-image", those[0], ("spec", "image"), f"no declared Image matches {text}", named_users(those), hint
        )


def named_users(users: Collection[Resource[object]]) -> str:
    """`3 documents name it: Network/shop (networks.yaml:8), ...`; nothing where there is only one."""
    if len(users) < 2:
        return ""
    places = listed_names(f"{user.key} ({stands_at(user)})" for user in users)
    return f"{len(users):,} documents name it: {places}"


def _too_many_projects(desired: DesiredState) -> Iterator[Finding]:
    by_tenant: dict[str, list[str]] = {}
    for project in desired.of_kind("Project"):
        by_tenant.setdefault(project.spec.tenant, []).append(project.key.name)
    for tenant in desired.of_kind("Tenant"):
        most = tenant.spec.quotas.projects if tenant.spec.quotas else None
        projects = by_tenant.get(tenant.key.name, [])
        if most is not None and len(projects) > most:
            what = (
                f"tenant {tenant.key.name} has {len(projects)} projects; the limit is {most}: {listed_names(projects)}"
            )
            path = ("spec", "quotas", "projects")
            yield Finding("too-many-projects", tenant, path, what, "", "raise spec.quotas.projects, or remove projects")

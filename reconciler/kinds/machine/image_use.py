"""Images that machines have: which must stay declared, and which people should see to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date, datetime, timedelta
from typing import Any

from reconciler.kinds.catalogue.image import Classification, ImageSpec, expired
from reconciler.kinds.common.machine_facts import MachineFacts, all_machine_facts, machine_facts
from reconciler.kinds.machine.binding import fits
from reconciler.model.counting import listed_names
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.facts import Facts
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, Resource, ResourceKey

SOON = timedelta(days=30)
"""How long before its last day an image that machines have is warned of."""


def advise_on_images(
    keys: Collection[ResourceKey], desired: DesiredState, _observed: ObservedState, facts: Facts, now: datetime
) -> tuple[Diagnostic, ...]:
    """What to see to of the images that these resources have: they expire, are deprecated, or do not run on the
    machine's size."""
    by_image: dict[str, list[ResourceKey]] = {}
    for key in keys:  # And not through all machines: each reconcile asks for the plan of one key.
        one = facts.resources.get(key)
        if isinstance(one, MachineFacts) and one.image is not None:
            by_image.setdefault(one.image, []).append(key)
    found: list[Diagnostic] = []
    for name, users in sorted(by_image.items()):
        image = desired.resources.get(ResourceKey("Image", name))
        if image is not None:
            found.extend(_of_image(image, sorted(users), desired, now))
    return tuple(found)


def admit_images(desired: DesiredState, facts: Facts) -> tuple[Diagnostic, ...]:
    """An image stays declared while a declared machine has it, also if its document now requests another image
    (metal-api#148). Otherwise the image of the machine would be unknown, and could not be installed again."""
    users: dict[str, list[ResourceKey]] = {}
    for key, remembered in all_machine_facts(facts.resources).items():
        image = remembered.image
        if image is not None and key in desired.resources and ResourceKey("Image", image) not in desired.resources:
            users.setdefault(image, []).append(key)
    return tuple(_in_use(image, sorted(found), desired, facts) for image, found in sorted(users.items()))


def _in_use(image: str, users: list[ResourceKey], desired: DesiredState, facts: Facts) -> Diagnostic:
    sources = [desired.resources[key].source for key in users]
    who = listed_names(f"{key} ({source.file}:{source.line})" for key, source in zip(users, sources, strict=True))
    count = "1 machine uses" if len(users) == 1 else f"{len(users):,} machines use"
    claimed = any(machine_facts(facts.resources, key).lifecycle.claim is not None for key in users)
    owners = "these machines, or of their claims," if claimed else "these machines"
    return Diagnostic(
        "image-in-use",
        Severity.ERROR,
        f"Image {image} is no longer declared, but {count} this image",
        sources[0],
        who,
        f"declare the image again. If you want to remove the image, first set spec.image of {owners} to another "
        "image and apply "
        "that, then remove the image",
    )


def _of_image(
    image: Resource[ImageSpec], users: list[ResourceKey], desired: DesiredState, now: datetime
) -> Iterator[Diagnostic]:
    name, spec, which = image.key.name, image.spec, listed_names(key.name for key in users)
    hint = "set spec.image of these machines, or of their claims, to a newer image"
    if expired(spec, now):
        yield _warning(
            "image-expired", f"image {name} expired on {spec.expires}", image, f"still used by {which}", hint
        )
    elif spec.expires is not None and date.fromisoformat(spec.expires) - now.date() <= SOON:
        said = f"image {name} expires on {spec.expires}"
        yield _warning(
            "image-expires", said, image, f"after that day no other machine can get the image; used by {which}", hint
        )
    if spec.classification is Classification.DEPRECATED:
        yield _warning("image-deprecated", f"image {name} is deprecated", image, f"still used by {which}", hint)
    by_size: dict[str, list[ResourceKey]] = {}
    for key in users:
        machine = desired.resources.get(key)
        if machine is not None and machine.spec.size is not None:
            by_size.setdefault(machine.spec.size, []).append(key)
    for size_name, machines in by_size.items():
        size = desired.resources.get(ResourceKey("Size", size_name))
        if size is not None and not fits(size, image):
            said = f"size {size_name} allows {spec.os} {size.spec.images[spec.os]} (spec.images), but not {name}"
            yield _warning("size-image", said, size, f"still used by {listed_names(k.name for k in machines)}", hint)


def _warning(code: str, summary: str, resource: Resource[Any], detail: str, hint: str) -> Diagnostic:
    return Diagnostic(code, Severity.WARNING, f"{summary}; {detail}", resource.source, "", hint)

"""Warnings beside a plan: what would be refused if it were new, and stays because it is there. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date, datetime, timedelta

from reconciler.kinds import KINDS
from reconciler.kinds.catalogue.image import Classification, ImageSpec, expired
from reconciler.kinds.claim.renamed_from import RENAMABLE
from reconciler.kinds.claim.spec import has_machines, of_claim
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.kinds.common.renamed_facts import former
from reconciler.kinds.machine.binding import fits
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.facts import NO_FACTS, Facts
from reconciler.model.observation import ObservedState
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.placement.quotas import exceeded
from reconciler.planning.admission import listed_names

SOON = timedelta(days=30)
"""How long before its last day an image that machines have is warned of."""


def on_images(
    keys: Collection[ResourceKey], desired: DesiredState, facts: Facts, now: datetime
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


def on_quotas(desired: DesiredState, observed: ObservedState, facts: Facts) -> tuple[Diagnostic, ...]:
    """The quotas of which more is taken up than they allow by now."""
    return tuple(
        _warning(
            "quota-exceeded",
            one.said,
            None,
            "existing resources stay, new ones are held",
            one.limit.hint,
        )
        for one in exceeded(desired, observed, facts)
    )


def on_renames(
    keys: Collection[ResourceKey], desired: DesiredState, facts: Facts, observed: ObservedState
) -> tuple[Diagnostic, ...]:
    """The names of before of which nothing is known, while the new one is not as declared yet: a typing error. Later
    the old name may stand there for good."""
    found = []
    for key in keys:
        resource = desired.resources.get(key) if key.kind in RENAMABLE else None
        if resource is None or not resource.spec.former or of_claim(key) is not None:
            continue
        remembered = facts.resources.get(key, NO_FACTS)
        olds = [ResourceKey(key.kind, name) for name in resource.spec.former]
        if former(remembered) or remembered.applied or any(_is_known(old, facts, observed) for old in olds):
            continue
        what = f"{key} was {' or '.join(map(str, olds))} before, but no record of that name exists"
        found.append(
            _warning(
                "renamed-from-unknown",
                what,
                resource,
                "the document starts as a new resource",
                "check spec.renamedFrom for a typo",
            )
        )
    return tuple(found)


def _is_known(old: ResourceKey, facts: Facts, observed: ObservedState) -> bool:
    seen = observed.get(old)
    if old in facts.resources or (seen is not None and KINDS[old.kind].is_held(seen.value)):
        return True
    return has_machines(old, facts.resources)


def _of_image(
    image: Resource[ImageSpec], users: list[ResourceKey], desired: DesiredState, now: datetime
) -> Iterator[Diagnostic]:
    name, spec, which = image.key.name, image.spec, listed_names(key.name for key in users)
    hint = "set spec.image of these machines to a newer image"
    if expired(spec, now):
        yield _warning(
            "image-expired", f"image {name} expired on {spec.expires}", image, f"still used by {which}", hint
        )
    elif spec.expires is not None and date.fromisoformat(spec.expires) - now.date() <= SOON:
        said = f"image {name} expires on {spec.expires}"
        yield _warning("image-expires", said, image, f"after that no other machine can get it; used by {which}", hint)
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
            said = f"size {size_name} runs {spec.os} {size.spec.images[spec.os]} (spec.images), not {name}"
            yield _warning("size-image", said, size, f"still used by {listed_names(k.name for k in machines)}", hint)


def _warning(code: str, summary: str, resource: Resource[ImageSpec] | None, detail: str, hint: str) -> Diagnostic:
    return Diagnostic(code, Severity.WARNING, f"{summary}; {detail}", resource.source if resource else None, "", hint)

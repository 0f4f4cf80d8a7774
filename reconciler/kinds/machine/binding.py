"""The project and the image of a machine: recorded when the rules allowed them, and kept when the conditions change
later. Pure.

Nothing is sent for either. What depends on other machines (quotas, reservations) is judged by the plan as a whole
(`placement/claim_admission.py`); what depends on the documents alone is judged here.
"""

from __future__ import annotations

import msgspec

from reconciler.kinds.catalogue import image_versions
from reconciler.kinds.catalogue.image import ImageSpec, Refusal, choose_image, parse_reference, stands_at
from reconciler.kinds.catalogue.size import SizeSpec, runs_image
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import KindView, Steps
from reconciler.kinds.common.machine_facts import MachineFacts, facts_in
from reconciler.model.actions.record_actions import Bind, PinImage
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import DesiredState, Resource, ResourceKey

PROJECT, IMAGE = Bind.path, PinImage.path


class Assignment(msgspec.Struct, frozen=True):
    """What a machine's document says of it. `taint`: what keeps new projects away."""

    project: str | None
    image: str | None
    size: str | None
    taint: str | None


def fields(project: str | None, image: str | None, facts: MachineFacts) -> list[Field]:
    """The project and the image, as far as they are declared or remembered."""
    found = []
    if project is not None or facts.project is not None:
        found.append(Field(PROJECT, project, facts.project, project == facts.project))
    if image is not None or facts.image is not None:
        found.append(Field(IMAGE, image, facts.image, _means(image, facts.image)))
    return found


def _means(wanted: str | None, pinned: str | None) -> bool:
    if wanted is None or pinned is None:
        return wanted is pinned
    meant = parse_reference(wanted)
    return meant is not None and meant.means(pinned)


def project_steps(wanted: Assignment, view: KindView) -> Steps:
    """Bind the machine to a project, or end the binding. A machine goes from one project to another only by way of
    none: it is wiped in between."""
    has = facts_in(view).project
    if wanted.project is None:
        return Steps((Bind(key=view.key, project=None, reason=f"spec.project no longer names {has}"),))
    if has is not None:
        reason = f"Machine belongs to project {has}, and must leave that project before another project can have it"
        hint = f"remove spec.project, apply that, then set spec.project to {wanted.project}"
        return Steps(holds=(Hold(HoldKind.GUARD, "bound", reason, hint, PROJECT),))
    if wanted.taint is not None:
        reason = (
            f"Machine has the taint {wanted.taint} (spec.taints), so spec.project cannot give the machine to project "
            f"{wanted.project}; only a claim that tolerates the taint can get the machine"
        )
        return Steps(
            holds=(
                Hold(
                    HoldKind.GUARD,
                    "taint",
                    reason,
                    "remove the taint, or let a claim of the project tolerate the taint (spec.tolerations)",
                    PROJECT,
                ),
            )
        )
    return Steps((Bind(key=view.key, project=wanted.project, reason="Machine belongs to no project yet"),))


def image_steps(wanted: Assignment, view: KindView, *, bound: bool) -> Steps:
    """Pin the image that the reference means now. `bound`: the machine is its project's, or about to be."""
    if wanted.image is None:
        return Steps((PinImage(key=view.key, image=None, reason="spec.image is no longer declared"),))
    if not bound:
        return Steps(holds=(waits_for_project(),))
    if view.desired is None:
        return Steps()
    chosen = choose_image(wanted.image, view.desired, view.now)
    if not isinstance(chosen, Refusal):
        chosen = _unfit(wanted, chosen, view.desired) or chosen
    if isinstance(chosen, Refusal):
        return Steps(holds=(Hold(HoldKind.GUARD, chosen.by, chosen.reason, chosen.hint, IMAGE),))
    why = (
        (f"current image is {facts_in(view).image}")
        if facts_in(view).image
        else "groundstate has not chosen an image yet"
    )
    return Steps((PinImage(key=view.key, image=chosen.key.name, reason=why),))


def waits_for_project() -> Hold:
    """The image of a machine that is not its project's yet."""
    return Hold(
        HoldKind.BLOCKED,
        PROJECT,
        "Machine does not belong to the project yet",
        "continues automatically when the machine belongs to the project",
        IMAGE,
    )


def _unfit(wanted: Assignment, image: Resource[ImageSpec], desired: DesiredState) -> Refusal | None:
    size = desired.resources.get(ResourceKey("Size", wanted.size)) if wanted.size is not None else None
    if size is None or fits(size, image):
        return None
    allowed = size.spec.images[image.spec.os]
    reason = (
        f"size {size.key.name} allows {image.spec.os} {allowed} (spec.images, {stands_at(size)}), but not "
        f"{image.key.name}"
    )
    return Refusal(
        "size-image", reason, f"set spec.image to an image that the size allows, or change spec.images of {size.key}"
    )


def fits(size: Resource[SizeSpec], image: Resource[ImageSpec]) -> bool:
    """Whether the image runs on machines of the size."""
    return runs_image(size.spec, image.spec.os, image_versions.parse_version(image.spec.version))

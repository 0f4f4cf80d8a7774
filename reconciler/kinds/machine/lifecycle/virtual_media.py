"""The agent from a CD image, for machines that cannot boot from the network. Pure.

The image is inserted while the machine is off, before the boot override is set. It is ejected when the boot request has
ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import msgspec

from drivers.base import BootTarget, PowerState, SystemState
from reconciler.kinds.catalogue.partition import PartitionSpec, StartFrom, service
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import KindView, Steps
from reconciler.kinds.common.machine_facts import Inserted, LifecycleFacts, MachineFacts, facts_in
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.actions.bmc_actions import EjectMedia, InsertMedia
from reconciler.model.facts import Failure, ResourceFacts
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.model.retry import EJECT

MEDIA = InsertMedia.path
IMAGE = "agent.iso"
"""The name of the CD image at the boot service. Some BMCs accept only names with this ending."""
_DISCS = (BootTarget.USB_CD, BootTarget.CD)
"""Boot targets for the virtual CD. Supermicro boots its virtual CD only by the first one (Ironic's sushy,
BootSource.USB_CD)."""
_ATTEMPTS = 3
"""How often the image is inserted for one boot request."""
_NETWORK = frozenset({BootTarget.PXE, BootTarget.UEFI_HTTP})


def image_for(spec: MachineSpec, state: SystemState, desired: DesiredState | None) -> str | None:
    """The URL of the CD image from which the machine boots the agent; None: it boots from the network."""
    partition = desired.resources.get(ResourceKey("Partition", spec.partition)) if desired is not None else None
    boot = partition.spec.boot if partition is not None and isinstance(partition.spec, PartitionSpec) else None
    if boot is None:
        return None
    declared = (spec.lifecycle.start_from if spec.lifecycle is not None else None) or boot.start_from
    chosen = declared or (StartFrom.NETWORK if _speaks_network(state) else StartFrom.VIRTUAL_MEDIA)
    return f"{service(boot)}/{IMAGE}" if chosen is StartFrom.VIRTUAL_MEDIA else None


def _speaks_network(state: SystemState) -> bool:
    """Whether the BMC offers a boot from the network, as far as the BMC reports its boot targets."""
    offered = state.allowed_boot_targets
    return offered is None or bool(_NETWORK & set(offered)) or not set(_DISCS) & set(offered)


def disc(state: SystemState) -> BootTarget:
    """The boot target of the virtual drive."""
    offered = state.allowed_boot_targets or ()
    return next((one for one in _DISCS if one in offered), BootTarget.CD)


def has_disc(state: SystemState) -> bool:
    """Whether the BMC offers a boot from the virtual drive, as far as the BMC reports its boot targets."""
    return state.allowed_boot_targets is None or bool(set(_DISCS) & set(state.allowed_boot_targets))


def media_is_watched(facts: ResourceFacts) -> bool:
    """Whether the virtual drives must be observed, which costs extra requests."""
    if not isinstance(facts, MachineFacts):
        return False
    lifecycle = facts.lifecycle
    return lifecycle.media is not None or (
        lifecycle.boot_request is not None and lifecycle.boot_request.media is not None
    )


def media_ready(lifecycle: LifecycleFacts, state: SystemState) -> bool:
    """Whether the virtual drive is ready for the boot of the machine."""
    return lifecycle.boot_request is None or lifecycle.boot_request.media is None or _is_in(lifecycle, state)


def _is_in(lifecycle: LifecycleFacts, state: SystemState) -> bool:
    boot_request = lifecycle.boot_request
    if boot_request is None or lifecycle.media is None or lifecycle.media.boot_request != boot_request.id:
        return False
    return boot_request.media is not None and state.holds(boot_request.media) is True


def media_field(lifecycle: LifecycleFacts, state: SystemState) -> Field | None:
    """The image that should be in the virtual drive, beside the observed one; None if nothing is requested."""
    seen = None if state.media is None else list(state.media)
    boot_request = lifecycle.boot_request
    if boot_request is None:
        if lifecycle.media is None:
            return None
        gone = state.holds(lifecycle.media.url) is False
        return Field(MEDIA, {"image": None, "order": lifecycle.media.boot_request}, seen, gone, once=True)
    # Once the agent is up, all of it is in memory.
    if boot_request.media is None or boot_request.registered_at is not None or state.power is not PowerState.OFF:
        return None
    return Field(
        MEDIA, {"image": boot_request.media, "order": boot_request.id}, seen, _is_in(lifecycle, state), once=True
    )


def media_steps(lifecycle: LifecycleFacts, state: SystemState, view: KindView) -> Steps:
    """The actions that insert or eject the image. An image from before the boot request may only seem to be inserted,
    so it is ejected first (Ironic's note stale-insert-skip). If the BMC does not report its drives, only the attempt
    shows whether they work."""
    wanted = lifecycle.boot_request.media if lifecycle.boot_request is not None else None
    old = lifecycle.media.url if lifecycle.media is not None else None
    if wanted is None:
        return _eject(old or "", "the boot request has ended", view)
    for remnant in dict.fromkeys((old, wanted)):
        if remnant is not None and state.holds(remnant):
            return Steps(
                (
                    EjectMedia(
                        key=view.key,
                        url=remnant,
                        reason="an image of an earlier boot request may still be in the virtual drive",
                    ),
                )
            )
    return Steps((InsertMedia(key=view.key, url=wanted, reason="Machine will boot from the image"),))


def _eject(url: str, why: str, view: KindView) -> Steps:
    """The eject, with growing waits: some BMCs report an ejected image as inserted until they are restarted."""
    failure = facts_in(view).failures.get(MEDIA)
    if failure is not None:
        again = failure.at + timedelta(seconds=EJECT.delay(failure.attempts))
        if view.now < again:
            reason = f"could not eject {url} from the virtual drive: {failure.message}"
            hold = Hold(HoldKind.IN_FLIGHT, MEDIA, reason, f"wait until {again:%H:%M:%S}Z for the next attempt", MEDIA)
            return Steps(holds=(hold,))
    return Steps((EjectMedia(key=view.key, url=url, reason=why),))


def given_up(path: str, failure: Failure) -> bool:
    """Whether the insert was tried often enough for one boot request."""
    return path == MEDIA and failure.attempts >= _ATTEMPTS


def media_inserting(lifecycle: LifecycleFacts, url: str) -> LifecycleFacts:
    """The lifecycle facts from the moment at which the image is sent."""
    return msgspec.structs.replace(
        lifecycle, media=Inserted(url, lifecycle.boot_request.id if lifecycle.boot_request is not None else "")
    )


def observe_media(lifecycle: LifecycleFacts, fields: Iterable[Field]) -> LifecycleFacts:
    """The lifecycle facts after an observation: an image that is not inserted any more is forgotten."""
    field = next((one for one in fields if one.path == MEDIA), None)
    if field is None or not field.equal or lifecycle.boot_request is not None or lifecycle.media is None:
        return lifecycle
    return msgspec.structs.replace(lifecycle, media=None)

"""The next step of a managed machine's lifecycle: a boot request, its end, the release, or a hold. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from drivers.base import PowerState, SystemState
from reconciler.kinds.claim.spec import MachineClaimSpec, display_key, slot_addresses
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import KindView, Steps
from reconciler.kinds.common.machine_facts import LifecycleFacts, facts_in
from reconciler.kinds.ipam.ipaddress import AddressState
from reconciler.kinds.machine.lifecycle import deadlines, lifecycle, system_identity, virtual_media
from reconciler.kinds.machine.lifecycle.lifecycle import BootStage
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.actions.bmc_actions import PowerOn, SetBoot
from reconciler.model.actions.record_actions import AcceptSystem, Free, RequestBoot, RequestErasure, Settle
from reconciler.model.event import EventReason
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.values.boot_purpose import LifecycleFailure, Purpose

LIFECYCLE_PATH = RequestBoot.path


def lifecycle_field(spec: MachineSpec, look: KindView) -> Field:
    """The phase that the machine should reach, beside its current phase."""
    claim = lifecycle.claim_spec(facts_in(look), look.desired)
    at, goal = lifecycle.phase(facts_in(look), claim), lifecycle.goal(facts_in(look).lifecycle)
    life, state = facts_in(look).lifecycle, look.value if isinstance(look.value, SystemState) else SystemState()
    odd = {"running": _started_by_others(life, state), "another system": system_identity.another_system(life, state)}
    settled = (
        at is goal
        and life.boot_request is None
        and not any(odd.values())
        and not lifecycle.crash_loop_is_over(life, state, look.now)
    )
    seen = ", ".join([at.value, *(word for word, is_so in odd.items() if is_so)])
    return Field(
        LIFECYCLE_PATH, goal.value, seen, settled and lifecycle.purpose(facts_in(look), spec, claim) is None, once=True
    )


def lifecycle_steps(spec: MachineSpec, state: SystemState, look: KindView) -> Steps:
    """The next step, or the hold that prevents it."""
    life, claim = facts_in(look).lifecycle, lifecycle.claim_spec(facts_in(look), look.desired)
    if system_identity.another_system(life, state) and life.claim is not None:
        return _another_system(spec, life, state, look)
    if life.boot_request is not None:
        return _under_way(life, lifecycle.purpose(facts_in(look), spec, claim), state, look)
    if life.failure is not None and life.failure.final and not _asked_anew(spec, life, claim):
        hint = "check the machine's console, then set or change spec.lifecycle.request to try again"
        return _waits(HoldKind.FAILED, life.failure.reason, life.failure.message, hint)
    if lifecycle.crash_loop_is_over(life, state, look.now):
        return Steps((Settle(key=look.key, reason="Machine is running and has not restarted for some time"),))
    purpose = lifecycle.purpose(facts_in(look), spec, claim)
    if purpose is None:
        return _at_rest(life, state, look)
    again = deadlines.retry_at(life)
    # A failure of a later time than now was reported by a clock that has been put back.
    if life.failure is not None and again is not None and life.failure.at <= look.now < again:
        when = f"wait until {again:%H:%M:%S}Z for the next attempt"
        return _waits(HoldKind.IN_FLIGHT, life.failure.reason, life.failure.message, when)
    match purpose:
        case Purpose.INSPECT:
            return _inspect(spec, state, look)
        case Purpose.INSTALL:
            return _install(spec, claim, state, look)
        case Purpose.WIPE:
            return _wipe(spec, state, look)


def _another_system(spec: MachineSpec, life: LifecycleFacts, state: SystemState, look: KindView) -> Steps:
    """The step for a claimed machine with a new system (such as a new mainboard). The machine is not inspected again;
    the new system is recorded, and the lifecycle continues."""
    word = spec.lifecycle.request if spec.lifecycle is not None else None
    system = system_identity.like_before(life, state)
    if word is None or system is None or system_identity.held_for_another_system(spec, life, state):
        return Steps()  # The hold is the machine's as a whole.
    reason = f"spec.lifecycle.request is {word!r}"
    return Steps((AcceptSystem(key=look.key, system=system, was=life.system or "", word=word, reason=reason),))


def _under_way(life: LifecycleFacts, wanted: Purpose | None, state: SystemState, look: KindView) -> Steps:
    if (
        lifecycle.stage(life) is BootStage.ORDERED
        and life.boot_request is not None
        and wanted is not life.boot_request.purpose
    ):
        return Steps((Settle(key=look.key, reason=f"{life.boot_request.purpose} is no longer requested"),))
    trouble = _refused(life, look) or deadlines.overdue(life, look.now, off=state.power is PowerState.OFF)
    if trouble is not None:
        return Steps((Settle(key=look.key, failure=trouble, reason=trouble.message),))
    stage, order = lifecycle.stage(life), life.boot_request
    if stage is BootStage.ENDED and state.power is PowerState.OFF:
        return Steps((Settle(key=look.key, reason="the agent has finished, and Machine is off"),))
    words = {
        BootStage.ORDERED: "Machine is booting into the agent",
        BootStage.WORKING: (order.progress if order is not None else None) or "the agent is running",
        BootStage.ENDED: "the agent has finished and is powering Machine off",
    }
    by = f"to {order.purpose}" if order is not None else "order"
    return _waits(
        HoldKind.IN_FLIGHT, by, words.get(stage, ""), "no action is needed; the change continues automatically"
    )


def _refused(life: LifecycleFacts, look: KindView) -> LifecycleFailure | None:
    """The step after an action that will not be sent again: the BMC refused it, or nobody knows whether it arrived. The
    boot request ends, and the next one begins with the machine off."""
    for path in (virtual_media.MEDIA, SetBoot.path, PowerOn.path):
        failure = facts_in(look).failures.get(path)
        given_up = failure is not None and (failure.terminal or virtual_media.given_up(path, failure))
        if (
            failure is not None
            and given_up
            and life.boot_request is not None
            and failure.at >= life.boot_request.requested_at
        ):
            return deadlines.failed(life, EventReason.BOOT_REQUEST_FAILED, f"{path}: {failure.message}", look.now)
    return None


def _at_rest(life: LifecycleFacts, state: SystemState, look: KindView) -> Steps:
    if life.releasing_at is not None:
        if lifecycle.unknown_runs(life, state):
            return _unknown_runs("free the machine")
        if state.power is not PowerState.OFF:
            return _waits(
                HoldKind.IN_FLIGHT,
                "release",
                "the disks are wiped; waiting until power is Off",
                "continues automatically when power is Off",
            )
        return Steps((Free(key=look.key, reason="Machine is wiped and off"),))
    if life.claim is not None and life.written is None:
        why = f"Machine is claimed, but MachineClaim/{life.claim} is not declared for the machine's project"
        return _waits(
            HoldKind.BLOCKED,
            "claim",
            why,
            "continues automatically when the claim is declared, or when the claim has released the machine",
        )
    if life.claim is not None and life.phoned_home_at is None:
        if deadlines.missing_home(life, look.now):
            why = "the installed OS has not phoned home; groundstate does not change the disk"
            hint = f"check the machine's console; to reinstall, change spec.request of MachineClaim/{life.claim}"
            return _waits(HoldKind.FAILED, "NotHeardOf", why, hint)
        return _waits(
            HoldKind.IN_FLIGHT,
            "start",
            "waiting for the installed OS to phone home",
            "no action is needed; the change continues automatically",
        )
    if _started_by_others(life, state):
        hint = (
            "power the machine off; or set or change spec.lifecycle.request, and groundstate powers the machine "
            "off and inspects it"
        )
        return _waits(
            HoldKind.GUARD,
            "running",
            "Machine is unclaimed but powered on, and groundstate did not power it on; claims cannot get this machine",
            hint,
        )
    return Steps()


def _started_by_others(life: LifecycleFacts, state: SystemState) -> bool:
    """Whether an unclaimed machine is on without a boot request."""
    return life.claim is None and life.boot_request is None and state.power is PowerState.ON


def _inspect(spec: MachineSpec, state: SystemState, look: KindView) -> Steps:
    asked = spec.lifecycle.request if spec.lifecycle is not None else None
    started_here = facts_in(look).lifecycle.attempts > 0
    if state.power is not PowerState.OFF and asked == facts_in(look).lifecycle.heeded_request and not started_here:
        reason = f"power is {state.power}; groundstate does not power off a running machine to inspect it"
        hint = "power the machine off; or set or change spec.lifecycle.request, and groundstate powers the machine off"
        return _waits(HoldKind.GUARD, "running", reason, hint)
    reason = (
        "not inspected yet" if facts_in(look).lifecycle.inspected_at is None else "spec.lifecycle.request was changed"
    )
    return _order(RequestBoot, Purpose.INSPECT, asked, reason, spec, state, look)


def _install(spec: MachineSpec, claim: MachineClaimSpec | None, state: SystemState, look: KindView) -> Steps:
    facts = facts_in(look)
    if lifecycle.unknown_runs(facts.lifecycle, state):
        return _unknown_runs("write the image")
    if claim is None or facts.image is None:
        why = "no image is chosen yet"
        return _waits(HoldKind.BLOCKED, "image", why, "continues automatically when an image is chosen")
    missing = list(_without_address(facts.lifecycle, look))
    if missing:
        why = f"{', '.join(missing[:3])} {'is' if len(missing) == 1 else 'are'} not acquired yet"
        return _waits(HoldKind.BLOCKED, "addresses", why, "continues automatically when the addresses are acquired")
    written = facts.lifecycle.written
    order = RequestBoot if written is None else RequestErasure
    reason = f"image {facts.image} will be written" + (f" over {written.image}" if written is not None else "")
    return _order(order, Purpose.INSTALL, claim.request, reason, spec, state, look)


def _wipe(spec: MachineSpec, state: SystemState, look: KindView) -> Steps:
    if lifecycle.unknown_runs(facts_in(look).lifecycle, state):
        return _unknown_runs("wipe its disks")
    if state.power is not PowerState.OFF:
        why = "waiting until power is Off before the wipe"
        return _waits(HoldKind.IN_FLIGHT, "release", why, "continues automatically when power is Off")
    reason = f"MachineClaim/{facts_in(look).lifecycle.claim} has released the machine"
    word = spec.lifecycle.request if spec.lifecycle is not None else None
    return _order(RequestErasure, Purpose.WIPE, word, reason, spec, state, look)


def _order(
    kind: type[RequestBoot],
    purpose: Purpose,
    word: str | None,
    reason: str,
    spec: MachineSpec,
    state: SystemState,
    look: KindView,
) -> Steps:
    image, attempt = virtual_media.image_for(spec, state, look.desired), _attempt(facts_in(look).lifecycle)
    if image is not None and not virtual_media.has_disc(state):
        why = "Machine is set to boot from virtual media, but its BMC offers no boot from a CD"
        return _waits(HoldKind.FAILED, "virtual-media", why, "set startFrom: Network in the machine or its partition")
    heeded = spec.lifecycle.request if spec.lifecycle is not None and purpose is not Purpose.INSPECT else None
    order = kind(
        key=look.key,
        purpose=purpose,
        attempt=attempt,
        word=word,
        heeded=heeded,
        media=image,
        target=lifecycle.start_target(image, state),
        reason=reason,
    )
    return Steps((order,))


def _attempt(life: LifecycleFacts) -> int:
    """The number of the next attempt. After a change of spec.lifecycle.request it begins at one."""
    return 1 if life.failure is None or life.failure.final else life.attempts + 1


def _without_address(life: LifecycleFacts, look: KindView) -> Iterator[str]:
    """The addresses of the machine's slot that are not acquired yet."""
    for key in slot_addresses(look.desired, life) if look.desired is not None else ():
        seen = look.observed.get(key)
        if seen is None or not isinstance(seen.value, AddressState) or seen.value.address is None:
            yield display_key(key)


def _asked_anew(spec: MachineSpec, life: LifecycleFacts, claim: MachineClaimSpec | None) -> bool:
    """Whether spec.lifecycle.request was changed since the failure began."""
    word = spec.lifecycle.request if spec.lifecycle is not None else None
    if life.claim is not None and life.releasing_at is None:
        return claim is not None and (claim.request != life.tried_request or word not in (None, life.heeded_request))
    return spec.lifecycle is not None and word != life.tried_request


def _unknown_runs(why: str) -> Steps:
    reason = "Machine is powered on, but the store has no record of an installation (restored backup?)"
    return _waits(
        HoldKind.GUARD,
        "running",
        reason,
        (f"check what runs on the machine; groundstate can {why} after the machine is powered off"),
    )


def _waits(kind: HoldKind, by: str, reason: str, hint: str) -> Steps:
    return Steps(holds=(Hold(kind, by, reason, hint, LIFECYCLE_PATH),))

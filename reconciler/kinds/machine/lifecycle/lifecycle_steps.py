"""The next step of a managed machine's lifecycle: a boot request, its end, the release, or a hold. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from drivers.base import PowerState, SystemState
from reconciler.kinds.claim.spec import MachineClaimSpec, display_key, slot_addresses
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import KindView, Steps
from reconciler.kinds.common.machine_facts import LifecycleFacts, facts_in
from reconciler.kinds.ipam.ipaddress import AddressState
from reconciler.kinds.machine.lifecycle import deadlines, phases, system_identity, virtual_media
from reconciler.kinds.machine.lifecycle.phases import BootStage
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.actions.bmc_actions import PowerOn, SetBoot
from reconciler.model.actions.record_actions import AcceptSystem, Free, RecordLifecycle, RequestBoot, RequestErasure
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.values.boot_purpose import LifecycleFailure, LifecycleFailureReason, Purpose

LIFECYCLE_PATH = RequestBoot.path


def lifecycle_field(spec: MachineSpec, view: KindView) -> Field:
    """The phase that the machine should reach, beside its current phase."""
    claim = phases.claim_spec(facts_in(view), view.desired)
    at, goal = phases.phase(facts_in(view), claim), phases.goal(facts_in(view).lifecycle)
    lifecycle, state = facts_in(view).lifecycle, view.value if isinstance(view.value, SystemState) else SystemState()
    odd = {
        "running": _started_by_others(lifecycle, state),
        "another system": system_identity.another_system(lifecycle, state),
    }
    settled = (
        at is goal
        and lifecycle.boot_request is None
        and not any(odd.values())
        and not phases.crash_loop_is_over(lifecycle, state, view.now)
    )
    seen = ", ".join([at.value, *(word for word, is_so in odd.items() if is_so)])
    return Field(
        LIFECYCLE_PATH, goal.value, seen, settled and phases.purpose(facts_in(view), spec, claim) is None, once=True
    )


def lifecycle_steps(spec: MachineSpec, state: SystemState, view: KindView) -> Steps:
    """The next step, or the hold that prevents it."""
    lifecycle, claim = facts_in(view).lifecycle, phases.claim_spec(facts_in(view), view.desired)
    if system_identity.another_system(lifecycle, state) and lifecycle.claim is not None:
        return _another_system(spec, lifecycle, state, view)
    if lifecycle.boot_request is not None:
        return _under_way(lifecycle, phases.purpose(facts_in(view), spec, claim), state, view)
    if lifecycle.failure is not None and lifecycle.failure.final and not _asked_anew(spec, lifecycle, claim):
        hint = "check the machine's console, then set or change spec.lifecycle.request to try again"
        return _waits(HoldKind.FAILED, lifecycle.failure.reason, lifecycle.failure.message, hint)
    if phases.crash_loop_is_over(lifecycle, state, view.now):
        return Steps(
            (
                RecordLifecycle(
                    key=view.key, reason="the crash loop has ended: Machine is on and does not restart again"
                ),
            )
        )
    purpose = phases.purpose(facts_in(view), spec, claim)
    if purpose is None:
        return _at_rest(lifecycle, state, view)
    again = deadlines.retry_at(lifecycle)
    # A failure of a later time than now was reported by a clock that has been put back.
    if lifecycle.failure is not None and again is not None and lifecycle.failure.at <= view.now < again:
        when = f"wait until {again:%H:%M:%S}Z for the next attempt"
        return _waits(HoldKind.IN_FLIGHT, lifecycle.failure.reason, lifecycle.failure.message, when)
    match purpose:
        case Purpose.INSPECT:
            return _inspect(spec, state, view)
        case Purpose.INSTALL:
            return _install(spec, claim, state, view)
        case Purpose.WIPE:
            return _wipe(spec, state, view)


def _another_system(spec: MachineSpec, lifecycle: LifecycleFacts, state: SystemState, view: KindView) -> Steps:
    """The step for a claimed machine with a new system (such as a new mainboard). The machine is not inspected again;
    the new system is recorded, and the lifecycle continues."""
    word = spec.lifecycle.request if spec.lifecycle is not None else None
    system = system_identity.like_before(lifecycle, state)
    if word is None or system is None or system_identity.held_for_another_system(spec, lifecycle, state):
        return Steps()  # The hold is the machine's as a whole.
    reason = f"spec.lifecycle.request is {word!r}"
    return Steps((AcceptSystem(key=view.key, system=system, was=lifecycle.system or "", word=word, reason=reason),))


def _under_way(lifecycle: LifecycleFacts, wanted: Purpose | None, state: SystemState, view: KindView) -> Steps:
    if (
        phases.stage(lifecycle) is BootStage.ORDERED
        and lifecycle.boot_request is not None
        and wanted is not lifecycle.boot_request.purpose
    ):
        return Steps(
            (RecordLifecycle(key=view.key, reason=f"{lifecycle.boot_request.purpose} is no longer requested"),)
        )
    failure = _refused(lifecycle, view) or deadlines.overdue(lifecycle, view.now, off=state.power is PowerState.OFF)
    if failure is not None:
        return Steps((RecordLifecycle(key=view.key, failure=failure, reason=failure.message),))
    stage, boot_request = phases.stage(lifecycle), lifecycle.boot_request
    if stage is BootStage.ENDED and state.power is PowerState.OFF:
        return Steps((RecordLifecycle(key=view.key, reason="the agent has finished, and Machine is off"),))
    words = {
        BootStage.ORDERED: "Machine is booting into the agent",
        BootStage.WORKING: (boot_request.progress if boot_request is not None else None) or "the agent is running",
        BootStage.ENDED: "the agent has finished and is powering Machine off",
    }
    by = f"to {boot_request.purpose}" if boot_request is not None else "order"
    return _waits(
        HoldKind.IN_FLIGHT, by, words.get(stage, ""), "no action is needed; the change continues automatically"
    )


def _refused(lifecycle: LifecycleFacts, view: KindView) -> LifecycleFailure | None:
    """The step after an action that will not be sent again: the BMC refused it, or it is unknown whether the action
    arrived. The boot request ends, and the next one begins with the machine off."""
    for path in (virtual_media.MEDIA, SetBoot.path, PowerOn.path):
        failure = facts_in(view).failures.get(path)
        given_up = failure is not None and (failure.terminal or virtual_media.given_up(path, failure))
        if (
            failure is not None
            and given_up
            and lifecycle.boot_request is not None
            and failure.at >= lifecycle.boot_request.requested_at
        ):
            return deadlines.failed(
                lifecycle, LifecycleFailureReason.BOOT_REQUEST_FAILED, f"{path}: {failure.message}", view.now
            )
    return None


def _at_rest(lifecycle: LifecycleFacts, state: SystemState, view: KindView) -> Steps:
    if lifecycle.releasing_at is not None:
        if phases.unknown_runs(lifecycle, state):
            return _unknown_runs("free the machine")
        if state.power is not PowerState.OFF:
            return _waits(
                HoldKind.IN_FLIGHT,
                "release",
                "the disks are wiped; waiting until power is Off",
                "continues automatically when power is Off",
            )
        return Steps((Free(key=view.key, reason="Machine is wiped and off"),))
    if lifecycle.claim is not None and lifecycle.written is None:
        why = f"Machine is claimed, but MachineClaim/{lifecycle.claim} is not declared for the machine's project"
        return _waits(
            HoldKind.BLOCKED,
            "claim",
            why,
            "continues automatically when the claim is declared, or when the claim has released the machine",
        )
    if lifecycle.claim is not None and lifecycle.phoned_home_at is None:
        if deadlines.missing_home(lifecycle, view.now):
            why = "the installed OS has not phoned home; groundstate does not change the disk"
            hint = (
                "check the machine's console. A new spec.request of "
                f"MachineClaim/{lifecycle.claim} installs all machines of the claim again, over their data"
            )
            return _waits(HoldKind.FAILED, "NotHeardOf", why, hint)
        return _waits(
            HoldKind.IN_FLIGHT,
            "start",
            "waiting for the installed OS to phone home",
            "no action is needed; the change continues automatically",
        )
    if _started_by_others(lifecycle, state):
        hint = (
            "power the machine off; or set or change spec.lifecycle.request, and groundstate powers the machine "
            "off and inspects it"
        )
        return _waits(
            HoldKind.GUARD,
            HoldName.RUNNING,
            "Machine is unclaimed but powered on, and groundstate did not power it on; claims cannot get this machine",
            hint,
        )
    return Steps()


def _started_by_others(lifecycle: LifecycleFacts, state: SystemState) -> bool:
    """Whether an unclaimed machine is on without a boot request."""
    return lifecycle.claim is None and lifecycle.boot_request is None and state.power is PowerState.ON


def _inspect(spec: MachineSpec, state: SystemState, view: KindView) -> Steps:
    asked = spec.lifecycle.request if spec.lifecycle is not None else None
    started_here = facts_in(view).lifecycle.attempts > 0
    if state.power is not PowerState.OFF and asked == facts_in(view).lifecycle.heeded_request and not started_here:
        reason = f"power is {state.power}; groundstate does not power off a running machine to inspect it"
        hint = "power the machine off; or set or change spec.lifecycle.request, and groundstate powers the machine off"
        return _waits(HoldKind.GUARD, HoldName.RUNNING, reason, hint)
    reason = (
        "not inspected yet" if facts_in(view).lifecycle.inspected_at is None else "spec.lifecycle.request was changed"
    )
    return _order(RequestBoot, Purpose.INSPECT, asked, reason, spec, state, view)


def _install(spec: MachineSpec, claim: MachineClaimSpec | None, state: SystemState, view: KindView) -> Steps:
    facts = facts_in(view)
    if phases.unknown_runs(facts.lifecycle, state):
        return _unknown_runs("write the image")
    if claim is None or facts.image is None:
        why = "groundstate has not chosen an image yet"
        return _waits(HoldKind.BLOCKED, "image", why, "continues automatically when groundstate has chosen an image")
    missing = list(_without_address(facts.lifecycle, view))
    if missing:
        why = f"{', '.join(missing[:3])} {'is' if len(missing) == 1 else 'are'} not acquired yet"
        return _waits(HoldKind.BLOCKED, "addresses", why, "continues automatically when the addresses are acquired")
    written = facts.lifecycle.written
    boot_request = RequestBoot if written is None else RequestErasure
    reason = f"image {facts.image} will be written" + (f" over {written.image}" if written is not None else "")
    return _order(boot_request, Purpose.INSTALL, claim.request, reason, spec, state, view)


def _wipe(spec: MachineSpec, state: SystemState, view: KindView) -> Steps:
    if phases.unknown_runs(facts_in(view).lifecycle, state):
        return _unknown_runs("wipe its disks")
    if state.power is not PowerState.OFF:
        why = "waiting until power is Off before the wipe"
        return _waits(HoldKind.IN_FLIGHT, "release", why, "continues automatically when power is Off")
    reason = f"MachineClaim/{facts_in(view).lifecycle.claim} has released the machine"
    word = spec.lifecycle.request if spec.lifecycle is not None else None
    return _order(RequestErasure, Purpose.WIPE, word, reason, spec, state, view)


def _order(
    kind: type[RequestBoot],
    purpose: Purpose,
    word: str | None,
    reason: str,
    spec: MachineSpec,
    state: SystemState,
    view: KindView,
) -> Steps:
    image, attempt = virtual_media.image_for(spec, state, view.desired), _attempt(facts_in(view).lifecycle)
    if image is not None and not virtual_media.has_disc(state):
        why = "Machine is set to boot from virtual media, but its BMC offers no boot from a CD"
        hint = "set spec.lifecycle.startFrom of the Machine, or spec.boot.startFrom of its Partition, to Network"
        return _waits(HoldKind.FAILED, "virtual-media", why, hint)
    heeded = spec.lifecycle.request if spec.lifecycle is not None and purpose is not Purpose.INSPECT else None
    boot_request = kind(
        key=view.key,
        purpose=purpose,
        attempt=attempt,
        word=word,
        heeded=heeded,
        media=image,
        target=phases.start_target(image, state),
        reason=reason,
    )
    return Steps((boot_request,))


def _attempt(lifecycle: LifecycleFacts) -> int:
    """The number of the next attempt. After a change of spec.lifecycle.request it begins at one."""
    return 1 if lifecycle.failure is None or lifecycle.failure.final else lifecycle.attempts + 1


def _without_address(lifecycle: LifecycleFacts, view: KindView) -> Iterator[str]:
    """The addresses of the machine's slot that are not acquired yet."""
    for key in slot_addresses(view.desired, lifecycle) if view.desired is not None else ():
        seen = view.observed.get(key)
        if seen is None or not isinstance(seen.value, AddressState) or seen.value.address is None:
            yield display_key(key)


def _asked_anew(spec: MachineSpec, lifecycle: LifecycleFacts, claim: MachineClaimSpec | None) -> bool:
    """Whether spec.lifecycle.request was changed since the failure began."""
    word = spec.lifecycle.request if spec.lifecycle is not None else None
    if lifecycle.claim is not None and lifecycle.releasing_at is None:
        return claim is not None and (
            claim.request != lifecycle.tried_request or word not in (None, lifecycle.heeded_request)
        )
    return spec.lifecycle is not None and word != lifecycle.tried_request


def _unknown_runs(why: str) -> Steps:
    reason = "Machine is powered on, but the store has no record of an installation (restored backup?)"
    return _waits(
        HoldKind.GUARD,
        HoldName.RUNNING,
        reason,
        (f"check what runs on the machine; groundstate can {why} after the machine is powered off"),
    )


def _waits(kind: HoldKind, by: str, reason: str, hint: str) -> Steps:
    return Steps(holds=(Hold(kind, by, reason, hint, LIFECYCLE_PATH),))

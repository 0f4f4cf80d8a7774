"""A managed machine's lifecycle: its phase by the facts, and what the machine needs next. Pure.

The phases are derived each time and never stored. An unclaimed machine is off. No disk is written or wiped without a
boot request for exactly that. A machine is observed off before it boots for a boot request.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from drivers.base import BootEnabled, BootTarget, PowerState, SystemState
from reconciler.kinds.claim.spec import MachineClaimSpec, claim_of
from reconciler.kinds.common.machine_facts import BootRequest, LifecycleFacts, MachineFacts
from reconciler.kinds.machine.lifecycle import virtual_media
from reconciler.kinds.machine.lifecycle.deadlines import GRACE, overdue
from reconciler.kinds.machine.lifecycle.system_identity import another_system, held_for_another_system
from reconciler.kinds.machine.spec import BootSpec, Escalate, MachineSpec, ShutdownSpec, managed, once_order
from reconciler.model.actions.bmc_actions import SetBoot
from reconciler.model.resource import DesiredState
from reconciler.model.values.boot_purpose import LifecycleFailureReason, Purpose

NO_SYSTEM = ShutdownSpec(timeout_seconds=30, escalate=Escalate.FORCE)
"""How to power off a machine on which only the agent can run; the agent does not react to a power button."""
CRASH_STARTS = 3
CRASH_WITHIN = timedelta(minutes=15)
"""A system that starts several times within this time, without a report, is in a crash loop."""


class Phase(StrEnum):
    """The phase of a managed machine in its lifecycle."""

    DISCOVERED = "Discovered"
    INSPECTING = "Inspecting"
    AVAILABLE = "Available"
    CLAIMED = "Claimed"
    PROVISIONING = "Provisioning"
    RUNNING = "Running"
    RELEASING = "Releasing"
    ERROR = "Error"


class BootStage(StrEnum):
    """The stage of a boot request."""

    NONE = "none"
    ORDERED = "ordered"
    WORKING = "working"
    ENDED = "ended"


def claim_spec(facts: MachineFacts, desired: DesiredState | None) -> MachineClaimSpec | None:
    """The current spec of the claim to which the machine is bound. None if the claim is no longer declared, or now
    belongs to another project: then it is another claim of the same name."""
    claim = claim_of(desired, facts.lifecycle) if desired is not None else None
    return claim.spec if claim is not None and claim.spec.project == facts.project else None


def stage(lifecycle: LifecycleFacts) -> BootStage:
    """The stage of the open boot request."""
    request = lifecycle.boot_request
    if request is None:
        return BootStage.NONE
    if request.ended_at is not None:
        return BootStage.ENDED
    return BootStage.ORDERED if request.registered_at is None else BootStage.WORKING


def phase(facts: MachineFacts, claim: MachineClaimSpec | None) -> Phase:
    """The phase of the machine. A machine with a final failure is in Error, whether it is claimed or not."""
    lifecycle = facts.lifecycle
    if lifecycle.failure is not None and lifecycle.failure.final:
        return Phase.ERROR
    if lifecycle.releasing_at is not None:
        return Phase.RELEASING
    if lifecycle.claim is not None:
        if lifecycle.boot_request is not None or lifecycle.written is not None:
            running = lifecycle.phoned_home_at is not None and purpose(facts, None, claim) is None
            return Phase.RUNNING if running and lifecycle.boot_request is None else Phase.PROVISIONING
        return Phase.CLAIMED
    if lifecycle.boot_request is not None:
        return Phase.INSPECTING
    return Phase.DISCOVERED if lifecycle.inspected_at is None else Phase.AVAILABLE


def goal(lifecycle: LifecycleFacts) -> Phase:
    """The phase that the machine should reach."""
    return Phase.RUNNING if lifecycle.claim is not None and lifecycle.releasing_at is None else Phase.AVAILABLE


def purpose(facts: MachineFacts, spec: MachineSpec | None, claim: MachineClaimSpec | None) -> Purpose | None:
    """The purpose for which the machine must boot the agent next; None: no need."""
    lifecycle = facts.lifecycle
    if lifecycle.releasing_at is not None:
        return Purpose.WIPE if lifecycle.wiped is None or lifecycle.wiped.at < lifecycle.releasing_at else None
    if lifecycle.claim is not None:
        return None if claim is None or installed(facts, claim) else Purpose.INSTALL
    asked = spec.lifecycle.request if spec is not None and spec.lifecycle is not None else lifecycle.heeded_request
    return Purpose.INSPECT if lifecycle.inspected_at is None or asked not in (None, lifecycle.heeded_request) else None


def installed(facts: MachineFacts, claim: MachineClaimSpec) -> bool:
    """Whether the claim's image is on the disk, and the claim requested no newer installation."""
    lifecycle, written = facts.lifecycle, facts.lifecycle.written
    if written is None or written.claim != lifecycle.claim:
        return False
    return facts.image in (None, written.image) and written.document_request == claim.request


# -- what is asked of the BMC ------------------------------------------------------------------------------------------


def boot_of(facts: MachineFacts, state: SystemState) -> BootSpec | None:
    """The one-time boot override that the BMC should have. For an open boot request it is the network or the virtual
    drive, otherwise the disk that was written last. None: the boot order of the BMC is right."""
    lifecycle = facts.lifecycle
    if lifecycle.boot_request is not None:
        return BootSpec(
            target=lifecycle.boot_request.target or BootTarget.PXE,
            enabled=BootEnabled.ONCE,
            request=f"order {lifecycle.boot_request.id}",
        )
    if lifecycle.claim is None or lifecycle.written is None or lifecycle.releasing_at is not None:
        return None
    if state.allowed_boot_targets is not None and BootTarget.HDD not in state.allowed_boot_targets:
        return None  # Then the boot service sends it to its disk.
    refused = facts.failures.get(SetBoot.path)
    if refused is not None and refused.terminal and refused.at >= lifecycle.written.at:
        return None
    word = f"written {lifecycle.written.at.isoformat()}"
    return BootSpec(target=BootTarget.HDD, enabled=BootEnabled.ONCE, request=word)


def start_target(image: str | None, state: SystemState) -> BootTarget:
    """The boot target for a boot from the network, or from this CD image."""
    if image is not None:
        return virtual_media.disc(state)
    offered = state.allowed_boot_targets
    if offered is not None and BootTarget.PXE not in offered and BootTarget.UEFI_HTTP in offered:
        return BootTarget.UEFI_HTTP
    return BootTarget.PXE


def effective_machine(
    spec: MachineSpec, facts: MachineFacts, state: SystemState, claim: MachineClaimSpec | None, now: datetime
) -> MachineSpec:
    """The document with the values that the lifecycle adds: project, image, boot override and power. A machine in mode
    Observe keeps the values of its claim."""
    if not managed(spec):
        kept = facts.lifecycle.claim is not None and facts.lifecycle.releasing_at is None
        return msgspec.structs.replace(spec, project=facts.project, image=facts.image) if kept else spec
    lifecycle = facts.lifecycle
    project = facts.project if claim is None else claim.project
    image = facts.image if claim is None or lifecycle.releasing_at is not None else claim.image
    boot, power = _driven(facts, state, claim, now)
    shutdown = NO_SYSTEM if nothing_to_lose(lifecycle) else spec.shutdown
    return msgspec.structs.replace(spec, project=project, image=image, boot=boot, power=power, shutdown=shutdown)


def nothing_to_lose(lifecycle: LifecycleFacts) -> bool:
    """Whether no installed system can be running. The machine was observed off. Since then groundstate has booted only
    an agent, which has not written a system or has not finished."""
    ended = stage(lifecycle) is BootStage.ENDED
    return lifecycle.stopped_at is not None and (lifecycle.written is None or ended)


def unknown_runs(lifecycle: LifecycleFacts, state: SystemState) -> bool:
    """Whether the machine is on, and by the store nothing is installed on it and groundstate did not power it on. For
    example, the store was restored from a backup of before the installation."""
    return lifecycle.written is None and lifecycle.stopped_at is None and state.power is PowerState.ON


def _driven(
    facts: MachineFacts, state: SystemState, claim: MachineClaimSpec | None, now: datetime
) -> tuple[BootSpec | None, str | None]:
    lifecycle, boot, off = facts.lifecycle, boot_of(facts, state), state.power is PowerState.OFF
    given = boot is not None and facts.once_done == once_order(boot)
    if lifecycle.boot_request is not None:
        if given or lifecycle.boot_request.registered_at is not None:
            return (boot if given else None), _power_under(lifecycle.boot_request, now)
        # It is stopped first: an order that is given to a machine that runs may be used up by whoever restarts it.
        return (boot, "Off") if off and virtual_media.media_ready(lifecycle, state) else (None, "Off")
    if lifecycle.releasing_at is not None:
        return None, None if unknown_runs(lifecycle, state) else "Off"
    if lifecycle.claim is not None:
        if claim is None or not installed(facts, claim):
            return None, None
        return (boot if given or off else None), "On"
    return None, None  # Whoever started an unclaimed machine had a reason.


def boot_request_still_wanted(
    spec: MachineSpec, facts: MachineFacts, state: SystemState, claim: MachineClaimSpec | None, now: datetime
) -> bool:
    """Whether the open boot request is still needed: the current documents and observations would create the same one
    again."""
    lifecycle = facts.lifecycle
    if lifecycle.boot_request is None or left_to_people(spec):
        return False
    if (
        held_for_another_system(spec, lifecycle, state)
        or (lifecycle.claim and another_system(lifecycle, state))
        or overdue(lifecycle, now) is not None
    ):
        return False
    return stage(lifecycle) is not BootStage.ORDERED or purpose(facts, spec, claim) is lifecycle.boot_request.purpose


def left_to_people(spec: MachineSpec) -> bool:
    """Whether the document pauses the lifecycle of the machine."""
    return not managed(spec) or spec.suspend is not None or spec.maintenance is not None


def unattended(lifecycle: LifecycleFacts) -> LifecycleFacts:
    """The lifecycle facts of a machine of which groundstate does not know who powered it on. No boot request is open.
    The next one begins like the first, with all protections of a running machine."""
    if lifecycle.boot_request is None and not lifecycle.attempts and lifecycle.stopped_at is None:
        return lifecycle  # As it is for most of a fleet at each look.
    return msgspec.structs.replace(lifecycle, boot_request=None, attempts=0, stopped_at=None)


def observe_power(spec: MachineSpec, lifecycle: LifecycleFacts, state: SystemState, now: datetime) -> LifecycleFacts:
    """The lifecycle facts after an observation. A machine that is on while it is left to people may be used by them,
    unless an agent reports or has just finished."""
    lifecycle = _by_this_clock(lifecycle, now)
    if not left_to_people(spec) or state.power is not PowerState.ON:
        return lifecycle
    at_work = stage(lifecycle) is BootStage.WORKING and overdue(lifecycle, now) is None
    ended_at = lifecycle.boot_request.ended_at if lifecycle.boot_request is not None else None
    ending = ended_at is not None and now < ended_at + GRACE
    return lifecycle if at_work or ending else unattended(lifecycle)


def _by_this_clock(lifecycle: LifecycleFacts, now: datetime) -> LifecycleFacts:
    """The facts with times that are not later than now. If the clock was put back, waits count from now on; otherwise
    they would end only when the clock has caught up."""
    request = lifecycle.boot_request
    if request is None:
        return lifecycle
    times = {name: getattr(request, name) for name in ("requested_at", "registered_at", "last_heard_at", "ended_at")}
    late = {name: now for name, at in times.items() if at is not None and at > now}
    stopped_at = lifecycle.stopped_at if lifecycle.stopped_at is None else min(lifecycle.stopped_at, now)
    if not late and stopped_at == lifecycle.stopped_at:
        return lifecycle
    return msgspec.structs.replace(lifecycle.progressed(**late), stopped_at=stopped_at)


class AgentTask(StrEnum):
    """What the agent must do now."""

    WAIT = "wait"
    INSTALL = "install"
    WIPE = "wipe"
    POWER_OFF = "poweroff"


def agent_task(facts: MachineFacts, claim: MachineClaimSpec | None) -> AgentTask:
    """What the agent must do now. It writes and wipes only for a boot request with that purpose, and only while the
    machine's claim still says so."""
    lifecycle = facts.lifecycle
    if stage(lifecycle) is not BootStage.WORKING or lifecycle.boot_request is None:
        return AgentTask.POWER_OFF
    match lifecycle.boot_request.purpose:
        case Purpose.INSTALL:
            bound = lifecycle.claim is not None and lifecycle.releasing_at is None and facts.image is not None
            return AgentTask.INSTALL if bound and claim is not None else AgentTask.POWER_OFF
        case Purpose.WIPE:
            return AgentTask.WIPE if lifecycle.releasing_at is not None else AgentTask.POWER_OFF
        case Purpose.INSPECT:
            return AgentTask.POWER_OFF


# -- what keeps an order from going on ---------------------------------------------------------------------------------


def crash_loop_is_over(lifecycle: LifecycleFacts, state: SystemState, now: datetime) -> bool:
    """Whether a crash loop is over: the machine is on, and was not started again. A system whose token is used or
    expired cannot report this."""
    looping = lifecycle.failure is not None and lifecycle.failure.reason is LifecycleFailureReason.CRASH_LOOP
    return (
        looping
        and state.power is PowerState.ON
        and bool(lifecycle.starts)
        and now >= lifecycle.starts[-1] + CRASH_WITHIN
    )


def _power_under(request: BootRequest, now: datetime) -> str | None:
    """The power state during a boot request. On until the agent reports. While the agent works, groundstate does not
    change the power, so Off means that the agent has stopped. At the end the agent powers off, or groundstate does."""
    if request.ended_at is not None:
        return None if now < request.ended_at + GRACE else "Off"
    return "On" if request.registered_at is None else None

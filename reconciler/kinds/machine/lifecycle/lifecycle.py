"""A managed machine's lifecycle: what its facts come to, and what they ask for next. Pure.

The phases are derived each time and never stored. An unclaimed machine is off. Nothing is ever written to a disk, or
wiped off it, without a boot request for just that. A machine is observed off before it is booted for one.
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
from reconciler.model.action import SetBoot
from reconciler.model.event import EventReason
from reconciler.model.resource import DesiredState
from reconciler.model.values.boot_purpose import Purpose

NO_SYSTEM = ShutdownSpec(timeout_seconds=30, escalate=Escalate.FORCE)
"""For a machine on which only the agent can be running, which does not hear a power button."""
CRASH_LOOP = EventReason.CRASH_LOOP
CRASH_STARTS = 3
CRASH_WITHIN = timedelta(minutes=15)
"""A system that is started so often in that time, and does not call, is in a crash loop."""


class Phase(StrEnum):
    """Where a managed machine is in its lifecycle."""

    DISCOVERED = "Discovered"
    INSPECTING = "Inspecting"
    AVAILABLE = "Available"
    CLAIMED = "Claimed"
    PROVISIONING = "Provisioning"
    RUNNING = "Running"
    RELEASING = "Releasing"
    ERROR = "Error"


class BootStage(StrEnum):
    """How far an order has come."""

    NONE = "none"
    ORDERED = "ordered"
    WORKING = "working"
    ENDED = "ended"


def claim_spec(facts: MachineFacts, desired: DesiredState | None) -> MachineClaimSpec | None:
    """What the claim that the machine is bound to says now. None when it is not declared any more, or is another
    project's by now. Then it is another claim of the same name, which has no word in this machine."""
    claim = claim_of(desired, facts.lifecycle) if desired is not None else None
    return claim.spec if claim is not None and claim.spec.project == facts.project else None


def stage(life: LifecycleFacts) -> BootStage:
    """How far the order under way has come."""
    request = life.boot_request
    if request is None:
        return BootStage.NONE
    if request.ended_at is not None:
        return BootStage.ENDED
    return BootStage.ORDERED if request.registered_at is None else BootStage.WORKING


def phase(facts: MachineFacts, claim: MachineClaimSpec | None) -> Phase:
    """Where the machine is in its lifecycle. A machine whose failure is final is in Error, whosever it is."""
    life = facts.lifecycle
    if life.failure is not None and life.failure.final:
        return Phase.ERROR
    if life.releasing_at is not None:
        return Phase.RELEASING
    if life.claim is not None:
        if life.boot_request is not None or life.written is not None:
            running = life.phoned_home_at is not None and purpose(facts, None, claim) is None
            return Phase.RUNNING if running and life.boot_request is None else Phase.PROVISIONING
        return Phase.CLAIMED
    if life.boot_request is not None:
        return Phase.INSPECTING
    return Phase.DISCOVERED if life.inspected_at is None else Phase.AVAILABLE


def goal(life: LifecycleFacts) -> Phase:
    """Where it is on its way to."""
    return Phase.RUNNING if life.claim is not None and life.releasing_at is None else Phase.AVAILABLE


def purpose(facts: MachineFacts, spec: MachineSpec | None, claim: MachineClaimSpec | None) -> Purpose | None:
    """What the machine must be started from the network for, if for anything."""
    life = facts.lifecycle
    if life.releasing_at is not None:
        return Purpose.WIPE if life.wiped is None or life.wiped.at < life.releasing_at else None
    if life.claim is not None:
        return None if claim is None or installed(facts, claim) else Purpose.INSTALL
    asked = spec.lifecycle.request if spec is not None and spec.lifecycle is not None else life.heeded_request
    return Purpose.INSPECT if life.inspected_at is None or asked not in (None, life.heeded_request) else None


def installed(facts: MachineFacts, claim: MachineClaimSpec) -> bool:
    """Whether the claim's image, and none that was asked for since, is on the disk."""
    life, written = facts.lifecycle, facts.lifecycle.written
    if written is None or written.claim != life.claim:
        return False
    return facts.image in (None, written.image) and written.document_request == claim.request


# -- what is asked of the BMC ------------------------------------------------------------------------------------------


def boot_of(facts: MachineFacts, state: SystemState) -> BootSpec | None:
    """The one-time boot that is, or is to be, ordered of the BMC. For an order under way from the network, or from the
    virtual drive, else from the disk that was written last. None where the BMC's own order will do."""
    life = facts.lifecycle
    if life.boot_request is not None:
        return BootSpec(
            target=life.boot_request.target or BootTarget.PXE,
            enabled=BootEnabled.ONCE,
            request=f"order {life.boot_request.id}",
        )
    if life.claim is None or life.written is None or life.releasing_at is not None:
        return None
    if state.allowed_boot_targets is not None and BootTarget.HDD not in state.allowed_boot_targets:
        return None  # Then the boot service sends it to its disk.
    refused = facts.failures.get(SetBoot.path)
    if refused is not None and refused.terminal and refused.at >= life.written.at:
        return None
    word = f"written {life.written.at.isoformat()}"
    return BootSpec(target=BootTarget.HDD, enabled=BootEnabled.ONCE, request=word)


def start_target(image: str | None, state: SystemState) -> BootTarget:
    """The boot target for a start from the network, or from this CD image."""
    if image is not None:
        return virtual_media.disc(state)
    offered = state.allowed_boot_targets
    if offered is not None and BootTarget.PXE not in offered and BootTarget.UEFI_HTTP in offered:
        return BootTarget.UEFI_HTTP
    return BootTarget.PXE


def effective_machine(
    spec: MachineSpec, facts: MachineFacts, state: SystemState, claim: MachineClaimSpec | None, now: datetime
) -> MachineSpec:
    """The document with what its life asks for put in: project and image, boot override and power. One that is only
    observed for a while keeps what its claim gave it."""
    if not managed(spec):
        kept = facts.lifecycle.claim is not None and facts.lifecycle.releasing_at is None
        return msgspec.structs.replace(spec, project=facts.project, image=facts.image) if kept else spec
    life = facts.lifecycle
    project = facts.project if claim is None else claim.project
    image = facts.image if claim is None or life.releasing_at is not None else claim.image
    boot, power = _driven(facts, state, claim, now)
    shutdown = NO_SYSTEM if nothing_to_lose(life) else spec.shutdown
    return msgspec.structs.replace(spec, project=project, image=image, boot=boot, power=power, shutdown=shutdown)


def nothing_to_lose(life: LifecycleFacts) -> bool:
    """Whether no system that anybody installed can be running. It was seen off, and has since started from here, for an
    agent that has not written one or has not ended yet."""
    ended = stage(life) is BootStage.ENDED
    return life.stopped_at is not None and (life.written is None or ended)


def unknown_runs(life: LifecycleFacts, state: SystemState) -> bool:
    """Whether it runs, and by what is remembered nothing is installed on it, nor was it started from here. Such is a
    store that was restored from a backup of before the installation, or of before another claim got the machine."""
    return life.written is None and life.stopped_at is None and state.power is PowerState.ON


def _driven(
    facts: MachineFacts, state: SystemState, claim: MachineClaimSpec | None, now: datetime
) -> tuple[BootSpec | None, str | None]:
    life, boot, off = facts.lifecycle, boot_of(facts, state), state.power is PowerState.OFF
    given = boot is not None and facts.once_done == once_order(boot)
    if life.boot_request is not None:
        if given or life.boot_request.registered_at is not None:
            return (boot if given else None), _power_under(life.boot_request, now)
        # It is stopped first: an order that is given to a machine that runs may be used up by whoever restarts it.
        return (boot, "Off") if off and virtual_media.media_ready(life, state) else (None, "Off")
    if life.releasing_at is not None:
        return None, None if unknown_runs(life, state) else "Off"
    if life.claim is not None:
        if claim is None or not installed(facts, claim):
            return None, None
        return (boot if given or off else None), "On"
    return None, None  # Whoever started an unclaimed machine had a reason.


def boot_request_still_wanted(
    spec: MachineSpec, facts: MachineFacts, state: SystemState, claim: MachineClaimSpec | None, now: datetime
) -> bool:
    """Whether the order under way is still meant: what git says by now, and what is seen, would give it again."""
    life = facts.lifecycle
    if life.boot_request is None or left_to_people(spec):
        return False
    if (
        held_for_another_system(spec, life, state)
        or (life.claim and another_system(life, state))
        or overdue(life, now) is not None
    ):
        return False
    return stage(life) is not BootStage.ORDERED or purpose(facts, spec, claim) is life.boot_request.purpose


def left_to_people(spec: MachineSpec) -> bool:
    """Whether nothing is done in its lifecycle at present, by what the document says."""
    return not managed(spec) or spec.suspend is not None or spec.maintenance is not None


def unattended(life: LifecycleFacts) -> LifecycleFacts:
    """The life of a machine of which nobody knows who started what runs there, if anything does. No order is under way,
    and the next one begins like the first, with all that protects a machine that runs."""
    return msgspec.structs.replace(life, boot_request=None, attempts=0, stopped_at=None)


def observe_power(spec: MachineSpec, life: LifecycleFacts, state: SystemState, now: datetime) -> LifecycleFacts:
    """The life after a look. What runs while the machine is left to people may be theirs, but for an agent that calls
    or has just done its work."""
    life = _by_this_clock(life, now)
    if not left_to_people(spec) or state.power is not PowerState.ON:
        return life
    at_work = stage(life) is BootStage.WORKING and overdue(life, now) is None
    ended_at = life.boot_request.ended_at if life.boot_request is not None else None
    ending = ended_at is not None and now < ended_at + GRACE
    return life if at_work or ending else unattended(life)


def _by_this_clock(life: LifecycleFacts, now: datetime) -> LifecycleFacts:
    """What an order waits for since a later time than now, by a clock that has been put back, counts from now on. What
    is overdue would be noticed when the clock has caught up, perhaps in years."""
    request = life.boot_request
    if request is None:
        return life
    times = {name: getattr(request, name) for name in ("requested_at", "registered_at", "last_heard_at", "ended_at")}
    late = {name: now for name, at in times.items() if at is not None and at > now}
    stopped_at = life.stopped_at if life.stopped_at is None else min(life.stopped_at, now)
    if not late and stopped_at == life.stopped_at:
        return life
    return msgspec.structs.replace(life.progressed(**late), stopped_at=stopped_at)


class AgentTask(StrEnum):
    """What the agent is to do now."""

    WAIT = "wait"
    INSTALL = "install"
    WIPE = "wipe"
    POWER_OFF = "poweroff"


def agent_task(facts: MachineFacts, claim: MachineClaimSpec | None) -> AgentTask:
    """What the agent is to do now. It writes and wipes only under an order that was given for that, to a machine whose
    claim still says so."""
    life = facts.lifecycle
    if stage(life) is not BootStage.WORKING or life.boot_request is None:
        return AgentTask.POWER_OFF
    match life.boot_request.purpose:
        case Purpose.INSTALL:
            bound = life.claim is not None and life.releasing_at is None and facts.image is not None
            return AgentTask.INSTALL if bound and claim is not None else AgentTask.POWER_OFF
        case Purpose.WIPE:
            return AgentTask.WIPE if life.releasing_at is not None else AgentTask.POWER_OFF
        case Purpose.INSPECT:
            return AgentTask.POWER_OFF


# -- what keeps an order from going on ---------------------------------------------------------------------------------


def crash_loop_is_over(life: LifecycleFacts, state: SystemState, now: datetime) -> bool:
    """Whether a crash loop is over: the machine runs, and was not started again. A system whose token to call with is
    used up or expired cannot say so itself."""
    looping = life.failure is not None and life.failure.reason == CRASH_LOOP
    return looping and state.power is PowerState.ON and bool(life.starts) and now >= life.starts[-1] + CRASH_WITHIN


def _power_under(request: BootRequest, now: datetime) -> str | None:
    """On until the agent calls. While it is at work nobody else touches the power: that it is off then means that it
    has gone. In the end it switches off by itself, and is switched off when it does not."""
    if request.ended_at is not None:
        return None if now < request.ended_at + GRACE else "Off"
    return "On" if request.registered_at is None else None

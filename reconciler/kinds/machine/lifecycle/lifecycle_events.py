"""Which reports are expected in which stage of the lifecycle, and how each changes the facts. Pure."""

from __future__ import annotations

from datetime import datetime

import msgspec

from reconciler.kinds.common.machine_facts import BootRequest, FactType, LifecycleFacts, Wiped, Written
from reconciler.kinds.machine.lifecycle.deadlines import duration_words, failed
from reconciler.kinds.machine.lifecycle.phases import CRASH_STARTS, CRASH_WITHIN, BootStage, stage
from reconciler.model.event import EventReason
from reconciler.model.values.boot_purpose import LifecycleFailure, LifecycleFailureReason, Purpose

INSTALLS_KEPT = 16
"""How many installations are remembered. Each attempt erases the disk before it writes, so older installations leave
nothing."""
EXPECTED: dict[FactType, frozenset[tuple[BootStage, Purpose | None]]] = {
    FactType.SCRIPT_SERVED: frozenset((BootStage.ORDERED, one) for one in Purpose),
    FactType.SENT_TO_DISK: frozenset({(BootStage.NONE, None)}),
    FactType.REGISTERED: frozenset((BootStage.ORDERED, one) for one in Purpose),
    FactType.INSTALL_SERVED: frozenset({(BootStage.WORKING, Purpose.INSTALL)}),
    FactType.ALIVE: frozenset((stage_, one) for one in Purpose for stage_ in (BootStage.WORKING, BootStage.ENDED)),
    FactType.WRITTEN: frozenset({(BootStage.WORKING, Purpose.INSTALL)}),
    FactType.WIPED: frozenset({(BootStage.WORKING, Purpose.WIPE)}),
    FactType.AGENT_FAILED: frozenset((BootStage.WORKING, one) for one in Purpose),
    # An agent's power-off may come out as a restart.
    FactType.PHONED_HOME: frozenset({(BootStage.NONE, None), (BootStage.ENDED, Purpose.INSTALL)}),
}
"""For each report, the stages and purposes in which it is expected. Other reports are recorded as unexpected and change
nothing. The exception is a system that reports from a machine that is being released."""


class FactApplied(msgspec.Struct, frozen=True):
    """The result of a report: the lifecycle facts after it, and its event; no reason: no event. `expected` False: only
    the failure changed."""

    lifecycle: LifecycleFacts
    reason: EventReason | None
    message: str
    expected: bool = True


def apply_fact(lifecycle: LifecycleFacts, fact: FactType, detail: str, image: str | None, now: datetime) -> FactApplied:
    """The lifecycle facts after a report. `image`: the pinned image, which an installation writes."""
    boot_request, at = lifecycle.boot_request, stage(lifecycle)
    if (at, boot_request.purpose if boot_request else None) not in EXPECTED[fact] or _out_of_place(lifecycle, fact):
        return _unexpected(lifecycle, fact, detail, now)
    replace = msgspec.structs.replace
    match fact:
        case FactType.SCRIPT_SERVED:
            return FactApplied(lifecycle.progressed(served_at=now), EventReason.SCRIPT_SERVED, detail)
        case FactType.SENT_TO_DISK:
            return _sent_to_disk(lifecycle, detail, now)
        case FactType.REGISTERED:
            lifecycle = lifecycle.progressed(registered_at=now, last_heard_at=now)
            if boot_request is not None and boot_request.purpose is Purpose.INSPECT:
                heeded = boot_request.document_request
                lifecycle = replace(
                    lifecycle.progressed(ended_at=now), inspected_at=now, heeded_request=heeded, attempts=0
                )
            else:  # From here on what was on the disk is on its way out.
                lifecycle = replace(lifecycle, written=None, phoned_home_at=None, installs=_installs(lifecycle))
            return FactApplied(lifecycle, EventReason.AGENT_REGISTERED, detail)
        case FactType.INSTALL_SERVED:
            name, has_word, word = detail.partition("\n")
            lifecycle = lifecycle.progressed(image=name, document_request=word if has_word else None)
            return FactApplied(lifecycle, None, "")
        case FactType.ALIVE:
            return FactApplied(lifecycle.progressed(last_heard_at=now, progress=detail or None), None, detail)
        case FactType.WRITTEN:
            got = boot_request or BootRequest("", Purpose.INSTALL, now)
            wrote = got.image or image or ""
            written = Written(wrote, detail, lifecycle.claim or "", now, got.document_request, got.id)
            lifecycle = lifecycle.progressed(last_heard_at=now, ended_at=now)
            lifecycle = replace(lifecycle, written=written, phoned_home_at=None, attempts=0)
            return FactApplied(lifecycle, EventReason.IMAGE_WRITTEN, f"{written.image}, read back as {detail}")
        case FactType.WIPED:
            proof = tuple(line for line in detail.splitlines() if line.strip())
            # A clock that was put back must not have it wiped again and again until it has caught up.
            wiped = Wiped(max(now, lifecycle.releasing_at or now), proof)
            lifecycle = lifecycle.progressed(last_heard_at=now, ended_at=now)
            lifecycle = replace(lifecycle, wiped=wiped, written=None, installs=(), attempts=0)
            return FactApplied(lifecycle, EventReason.DISKS_WIPED, "; ".join(proof))
        case FactType.AGENT_FAILED:
            failure = failed(lifecycle, LifecycleFailureReason.AGENT_FAILED, detail or "the agent gave no reason", now)
            return FactApplied(
                replace(lifecycle, boot_request=None, failure=failure), EventReason.AGENT_FAILED, failure.message
            )
        case FactType.PHONED_HOME:
            lifecycle = replace(
                lifecycle, boot_request=None, phoned_home_at=now, stopped_at=None, failure=None, starts=()
            )
            return FactApplied(lifecycle, EventReason.PHONED_HOME, detail)


def install_served(image: str, document_request: str | None) -> str:
    """The detail of the report that an agent got this image to install, for this `request` of the claim's document."""
    return image if document_request is None else f"{image}\n{document_request}"


def _installs(lifecycle: LifecycleFacts) -> tuple[str, ...]:
    """The known installations, with the one of the open boot request."""
    written, boot_request = lifecycle.written, lifecycle.boot_request
    ids = (
        *lifecycle.installs,
        written.boot_request if written is not None else "",
        boot_request.id if boot_request is not None else "",
    )
    return tuple(dict.fromkeys(one for one in ids if one))[-INSTALLS_KEPT:]


def _sent_to_disk(lifecycle: LifecycleFacts, detail: str, now: datetime) -> FactApplied:
    starts = (*lifecycle.starts, now)[-CRASH_STARTS:]
    lifecycle = msgspec.structs.replace(lifecycle, starts=starts)
    if lifecycle.written is None or len(starts) < CRASH_STARTS or now - starts[0] > CRASH_WITHIN:
        return FactApplied(lifecycle, EventReason.SENT_TO_DISK, detail)
    why = f"started {len(starts)} times within {duration_words(CRASH_WITHIN)}; the installed OS has not phoned home"
    looping = LifecycleFailure(LifecycleFailureReason.CRASH_LOOP, why, now)
    return FactApplied(msgspec.structs.replace(lifecycle, failure=looping), EventReason.CRASH_LOOP, why)


def _out_of_place(lifecycle: LifecycleFacts, fact: FactType) -> bool:
    return fact is FactType.PHONED_HOME and (
        lifecycle.claim is None or lifecycle.written is None or lifecycle.releasing_at is not None
    )


_STAGES = {
    BootStage.NONE: "without a boot request",
    BootStage.ORDERED: "before the agent registered",
    BootStage.WORKING: "while the agent works",
    BootStage.ENDED: "after the agent had finished",
}
"""When a report came, by the stage of the boot request."""


def _unexpected(lifecycle: LifecycleFacts, fact: FactType, detail: str, now: datetime) -> FactApplied:
    when = _STAGES[stage(lifecycle)] + (f" ({lifecycle.boot_request.purpose})" if lifecycle.boot_request else "")
    if fact is FactType.PHONED_HOME and lifecycle.releasing_at is not None:
        # The old system still runs (metal-stack: failed_machine_reclaim).
        failure = LifecycleFailure(
            LifecycleFailureReason.FAILED_RECLAIM,
            "the previously installed OS phoned home during the release: Machine booted from its disk, so "
            "the wipe did not start",
            now,
        )
        kept = (
            lifecycle
            if lifecycle.failure is not None and lifecycle.failure.final
            else msgspec.structs.replace(lifecycle, failure=failure)
        )
        return FactApplied(kept, EventReason.FAILED_RECLAIM, failure.message, expected=False)
    return FactApplied(
        lifecycle,
        EventReason.UNEXPECTED_FACT,
        (f"unexpected report {fact} {when}") + (f": {detail}" if detail else ""),
        expected=False,
    )

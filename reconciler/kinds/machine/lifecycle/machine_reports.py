"""How reports of the boot service, the agent or an installed system change the facts of a machine. Pure."""

from __future__ import annotations

from datetime import datetime

import msgspec

from reconciler.kinds.common.fact_rules import ReportOutcome
from reconciler.kinds.common.machine_facts import FactType, LifecycleFacts, MachineFacts
from reconciler.kinds.machine.lifecycle.deadlines import SERVED_WITHIN
from reconciler.kinds.machine.lifecycle.lifecycle_events import apply_fact
from reconciler.kinds.machine.lifecycle.phases import BootStage, stage, unattended
from reconciler.model.event import EventType


def is_over(facts: MachineFacts, fact: FactType, request_id: str | None) -> bool:
    """Whether the report is for a boot request that has ended. `request_id` None: the report names no boot request."""
    return request_id is not None and request_id != _order_of(facts.lifecycle, fact)


def apply_report(before: MachineFacts, fact: FactType, detail: str, system: str | None, now: datetime) -> ReportOutcome:
    """Apply a report. `system`: the identity of the system at the BMC, if it is known."""
    taken = apply_fact(before.lifecycle, fact, detail, before.image, now)
    severity = EventType.NORMAL if taken.expected and taken.lifecycle.failure is None else EventType.WARNING
    if taken.lifecycle == before.lifecycle:
        return ReportOutcome(before, taken.reason, taken.message, severity)
    after = msgspec.structs.replace(before, lifecycle=taken.lifecycle)
    if fact is FactType.PHONED_HOME and taken.expected:
        after = msgspec.structs.replace(after, disrupted_at=None)
    if fact is FactType.REGISTERED and system is not None:
        after = msgspec.structs.replace(after, lifecycle=msgspec.structs.replace(after.lifecycle, system=system))
    # Signs of life come every few seconds; after a crash one of half a minute ago will do.
    return ReportOutcome(after, taken.reason, taken.message, severity, may_be_lost=fact is FactType.ALIVE)


def facts_at_start(facts: MachineFacts, now: datetime) -> MachineFacts:
    """The facts at the start of a daemon. No agent could report before, so its silence begins now. After a long time,
    or with a store from a backup, other people may have powered the machine on."""
    lifecycle = facts.lifecycle
    request, failure = lifecycle.boot_request, lifecycle.failure
    signs = [
        lifecycle.stopped_at,
        *((request.requested_at, request.last_heard_at) if request is not None else ()),
        failure.at if failure is not None else None,
    ]
    last = max((at for at in signs if at is not None), default=now)
    long = now - last > SERVED_WITHIN
    if stage(lifecycle) is BootStage.WORKING:
        # It may be at work all the same, and is heard then.
        lifecycle = msgspec.structs.replace(
            lifecycle.progressed(last_heard_at=now), stopped_at=None if long else lifecycle.stopped_at
        )
    elif long:
        lifecycle = unattended(lifecycle)
    return facts if lifecycle == facts.lifecycle else msgspec.structs.replace(facts, lifecycle=lifecycle)


def _order_of(lifecycle: LifecycleFacts, fact: FactType) -> str | None:
    """The boot request for which the report may be: an installed system reports for the one that installed it."""
    if fact is FactType.PHONED_HOME:
        return lifecycle.written.boot_request if lifecycle.written is not None else None
    return lifecycle.boot_request.id if lifecycle.boot_request is not None else None

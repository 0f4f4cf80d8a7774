"""What follows from what the boot service, the agent or an installed system says of a machine: pure decisions."""

from __future__ import annotations

from datetime import datetime

import msgspec

from reconciler.kinds.machine.lifecycle import SERVED_WITHIN, BootStage, stage, unattended
from reconciler.kinds.machine.lifecycle_events import apply_fact
from reconciler.model.event import EventType
from reconciler.model.facts import ResourceFacts
from reconciler.model.lifecycle_facts import FactType, LifecycleFacts


class ReportOutcome(msgspec.Struct, frozen=True):
    """What is remembered then (the very same object when nothing is new), and what is told; no reason, nothing."""

    facts: ResourceFacts
    reason: str
    message: str
    severity: EventType


def is_over(facts: ResourceFacts, fact: FactType, order: str | None) -> bool:
    """Whether it is said for an order that is not the machine's any more. None: for none in particular."""
    return order is not None and order != _order_of(facts.life, fact)


def apply_report(
    before: ResourceFacts, fact: FactType, detail: str, system: str | None, now: datetime
) -> ReportOutcome:
    """Take up what is said. `system`: what tells the system at the BMC from others, where that is known."""
    taken = apply_fact(before.life, fact, detail, before.image, now)
    severity = EventType.NORMAL if taken.expected and taken.life.trouble is None else EventType.WARNING
    if taken.life == before.life:
        return ReportOutcome(before, taken.reason, taken.message, severity)
    after = msgspec.structs.replace(before, life=taken.life)
    if fact is FactType.PHONED_HOME and taken.expected:
        after = msgspec.structs.replace(after, disrupted_at=None)
    if fact is FactType.REGISTERED and system is not None:
        after = msgspec.structs.replace(after, life=msgspec.structs.replace(after.life, system=system))
    return ReportOutcome(after, taken.reason, taken.message, severity)


def facts_at_start(facts: ResourceFacts, now: datetime) -> ResourceFacts:
    """While nobody listened no agent could be heard: its silence begins now. Where that was for long, or the store is a
    backup's, whoever runs there by now may have been started by others."""
    life = facts.life
    signs = [life.heard_at, life.stopped_at, *(one.at for one in (life.order, life.trouble) if one is not None)]
    last = max((at for at in signs if at is not None), default=now)
    long = now - last > SERVED_WITHIN
    if stage(life) is BootStage.WORKING:
        # It may be at work all the same, and is heard then.
        life = msgspec.structs.replace(life, heard_at=now, stopped_at=None if long else life.stopped_at)
    elif long:
        life = unattended(life)
    return facts if life == facts.life else msgspec.structs.replace(facts, life=life)


def _order_of(life: LifecycleFacts, fact: FactType) -> str | None:
    """The order for which this may be said: a system calls for the one that installed it."""
    if fact is FactType.PHONED_HOME:
        return life.written.order if life.written is not None else None
    return life.order.id if life.order is not None else None

"""How long each step of a machine's lifecycle may take, and what is wrong after that. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciler.kinds.common.machine_facts import LifecycleFacts
from reconciler.model.event import EventReason
from reconciler.model.retry import BOOT_REQUEST
from reconciler.model.values.boot_purpose import LifecycleFailure, Purpose

SERVED_WITHIN = timedelta(minutes=20)
"""From an order to the agent's first word. A graceful shutdown, the firmware's start (ten minutes are not rare on
servers with much memory) and the download of the agent."""
SILENT_AFTER = timedelta(minutes=3)
"""The agent says that it is alive every five seconds; then it or the machine has died, or lost its network."""
GONE_AFTER = timedelta(seconds=30)
"""The same, of an agent whose machine is seen off."""
INSTALL_WITHIN = timedelta(hours=2)
WIPE_WITHIN = timedelta(hours=24)
"""A disk of 20 TB without a secure erase, at 250 MB/s."""
HOME_WITHIN = timedelta(minutes=20)
"""From the end of the writing to the system's first word."""
GRACE = timedelta(minutes=2)
"""How long the agent may take to switch the machine off by itself."""
MAX_ATTEMPTS = 3


def overdue(life: LifecycleFacts, now: datetime, *, off: bool = False) -> LifecycleFailure | None:
    """What is wrong with the order under way, when it has waited for too long. `off`: the machine is seen off."""
    order = life.boot_request
    if order is None or order.ended_at is not None:
        return None
    if order.registered_at is None:
        # Until it is seen off, others decide how long that takes: guards, people, its own system.
        if life.stopped_at is None or now < max(order.requested_at, life.stopped_at) + SERVED_WITHIN:
            return None
        fetched = "Machine fetched its boot script, but the agent did not contact groundstate"
        how = fetched if order.served_at else "Machine did not fetch its boot script"
        return failed(life, EventReason.AGENT_MISSING, f"{how} within {duration_words(SERVED_WITHIN)}", now)
    heard = order.last_heard_at or order.registered_at
    # Not at once: there are BMCs that say Off for minutes after the machine has come up (openbmc/openbmc#804).
    if off and now >= heard + GONE_AFTER:
        return failed(
            life,
            EventReason.AGENT_GONE,
            f"Machine powered off before the agent had finished; last step: {order.progress or 'none'}",
            now,
        )
    if now >= heard + SILENT_AFTER:
        at = f"; last step: {order.progress}" if order.progress else ""
        return failed(
            life, EventReason.AGENT_SILENT, f"no report from the agent for {duration_words(now - heard)}{at}", now
        )
    within = WIPE_WITHIN if order.purpose is Purpose.WIPE else INSTALL_WITHIN
    if now >= order.requested_at + within:
        return failed(
            life, EventReason.AGENT_TIMED_OUT, f"{order.purpose} has taken more than {duration_words(within)}", now
        )
    return None


def missing_home(life: LifecycleFacts, now: datetime) -> bool:
    """Whether the installed system should have been heard of by now. Its disk is left alone all the same: a machine
    that was counted as fresh for want of a report lost its data (metal-api#207)."""
    written = life.written
    return written is not None and life.phoned_home_at is None and now >= written.at + HOME_WITHIN


def retry_at(life: LifecycleFacts) -> datetime | None:
    """When the next order may be given after a failure; None: at once."""
    return None if life.failure is None else life.failure.at + timedelta(seconds=BOOT_REQUEST * max(1, life.attempts))


def failed(life: LifecycleFacts, reason: str, message: str, now: datetime) -> LifecycleFailure:
    """A failure that ends an order: the last of so many attempts is final."""
    final = life.attempts >= MAX_ATTEMPTS
    tried = f"; attempt {life.attempts} of {MAX_ATTEMPTS}"
    return LifecycleFailure(reason, message + tried, now, final)


def duration_words(span: timedelta) -> str:
    """`20 minutes`, `3 hours`."""
    minutes = int(span.total_seconds() // 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"

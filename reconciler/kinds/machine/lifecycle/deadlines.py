"""How long each step of a machine's lifecycle may take, and the failure after that. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciler.kinds.common.machine_facts import LifecycleFacts
from reconciler.model.retry import BOOT_REQUEST
from reconciler.model.values.boot_purpose import LifecycleFailure, LifecycleFailureReason, Purpose

SERVED_WITHIN = timedelta(minutes=20)
"""From the boot request to the first report of the agent. This includes a graceful shutdown, the start of the firmware
(ten minutes are common on servers with much memory) and the download of the agent."""
SILENT_AFTER = timedelta(minutes=3)
"""The agent reports every five seconds. After this time without a report, the agent or the machine has stopped, or lost
its network."""
GONE_AFTER = timedelta(seconds=30)
"""The same, if the machine is observed off."""
INSTALL_WITHIN = timedelta(hours=2)
WIPE_WITHIN = timedelta(hours=24)
"""Long enough for a disk of 20 TB without a secure erase, at 250 MB/s."""
HOME_WITHIN = timedelta(minutes=20)
"""From the end of the writing to the first report of the installed system."""
GRACE = timedelta(minutes=2)
"""How long the agent may take to power the machine off."""
MAX_ATTEMPTS = 3


def overdue(lifecycle: LifecycleFacts, now: datetime, *, off: bool = False) -> LifecycleFailure | None:
    """Why the open boot request counts as failed, if it has waited too long. `off`: the machine is observed off."""
    boot_request = lifecycle.boot_request
    if boot_request is None or boot_request.ended_at is not None:
        return None
    if boot_request.registered_at is None:
        # Until it is seen off, others decide how long that takes: guards, people, its own system.
        if lifecycle.stopped_at is None or now < max(boot_request.requested_at, lifecycle.stopped_at) + SERVED_WITHIN:
            return None
        fetched = "Machine fetched its boot script, but the agent did not contact groundstate"
        how = fetched if boot_request.served_at else "Machine did not fetch its boot script"
        return failed(
            lifecycle, LifecycleFailureReason.AGENT_MISSING, f"{how} within {duration_words(SERVED_WITHIN)}", now
        )
    heard = boot_request.last_heard_at or boot_request.registered_at
    # Not at once: there are BMCs that say Off for minutes after the machine has come up (openbmc/openbmc#804).
    if off and now >= heard + GONE_AFTER:
        return failed(
            lifecycle,
            LifecycleFailureReason.AGENT_GONE,
            f"Machine powered off before the agent had finished; last step: {boot_request.progress or 'none'}",
            now,
        )
    if now >= heard + SILENT_AFTER:
        at = f"; last step: {boot_request.progress}" if boot_request.progress else ""
        return failed(
            lifecycle,
            LifecycleFailureReason.AGENT_SILENT,
            f"no report from the agent for {duration_words(now - heard)}{at}",
            now,
        )
    within = WIPE_WITHIN if boot_request.purpose is Purpose.WIPE else INSTALL_WITHIN
    if now >= boot_request.requested_at + within:
        return failed(
            lifecycle,
            LifecycleFailureReason.AGENT_TIMED_OUT,
            f"{boot_request.purpose} has taken more than {duration_words(within)}",
            now,
        )
    return None


def missing_home(lifecycle: LifecycleFacts, now: datetime) -> bool:
    """Whether the time for the report of the installed system is over. Even then its disk is not touched: a machine
    that counted as fresh without a report lost its data (metal-api#207)."""
    written = lifecycle.written
    return written is not None and lifecycle.phoned_home_at is None and now >= written.at + HOME_WITHIN


def retry_at(lifecycle: LifecycleFacts) -> datetime | None:
    """When the next boot request may begin after a failure; None: at once."""
    return (
        None
        if lifecycle.failure is None
        else lifecycle.failure.at + timedelta(seconds=BOOT_REQUEST * max(1, lifecycle.attempts))
    )


def failed(lifecycle: LifecycleFacts, reason: LifecycleFailureReason, message: str, now: datetime) -> LifecycleFailure:
    """The failure that ends a boot request. The failure of the last attempt is final."""
    final = lifecycle.attempts >= MAX_ATTEMPTS
    tried = f"; attempt {lifecycle.attempts} of {MAX_ATTEMPTS}"
    return LifecycleFailure(reason, message + tried, now, final)


def duration_words(span: timedelta) -> str:
    """`20 minutes`, `3 hours`."""
    minutes = int(span.total_seconds() // 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"

"""How often a BMC is asked for the same thing: less and less often after it refused, and a few times an hour at most.

It uses recorded facts, so that a restart, an `apply` or a queue in a hurry makes no difference. A BMC that answered
each Reset with 503 and `Retry-After: 1` got 818 of them in a quarter of an hour. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from reconciler.model.facts import RecentWrites, ResourceFacts
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import Hold, HoldKind

_AN_HOUR = timedelta(hours=1)
"""What a field waits for whose last write failed, or that changed back too often."""
WRITES_AN_HOUR = 6
"""Of the same value for the same field, accepted or not: a machine that powers off again and again without an action
counts."""


def count_write(facts: ResourceFacts, path: str, goal: str, now: datetime) -> ResourceFacts:
    """The facts from the moment at which the value with the digest `goal` is written to the field's BMC."""
    before = facts.recent_writes.get(path)
    times = before.times if before is not None and before.goal == goal else ()
    recent = RecentWrites(goal, (*times, now)[-WRITES_AN_HOUR:])
    return msgspec.structs.replace(facts, recent_writes={**facts.recent_writes, path: recent})


def uncount_write(facts: ResourceFacts, path: str) -> ResourceFacts:
    """The facts when the last write is known not to have reached the BMC."""
    recent = facts.recent_writes.get(path)
    if recent is None:
        return facts
    shorter = RecentWrites(recent.goal, recent.times[:-1])
    return msgspec.structs.replace(facts, recent_writes={**facts.recent_writes, path: shorter})


def pace(wanted: Iterable[tuple[str, str, str]], facts: ResourceFacts, now: datetime) -> tuple[Hold, ...]:
    """What has to wait, for each field that is wanted otherwise: its path, the digest of what is desired, and its
    fingerprint (`Field.fingerprint`)."""
    holds = (_wait(path, goal, fingerprint, facts, now) for path, goal, fingerprint in wanted)
    return tuple(hold for hold in holds if hold is not None)


def _wait(path: str, goal: str, fingerprint: str, facts: ResourceFacts, now: datetime) -> Hold | None:
    recent, failure = facts.recent_writes.get(path), facts.failures.get(path)
    if recent is None or recent.goal != goal:
        return None
    due, why = now, ""
    if failure is not None and failure.retry_at is not None and failure.fingerprint == fingerprint:
        due, why = failure.retry_at, f"attempt {failure.attempts} failed: {failure.message}"
    lately = [at for at in recent.times if now - at < _AN_HOUR]
    if len(lately) >= WRITES_AN_HOUR and lately[0] + _AN_HOUR > due:
        due = lately[0] + _AN_HOUR
        why = f"groundstate sent this value {len(lately)} times within an hour, and each time the value changed back"
    # After a clock was put back, nothing waits for longer than it could have been reported to.
    if not now < due <= now + _AN_HOUR:
        return None
    hint = f"wait until {due:%H:%M:%S}Z for the next attempt, or declare another value, which is sent at once"
    return Hold(HoldKind.BLOCKED, HoldName.BACK_OFF, why, hint, path)

"""What happened in a run, counted: a rule that holds where nothing went wrong shows little. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from reconciler.model.event import Event, EventReason
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import CauseKind
from reconciler.operations.simulation.scenarios.declared_fleet import GUARD_NAME
from reconciler.operations.simulation.verdict.claims_record import DiskChange
from reconciler.operations.simulation.verdict.guard_oracles import (
    in_closed_windows,
    passes_by_override,
    was_begun_before,
)
from reconciler.operations.simulation.verdict.record import SimulatedRun, Sometimes

_COUNTED = {
    EventReason.REVISION_REFUSED: Sometimes.REVISION_REFUSED,
    EventReason.ACTION_NOT_CONFIRMED: Sometimes.OUTCOME_UNKNOWN,
    EventReason.CLAIMED: Sometimes.CLAIMED,
    EventReason.PAUSE_ENDED: Sometimes.PAUSE_RESUMED,
    EventReason.PAUSE_EXPIRED: Sometimes.PAUSE_EXPIRED,
    EventReason.OVERRIDE_REVOKED: Sometimes.OVERRIDE_REVOKED,
    EventReason.OVERRIDE_EXPIRED: Sometimes.OVERRIDE_EXPIRED,
    EventReason.RESTARTED: Sometimes.RESTARTED,
    EventReason.RESTART_CANCELLED: Sometimes.RESTART_CANCELLED,
    EventReason.RESTART_FAILED: Sometimes.RESTART_FAILED,
}
_HELD = {
    HoldName.DISRUPTION_BUDGET: Sometimes.BUDGET_HELD,
    HoldName.PAUSED: Sometimes.PAUSE_HELD,
    f"guard/{GUARD_NAME}": Sometimes.WINDOW_HELD,
}


def occurrences(run: SimulatedRun) -> Mapping[Sometimes, int]:
    """How often what happened, by what was seen of the run."""
    return _of_events(run.all_events) + _of_disks(run.changes) + _of_writes(run)


def _of_events(events: Sequence[Event]) -> Counter[Sometimes]:
    found: Counter[Sometimes] = Counter()
    for event in events:
        if event.reason in _COUNTED:
            found[_COUNTED[event.reason]] += 1
        if event.reason is EventReason.HELD:
            found.update(_HELD[by] for by in {one.split()[0] for one in event.about} & _HELD.keys())
        found[Sometimes.DRIFT_REPAIRED] += event.reason is EventReason.ACTION_SENT and CauseKind.DRIFT in event.about
    return found


def _of_disks(changes: Sequence[DiskChange]) -> Counter[Sometimes]:
    found: Counter[Sometimes] = Counter()
    last: dict[str, str] = {}
    for change in changes:
        before, after = change.before, change.after
        if after is None:
            found[Sometimes.WIPED] += 1
            found[Sometimes.RELEASED_IN_INSTALLATION] += before is not None and not before.is_whole
            continue
        found[Sometimes.INSTALLED] += 1
        found[Sometimes.REINSTALLED] += before is not None
        found[Sometimes.NEXT_TENANT] += last.get(change.machine, after.claim) != after.claim
        last[change.machine] = after.claim
    return found


def _of_writes(run: SimulatedRun) -> Counter[Sometimes]:
    found: Counter[Sometimes] = Counter()
    for write in in_closed_windows(run):
        if was_begun_before(run, write):
            found[Sometimes.WINDOW_CLOSED_IN_SEQUENCE] += 1
        elif passes_by_override(run, write):
            found[Sometimes.OVERRIDE_USED] += 1
    found[Sometimes.POWERED_OFF] += sum(one.powers_off for one in run.writes)
    found[Sometimes.ORDER_SENT] += sum(one.orders_boot for one in run.writes)
    return found

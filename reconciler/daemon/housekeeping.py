"""What is done every few seconds beside the workers: saving, labelling, counting, trimming, looking for leaks."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from drivers.base import OUTSIDE_ERRORS, DriverError
from reconciler import runtime
from reconciler.applying.engine import Engine
from reconciler.daemon.label_refresh import are_current, label
from reconciler.daemon.policy_state import PolicyState
from reconciler.kinds import PLACED
from reconciler.kinds.common.defect import defect
from reconciler.model.event import EventReason
from reconciler.model.outcome import Outcome, Waiting
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import Change, HoldKind, Plan, Unknown
from reconciler.model.resource import ResourceKey
from reconciler.planning.guards.pauses import standing_pauses
from reconciler.planning.guards.reports.guard_report import budget_levels, open_windows
from reconciler.planning.override_scope import in_force
from reconciler.services.metrics import Metrics, WorkCount
from reconciler.store import Store
from reconciler.store.sql.store_errors import StoreError
from reconciler.views.resource_tally import ResourceTally, fleet_count, guard_holds
from reconciler.workqueue.loop import CONFIRM, RESYNC, Loop

ROUND_SECONDS = 5.0
TRIM_SECONDS = 3600.0
"""How often old events are taken out of the ledger."""
COLLECT_SECONDS = 300.0
"""How often the whole IPAM is checked for leaks."""


class Housekeeper:
    """Keeps store, metrics and queue in step with what the engine knows. `kept`: how long events are. `warn` records a
    Warning. `pause`: seconds between two rounds."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        loop: Loop,
        metrics: Metrics,
        standing: PolicyState,
        kept: timedelta,
        warn: Callable[[ResourceKey | None, EventReason, str, tuple[str, ...]], None],
        now: Callable[[], datetime],
        log: Any,
        pause: float = ROUND_SECONDS,
    ) -> None:
        self._pause = pause
        self._store, self._engine, self._loop, self._metrics = store, engine, loop, metrics
        self._standing, self._kept, self._warn, self._now, self._log = standing, kept, warn, now, log
        self._waiting: set[ResourceKey] = set()
        self._failing: dict[str, str] = {}
        # Whose inventories are new; None: of all.
        self._relabel: deque[ResourceKey | None] = deque()
        self._tally = ResourceTally()

    def run(self, stop: runtime.Flag) -> None:
        """Do it until `stop`. Raises StoreError: without the store there is no work."""
        collected = runtime.monotonic() - COLLECT_SECONDS
        trimmed = runtime.monotonic() - TRIM_SECONDS
        self._store.retention.keep(self._kept)
        while not stop.wait(self._pause):
            self._store.check()
            self._survives("saving observations", self._engine.flush)
            self._survives("labelling machines", self._label)
            self._survives("counting overrides", self._count_overrides)
            if runtime.monotonic() - trimmed >= TRIM_SECONDS and not self._trim():
                trimmed = runtime.monotonic()
            if self._engine.desired is None:
                continue
            if runtime.monotonic() - collected >= COLLECT_SECONDS:
                collected = runtime.monotonic()
                self._survives("searching for leaks", self._collect)
            self._survives("counting", lambda: self.count_work(self._engine.plan_rest()))

    def relabel(self, key: ResourceKey | None = None) -> None:
        """What this resource is by its inventory may be another thing now, or what any of them is: work it out at the
        next round."""
        self._relabel.append(key)

    def note_outcome(self, key: ResourceKey, outcome: Outcome) -> None:
        """Remember which claims wait."""
        if key.kind in PLACED:
            (self._waiting.add if isinstance(outcome, Waiting) else self._waiting.discard)(key)

    def judge_anew(self) -> None:
        """An override or a pause has begun or ended: the changes of its guard are judged again at once."""
        self._count_overrides()
        if self._engine.desired is not None:
            self._put([one.key for one in self._engine.plan_rest().changes if one.passes or one.held(HoldKind.GUARD)])

    def count_work(self, planned: Plan) -> None:
        """Count what there is to do. A claim that waited for a machine, or for room, and can go on does not wait for
        its turn. What it waited for may be anything, from a machine that is wiped to a quota in git. One that failed
        does."""
        world = self._engine.world()
        self._metrics.windows_judged(open_windows(world.desired, world.now))
        series = self._tally.count(world, planned)
        budgets = tuple(budget_levels(world))
        work = work_count(planned.changes, planned.unknown, self._engine.in_flight, self._loop.lag())
        self._metrics.resources_counted(series)
        self._metrics.budgets_counted(budgets)
        self._metrics.counted(work)
        self._standing.count(fleet_count(world.desired, series, work.holds, budgets))
        self._put([one.key for one in planned.changes if one.goes and one.key in self._waiting])

    def _put(self, keys: Collection[ResourceKey]) -> None:
        self._loop.put(keys, CONFIRM)

    def _survives(self, what: str, work: Callable[[], None]) -> None:
        """Do one part of a round. A failure is an event, once while it stays the same. The other parts are done
        nevertheless, because no resource may stop the others. Raises StoreError."""
        try:
            work()
            self._failing.pop(what, None)
        except StoreError:
            raise
        except OUTSIDE_ERRORS as error:  # see above
            said = defect(error)
            if self._failing.get(what) != said:
                self._failing[what] = said
                self._log.error("HousekeepingFailed", part=what, exc_info=error)
                message = f"{what} failed because of {said}; report this bug; groundstate tries again in a moment"
                self._warn(None, EventReason.HOUSEKEEPING_FAILED, message, (what,))

    def _trim(self) -> bool:
        """Take old events out of the ledger; True when there may be more."""
        return self._store.retention.trim_some(self._now() - self._kept)

    def _collect(self) -> None:
        with suppress(DriverError):  # An IPAM that is down is reported by the steps that need it.
            self._loop.put(self._engine.collect(), RESYNC)
            self._metrics.filled(self._engine.levels)

    def _count_overrides(self) -> None:
        standing, now = self._standing.standing(), self._now()
        self._metrics.overridden(in_force(standing.overrides, now))
        self._metrics.paused(standing_pauses(standing.pauses, now))

    def _label(self) -> None:
        """Work out what resources are by their inventories, if that is new; claims that wait for such resources are
        requeued."""
        desired = self._engine.desired
        if desired is None:
            return
        keys = {self._relabel.popleft() for _ in range(len(self._relabel))}
        only = {key for key in keys if key is not None}
        if None in keys or not are_current(self._store, desired):
            changed = label(self._store, self._engine, desired)
        else:
            changed = label(self._store, self._engine, desired, only) if only else []
        if changed:
            self._put([one.key for kind in PLACED for one in desired.of_kind(kind)])


def work_count(changes: Collection[Change], unknown: Iterable[Unknown], in_flight: int, lag: float) -> WorkCount:
    """What there is left to do. What is paused, by its document (maintenance, suspend) or by a person, is apart
    from what a guard holds."""
    states = Counter(dict.fromkeys(("waiting", "held", "paused", "failed"), 0))
    states.update(_state(change) for change in changes)
    unread = Counter((one.key.kind, one.reason) for one in unknown)
    return WorkCount(states, guard_holds(changes), unread, in_flight, lag)


def _state(change: Change) -> str:
    if change.held(HoldKind.DECLARED) or any(
        hold.by in (HoldName.PAUSED, HoldName.OBSERVE_ONLY) for hold in change.held_by
    ):
        return "paused"
    if change.held(HoldKind.GUARD):
        return "held"
    return "failed" if change.held(HoldKind.FAILED) else "waiting"

"""Applying: a plan that may be shown and approved first, and its carrying out, over the same connections.

with Workspace(where) as at:
    prepared = prepare_apply(at, asked, request)
    applied = carry_out(at, asked, prepared, settings, progress, ...)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from enum import StrEnum
from functools import partial

import msgspec

from reconciler import runtime
from reconciler.applying.context import Context
from reconciler.applying.engine import Engine
from reconciler.daemon.label_refresh import are_current, label
from reconciler.daemon.policy_state import PolicyState
from reconciler.model.actions.action import Action
from reconciler.model.event import Event
from reconciler.model.outcome import Outcome, OutcomeReason
from reconciler.model.plans.plan import Change, HoldKind, Plan, Unknown
from reconciler.model.resource import ResourceKey
from reconciler.model.retry import waiting
from reconciler.operations.ipam_in_use import note_ipam_in_use
from reconciler.operations.operation_error import OperationError
from reconciler.operations.prospect import ObservedSoFar, PlanRequest, Prospect, plan_in, unwatched
from reconciler.operations.stored_facts import facts_of
from reconciler.operations.workspace import Workspace, refuse_lost_store
from reconciler.planning.guards.standing import CommandLimits
from reconciler.planning.resource_plan import still_wanted
from reconciler.store import Store
from reconciler.store.sql.store_errors import InstanceHeld, NoStore, StoreError
from reconciler.views.progress import Progress, ProgressRow, ProgressStage
from reconciler.workqueue.loop import COMMIT, Loop
from reconciler.workqueue.queue import WorkQueue


class Ending(StrEnum):
    """How an apply ended; the caller makes an exit code of it."""

    AS_DECLARED = "AsDeclared"
    HELD = "Held"
    """Only what a guard holds is not done."""
    UNDONE = "Undone"
    """Something is not done, or could not be read, or is not as it was when the plan was saved."""


class Prepared(msgspec.Struct, frozen=True):
    """A plan to be approved. `stale` is not as it was in the saved plan, and is left alone."""

    prospect: Prospect
    stale: tuple[ResourceKey, ...] = ()

    @property
    def changes(self) -> list[Change]:
        """What is to be carried out, or waited for."""
        return [change for change in self.prospect.plan.changes if change.key not in self.stale]

    @property
    def begins(self) -> bool:
        """Whether anything would be sent, or waited for."""
        return any(change.goes or _waits(change) for change in self.changes)

    @property
    def is_as_declared(self) -> bool:
        """Whether there is nothing that differs."""
        return not (self.prospect.plan.changes or self.stale)

    @property
    def ending(self) -> Ending:
        """How it ends when nothing is sent."""
        if self.stale or self.prospect.plan.unknown:
            return Ending.UNDONE
        # What was shown of access is in force by now.
        code = msgspec.structs.replace(self.prospect.plan, access=()).exit_code
        return {0: Ending.AS_DECLARED, 3: Ending.HELD}.get(code, Ending.UNDONE)


class ApplySettings(msgspec.Struct, frozen=True):
    """How it is carried out: BMCs side by side, and the days that the ledger is kept; None: the daemon's value."""

    concurrency: int = 128
    keep_events: int | None = None


class ApplyResult(msgspec.Struct, frozen=True):
    """What became of each resource, how many actions are in flight still, and what could not be read for the plan."""

    rows: tuple[ProgressRow, ...]
    in_flight: int
    unknown: tuple[Unknown, ...]
    stale: tuple[ResourceKey, ...]

    def count(self, *stages: ProgressStage) -> int:
        """How many resources are in one of these stages."""
        return sum(row.stage in stages for row in self.rows)

    @property
    def unfinished(self) -> int:
        """How many resources the run did not get through with."""
        return self.count(ProgressStage.QUEUED, ProgressStage.WORKING)

    @property
    def undone(self) -> list[ProgressRow]:
        """What is neither done nor paused."""
        return [row for row in self.rows if row.stage not in (ProgressStage.DONE, ProgressStage.PAUSED)]

    @property
    def ending(self) -> Ending:
        """How it ended."""
        if self.stale or self.unknown:
            return Ending.UNDONE
        if not self.undone:
            return Ending.AS_DECLARED
        only_held = all(row.stage is ProgressStage.HELD for row in self.undone)
        return Ending.HELD if only_held else Ending.UNDONE


def prepare_apply(
    at: Workspace,
    asked: CommandLimits,
    request: PlanRequest,
    saved: Plan | None = None,
    observed: ObservedSoFar = unwatched,
    waits: Callable[[str], None] | None = None,
) -> Prepared:
    """The plan, of which nothing is sent yet; with a saved plan, only as far as that is not stale. `waits` is informed
    when the lease of a process that was killed must end first; None: that is an error.

    Raises InstanceHeld while another process is at work on the store: before a plan is shown and a person asked.
    """
    refuse_lost_store(at.where)
    _be_alone(at, waits)
    if saved is None:
        return Prepared(plan_in(at, asked, request, observed))
    return _compare(saved, at, asked, request, observed)


def _be_alone(at: Workspace, waits: Callable[[str], None] | None) -> None:
    with suppress(NoStore), at.changing(create=at.where.new_store) as store, store.instance("apply", waiting=waits):
        _refuse_beside_workers(store)


def _refuse_beside_workers(store: Store) -> None:
    """Raise OperationError while daemons attend to shards: what they were asked to send may still be under way."""
    owners = sorted({shard.owner for shard in store.shards.all() if shard.owner is not None and shard.seconds_left > 0})
    if owners:
        raise OperationError(
            f"the daemons {', '.join(owners)} attend to a part of the fleet; commit the change, and start the daemon "
            "that decides (`groundstate run`); or stop these daemons first"
        )


def _compare(
    saved: Plan, at: Workspace, asked: CommandLimits, request: PlanRequest, observed_so_far: ObservedSoFar
) -> Prepared:
    """Plan the changes of the saved plan again, from the current commit; name those whose change differs."""
    if saved.revision.commit is not None:
        if at.where.ref == "HEAD":
            at.read_ref(saved.revision.ref)
        at.source().snapshot(saved.revision.commit.sha)  # a plan of another repository ends here, in words
    approved = {change.key: change for change in saved.changes}
    request = msgspec.structs.replace(request, only=frozenset(approved))
    prospect = plan_in(at, asked, request, observed_so_far)
    fresh = {change.key: change for change in prospect.plan.changes if change.key in approved}
    unknown = {item.key for item in prospect.plan.unknown}
    observed = {one.key: one for one in prospect.observations}
    stale = [
        key
        for key, change in approved.items()
        if key in unknown
        or (key in fresh and change.fingerprint != fresh[key].fingerprint)
        or not still_wanted(change, prospect.desired, observed)
        or _goes_elsewhere(key, saved, prospect.plan)
    ]
    narrowed = msgspec.structs.replace(prospect.plan, changes=tuple(fresh.values()))
    return Prepared(msgspec.structs.replace(prospect, plan=narrowed), tuple(stale))


def _goes_elsewhere(key: ResourceKey, saved: Plan, planned: Plan) -> bool:
    """Whether the machine would be reached by a way that the saved plan did not show."""
    shown, now_asked = ({one.key: one.after for one in each.access}.get(key) for each in (saved, planned))
    return now_asked is not None and now_asked != shown


def _waits(change: Change) -> bool:
    return change.held(HoldKind.BLOCKED) or change.held(HoldKind.IN_FLIGHT)


def _only_held(change: Change) -> bool:
    """Whether there is not even something to look after."""
    return change.held(HoldKind.GUARD) and not change.held(HoldKind.IN_FLIGHT)


def put_in_force(at: Workspace, asked: CommandLimits, prepared: Prepared) -> None:
    """The state is in force from now on, though nothing was to be done: what changes later is drift. Left out while
    another process is at work on the store."""
    with at.changing(create=True) as store, suppress(InstanceHeld), store.instance("apply") as epoch:
        judge = PolicyState(store, asked, store.now).standing
        context = Context(now=store.now, random=runtime.random, by=at.where.by("apply"), epoch=epoch, standing=judge)
        engine = _engine(at, store, context, prepared.prospect)
        with suppress(StoreError):
            engine.flush()


def keep_observed(at: Workspace, prepared: Prepared) -> None:
    """Keep what was observed for `get`, `explain-guard` and the like, though all that was to be done is held. Left out
    while another process is at work on the store, which has seen newer."""
    with suppress(StoreError), at.changing() as store, store.instance("apply"):
        store.put_observations(prepared.prospect.observations)


def _engine(at: Workspace, store: Store, context: Context, prospect: Prospect) -> Engine:
    note_ipam_in_use(at.where.ipam, store)
    engine = Engine(store, at.connections(store), facts_of(store), context)
    engine.put_in_force(prospect.desired, prospect.bases)
    if not are_current(store, prospect.desired):
        label(store, engine, prospect.desired)
    is_alone = context.epoch == prospect.epoch + 1
    fresh = [seen for seen in prospect.observations if seen.key in prospect.observed_keys]
    stored = [seen for seen in prospect.observations if seen.key not in prospect.observed_keys]
    engine.use_observations(fresh, prospect.observed_keys if is_alone else (), stored)
    return engine


class ProgressReports:
    """Calls `report` with each row, in the order in which they came, and in one thread at a time.

    To write a line takes a while, and other threads go on with Python meanwhile. If each waited for its own line, most
    of them would wait for the lines of others, and each wait is a change of threads."""

    def __init__(self, report: Callable[[ProgressRow], None]) -> None:
        self._report = report
        self._rows = deque[ProgressRow]()
        self._reporting = runtime.lock()

    def put(self, row: ProgressRow) -> None:
        """Have the row reported: by this thread, or by the one that reports just now."""
        self._rows.append(row)
        # Once more after each time, as a row may have come just before the lock was free.
        while self._rows and self._reporting.acquire(blocking=False):
            try:
                self._report_all()
            finally:
                self._reporting.release()

    def finish(self) -> None:
        """Return when all rows so far are reported."""
        with self._reporting:
            self._report_all()

    def _report_all(self) -> None:
        while self._rows:
            self._report(self._rows.popleft())


class _Run:
    """What of the plan is through, shared by the workers; `stop` is set when all of it is."""

    def __init__(
        self, changes: list[Change], progress: Progress, report: Callable[[ProgressRow], None], stop: runtime.Flag
    ) -> None:
        self.progress, self.stop = progress, stop
        self.reports, self._lock = ProgressReports(report), runtime.lock()
        # What was shown as held stays so: room that comes meanwhile would let through others than were shown.
        self._approved = {change.key: change for change in changes if not change.held(HoldKind.GUARD)}
        for change in (change for change in changes if _only_held(change)):
            why = "; ".join(f"{h.by}: {h.reason}" for h in change.held_by)
            progress.outcome(change.key, waiting(OutcomeReason.HELD, why))

    def on_event(self, event: Event) -> None:
        """An event of the run."""
        with self._lock:
            row = self.progress.on_event(event)
        if row is not None:
            self.reports.put(row)

    def gives_up(self, key: ResourceKey, outcome: Outcome) -> bool:
        """Whether the run is through with the resource."""
        with self._lock:
            through = self.progress.outcome(key, outcome)
            row = self.progress.rows[key] if through else None
            is_over = self.progress.is_over
        if row is not None:
            self.reports.put(row)
        if is_over:
            self.stop.set()
        return through

    def approves(self, change: Change) -> bool:
        """Whether all that the change would send was shown."""
        return self.progress.allows(change.key) and _approved(change, self._approved)

    def follows(self, key: ResourceKey) -> bool:
        """Whether the resource is stepped on: it was approved, and is not through."""
        return self.progress.is_open(key) and key in self._approved

    def open_keys(self) -> list[ResourceKey]:
        """What the run is not through with."""
        return [row.key for row in self.progress.open]


def carry_out(
    at: Workspace,
    asked: CommandLimits,
    prepared: Prepared,
    settings: ApplySettings,
    progress: Progress,
    report: Callable[[ProgressRow], None],
    stop: runtime.Flag,
) -> ApplyResult:
    """Send what the plan showed, until all of it is through or `stop` is set.

    `progress` is of the prepared changes; `report` is called with each row that changes, in one thread at a time.
    Raises StoreError, of which InstanceHeld says that another process is at work.
    """
    run = _Run(prepared.changes, progress, report, stop)
    with (
        at.changing(create=True) as store,
        store.instance("apply") as epoch,
        _watched(store, asked, stop) as standing,
    ):
        engine, loop = _wired(at, store, epoch, standing, prepared, run)
        standing.restarts = lambda requests: engine.take_restarts(requests)[1]
        loop.put(run.open_keys(), COMMIT)
        if progress.is_over:
            stop.set()
        with runtime.on_one_processor():
            loop.run(stop, min(settings.concurrency, max(2, len(prepared.changes) + 1)))
        # What was seen can be observed again, old events can go next time; the summary cannot be had again.
        with suppress(StoreError):
            engine.flush()
            standing.refresh()
            days = settings.keep_events
            kept = timedelta(days=days) if days is not None else store.retention.kept()
            store.retention.trim_some(store.now() - kept)
        flying = engine.in_flight
    run.reports.finish()
    return ApplyResult(tuple(progress.rows.values()), flying, prepared.prospect.plan.unknown, prepared.stale)


def _wired(
    at: Workspace, store: Store, epoch: int, standing: PolicyState, prepared: Prepared, run: _Run
) -> tuple[Engine, Loop]:
    commits = {c.key: c.cause.commit for c in prepared.changes if c.cause.commit}
    context = Context(
        now=store.now,
        random=runtime.random,
        by=at.where.by("apply"),
        epoch=epoch,
        permit=store.require_lease,
        standing=standing.standing,
        commit_of=commits.get,
        report=run.on_event,
        approves=run.approves,
        follows=run.follows,
        requeue=lambda keys: loop.put([key for key in keys if run.progress.is_open(key)], COMMIT),
    )
    engine = _engine(at, store, context, prepared.prospect)
    loop = Loop(
        WorkQueue(),
        engine.reconcile,
        store.now,
        runtime.random,
        resync=None,
        gives_up=run.gives_up,
        everything=run.open_keys,
    )
    return engine, loop


@contextmanager
def _watched(store: Store, asked: CommandLimits, stop: runtime.Flag) -> Iterator[PolicyState]:
    """Limits, overrides and pauses, read again every few seconds until `stop`. An error in that thread sets `stop`, and
    is raised at the end of the block. Without the thread, a new pause would not be seen."""
    standing = PolicyState(store, asked, store.now)
    standing.refresh()
    broke: list[BaseException] = []

    def ended(error: BaseException) -> None:
        broke.append(error)
        stop.set()

    runtime.thread(partial(runtime.reporting, partial(standing.watch, stop), ended), "standing").start()
    yield standing
    if broke:
        raise runtime.thread_failure(broke[0])


def _approved(change: Change, approved: dict[ResourceKey, Change]) -> bool:
    """Whether each action of the change was shown. How a machine is powered off or on may be chosen again: force after
    an ignored shutdown is the document's own word. A claim gets, and releases, the machines that were shown."""
    shown = approved.get(change.key)
    return shown is not None and all(any(_alike(action, other) for other in shown.actions) for action in change.actions)


def _alike(action: Action, other: Action) -> bool:
    return type(action) is type(other) and action.served_path == other.served_path and action.others == other.others

"""The daemon: follower, loop, housekeeping and health, started together and stopped together."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from drivers.base import DriverError
from reconciler import runtime
from reconciler.applying.context import Context
from reconciler.applying.engine import Engine
from reconciler.daemon.follow import Follower
from reconciler.daemon.label_refresh import are_current, label
from reconciler.daemon.policy_state import PolicyState
from reconciler.daemon.proposals import Proposer, Schedule
from reconciler.daemon.provisioning import DaemonProvisioning, Parts
from reconciler.daemon.undeclared_machines import MetMachines
from reconciler.desired.git.proposal_branch import ProposalBranch
from reconciler.desired.git.source import DesiredSource
from reconciler.kinds import PLACED
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.facts import Facts
from reconciler.model.outcome import Outcome, Waiting
from reconciler.model.plan import HoldKind, Plan
from reconciler.model.resource import Commit, DesiredState, ResourceKey
from reconciler.observed.connections import Connections
from reconciler.observed.inventory_reader import InventoryReader
from reconciler.onboarding.undeclared import UndeclaredMachine
from reconciler.planning.builtin_guards import hold_until_observed
from reconciler.planning.override_scope import in_force
from reconciler.services.log import log_event
from reconciler.services.metrics import Metrics
from reconciler.store import Store
from reconciler.store.retention import EVENTS_KEPT
from reconciler.store.store_errors import Fenced, StoreError
from reconciler.workqueue.loop import CONFIRM, RESYNC, Loop
from reconciler.workqueue.queue import WorkQueue

FLUSH_SECONDS = 5.0
BESIDE_SECONDS = 8.0
"""For the threads beside the workers to finish what they have in hand, all together."""
TRIM_SECONDS = 3600.0
"""How often old events are taken out of the ledger."""
COLLECT_SECONDS = 300.0
"""How often all of the IPAM is looked through for what has leaked."""


class DaemonSettings(msgspec.Struct, frozen=True):
    """How often and how much: seconds between looks at git and at each resource, the number of workers, and how long
    events are kept."""

    git: float = 30.0
    resync: float = 60.0
    workers: int = 64
    keep: timedelta = EVENTS_KEPT


class Propose(msgspec.Struct, frozen=True):
    """That machines which are found are proposed: on which branch, and when."""

    branch: ProposalBranch
    schedule: Schedule = Schedule()


class Daemon:
    """Runs until `stop` is set."""

    def __init__(
        self,
        source: DesiredSource,
        store: Store,
        connections: Connections,
        facts: Facts,
        context: Context,
        standing: PolicyState,
        pace: DaemonSettings,
        log: Any,
        cache: Path | None = None,
        propose: Propose | None = None,
    ) -> None:
        self._store, self._pace, self._log, self._now = store, pace, log, context.now
        self._random: Callable[[], float] = context.random
        self.metrics = Metrics()
        self._engine = Engine(
            store,
            connections,
            facts,
            msgspec.structs.replace(
                context,
                standing=standing.standing,
                waits=(*context.waits, hold_until_observed(standing.standing().limits)),
                report=self._report,
                commit_of=self._commit_of,
                moved=self._moved,
            ),
        )
        self._standing = standing
        standing.tell, standing.changed = self._report, self._allowed
        self._waiting: set[ResourceKey] = set()
        self._failing: dict[str, str] = {}
        self._loop = Loop(
            WorkQueue(),
            self._step,
            context.now,
            context.random,
            resync=pace.resync,
            crashed=self._crashed,
            gives_up=lambda key, _: not self._engine.knows(key),
            suspects=store.unreadable(),
            everything=self._engine.everything,
        )
        self._follower = Follower(
            source, self._engine, self._loop, store, context.now, self._record_and_report, self._adopted, cache
        )
        self.metrics.broken_when(lambda: self._follower.broken)
        parts = Parts(store.inventories, self._record_and_report, context.now)
        self._met = MetMachines(store)
        self.lives = DaemonProvisioning(
            self._engine, self._moved, self._warn, parts, context.now, self._receive_undeclared
        )
        """What the boot service speaks to."""
        self._reader = InventoryReader(
            connections, store.inventories, self._record_and_report, context.now, context.random
        )
        self._proposer = (
            Proposer(
                propose.branch,
                self._engine,
                connections,
                self._met,
                self._record_and_report,
                context.now,
                propose.schedule,
            )
            if propose is not None
            else None
        )
        self._relabel = False
        self._stop = runtime.flag()
        self._broke: list[Exception] = []

    def run(self, stop: runtime.Flag) -> None:
        """Work until `stop`; then finish what is in hand, save what was seen, and return.

        A thread that fails takes the daemon down, half a daemon being worse than none, and its error is raised.
        """
        self._stop = stop
        works = {
            "follow": self._follow,
            "look-out": self._follower.watch_remote,
            "house": self._keep_house,
            "inventory": self._reader.run,
            "standing": self._standing.watch,
        }
        if self._proposer is not None:
            works["propose"] = self._proposer.run
        beside = [runtime.thread(partial(self._guarded, work, stop), name) for name, work in works.items()]
        for thread in beside:
            thread.start()
        self._loop.run(stop, self._pace.workers)
        self._reader.wake()
        self._wake_proposer()
        deadline = runtime.monotonic() + BESIDE_SECONDS
        for thread in beside:
            thread.join(max(0.0, deadline - runtime.monotonic()))
        if self._broke:
            raise self._broke[0]
        self._engine.flush()

    def healthy(self) -> str | None:
        """None while the daemon does its work."""
        return "it is stopping" if self._stop.is_set() else None

    def ready(self) -> str | None:
        """None when a desired state is in force. A broken newest revision does not make it unready: the last good
        one is being kept."""
        return None if self._engine.desired is not None else "no desired state is in force yet"

    def _follow(self, stop: runtime.Flag) -> None:
        self._follower.follow(stop, self._pace.git, self._random)

    def _keep_house(self, stop: runtime.Flag) -> None:
        collected = runtime.monotonic() - COLLECT_SECONDS
        trimmed = runtime.monotonic() - TRIM_SECONDS
        self._store.retention.keep(self._pace.keep)
        while not stop.wait(FLUSH_SECONDS):
            self._store.check()
            self._survives("saving what was seen", self._engine.flush)
            self._survives("labelling machines", self._label)
            self._survives("counting overrides", self._count_overrides)
            if runtime.monotonic() - trimmed >= TRIM_SECONDS and not self._trim():
                trimmed = runtime.monotonic()
            if self._engine.desired is None:
                continue
            if runtime.monotonic() - collected >= COLLECT_SECONDS:
                collected = runtime.monotonic()
                self._survives("looking for leaks", self._collect)
            self._survives("counting", lambda: self._count_work(self._engine.plan()))

    def _survives(self, what: str, work: Callable[[], None]) -> None:
        """Do one part of a round. What fails is logged, once for as long as it is the same, and the rest goes on: it is
        some object's, and no object may stop the others. Raises StoreError: without the store there is no work."""
        try:
            work()
            self._failing.pop(what, None)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  see above
            said = f"{type(error).__name__}: {error}"
            if self._failing.get(what) != said:
                self._failing[what] = said
                self._log.error("HousekeepingFailed", part=what, exc_info=error)

    def _trim(self) -> bool:
        """Take old events out of the ledger; True when there may be more."""
        return self._store.retention.trim_some(self._now() - self._pace.keep)

    def _collect(self) -> None:
        with suppress(DriverError):  # An IPAM that is down is told of by the steps that need it.
            self._loop.put(self._engine.collect(), RESYNC)

    def _allowed(self) -> None:
        """An override has begun or ended: what a guard holds, or let pass, is judged anew at once."""
        self._count_overrides()
        if self._engine.desired is not None:
            self._moved([one.key for one in self._engine.plan().changes if one.passes or one.held(HoldKind.GUARD)])

    def _count_overrides(self) -> None:
        self.metrics.overridden(in_force(self._standing.standing().overrides, self._now()))

    def _count_work(self, planned: Plan) -> None:
        """Count what there is to do. A claim that waited for a machine, or for room, and can go on does not wait for
        its turn: what it waited for may be anything, from a machine that is wiped to a quota in git. One that failed
        does."""
        self.metrics.counted(_states(planned), len(planned.unknown), self._engine.in_flight)
        self._moved([one.key for one in planned.changes if one.goes and one.key in self._waiting])

    def _guarded(self, work: Callable[[runtime.Flag], None], stop: runtime.Flag) -> None:
        try:
            work(stop)
        except Exception as error:  # noqa: BLE001  raised by `run`
            self._broke.append(error)
            stop.set()
        finally:
            self._loop.wake()

    def _commit_of(self, key: ResourceKey) -> Commit | None:
        return self._follower.commit_of(key)

    def _moved(self, keys: Collection[ResourceKey]) -> None:
        self._loop.put(keys, CONFIRM)

    def _step(self, key: ResourceKey) -> Outcome:
        begun = runtime.monotonic()
        outcome = self._engine.reconcile(key)
        self.metrics.stepped(key.kind, outcome, runtime.monotonic() - begun)
        if key.kind in PLACED:
            (self._waiting.add if isinstance(outcome, Waiting) else self._waiting.discard)(key)
        return outcome

    def _adopted(self, state: DesiredState) -> None:
        counts: dict[str, int] = {}
        for key in state.resources:
            counts[key.kind] = counts.get(key.kind, 0) + 1
        self.metrics.adopted(counts, self._now().timestamp())
        self._reader.adopt(state)
        self._wake_proposer()
        self._relabel = True

    def _wake_proposer(self) -> None:
        if self._proposer is not None:
            self._proposer.wake()

    def _receive_undeclared(self, one: UndeclaredMachine) -> None:
        self._met.add(one)
        self._wake_proposer()

    def _report(self, event: Event) -> None:
        self.metrics.count_event(event)
        log_event(self._log, event)

    def _label(self) -> None:
        """Work out what machines are by their inventories, if that is new; claims that wait for such machines are
        looked at."""
        desired = self._engine.desired
        if desired is None or (not self._relabel and are_current(self._store, desired)):
            return
        self._relabel = False
        if label(self._store, self._engine, desired):
            self._moved([one.key for kind in PLACED for one in desired.of_kind(kind)])

    def _record_and_report(self, event: Event) -> None:
        self._relabel |= event.reason in (EventReason.INVENTORY_TAKEN, EventReason.INVENTORY_CHANGED)
        self._store.append([event])
        self._report(event)

    def _warn(self, key: ResourceKey | None, reason: str, message: str) -> None:
        self._record_and_report(Event(at=self._now(), type=EventType.WARNING, reason=reason, message=message, key=key))

    def _crashed(self, key: ResourceKey, error: BaseException) -> None:
        if isinstance(error, StoreError):  # Which says what is wrong, and where.
            self._log.error("StepFailed", key=str(key), message=str(error))
        else:
            self._log.error("StepFailed", key=str(key), exc_info=error)
        if isinstance(error, Fenced):
            # What it remembers is out of date, and must not be written over what the other one has learned.
            self._broke.append(error)
            self._stop.set()


def _states(planned: Plan) -> dict[str, int]:
    counts = {"waiting": 0, "held": 0, "failed": 0}
    for change in planned.changes:
        held = change.held(HoldKind.GUARD) or change.held(HoldKind.DECLARED)
        counts["held" if held else "failed" if change.held(HoldKind.FAILED) else "waiting"] += 1
    return counts

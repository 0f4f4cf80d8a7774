"""The daemon: follower, loop, housekeeping and health, started together and stopped together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from drivers.base import BmcRequest
from reconciler import runtime
from reconciler.applying.context import Context
from reconciler.applying.engine import Engine
from reconciler.daemon.boot_relay.called_provisioning import CalledProvisioning
from reconciler.daemon.follow import Follower
from reconciler.daemon.housekeeping import ROUND_SECONDS, Housekeeper
from reconciler.daemon.policy_state import PolicyState
from reconciler.daemon.proposals import Proposer, Schedule
from reconciler.daemon.shards.control_relay import ControlRelay, attendance_events
from reconciler.daemon.sinks.event_delivery import event_deliverer
from reconciler.daemon.undeclared_machines import UndeclaredMachines
from reconciler.desired.git.branches.proposal_branch import ProposalBranch
from reconciler.desired.git.sources.source import DesiredSource
from reconciler.kinds import INVENTORIED, longest_resync
from reconciler.kinds.common.defect import defect
from reconciler.kinds.kind_shards import attended_partitions, keys_in_partitions
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.facts import Facts
from reconciler.model.outcome import Outcome
from reconciler.model.plans.restart import RestartRequest, RestartResult
from reconciler.model.resource import Commit, DesiredState, ResourceKey
from reconciler.observed.backends import Backends
from reconciler.observed.connections import Connections
from reconciler.observed.inventory_reader import InventoryReader, in_band_keeper
from reconciler.observed.relay.relayed_backend import RelayedBackend
from reconciler.onboarding.undeclared import UndeclaredMachine
from reconciler.planning.guards.builtin_guards import hold_until_observed
from reconciler.planning.guards.pauses import hold_everything
from reconciler.services.boot.machines.machine_parts import MachineParts
from reconciler.services.boot.machines.provisioning import MachineProvisioning
from reconciler.services.console.machine_consoles import CHANGES_GRANTS, MachineConsoles
from reconciler.services.log import log_event
from reconciler.services.metrics import Metrics
from reconciler.store import Store
from reconciler.store.rows.retention import EVENTS_KEPT
from reconciler.store.sql.store_errors import WAITS_FOR_STORE, Fenced, StoreError, StoreUnavailable
from reconciler.workqueue.loop import COMMIT, CONFIRM, RETRY, Loop
from reconciler.workqueue.queue import WorkQueue

FIRST_OBSERVATION_SECONDS = 120.0
"""For so long inventories wait for the first look at every machine."""
BESIDE_SECONDS = 8.0
"""For the threads beside the workers to finish what they have in hand, all together."""


class DaemonSettings(msgspec.Struct, frozen=True):
    """Seconds between two reads of git, seconds between two observations of a resource, the number of workers, and how
    long events are kept. `house`: seconds between two rounds of the housekeeper."""

    git: float = 30.0
    resync: float = 60.0
    workers: int = 64
    keep: timedelta = EVENTS_KEPT
    house: float = ROUND_SECONDS


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
        relay: ControlRelay | None = None,
    ) -> None:
        self._store, self._pace, self._log, self._relay = store, pace, log, relay
        self._now, self._random = context.now, context.random
        self._patient_until = runtime.monotonic() + FIRST_OBSERVATION_SECONDS
        self._stop = runtime.flag()
        self._broke: list[BaseException] = []
        self.metrics = Metrics()
        connections = connections.measured(self._bmc_asked)
        self._without_workers: frozenset[str] = frozenset()
        if relay is not None:
            connections = connections.reached(partial(RelayedBackend, relay))
            relay.changed, relay.report = self._moved, self._note_unattended
            relay.boot_changed = standing.note_boot_services
            standing.note_boot_services(relay.boot)
        self._engine = Engine(store, connections, facts, self._wired(context, standing))
        self._loop = self._queue_of(store)
        self._house = Housekeeper(
            store, self._engine, self._loop, self.metrics, standing, pace.keep, self._warn, context.now, log, pace.house
        )
        self._standing = standing
        standing.report_event, standing.changed = self._report, self._house.judge_anew
        standing.described = self._engine.described
        standing.requested, standing.restarts = self._requested, self._take_restarts
        self.metrics.observing(hold_everything in context.transient_guards)
        self._follower = self._follower_of(source, cache)
        self.metrics.broken_when(lambda: self._follower.broken)
        self._undeclared = UndeclaredMachines(store)
        self.provisioning = self._provisioning_of()
        """What the boot service speaks to."""
        self._called = self._called_of(context.epoch, relay)
        self.consoles = MachineConsoles(
            lambda: self._engine.desired,
            self._engine.facts_of,
            connections.open_console,
            self._record_and_report,
            store.put_meta,
            self.metrics.consoles_counted,
            log,
        )
        """What the console service speaks to."""
        self.consoles_changed: Callable[[], None] = _nobody_to_tell
        """Called when a key is granted a console, or a grant ends."""
        self.store_lost: Callable[[StoreUnavailable], None] = lambda _error: None
        """Called when the store cannot be reached, perhaps several times; the daemon then stops."""
        self.console_words: Callable[[str], str] = lambda _machine: ""
        """What the recording of a machine's console ends with, in words."""
        self._reader = self._inventory_reader_of(connections)
        self._proposer = self._proposer_of(propose, connections) if propose is not None else None
        store.when_failed(self.thread_ended)
        self._deliverer = event_deliverer(store, self._engine, connections, context, self.metrics, self._report)

    def _wired(self, context: Context, standing: PolicyState) -> Context:
        """The context, with this daemon as the one that is informed and asked."""
        return msgspec.structs.replace(
            context,
            standing=standing.standing,
            transient_guards=(*context.transient_guards, hold_until_observed(standing.standing().limits)),
            report=self._report,
            commit_of=self._commit_of,
            requeue=self._moved,
            failed=self._crashed,
        )

    def _queue_of(self, store: Store) -> Loop:
        return Loop(
            WorkQueue(),
            self._step,
            self._now,
            self._random,
            resync=self._pace.resync,
            crashed=self._crashed,
            gives_up=lambda key, _: not self._engine.is_remembered(key),
            suspects=store.unreadable(),
            everything=self._engine.reconciled_keys,
            resync_of=longest_resync,
            is_watched=lambda key: self._relay is not None and self._relay.is_elsewhere(key),
        )

    def _follower_of(self, source: DesiredSource, cache: Path | None) -> Follower:
        return Follower(
            source,
            self._engine,
            self._loop,
            self._store,
            self._now,
            self._record_and_report,
            self._adopted,
            self._source_read,
            cache,
        )

    def _provisioning_of(self) -> MachineProvisioning:
        inventories = self._store.inventories
        keep = in_band_keeper(inventories, self._record_and_report, self._now)
        return MachineProvisioning(
            self._engine,
            self._moved,
            self._warn,
            MachineParts(inventories, keep, self._now),
            self._now,
            self._receive_undeclared,
            self._boot_failed,
            self._console_words,
        )

    def _called_of(self, epoch: int, relay: ControlRelay | None) -> CalledProvisioning | None:
        if relay is None:
            return None
        called = CalledProvisioning(self._store, epoch, self.provisioning, self._boot_failed)
        relay.called = called.take
        return called

    def _inventory_reader_of(self, connections: Connections) -> InventoryReader:
        return InventoryReader(
            Backends(connections, self._now).inventory,
            self._store.inventories,
            self._record_and_report,
            self._now,
            self._random,
            begins=self._has_observed_all,
            is_reachable=self._engine.is_reachable,
            processes=(lambda: 1) if self._relay is None else self._relay.processes,
        )

    def _proposer_of(self, propose: Propose, connections: Connections) -> Proposer:
        report, when = self._record_and_report, propose.schedule
        return Proposer(propose.branch, self._engine, connections, self._undeclared, report, self._now, when)

    def run(self, stop: runtime.Flag) -> None:
        """Work until `stop`; then finish what is in hand, save what was seen, and return.

        A thread that fails takes the daemon down, half a daemon being worse than none, and its error is raised.
        """
        self._stop = stop
        works = {
            "follow": self._follow,
            "look-out": self._follower.watch_remote,
            "house": self._house.run,
            "inventory": self._reader.run,
            "standing": self._standing.watch,
            "deliver": self._deliverer.run,
        }
        if self._proposer is not None:
            works["propose"] = self._proposer.run
        beside = [runtime.thread(partial(self._guarded, work, stop), name) for name, work in works.items()]
        over = runtime.flag()
        if self._relay is not None:
            beside.append(runtime.thread(partial(self._guarded, self._relay.run, over), "relay"))
        for thread in beside:
            thread.start()
        self._loop.run(stop, self._pace.workers)
        # Only now, as the workers finish calls to other daemons.
        over.set()
        if self._relay is not None:
            self._relay.wake()
        self._follower.wake()
        self._reader.wake()
        self._wake_proposer()
        deadline = runtime.monotonic() + BESIDE_SECONDS
        for thread in beside:
            thread.join(max(0.0, deadline - runtime.monotonic()))
        if self._called is not None:
            self._called.close()
        if self._broke:
            # What the others met may be what followed from it.
            worst = next((one for one in self._broke if isinstance(one, Fenced)), self._broke[0])
            raise runtime.thread_failure(worst)
        self._engine.flush()

    def read_soon(self) -> None:
        """A git server reported a push: read the repository before its next turn."""
        self._follower.read_soon()

    def healthy(self) -> str | None:
        """None while the daemon does its work, or waits for the store."""
        return "the daemon is stopping" if self._stop.is_set() and self._lost_store() is None else None

    def ready(self) -> str | None:
        """None when a desired state is in force. A broken newest revision does not make it unready: the last good
        one is being kept."""
        lost = self._lost_store()
        if lost is not None:
            return f"{lost}; {WAITS_FOR_STORE}"
        return (
            None
            if self._engine.desired is not None
            else "no commit is in force yet; the daemon continues when it has read the repository"
        )

    def _follow(self, stop: runtime.Flag) -> None:
        self._follower.follow(stop, self._pace.git, self._random)

    def _guarded(self, work: Callable[[runtime.Flag], None], stop: runtime.Flag) -> None:
        try:
            work(stop)
        except BaseException as error:  # noqa: BLE001  raised by `run`
            self.thread_ended(error)
        finally:
            self._loop.wake()

    def thread_ended(self, error: BaseException) -> None:
        """A thread of the daemon, or of a service beside it, has ended with an error: stop. `run` raises the error.

        So does a write to the store that may be on disk or not: what the daemon remembers may be out of date. It is
        read again, as after a start."""
        self._broke.append(error)
        if isinstance(error, StoreUnavailable):
            self.metrics.store_lost()
            self.store_lost(error)
        self._stop.set()
        self._loop.wake()

    def _lost_store(self) -> StoreUnavailable | None:
        return next((one for one in self._broke if isinstance(one, StoreUnavailable)), None)

    def _console_words(self, machine: str) -> str:
        return self.console_words(machine)

    def _commit_of(self, key: ResourceKey) -> Commit | None:
        return self._follower.commit_of(key)

    def _moved(self, keys: Collection[ResourceKey]) -> None:
        self._loop.put(keys, CONFIRM)

    def _requested(self, keys: Collection[ResourceKey]) -> None:
        self._loop.put([key for key in keys if self._engine.is_remembered(key)], COMMIT)

    def _take_restarts(self, requests: tuple[RestartRequest, ...]) -> list[RestartResult]:
        keys, results = self._engine.take_restarts(requests)
        self._loop.put(keys, COMMIT)
        return results

    def _step(self, key: ResourceKey) -> Outcome:
        begun = runtime.monotonic()
        outcome = self._engine.reconcile(key)
        self.metrics.stepped(key.kind, outcome, runtime.monotonic() - begun)
        self._house.note_outcome(key, outcome)
        return outcome

    def _has_observed_all(self) -> bool:
        """Whether each BMC has been asked once, or all but a tenth after two minutes: dead ones take their time. An
        inventory is up to 200 requests, and a first look is waited for."""
        desired = self._engine.desired
        if desired is None:
            return False
        missing = self._engine.unobserved(INVENTORIED)
        declared = sum(len(desired.of_kind(kind)) for kind in INVENTORIED)
        return not missing or (runtime.monotonic() > self._patient_until and missing * 10 <= declared)

    def _adopted(self, state: DesiredState) -> None:
        counts: dict[str, int] = {}
        for key in state.resources:
            counts[key.kind] = counts.get(key.kind, 0) + 1
        self.metrics.adopted(counts, self._now().timestamp())
        if self._relay is not None:
            self._relay.adopt(state)
        else:
            # Nobody else can use this store, so there never is one.
            self._note_unattended(sorted(attended_partitions(state) - self._without_workers), ())
            self._without_workers = attended_partitions(state)
        self._reader.set_desired(state)
        self._wake_proposer()
        self._house.relabel()
        self.consoles_changed()

    def _note_unattended(self, lost: Sequence[str], back: Sequence[str]) -> None:
        """Partitions have lost their last daemon, or have a daemon again: read their resources once more."""
        for event in attendance_events(lost, back, self._now()):
            self._record_and_report(event)
        desired = self._engine.desired
        if desired is not None:
            self._loop.put(keys_in_partitions(desired, {*lost, *back}), RETRY)

    def _bmc_asked(self, one: BmcRequest) -> None:
        self.metrics.bmc_asked(one.driver, one.operation, one.seconds, one.error)

    def _source_read(self, is_up: bool) -> None:
        self.metrics.source_read(self._now().timestamp() if is_up else None)

    def _wake_proposer(self) -> None:
        if self._proposer is not None:
            self._proposer.wake()

    def _receive_undeclared(self, one: UndeclaredMachine) -> None:
        self._undeclared.add(one)
        self._wake_proposer()

    def _report(self, event: Event) -> None:
        self.metrics.count_event(event)
        log_event(self._log, event)
        if event.reason in CHANGES_GRANTS:
            self.consoles_changed()

    def _record_and_report(self, event: Event) -> None:
        if event.reason in (EventReason.INVENTORY_TAKEN, EventReason.INVENTORY_CHANGED):
            self._house.relabel(event.key)
        self._store.append([self._engine.described(event)])
        self._report(event)

    def _warn(self, key: ResourceKey | None, reason: EventReason, message: str, about: tuple[str, ...]) -> None:
        self._record_and_report(Event(self._now(), EventType.WARNING, reason, message, key, about=about))

    def _boot_failed(self, what: str, error: BaseException) -> None:
        if not isinstance(error, StoreError):  # There is no ledger to write to; the steps report the store.
            message = f"{what} failed because of {defect(error)}; report this bug; the machine asks again"
            self._warn(None, EventReason.BOOT_SERVICE_FAILED, message, (type(error).__name__,))

    def _crashed(self, key: ResourceKey, error: BaseException) -> None:
        if isinstance(error, StoreError):  # Which says what is wrong, and where.
            if not isinstance(error, StoreUnavailable):
                self._log.error("StepFailed", key=str(key), message=str(error))
        else:
            self._log.error("StepFailed", key=str(key), exc_info=error)
        if isinstance(error, Fenced | StoreUnavailable):
            # What it remembers is out of date, and must not be written over what the other one has learned.
            self.thread_ended(error)


def _nobody_to_tell() -> None:
    """There is no console service."""

"""A simulated run: a repository, a store, BMCs, daemons one after the other, and what a scenario does to them."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from drivers.base import Endpoint, PowerState
from drivers.bmc.fake.fake import FakeFleet
from drivers.bmc.fake.fake_faults import Fault, FaultKind
from drivers.bmc.fake.fake_machine import FakeMachine
from reconciler import runtime
from reconciler.desired.git.plumbing import SourceError
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.model.event import EventReason
from reconciler.model.plans.plan import CauseKind
from reconciler.operations.simulation.faulty_network import FaultyNetwork
from reconciler.operations.simulation.incidents import DeclaredMachine, Incident, Scenario, ScenarioStep, scenario
from reconciler.operations.simulation.record import FinalState, SeenWrite, SimulatedRun, Sometimes
from reconciler.operations.simulation.simulated_host import SimulatedDaemon, SimulationSettings
from reconciler.operations.simulation.simulated_repository import SimulatedRepository
from reconciler.operations.simulation.simulated_runtime import SimulatedRuntime
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.standing import CommandLimits
from reconciler.store import Store
from reconciler.store.sql.store_errors import Fenced, StoreError

_RESTART_SECONDS = 5.0
"""After which the service manager starts a daemon that ended."""
QUIET_SECONDS = 6 * 3600.0
"""In which a healthy fleet must become as declared. A refused login is tried again after up to an hour, and the budget
counts a power-off for an hour."""
_SETTLED_SECONDS = 600.0
"""For which it must then stay so."""
_MEMORY = Path("/dev/shm")  # noqa: S108  each run has a folder of its own in it
"""Where Linux keeps files in memory: a store is written to disk at each commit otherwise."""
_BMC_FAULTS = {
    Incident.BMC_UNREACHABLE: FaultKind.UNREACHABLE,
    Incident.BMC_BUSY: FaultKind.BUSY,
    Incident.REPLY_LOST: FaultKind.REPLY_LOST,
    Incident.REQUEST_LOST: FaultKind.REQUEST_LOST,
    Incident.LOGIN_REFUSED: FaultKind.AUTHENTICATION_FAILED,
    Incident.SHUTDOWN_IGNORED: FaultKind.SHUTDOWN_IGNORED,
    Incident.BOOT_NOT_KEPT: FaultKind.BOOT_NOT_KEPT,
}
_STORE_INCIDENTS = {Incident.DISK_FULL, Incident.DATABASE_FAILED}


def simulate(
    seed: int,
    *,
    machines: int = 12,
    seconds: float = 7200.0,
    only: Sequence[Incident] = (),
    quiet: float = QUIET_SECONDS,
) -> SimulatedRun:
    """Run the daemon under this seed; the same values give the same run.

    `seconds`: of the part in which things go wrong. `quiet`: of the part after it, at most."""
    simulation = SimulatedRuntime(seed)
    names = [f"m{number:02}" for number in range(machines)]
    planned = scenario(simulation.chance, names, seconds, only)
    where = _MEMORY if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="groundstate-simulate-", dir=where) as folder, runtime.replaced(simulation):
        world = _World(simulation, Path(folder), names)
        try:
            world.play(planned, quiet)
            return world.run(seed, planned)
        finally:
            world.close()


class _World:
    """What the daemons meet."""

    def __init__(self, simulation: SimulatedRuntime, folder: Path, names: Sequence[str]) -> None:
        self._simulation, self._names = simulation, names
        self._store_file = folder / "state.db"
        self._fleet = FakeFleet(runtime.monotonic, on_after=20.0, off_after=8.0)
        # Some BMCs have two systems.
        shared = len(names) // 3
        self._bmcs = {name: f"bmc-{at // 2 if at < shared else at}" for at, name in enumerate(names)}
        self._declared = {name: DeclaredMachine() for name in names}
        self._writes: list[SeenWrite] = []
        self._sometimes: Counter[Sometimes] = Counter()
        self._allowed: tuple[Incident, ...] = ()
        self._daemons: list[SimulatedDaemon] = []
        self._budget = max(1, len(names) // 3)
        share = FleetShare(count=self._budget)
        limits = GuardLimits(max_disrupted=share, max_disrupted_per_rack=share, max_unreachable=FleetShare(percent=50))
        self._settings = SimulationSettings(CommandLimits(limits))
        self._driver = FaultyNetwork(self._fleet, self)
        self._repository = SimulatedRepository(folder / "fleet", self._bmcs)
        self._repository.commit(self._declared)
        self._reader = Store.open(f"sqlite:///{self._store_file}")
        simulation.begin(self._supervise, "service manager")

    def play(self, planned: Scenario, quiet: float) -> None:
        """Let happen what is planned, and then a quiet time."""
        self._allowed = planned.incidents
        for step in planned.steps:
            self._simulation.run_for(step.after)
            self._happen(step)
        self._make_peace()
        deadline = self._simulation.elapsed + quiet
        while self._simulation.elapsed < deadline and not self._is_as_declared():
            self._simulation.run_for(_SETTLED_SECONDS)
        self._simulation.run_for(_SETTLED_SECONDS)

    def _is_as_declared(self) -> bool:
        states = {name: self._machine(name).state for name in self._names}
        return not self._reader.in_flight() and all(
            states[name].power == one.power and states[name].indicator == one.led
            for name, one in self._declared.items()
        )

    def run(self, seed: int, planned: Scenario) -> SimulatedRun:
        """What was seen."""
        events = tuple(entry.event for entry in self._reader.events(limit=1_000_000))
        self._count_events(events)
        state = {name: self._machine(name).state for name in self._names}
        failures = [*self._ends(), *(f"a thread ended: {error!r}" for error in self._simulation.errors)]
        return SimulatedRun(
            seed=seed,
            seconds=self._simulation.elapsed,
            trace=self._simulation.trace,
            incidents=planned.incidents,
            budget=self._budget,
            writes=tuple(self._writes),
            events=events,
            revisions=self._repository.revisions,
            final={name: FinalState(one.power, one.indicator) for name, one in state.items()},
            unfinished=tuple(self._reader.in_flight().values()),
            failures=tuple(failures),
            sometimes=dict(self._sometimes),
        )

    def close(self) -> None:
        """End all of it."""
        for daemon in self._daemons:
            if not daemon.has_ended:
                daemon.kill()
        self._simulation.close()
        self._reader.close()

    # -- the daemon ----------------------------------------------------------------------------------------------------

    @property
    def _daemon(self) -> SimulatedDaemon | None:
        return self._daemons[-1] if self._daemons and not self._daemons[-1].has_ended else None

    def _supervise(self) -> None:
        """As a service manager does with `Restart=always`."""
        while True:
            if self._daemon is None:
                self._start_daemon()
            runtime.sleep(_RESTART_SECONDS)

    def _start_daemon(self) -> None:
        name = f"daemon {len(self._daemons) + 1}"
        where = (self._repository.folder, self._store_file, self._driver, self._settings)
        self._daemons.append(SimulatedDaemon(self._simulation, name, *where))

    def _ends(self) -> Iterator[str]:
        """What ended daemons without a reason that the scenario gave."""
        for daemon in self._daemons:
            error = daemon.failure
            if error is None:
                continue
            self._sometimes[Sometimes.ENDED_BY_ITSELF] += 1
            fenced = isinstance(error, Fenced) and Incident.TAKEN_OVER in self._allowed
            by_store = isinstance(error, StoreError) and not _STORE_INCIDENTS.isdisjoint(self._allowed)
            by_source = isinstance(error, SourceError) and Incident.GIT_AWAY in self._allowed
            if not (fenced or by_store or by_source):
                yield f"{daemon.process.name} ended: {type(error).__name__}: {error}"

    def leaves(self, endpoint: Endpoint, value: object) -> int:
        """See WriteObserver."""
        name, process = str(endpoint.system_id), self._simulation.running_process
        daemon = next(one for one in self._daemons if one.process is process)
        flights = [one for key, one in self._reader.in_flight().items() if self._bmcs[key.name] == endpoint.address]
        mine = tuple(one for one in flights if one.key.name == name)
        beside = tuple(one for one in flights if one.key.name != name)
        at, last = self._simulation.elapsed, self._reader.epoch()
        taken_over = bool(mine) and all(one.id in self._daemons[-1].found for one in mine)
        self._writes.append(
            SeenWrite(at, runtime.now(), name, value, process.name, daemon.epoch, last, mine, beside, taken_over)
        )
        return len(self._writes) - 1

    def is_refused(self, number: int) -> None:
        """See WriteObserver."""
        self._writes[number] = msgspec.structs.replace(self._writes[number], was_refused=True)

    def _machine(self, name: str) -> FakeMachine:
        return self._fleet.machine(self._bmcs[name], name)

    # -- what happens --------------------------------------------------------------------------------------------------

    def _happen(self, step: ScenarioStep) -> None:
        match step.what:
            case None:
                self._declared |= dict(step.declared)
                self._repository.commit(self._declared)
            case Incident.BROKEN_COMMIT:
                self._repository.commit(self._declared, broken=True)
            case Incident.HISTORY_REWRITTEN:
                self._repository.take_back()
            case Incident.GIT_AWAY:
                self._repository.hide(hidden=True)
                self._simulation.run_for(step.amount)
                self._repository.hide(hidden=False)
            case Incident.CLOCK_STEPPED:
                self._simulation.clock_error += step.amount
            case Incident.POWER_BUTTON:
                for name in step.machines:
                    machine = self._machine(name)
                    other = PowerState.OFF if machine.state.power is PowerState.ON else PowerState.ON
                    machine.state = msgspec.structs.replace(machine.state, power=other)
            case what if what in _BMC_FAULTS:
                for name in step.machines:
                    fault = Fault(_BMC_FAULTS[what], times=int(step.amount))
                    self._machine(name).faults.add(fault)
            case what:
                if self._daemon is not None:
                    self._strike(self._daemon, what, step.amount)

    def _strike(self, daemon: SimulatedDaemon, what: Incident, amount: float) -> None:
        match what:
            case Incident.KILLED:
                self._simulation.run_for(30.0, switches=int(amount))
                if not daemon.has_ended:
                    self._count_kill()
                    daemon.kill()
            case Incident.STOPPED:
                if self._reader.in_flight():
                    self._sometimes[Sometimes.STOPPED_IN_FLIGHT] += 1
                self._simulation.stop(daemon.process)
                self._simulation.run_for(amount)
                self._simulation.go_on(daemon.process)
            case Incident.ENDED:
                daemon.end()
            case Incident.TAKEN_OVER:
                if self._reader.in_flight():
                    self._sometimes[Sometimes.TAKEN_OVER_IN_FLIGHT] += 1
                # As when somebody removes the file: the next one makes another.
                self._store_file.with_name(f"{self._store_file.name}.lock").unlink(missing_ok=True)
                self._start_daemon()
            case Incident.DISK_FULL:
                daemon.fill_disk(full=True)
                self._simulation.run_for(amount)
                daemon.fill_disk(full=False)
            case _:
                daemon.fails_next = 1

    def _count_kill(self) -> None:
        sent = {flight.id for write in self._writes for flight in write.flights}
        flights = self._reader.in_flight().values()
        for flight in flights:
            unsent = flight.id not in sent
            self._sometimes[Sometimes.KILLED_BEFORE_SENDING if unsent else Sometimes.KILLED_IN_FLIGHT] += 1
        if not flights:
            self._sometimes[Sometimes.KILLED_AT_REST] += 1

    def _make_peace(self) -> None:
        """From now on nothing goes wrong, and no override is declared."""
        for name in self._names:
            self._machine(name).faults.clear()
        self._declared = {name: msgspec.structs.replace(one, request=None) for name, one in self._declared.items()}
        self._repository.commit(self._declared)

    def _count_events(self, events: Sequence[Any]) -> None:
        counted = {
            EventReason.REVISION_REFUSED: Sometimes.REVISION_REFUSED,
            EventReason.ACTION_NOT_CONFIRMED: Sometimes.OUTCOME_UNKNOWN,
            EventReason.HELD: Sometimes.BUDGET_HELD,
        }
        for event in events:
            if event.reason in counted:
                self._sometimes[counted[event.reason]] += 1
            if event.reason is EventReason.ACTION_SENT and CauseKind.DRIFT in event.about:
                self._sometimes[Sometimes.DRIFT_REPAIRED] += 1
        lost = {FaultKind.REPLY_LOST: Sometimes.REPLY_LOST, FaultKind.REQUEST_LOST: Sometimes.REQUEST_LOST}
        for write in self._fleet.writes:
            if write.fault in lost:
                self._sometimes[lost[write.fault]] += 1
        self._sometimes[Sometimes.POWERED_OFF] += sum(one.powers_off for one in self._writes)
        self._sometimes[Sometimes.ORDER_SENT] += sum(one.orders_boot for one in self._writes)

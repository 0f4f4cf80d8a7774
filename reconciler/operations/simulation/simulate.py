"""A simulated run: a repository, a store, BMCs, daemons one after the other, and what a scenario does to them."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from drivers.base import Endpoint, PowerState
from drivers.bmc.fake.fake import FakeFleet
from drivers.bmc.fake.fake_faults import Fault
from drivers.bmc.fake.fake_machine import FakeMachine
from reconciler import runtime
from reconciler.operations.simulation.scenarios.declared_fleet import (
    DeclaredClaim,
    DeclaredFleet,
    DeclaredMachine,
    closing_guard,
)
from reconciler.operations.simulation.scenarios.incidents import BUDGET_GUARD, Incident, ScenarioStep
from reconciler.operations.simulation.scenarios.planned_faults import PlannedFault, fault_steps
from reconciler.operations.simulation.scenarios.swarm import Scenario, scenario
from reconciler.operations.simulation.verdict.claim_oracles import claim_differences, undeclared_owners
from reconciler.operations.simulation.verdict.claims_record import SeenAllocations
from reconciler.operations.simulation.verdict.occurrences import occurrences
from reconciler.operations.simulation.verdict.record import FinalState, SeenRequests, SeenWrite, SimulatedRun, Sometimes
from reconciler.operations.simulation.world.daemon_strikes import DaemonStrikes
from reconciler.operations.simulation.world.faulty_network import (
    BMC_FAULTS,
    FaultyNetwork,
    lost_writes,
    press_power_button,
)
from reconciler.operations.simulation.world.people import People
from reconciler.operations.simulation.world.service_manager import ServiceManager
from reconciler.operations.simulation.world.simulated_host import SimulationSettings, budget_limits
from reconciler.operations.simulation.world.simulated_machine import NoAnswer, SimulatedMachine
from reconciler.operations.simulation.world.simulated_repository import SimulatedRepository
from reconciler.operations.simulation.world.simulated_runtime import SimulatedRuntime
from reconciler.operations.simulation.world.watched_store import WatchedStore
from reconciler.services.provisioning_port import Provisioning

T = TypeVar("T")
QUIET_SECONDS = 6 * 3600.0
"""In which a healthy fleet must become as declared. A refused login is tried again after up to an hour, and the budget
counts a power-off for an hour."""
_LOOK_SECONDS = 20.0
"""Between two checks whether it is so."""
_SETTLED_SECONDS = 120.0
"""For which it must then stay so. Everything is observed twice in it."""
_STARTED_SECONDS, _ENDED_SECONDS = 75.0, 10.0
"""In which a daemon has observed everything, and in which one has ended."""
_RENAME_SECONDS = 300.0
"""After which people look whether a claim that is held waits for them."""
_HOUSE_SECONDS = (5.0, 15.0, 15.0)
"""Between two rounds of the daemon's housekeeper: a seed picks one. In long ones, more is left undone when it dies, and
a run takes half the time of the processor."""
_MEMORY = Path("/dev/shm")  # noqa: S108  each run has a folder of its own in it
"""Where Linux keeps files in memory: a store is written to disk at each commit otherwise."""
_LONGEST_STOP_SECONDS = 600.0
_STOP_SECONDS = 90.0
"""After which the service manager kills a daemon that does not end, and no agent waits for its answer any more."""
_OVERRIDING = 0.97
"""How likely it is that nothing waits for the disruption budget in the quiet time. Such an hour costs as much as five
other seeds."""
_REVIEW_SECONDS = 300.0
"""For which people look at the plan of a store that was restored, before they let it go."""


def simulate(
    seed: int,
    *,
    machines: int = 12,
    seconds: float = 7200.0,
    only: Sequence[Incident] = (),
    faults: Sequence[PlannedFault] = (),
    quiet: float = QUIET_SECONDS,
) -> SimulatedRun:
    """Run the daemon under this seed; the same values give the same run.

    `seconds`: of the part in which things go wrong. `faults`: what goes wrong in it, in place of what the seed picks.
    `quiet`: of the part after it, at most."""
    simulation = SimulatedRuntime(seed)
    for_claims = max(2, machines // 3)
    names = [f"m{number:02}" for number in range(machines - for_claims)]
    managed = [f"c{number:02}" for number in range(for_claims)]
    steps = fault_steps(simulation.chance, faults, names, managed, seconds)
    planned = scenario(simulation.chance, names, managed, seconds, only, steps)
    where = _MEMORY if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="groundstate-simulate-", dir=where) as folder, runtime.replaced(simulation):
        world = _World(simulation, Path(folder), names, managed)
        try:
            world.play(planned, quiet)
            return world.run(seed, planned)
        finally:
            world.close()


class _World:
    """What the daemons meet."""

    def __init__(
        self, simulation: SimulatedRuntime, folder: Path, names: Sequence[str], managed: Sequence[str]
    ) -> None:
        self._simulation, self._names = simulation, names
        self._fleet = FakeFleet(runtime.monotonic, on_after=20.0, off_after=8.0)
        # Some BMCs have two systems.
        shared = len(names) // 3
        self._bmcs = {name: f"bmc-{at // 2 if at < shared else at}" for at, name in enumerate(names)}
        self._bmcs |= {name: f"bmc-{name}" for name in managed}
        self._declared = DeclaredFleet({name: DeclaredMachine() for name in names}, dict.fromkeys(managed))
        self._managed = {name: SimulatedMachine(name, self._machine(name), self) for name in managed}
        self._moments: list[SeenAllocations] = []
        self._writes: list[SeenWrite] = []
        self._sometimes: Counter[Sometimes] = Counter()
        self._allowed: tuple[Incident, ...] = ()
        self._budget = max(1, len(self._bmcs) // 3)
        self._repository = SimulatedRepository(folder / "fleet", self._bmcs)
        self._repository.commit(self._declared)
        self._stored = WatchedStore(folder / "state.db")
        self._people = People(lambda: self._stored.store)
        self._restores: list[float] = []
        self._holdings: list[dict[str, int]] = []
        where = (self._repository.folder, self._stored.file, FaultyNetwork(self._fleet, self))
        house = simulation.chance.choice(_HOUSE_SECONDS)
        settings = SimulationSettings(budget_limits(self._budget), house=house)
        self._service = ServiceManager(simulation, *where, settings)
        work = (self._writes, self._is_installing, self._differs)
        self._strikes = DaemonStrikes(simulation, self._service, self._stored, *work)
        for name, machine in self._managed.items():
            simulation.begin(machine.run, name)

    def play(self, planned: Scenario, quiet: float) -> None:
        """Let happen what is planned, and then a quiet time."""
        self._allowed = planned.incidents
        if Incident.STOPPED in planned.incidents:
            self._people.noticed_after += _LONGEST_STOP_SECONDS
        for step in planned.steps:
            self._simulation.run_for(step.after)
            self._look()
            self._happen(step)
        self._make_peace()
        deadline = self._simulation.elapsed + quiet
        noticed = self._simulation.elapsed + _RENAME_SECONDS
        while self._simulation.elapsed < deadline and not self._is_as_declared():
            self._simulation.run_for(_LOOK_SECONDS)
            if self._simulation.elapsed >= noticed:
                self._deny_renames()
                noticed = self._simulation.elapsed + _RENAME_SECONDS
        self._simulation.run_for(_SETTLED_SECONDS)
        self._compare_holdings()

    def _deny_renames(self) -> None:
        """If one revision removes a claim and adds another, the guard `renamed` waits for people. They do as it says:
        the claims are removed in one commit, and added in another."""
        claims = self._declared.claims
        held = {claim for claim, _ in self._look().machines.values()} - claims.keys()
        if not held or not claims:
            return
        self._sometimes[Sometimes.RENAME_DENIED] += 1
        self._declare_claims({})
        deadline = self._simulation.elapsed + _RENAME_SECONDS
        while self._simulation.elapsed < deadline and self._look().machines:
            self._simulation.run_for(_LOOK_SECONDS)
        self._declare_claims(claims)

    def _declare_claims(self, claims: Mapping[str, DeclaredClaim]) -> None:
        self._declared = msgspec.structs.replace(self._declared, claims=claims)
        self._repository.commit(self._declared)

    def _compare_holdings(self) -> None:
        """Of the daemon that was there, and of one that has just been started."""
        for seconds in (_STARTED_SECONDS, _ENDED_SECONDS):
            if (daemon := self._service.current) is not None:
                self._holdings.append(daemon.holdings())
                daemon.end()
            self._simulation.run_for(seconds)

    def _is_as_declared(self) -> bool:
        declared = self._declared
        if self._unfinished() or list(undeclared_owners(self._look(), declared)):
            return False
        return not self._differs(declared) and not list(claim_differences(declared.claims, self._final()))

    def _unfinished(self) -> tuple[str, ...]:
        store = self._stored.store
        flights = (f"{one.key}: {one.action.name} ({one.id})" for one in store.in_flight().values())
        return (*flights, *(f"restart {one.id} of {one.key}" for one in store.restarts.open()))

    def _differs(self, declared: DeclaredFleet) -> bool:
        """Whether a machine that is not for claims is not as declared."""
        states = ((self._machine(name).state, one) for name, one in declared.machines.items())
        return any(state.power != one.power or state.indicator != one.led for state, one in states)

    def _is_installing(self) -> bool:
        """Whether an agent writes a disk now."""
        return any(one.is_installing for one in self._managed.values())

    def _final(self) -> dict[str, FinalState]:
        found = {}
        for name in self._bmcs:
            state, inside = self._machine(name).state, self._managed.get(name)
            system, disk = (inside.running, inside.disk) if inside is not None else (None, None)
            found[name] = FinalState(state.power, state.indicator, system, disk is not None)
        return found

    def _look(self) -> SeenAllocations:
        """What is allocated now, which is kept."""
        running = {name: one.running for name, one in self._managed.items() if one.running is not None}
        moment = self._stored.allocations(self._simulation.elapsed, running)
        self._moments.append(moment)
        if Incident.RESTORED in self._allowed:
            self._stored.back_up(moment.at)
        return moment

    def run(self, seed: int, planned: Scenario) -> SimulatedRun:
        """What was seen."""
        self._look()
        changes = sorted((one for each in self._managed.values() for one in each.changes), key=lambda one: one.at)
        self._sometimes.update(lost_writes(self._fleet))
        self._sometimes.update(self._strikes.sometimes)
        self._sometimes[Sometimes.ENDED_BY_ITSELF] += len(self._service.failures())
        failures = [
            *self._service.defects(self._allowed),
            *(f"a thread ended: {error!r}" for error in self._simulation.errors),
        ]
        found = SimulatedRun(
            seed=seed,
            seconds=self._simulation.elapsed,
            trace=self._simulation.trace,
            incidents=planned.incidents,
            budget=self._budget,
            writes=tuple(self._writes),
            events=self._stored.events(),
            lost_events=tuple(self._stored.lost),
            restores=tuple(self._restores),
            holdings=tuple(self._holdings),
            rows=self._stored.rows(),
            revisions=self._repository.revisions,
            final=self._final(),
            unfinished=self._unfinished(),
            failures=tuple(failures),
            sometimes={},
            changes=tuple(changes),
            moments=tuple(self._moments),
            overrides=self._people.overrides,
        )
        return msgspec.structs.replace(found, sometimes=Counter(self._sometimes) + Counter(occurrences(found)))

    def close(self) -> None:
        """End all of it."""
        self._service.kill()
        self._simulation.close()
        self._stored.close()

    def ask(self, question: Callable[[Provisioning], T]) -> T:
        """See AnsweringService."""
        if self._service.current is None:
            raise NoAnswer
        return self._service.current.ask(question)

    def leaves(self, endpoint: Endpoint, value: object) -> int:
        """See WriteObserver."""
        name, process = str(endpoint.system_id), self._simulation.running_process
        daemon = next(one for one in self._service.daemons if one.process is process)
        flights = [
            one for key, one in self._stored.store.in_flight().items() if self._bmcs.get(key.name) == endpoint.address
        ]
        mine = tuple(one for one in flights if one.key.name == name)
        beside = tuple(one for one in flights if one.key.name != name)
        at, last = self._simulation.elapsed, self._stored.store.epoch()
        taken_over = bool(mine) and all(one.id in self._service.daemons[-1].found for one in mine)
        system = self._managed[name].running if name in self._managed else None
        self._writes.append(
            SeenWrite(
                at,
                runtime.now(),
                name,
                value,
                process.name,
                daemon.epoch,
                last,
                mine,
                beside,
                taken_over,
                system,
                requests=self._people.seen(name, mine[0].sent_at) if mine else SeenRequests(),
                was_on=self._machine(name).state.power is PowerState.ON,
            )
        )
        return len(self._writes) - 1

    def is_refused(self, number: int) -> None:
        """See WriteObserver."""
        self._writes[number] = msgspec.structs.replace(self._writes[number], was_refused=True)

    def _machine(self, name: str) -> FakeMachine:
        return self._fleet.machine(self._bmcs[name], name)

    # -- what happens --------------------------------------------------------------------------------------------------

    def _happen(self, step: ScenarioStep) -> None:
        if step.moment is not None:
            self._strikes.await_moment(step.moment, self._declared)
        match step.what:
            case None:
                self._commit(step)
            case Incident.BROKEN_COMMIT:
                self._repository.commit(self._declared, broken=True)
                self._simulation.run_for(step.amount)
            case Incident.HISTORY_REWRITTEN:
                self._repository.take_back()
                self._simulation.run_for(step.amount)
            case Incident.GIT_AWAY:
                self._repository.hide(hidden=True)
                self._simulation.run_for(step.amount)
                self._repository.hide(hidden=False)
            case Incident.CLOCK_STEPPED:
                self._simulation.clock_error += step.amount
            case Incident.WINDOW_CLOSED:
                minutes = 2 if step.moment is None else 1
                guard = closing_guard(
                    runtime.now(), minutes, step.amount, step.machines or tuple(self._bmcs), step.word
                )
                self._declared = msgspec.structs.replace(self._declared, guard=guard)
                self._repository.commit(self._declared)
            case Incident.RESTORED:
                self._restore(step.amount)
            case Incident.PAUSED | Incident.OVERRIDDEN | Incident.RESTARTED:
                self._people.act(step)
            case Incident.POWER_BUTTON:
                for name in step.machines:
                    press_power_button(self._machine(name))
            case Incident.INSTALLATION_FAILED:
                for name in step.machines:
                    self._managed[name].fails_next += int(step.amount)
            case what if what in BMC_FAULTS:
                for name in step.machines:
                    fault = Fault(BMC_FAULTS[what], times=int(step.amount))
                    self._machine(name).faults.add(fault)
            case what:
                self._strikes.happen(what, step.amount)

    def _commit(self, step: ScenarioStep) -> None:
        was = self._declared
        again = ", restored" * len(self._restores)
        asked = {name: one and msgspec.structs.replace(one, request=one.request + again) for name, one in step.claims}
        claims = {name: one for name, one in {**was.claims, **asked}.items() if one is not None}
        machines = {**was.machines, **dict(step.declared)}
        self._declared = DeclaredFleet(machines, was.managed, claims, step.pool or was.pool, was.guard)
        self._repository.commit(self._declared)

    def _restore(self, age: float) -> None:
        """As docs/how-to.md says, by people who keep nothing: they empty the machines for claims, and have them
        installed again."""
        self._service.stop(_STOP_SECONDS)
        self._sometimes[Sometimes.RESTORED] += 1
        self._stored.put_back(self._simulation.elapsed - age)
        self._sometimes[Sometimes.RESTORED_IN_FLIGHT] += bool(self._stored.store.in_flight())
        self._restores.append(self._simulation.elapsed)
        for one in self._managed.values():
            one.empty()
        self._people.pause((), None)
        machines = {name: msgspec.structs.replace(one, request=None) for name, one in self._declared.machines.items()}
        claims = {
            name: msgspec.structs.replace(one, request=f"{one.request}, restored")
            for name, one in self._declared.claims.items()
        }
        self._declared = msgspec.structs.replace(self._declared, machines=machines, claims=claims)
        self._repository.commit(self._declared)
        self._service.is_stopped = False
        self._simulation.run_for(_REVIEW_SECONDS)
        self._people.resume()

    def _make_peace(self) -> None:
        """From now on nothing goes wrong, and there is no boot override, no guard and no pause. People ask for each
        machine that gave up to be tried again. They name what is on its disk, as groundstate may not know that after a
        restore.

        They also power off a machine that was switched on by hand. groundstate does not, as a system may run there.
        Mostly they override the disruption budget, so that nothing has to wait for an hour."""
        for name in self._bmcs:
            self._machine(name).faults.clear()
        words = {}
        for name, machine in self._managed.items():
            machine.fails_next = 0
            if machine.is_idle:
                press_power_button(self._machine(name))
            words[name] = f"{machine.disk.instance} again" if machine.disk is not None else "again"
        machines = {name: msgspec.structs.replace(one, request=None) for name, one in self._declared.machines.items()}
        self._declared = msgspec.structs.replace(self._declared, machines=machines, managed=words, guard=None)
        self._repository.commit(self._declared)
        self._people.resume()
        if self._simulation.chance.random() < _OVERRIDING:
            self._people.override(BUDGET_GUARD, (), QUIET_SECONDS)

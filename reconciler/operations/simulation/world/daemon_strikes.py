"""What strikes a daemon while it works, and the moments at which a strike shows most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from reconciler import runtime
from reconciler.model.actions.in_flight import InFlight
from reconciler.operations.simulation.scenarios.declared_fleet import DeclaredFleet
from reconciler.operations.simulation.scenarios.incidents import Incident, Moment
from reconciler.operations.simulation.verdict.record import SeenWrite, Sometimes
from reconciler.operations.simulation.world.service_manager import ServiceManager
from reconciler.operations.simulation.world.simulated_runtime import SimulatedRuntime
from reconciler.operations.simulation.world.watched_store import WatchedStore

_PATIENCE_SECONDS = 120.0
"""For which a moment is waited for, at most."""
_FEW_SWITCHES = 4
"""Between two looks for it."""


class DaemonStrikes:
    """`writes`: what has left for BMCs. `is_installing`: whether an agent writes a disk now. `differs`: whether a
    machine that is not for claims is not as declared. `sometimes`: what happened, counted."""

    def __init__(
        self,
        simulation: SimulatedRuntime,
        service: ServiceManager,
        stored: WatchedStore,
        writes: Sequence[SeenWrite],
        is_installing: Callable[[], bool],
        differs: Callable[[DeclaredFleet], bool],
    ) -> None:
        self._simulation, self._service, self._stored, self._writes = simulation, service, stored, writes
        self._is_installing, self._differs = is_installing, differs
        self.sometimes: Counter[Sometimes] = Counter()

    def await_moment(self, moment: Moment, declared: DeclaredFleet) -> None:
        """Let time pass until then, or for a while."""
        deadline = self._simulation.elapsed + _PATIENCE_SECONDS
        while self._simulation.elapsed < deadline and not self._is_now(moment, declared):
            self._simulation.run_for(2.0, switches=_FEW_SWITCHES)

    def _is_now(self, moment: Moment, declared: DeclaredFleet) -> bool:
        match moment:
            case Moment.UNSENT:
                return any(not self._has_left(one) for one in self._flights())
            case Moment.SENT:
                return any(self._has_left(one) for one in self._flights())
            case Moment.INSTALLING:
                return self._is_installing()
            case Moment.HELD:
                guard, now = declared.guard, runtime.now()
                return guard is not None and guard.closes <= now < guard.opens and self._differs(declared)

    def _flights(self) -> list[InFlight]:
        """The actions in flight at BMCs."""
        return [one for key, one in self._stored.store.in_flight().items() if key.kind == "Machine"]

    def _has_left(self, flight: InFlight) -> bool:
        wanted = flight.id, flight.sent_at
        return any((one.id, one.sent_at) == wanted for write in reversed(self._writes) for one in write.flights)

    def happen(self, what: Incident, amount: float) -> None:
        """It happens to the daemon that runs now, if any does. `amount`: seconds, or how many changes of the running
        thread."""
        daemon = self._service.current
        if daemon is None:
            return
        match what:
            case Incident.KILLED:
                self._simulation.run_for(30.0, switches=int(amount))
                if not daemon.has_ended:
                    self._count_kill()
                    daemon.kill()
            case Incident.STOPPED:
                self.sometimes[Sometimes.STOPPED_IN_FLIGHT] += bool(self._flights())
                self._simulation.stop(daemon.process)
                self._simulation.run_for(amount)
                self._simulation.go_on(daemon.process)
            case Incident.ENDED:
                daemon.end()
            case Incident.TAKEN_OVER:
                self.sometimes[Sometimes.TAKEN_OVER_IN_FLIGHT] += bool(self._flights())
                # As when somebody removes the file: the next one makes another.
                self._stored.file.with_name(f"{self._stored.file.name}.lock").unlink(missing_ok=True)
                self._service.start()
            case Incident.DISK_FULL:
                daemon.fill_disk(full=True)
                self._simulation.run_for(amount)
                daemon.fill_disk(full=False)
            case _:
                daemon.fails_next = 1

    def _count_kill(self) -> None:
        self.sometimes[Sometimes.KILLED_IN_INSTALLATION] += self._is_installing()
        flights = self._flights()
        for flight in flights:
            has_left = self._has_left(flight)
            self.sometimes[Sometimes.KILLED_IN_FLIGHT if has_left else Sometimes.KILLED_BEFORE_SENDING] += 1
        self.sometimes[Sometimes.KILLED_AT_REST] += not flights

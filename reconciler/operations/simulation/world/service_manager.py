"""Who starts the daemon again when it ends, as a service manager does with `Restart=always`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from drivers.base import BmcDriver
from reconciler import runtime
from reconciler.desired.git.plumbing import SourceError
from reconciler.operations.simulation.scenarios.incidents import Incident
from reconciler.operations.simulation.world.simulated_host import SimulatedDaemon, SimulationSettings
from reconciler.operations.simulation.world.simulated_runtime import SimulatedRuntime
from reconciler.store.sql.store_errors import Fenced, StoreError

_RESTART_SECONDS = 5.0
"""After which the service manager starts a daemon that ended."""
_STORE_INCIDENTS = {Incident.DISK_FULL, Incident.DATABASE_FAILED}


class ServiceManager:
    """`daemons`: all that were started, the oldest first. `is_stopped`: no daemon is started."""

    def __init__(
        self,
        simulation: SimulatedRuntime,
        repository: Path,
        store: Path,
        driver: BmcDriver,
        settings: SimulationSettings,
    ) -> None:
        self._simulation, self._where = simulation, (repository, store, driver, settings)
        self.daemons: list[SimulatedDaemon] = []
        self.is_stopped = False
        simulation.begin(self._supervise, "service manager")

    @property
    def current(self) -> SimulatedDaemon | None:
        """The daemon that runs."""
        return self.daemons[-1] if self.daemons and not self.daemons[-1].has_ended else None

    def _supervise(self) -> None:
        while True:
            if self.current is None and not self.is_stopped:
                self.start()
            runtime.sleep(_RESTART_SECONDS)

    def start(self) -> None:
        """Start one more daemon."""
        self.daemons.append(SimulatedDaemon(self._simulation, f"daemon {len(self.daemons) + 1}", *self._where))

    def kill(self) -> None:
        """Kill each daemon that has not ended."""
        for daemon in self.daemons:
            if not daemon.has_ended:
                daemon.kill()

    def stop(self, patience: float) -> None:
        """Stop the service: SIGTERM, and SIGKILL after so many seconds."""
        self.is_stopped = True
        for daemon in self.daemons:
            daemon.end()
        self._simulation.run_for(patience)
        self.kill()

    def failures(self) -> list[Exception]:
        """What daemons ended with."""
        return [one.failure for one in self.daemons if one.failure is not None]

    def defects(self, allowed: tuple[Incident, ...]) -> Iterator[str]:
        """What ended daemons without a reason that the incidents gave, and errors of their boot services."""
        for daemon in self.daemons:
            yield from (f"{daemon.process.name}: the boot service failed: {one!r}" for one in daemon.defects)
            error = daemon.failure
            if error is None:
                continue
            fenced = isinstance(error, Fenced) and Incident.TAKEN_OVER in allowed
            by_store = isinstance(error, StoreError) and not _STORE_INCIDENTS.isdisjoint(allowed)
            by_source = isinstance(error, SourceError) and Incident.GIT_AWAY in allowed
            if not (fenced or by_store or by_source):
                yield f"{daemon.process.name} ended: {type(error).__name__}: {error}"

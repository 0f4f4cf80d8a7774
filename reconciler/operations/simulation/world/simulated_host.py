"""One daemon process on a simulated host: started, killed where it stands, stopped in order, its disk full."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import event

from drivers.base import BmcDriver
from drivers.ipam.embedded.embedded import EmbeddedIpam
from drivers.ipam.embedded.embedded_pools import EmbeddedPools
from reconciler import runtime
from reconciler.applying.context import Context
from reconciler.daemon.policy_state import PolicyState
from reconciler.daemon.service import Daemon, DaemonSettings
from reconciler.desired.git.sources.open_source import open_source
from reconciler.desired.git.sources.source import DesiredSource
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.observed.connections import Connections, Drivers
from reconciler.operations.simulation.world.holdings import holdings
from reconciler.operations.simulation.world.simulated_machine import NoAnswer
from reconciler.operations.simulation.world.simulated_runtime import SimulatedProcess, SimulatedRuntime
from reconciler.operations.stored_facts import facts_of
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.standing import CommandLimits, DaemonReport
from reconciler.services.log import logger
from reconciler.services.provisioning_port import Provisioning, ProvisioningUnavailable
from reconciler.store import Store
from reconciler.store.sql.store_errors import StoreError

T = TypeVar("T")
_ANSWER_SECONDS = 30.0
"""For which an agent waits for an answer."""


def budget_limits(count: int) -> CommandLimits:
    """Limits by which so many machines may be down at once."""
    share, every = FleetShare(count=count), FleetShare(percent=100)
    return CommandLimits(
        GuardLimits(
            max_disrupted=share,
            max_disrupted_per_rack=share,
            max_unreachable=FleetShare(percent=50),
            max_released=every,
            max_removed=every,
        )
    )


class SimulationSettings(msgspec.Struct, frozen=True):
    """How a daemon is started. `interval`, `resync`, `house`: seconds."""

    limits: CommandLimits
    workers: int = 8
    interval: float = 30.0
    resync: float = 60.0
    house: float = 5.0


class SimulatedDaemon:
    """A `groundstate run`. `epoch`: 0 until it has the store. `found`: the ids of the actions that were in flight then.
    `failure`: what it ended with. `defects`: errors of its boot service that are none of the store."""

    def __init__(
        self,
        simulation: SimulatedRuntime,
        name: str,
        repository: Path,
        store: Path,
        driver: BmcDriver,
        settings: SimulationSettings,
    ) -> None:
        self.process, self.epoch = SimulatedProcess(name), 0
        self.found: frozenset[str] = frozenset()
        self.failure: Exception | None = None
        self.has_ended = False
        self.defects: list[Exception] = []
        self._working: Daemon | None = None
        self._provisioning: Provisioning | None = None
        self.log = io.StringIO()
        self._simulation, self._repository, self._store_file = simulation, repository, store
        self._driver, self._settings = driver, settings
        self._files: list[sqlite3.Connection] = []
        self._held, self._flag = ExitStack(), runtime.flag()
        self.fails_next = 0
        """How many of the next statements fail."""
        self.is_disk_full = False
        simulation.begin(self._main, name, self.process)

    def kill(self) -> None:
        """kill -9: what was not committed is gone, and its lock is free."""
        self._simulation.kill(self.process)
        self.has_ended = True
        for file in self._files:
            with suppress(sqlite3.Error):
                file.rollback()
        # As the kernel frees its lock. The store's own farewell fails, as a killed process says none.
        self.fails_next = 1_000_000
        with suppress(Exception):
            self._held.close()

    def ask(self, question: Callable[[Provisioning], T]) -> T:
        """What the boot service answers, in a thread of its own. Raises NoAnswer."""
        provisioning = self._provisioning
        if provisioning is None or self.has_ended:
            raise NoAnswer
        answered: runtime.Future[T] = runtime.future()

        def answer() -> None:
            try:
                answered.set_result(question(provisioning))
            except Exception as error:  # noqa: BLE001  the real one answers 500 or 503
                if not isinstance(error, StoreError | ProvisioningUnavailable):
                    self.defects.append(error)
                answered.set_exception(error)

        self._simulation.begin(answer, "boot service", self.process)
        try:
            return answered.result(_ANSWER_SECONDS)
        except Exception as error:
            raise NoAnswer from error

    def end(self) -> None:
        """SIGTERM."""
        self._flag.set()

    def fill_disk(self, *, full: bool) -> None:
        """Let the store's file not grow, or grow again."""
        self.is_disk_full = full
        for file in self._files:
            _limit(file, full=full)

    def holdings(self) -> dict[str, int]:
        """How much it holds: entries of its containers, threads, and open files of the store."""
        open_files = sum(_is_open(one) for one in self._files)
        return holdings(self._working) | {"threads": self.process.threads, "connections": open_files}

    def _main(self) -> None:
        try:
            self._run()
        except Exception as error:  # noqa: BLE001  the process ends with it
            self.failure = error
        finally:
            self.has_ended = True

    def _run(self) -> None:
        with self._held:
            store = Store.open(f"sqlite:///{self._store_file}")
            self._held.callback(store.close)
            self._watch(store)
            self.epoch = self._held.enter_context(store.instance("run"))
            self.found = frozenset(one.id for one in store.in_flight().values())
            limits, pace = self._settings.limits, self._settings
            me = DaemonReport(f"{self.process.name} (run)", runtime.now(), limits.limits, boot_address="10.0.0.1")
            standing = PolicyState(store, limits, runtime.now, me)
            ipam, pools = EmbeddedIpam(store.engine), EmbeddedPools(store.engine)
            drivers = Drivers(lambda _: self._driver, _no_secret, ipam, pools)
            daemon = Daemon(
                PolledSource(open_source(self._repository)),
                store,
                Connections(drivers, self._repository),
                facts_of(store),
                Context(now=runtime.now, random=runtime.random, by=self.process.name, epoch=self.epoch),
                standing,
                DaemonSettings(git=pace.interval, resync=pace.resync, workers=pace.workers, house=pace.house),
                logger(self.log, json=True),
            )
            standing.begin(self.epoch)
            self._working, self._provisioning = daemon, daemon.provisioning
            daemon.run(self._flag)
            self._provisioning = None
            standing.leave()

    def _watch(self, store: Store) -> None:
        """Keep what is needed to let the process die, and its statements fail."""
        store.engine.dispose()

        def connected(file: sqlite3.Connection, _record: object) -> None:
            self._files.append(file)
            if self.is_disk_full:
                _limit(file, full=True)

        def executes(*_: object) -> None:
            if self.fails_next:
                self.fails_next -= 1
                raise sqlite3.OperationalError("disk I/O error")

        event.listen(store.engine, "connect", connected)
        event.listen(store.engine, "do_execute", executes)


class PolledSource:
    """A repository that is read every few seconds: what watches files waits by the real clock."""

    def __init__(self, source: DesiredSource) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def watch(self, stop: runtime.Flag, interval: float, jitter: Callable[[], float]) -> Iterator[None]:
        """Every interval."""
        while not stop.wait(interval + jitter()):
            yield None


def _limit(file: sqlite3.Connection, *, full: bool) -> None:
    with suppress(sqlite3.Error):
        pages = file.execute("PRAGMA page_count").fetchone()[0] if full else 2**30
        file.execute(f"PRAGMA max_page_count = {pages}")


def _is_open(file: sqlite3.Connection) -> bool:
    try:
        file.total_changes  # noqa: B018  a closed one raises
    except sqlite3.ProgrammingError:
        return False
    return True


def _no_secret(_reference: object) -> Any:
    raise AssertionError("no simulated BMC wants a login")

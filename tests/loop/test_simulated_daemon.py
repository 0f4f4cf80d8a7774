"""The whole daemon in virtual time: everything that waits, and every clock, goes through `reconciler.runtime`.

A real repository, a real store and fake BMCs that take their time. What holds for each seed: in the end all is as
declared, and nothing was sent that is not in the ledger. A part that took its clock or its locks from elsewhere would
hang here, or make two runs of one seed differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.base import PowerState
from drivers.bmc.fake.fake import FakeFleet
from drivers.bmc.fake.fake_faults import Fault, FaultKind
from drivers.ipam.embedded.embedded import EmbeddedIpam
from drivers.ipam.embedded.embedded_pools import EmbeddedPools
from reconciler import runtime
from reconciler.applying.context import Context
from reconciler.daemon.policy_state import PolicyState
from reconciler.daemon.service import Daemon, DaemonSettings
from reconciler.desired.git.sources.open_source import open_source
from reconciler.desired.git.sources.source import DesiredSource
from reconciler.model.event import EventReason
from reconciler.model.facts import Facts
from reconciler.observed.connections import Connections, Drivers
from reconciler.operations.simulation.simulated_runtime import SimulatedRuntime
from reconciler.planning.guards.standing import CommandLimits
from reconciler.services.log import logger
from reconciler.store import Store
from tests.e2e.desk import Desk, machine, partition

MACHINES = [f"m{number}" for number in range(6)]


class LookedAtSource:
    """A repository that is looked at every few seconds: what watches files waits by the real clock."""

    def __init__(self, source: DesiredSource) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def watch(self, stop: runtime.Flag, interval: float, jitter: Callable[[], float]) -> Iterator[None]:
        """Every interval."""
        while not stop.wait(interval + jitter()):
            yield None


class SlowFleet:
    """The fakes behind a network: each request and each answer takes its time."""

    offline = True

    def __init__(self, fleet: FakeFleet, chance: Callable[[], float]) -> None:
        self._fleet, self._chance = fleet, chance

    def open(self, endpoint: Any) -> Any:
        """See BmcDriver."""
        return _Slow(self._fleet.open(endpoint), self._chance)

    def close(self) -> None:
        """See BmcDriver."""


class _Slow:
    def __init__(self, system: Any, chance: Callable[[], float]) -> None:
        self._system, self._chance = system, chance

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._system, name)

        def slowly(*args: Any, **named: Any) -> Any:
            runtime.sleep(0.02 + self._chance())
            result = method(*args, **named)
            runtime.sleep(0.02 + self._chance())
            return result

        return slowly


class Quarter(msgspec.Struct):
    """What came of a quarter of an hour."""

    trace: str
    fleet: FakeFleet
    store: Store

    @property
    def sent(self) -> int:
        """How many actions the ledger says were sent."""
        return sum(one.event.reason == EventReason.ACTION_SENT for one in self.store.events(limit=10_000))


def simulated_quarter(seed: int, folder: Path) -> Quarter:
    """A daemon declares machines on, BMCs fail in between, and in the end one machine is declared off."""
    folder.mkdir()
    desk = Desk(folder / "desk")
    documents = {name: [machine(name, f"fake-{name}", power="On")] for name in MACHINES}
    desk.commit(**documents, lab=[partition(driver="fake")])
    simulation = SimulatedRuntime(seed)
    try:
        with runtime.replaced(simulation), (folder / "log").open("w") as log:
            fleet = FakeFleet(runtime.monotonic, on_after=20.0, off_after=8.0)
            store = Store.open(f"sqlite:///{desk.store}")
            with store.instance("run") as epoch:
                ipam, pools = EmbeddedIpam(store.engine), EmbeddedPools(store.engine)
                slow = SlowFleet(fleet, runtime.random)
                drivers = Drivers(lambda _: slow, lambda _: pytest.fail("no credential"), ipam, pools)
                context = Context(now=runtime.now, random=runtime.random, by="test", epoch=epoch)
                daemon = Daemon(
                    LookedAtSource(open_source(desk.repo)),
                    store,
                    Connections(drivers, desk.repo),
                    Facts({}, {}),
                    context,
                    PolicyState(store, CommandLimits(), runtime.now),
                    DaemonSettings(workers=4),
                    logger(log, json=True),
                )
                stop = runtime.flag()
                running = runtime.thread(lambda: daemon.run(stop), "daemon")
                running.start()
                simulation.run_for(5.0)
                for name, kind in zip(MACHINES, (FaultKind.UNREACHABLE, FaultKind.REPLY_LOST), strict=False):
                    fleet.machine(f"fake-{name}").faults.add(Fault(kind, times=2))
                simulation.run_for(300.0)
                desk.commit(m0=[machine("m0", "fake-m0", power="Off")])
                simulation.run_for(560.0)
                stop.set()
                simulation.run_for(30.0)
                assert not running.is_alive()
                assert simulation.errors == []
                return Quarter(simulation.trace, fleet, store)
    finally:
        simulation.close()


@pytest.fixture
def quarters(tmp_path: Path) -> Iterator[list[Quarter]]:
    found = [simulated_quarter(seed, tmp_path / f"{number}") for number, seed in enumerate((1, 1, 2))]
    yield found
    for one in found:
        one.store.close()


def test_a_daemon_in_virtual_time_gets_everything_as_declared_and_a_seed_decides_how(quarters: list[Quarter]) -> None:
    for one in quarters:
        powers = {name: one.fleet.machine(f"fake-{name}").state.power for name in MACHINES}
        assert powers == {name: PowerState.OFF if name == "m0" else PowerState.ON for name in MACHINES}
        assert one.sent >= len(one.fleet.writes) >= len(MACHINES) + 1
    assert quarters[0].trace == quarters[1].trace
    assert quarters[0].trace != quarters[2].trace

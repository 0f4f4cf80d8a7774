"""A whole groundstate in one thread under a virtual clock: a fake fleet, a real store, the real engine and loop.

A crash is an exception out of the store or a driver at a chosen point; `World.restart` then starts a new engine on
what the store holds, as the next process would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from drivers.base import BmcDriver, Credential
from drivers.bmc.fake.fake import FakeFleet
from drivers.bmc.fake.fake_machine import FakeMachine
from drivers.ipam.embedded.embedded import EmbeddedIpam
from drivers.ipam.embedded.embedded_pools import EmbeddedPools
from drivers.switch.fake.fake_switch import FakeSwitches
from reconciler.applying.context import Context
from reconciler.applying.engine import Engine
from reconciler.kinds import KINDS, longest_resync
from reconciler.kinds.common.access.credentials import NO_GRANTS, FromDocuments, Grants
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.common.machine_facts import MachineFacts, all_machine_facts, as_machine_facts
from reconciler.model.event import Event
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.outcome import Outcome
from reconciler.model.resource import Commit, DesiredState, Resource, ResourceKey, Revision, Source
from reconciler.observed.connections import Connections, Drivers
from reconciler.planning.guards.builtin_guards import hold_until_observed
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.guards.standing import Standing
from reconciler.store import Store
from reconciler.workqueue.loop import COMMIT, Loop
from reconciler.workqueue.queue import WorkQueue

START = datetime(2026, 1, 1, tzinfo=UTC)
ON_LOOPBACK = Grants(
    document_credentials=FromDocuments(env=("*",), networks=("127.0.0.0/8",), insecure=True),
    bmc_networks=("127.0.0.0/8",),
)
EVERYTHING = FleetShare(percent=100)
ALL = GuardLimits(
    max_disrupted=EVERYTHING,
    max_disrupted_per_rack=EVERYTHING,
    max_removed=EVERYTHING,
    max_unreachable=EVERYTHING,
    max_released=EVERYTHING,
)


def declare(*documents: tuple[str, str, dict[str, Any]], revision: str = "a" * 40) -> DesiredState:
    """A desired state from (kind, name, spec)."""
    commit = Commit(revision, "Ada", START, "Declare it")
    resources = {}
    for kind, name, spec in documents:
        key = ResourceKey(kind, name)
        typed = msgspec.convert(spec, KINDS[kind].spec_type)
        resources[key] = Resource(key, typed, {}, {}, Source(f"{name}.yaml"))
    return DesiredState(Revision(revision, "main", "fleet", commit), resources)


def machine(name: str, **spec: Any) -> tuple[str, str, dict[str, Any]]:
    """A Machine document on the fake driver, its BMC named like itself."""
    address = spec.pop("address", f"fake-{name}")
    bmc = {"driver": "fake", "address": address, **({"systemId": name} if address != f"fake-{name}" else {})}
    return "Machine", name, {"partition": "lab", "bmc": bmc, **spec}


class World:
    """Owns the time. `events` are all that was told, in order."""

    resync = 60.0
    """Seconds between two observations of a resource at rest."""

    def __init__(
        self,
        path: Path,
        limits: GuardLimits = ALL,
        driver: Callable[[], BmcDriver] | None = None,
        secret: Callable[[object], Credential] | None = None,
        **latency: float,
    ) -> None:
        """`driver`: opens one for real BMCs, anew for each process, in the place of the fake fleet; `secret`: resolves
        the references to their logins."""
        self._secret = secret or _no_secret
        self._grants = NO_GRANTS if secret is None else ON_LOOPBACK
        self.at = 0.0
        self._driver = driver
        self.fleet = FakeFleet(lambda: self.at, **latency)
        self.switches = FakeSwitches(lambda: self.at)
        self.events: list[Event] = []
        self.outcomes: dict[ResourceKey, Outcome] = {}
        self.stepped: list[ResourceKey] = []
        self.crashes: list[BaseException] = []
        self._path, self._limits, self._epoch = path, limits, 0
        self.standing = Standing(limits, "10.0.0.1")
        self.desired: DesiredState | None = None
        self.since_beginning = False
        self._open()

    def now(self) -> datetime:
        """The virtual clock."""
        return START + timedelta(seconds=self.at)

    def bmc(self, name: str) -> FakeMachine:
        """The fake system behind a machine."""
        return self.fleet.machine(f"fake-{name}")

    def commit(self, desired: DesiredState) -> None:
        """A new revision takes force."""
        self.desired = desired
        self.loop.put(self.engine.put_in_force(desired), COMMIT)

    def meet(self, *names: str) -> None:
        """These are known before an order stands in their documents."""
        self.commit(declare(*map(machine, names), revision="0" * 40))
        self.run(1)

    def restart(self) -> None:
        """The process is gone, and another starts on the same store."""
        self.store.close()
        self._open()
        if self.desired is not None:
            self.commit(self.desired)

    def run(self, seconds: float) -> None:
        """Let time pass: every key is handled when it is due."""
        until = self.at + seconds
        while True:
            while self.loop.turn():
                pass
            due = self.queue.next_due()
            moment = until if due is None else (due - START).total_seconds()
            if moment >= until:
                self.at = until
                return
            self.at = max(self.at, moment)

    def reasons(self, name: str) -> list[str]:
        """What was told of a resource, in order."""
        return [event.reason for event in self.events if event.key is not None and event.key.name == name]

    def facts(self) -> dict[ResourceKey, ResourceFacts]:
        """What the store remembers."""
        return self.store.facts()

    def machines(self) -> dict[ResourceKey, MachineFacts]:
        """What the store remembers of machines."""
        return all_machine_facts(self.store.facts())

    def machine(self, key: ResourceKey) -> MachineFacts:
        """What the engine remembers of a machine."""
        return as_machine_facts(self.engine.facts_of(key))

    def _open(self) -> None:
        self._epoch += 1
        self.store = Store.open(f"sqlite:///{self._path / 'state.db'}")
        self.ipam = EmbeddedIpam(self.store.engine)
        self.pools = EmbeddedPools(self.store.engine)
        driver = self._driver() if self._driver is not None else self.fleet
        drivers = Drivers(lambda _name: driver, self._secret, self.ipam, self.pools, switch=lambda _name: self.switches)
        with self.store.instance("run") as epoch:
            context = Context(
                now=self.now,
                random=lambda: 0.0,
                by="test",
                epoch=epoch,
                standing=lambda: self.standing,
                transient_guards=(hold_until_observed(self._limits),),
                report=self.events.append,
                requeue=lambda keys: self.loop.put(keys, COMMIT),
                failed=lambda _key, error: self.crashes.append(error),
            )
        facts = Facts(self.store.facts(), self.store.in_flight(), self.since_beginning)
        self.engine = Engine(self.store, Connections(drivers, self._path, self._grants), facts, context)
        self.queue = WorkQueue()
        self.loop = Loop(
            self.queue,
            self._step,
            self.now,
            lambda: 0.5,
            resync=self.resync,
            resync_of=longest_resync,
            settled=self._settled,
            crashed=lambda _key, error: self.crashes.append(error),
        )

    def _step(self, key: ResourceKey) -> Outcome:
        self.stepped.append(key)
        return self.engine.reconcile(key)

    def _settled(self, key: ResourceKey, outcome: Outcome) -> None:
        self.outcomes[key] = outcome


def _no_secret(_reference: object) -> Any:
    raise AssertionError("the fake fleet asks for no credential here")


def keys(names: Iterable[str]) -> list[ResourceKey]:
    """Machine keys."""
    return [ResourceKey("Machine", name) for name in names]

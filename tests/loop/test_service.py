"""The daemon as a whole, in this process: what ends it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from drivers.bmc.fake.fake import FakeFleet
from drivers.bmc.fake.fake_faults import Fault, FaultKind
from drivers.ipam.embedded.embedded import EmbeddedIpam
from drivers.ipam.embedded.embedded_pools import EmbeddedPools
from reconciler.applying.context import Context
from reconciler.daemon.policy_state import PolicyState
from reconciler.daemon.service import Daemon, DaemonSettings
from reconciler.desired.git.sources.open_source import open_source
from reconciler.desired.git.sources.source import Snapshot
from reconciler.kinds.common.machine_facts import LifecycleFacts, MachineFacts, as_machine_facts
from reconciler.model.facts import Facts
from reconciler.model.outcome import Done
from reconciler.model.resource import Commit, DesiredState, ResourceKey
from reconciler.observed.connections import Connections, Drivers
from reconciler.planning.guards.standing import CommandLimits, DaemonReport
from reconciler.services.log import logger
from reconciler.store import Store
from reconciler.store.sql.store_errors import Fenced
from tests.e2e.desk import Desk, document, machine, partition

ROOT = {"url": "https://images.example/x", "checksum": "sha256:" + "0" * 64}
NOTHING = Facts({}, {})


def now() -> datetime:
    return datetime.now(UTC)


class Office:
    """A daemon over a repository with one machine on a fake BMC."""

    def __init__(self, folder: Path) -> None:
        self.desk = Desk(folder / "desk")
        self.commit("m")
        self.store, self.fleet = Store.open(f"sqlite:///{self.desk.store}"), FakeFleet(lambda: 0.0)
        self.source = open_source(self.desk.repo)
        self.log = (folder / "log").open("w")

    def commit(self, name: str) -> None:
        """One more machine."""
        self.desk.commit(**{name: [machine(name, f"fake-{name}", power="On")]}, lab=[partition(driver="fake")])

    def daemon(self, epoch: int, facts: Facts = NOTHING) -> Daemon:
        """One more daemon."""
        ipam, pools = EmbeddedIpam(self.store.engine), EmbeddedPools(self.store.engine)
        drivers = Drivers(lambda _: self.fleet, lambda _: pytest.fail("no credential"), ipam, pools)
        context = Context(now=now, random=lambda: 0.5, by="test", epoch=epoch)
        standing = PolicyState(self.store, CommandLimits(), now, DaemonReport("test", now(), boot_address="10.0.0.1"))
        ways, log = Connections(drivers, self.desk.repo), logger(self.log, json=True)
        return Daemon(self.source, self.store, ways, facts, context, standing, DaemonSettings(workers=2), log)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.store.close()
    office.log.close()


def test_one_that_another_has_taken_over_from_ends(office: Office) -> None:
    with office.store.instance("run") as epoch:
        pass
    stop = threading.Event()
    late = threading.Timer(30.0, stop.set)
    late.start()
    with office.store.instance("run"), pytest.raises(Fenced, match="taken over"):
        office.daemon(epoch).run(stop)
    late.cancel()
    assert office.fleet.writes == []


def test_a_start_makes_everything_due_that_is_declared_or_remembered(office: Office) -> None:
    """Timers are not kept: what the process before had waiting, or in hand when it was killed, is due anew."""
    gone = ResourceKey("Machine", "gone")
    daemon = office.daemon(1, Facts({gone: MachineFacts()}, {}))
    daemon._follower.check_revision()
    stepped: list[ResourceKey] = []

    def step(key: ResourceKey) -> Done:
        stepped.append(key)
        return Done()

    daemon._loop._step = step
    while daemon._loop.turn():
        pass
    assert stepped == [gone, ResourceKey("Machine", "m")]


def test_who_changed_what_is_known_before_it_is_in_force(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    in_force: list[DesiredState | None] = []
    looked_up = office.source.commits_for
    daemon = office.daemon(1)
    follower, engine = daemon._follower, daemon._engine

    def commits_for(state: DesiredState, keys: Iterable[ResourceKey]) -> dict[ResourceKey, Commit]:
        in_force.append(engine.desired)
        return looked_up(state, keys)

    monkeypatch.setattr(office.source, "commits_for", commits_for)
    follower.check_revision()
    first = engine.desired
    office.commit("n")
    follower.check_revision()
    assert engine.desired is not first
    assert in_force == [None, first]


def _hung(office: Office, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """The source gives no newest revision until the event is set."""
    answers, snapshot = threading.Event(), office.source.snapshot

    def hanging(at: str | None = None) -> Snapshot:
        assert at is not None or answers.wait(60)
        return snapshot(at)

    monkeypatch.setattr(office.source, "snapshot", hanging)
    return answers


def _told(office: Office) -> list[str]:
    return [entry.event.reason for entry in office.store.events()]


def test_a_remote_that_hangs_at_the_start_does_not_delay_the_last_good_revision(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """argoproj/argo-cd#3694 (a remote that hangs): what was in force before goes on while the new fetch waits."""
    office.daemon(1)._follower.check_revision()
    first = office.desk.git("rev-parse", "HEAD")
    office.commit("n")
    answers = _hung(office, monkeypatch)
    follower = (daemon := office.daemon(1))._follower
    fetching = threading.Thread(target=follower.check_revision)
    fetching.start()
    follower.stand_in()
    assert daemon._engine.desired is not None
    assert daemon._engine.desired.revision.id == first
    answers.set()
    fetching.join()
    assert ResourceKey("Machine", "n") in daemon._engine.desired.resources
    assert _told(office)[1:] == ["SourceSlow", "RevisionApplied", "SourceAvailable", "RevisionApplied"]


def test_a_newer_revision_is_not_put_aside_by_the_last_good_one(office: Office) -> None:
    office.daemon(1)._follower.check_revision()
    office.commit("n")
    daemon = office.daemon(1)
    daemon._follower.check_revision()
    daemon._follower.stand_in()
    daemon._follower._fall_back()
    assert daemon._engine.desired is not None
    assert ResourceKey("Machine", "n") in daemon._engine.desired.resources


def test_a_first_start_on_a_remote_that_hangs_waits_for_it(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    _hung(office, monkeypatch)
    daemon = office.daemon(1)
    daemon._follower.stand_in()
    assert daemon._engine.desired is None
    assert _told(office) == []


def test_a_claim_that_waited_for_a_machine_does_not_wait_for_its_turn(office: Office) -> None:
    box = ResourceKey("Machine", "box")
    managed = machine("box", "fake-box", lifecycle={"mode": "Managed"})
    asked = {"project": "shop", "partitions": ["lab"], "machines": ["box"], "image": "debian-12"}
    image = {"os": "debian", "version": "12.0.1", "classification": "supported", "root": ROOT}
    documents: dict[str, dict[str, Any]] = {
        "Tenant/acme": {},
        "Project/shop": {"tenant": "acme"},
        "Image/debian-12.0.1": image,
    }
    documents["MachineClaim/web"] = asked
    office.desk.commit(c=[managed, *(document(*name.split("/"), **spec) for name, spec in documents.items())])
    daemon = office.daemon(1, Facts({box: MachineFacts(lifecycle=LifecycleFacts(inspected_at=now()))}, {}))
    engine, loop = daemon._engine, daemon._loop
    office.fleet.machine("fake-box").faults.add(Fault(FaultKind.UNREACHABLE, times=None))
    daemon._follower.check_revision()
    while loop.turn():
        pass
    assert as_machine_facts(engine.facts_of(box)).project is None
    office.fleet.machine("fake-box").faults.clear()
    engine.reconcile(box)
    assert not loop.turn()
    daemon._house.count_work(engine.plan())
    assert loop.turn()
    assert as_machine_facts(engine.facts_of(box)).lifecycle.claim == "web"


@pytest.mark.parametrize("part", ["house", "reader", "standing"])
def test_a_thread_that_leaves_takes_the_daemon_down_with_an_error(
    office: Office, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Half a daemon is worse than none: without the thread `standing`, no pause would be seen any more."""
    with office.store.instance("run") as epoch:
        daemon = office.daemon(epoch)
        names = {"house": ("_house", "run"), "reader": ("_reader", "run"), "standing": ("_standing", "watch")}
        owner, method = names[part]

        def leaving(_stop: threading.Event) -> None:
            sys.exit(0)

        monkeypatch.setattr(getattr(daemon, owner), method, leaving)
        stop = threading.Event()
        with pytest.raises(RuntimeError, match="SystemExit ended a thread"):
            daemon.run(stop)
        assert stop.is_set()


def test_a_service_beside_the_daemon_that_ends_takes_it_down(office: Office) -> None:
    with office.store.instance("run") as epoch:
        daemon, stop = office.daemon(epoch), threading.Event()
        threading.Timer(0.5, lambda: daemon.thread_ended(OSError("the listener is gone"))).start()
        with pytest.raises(OSError, match="listener is gone"):
            daemon.run(stop)

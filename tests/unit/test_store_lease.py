"""The lease of the process that works on a PostgreSQL store."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from drivers.base import LeaseEnded, ResetType
from reconciler import runtime
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.model.actions.bmc_actions import PowerOn
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.ledger_write import BeginAction, EndAction
from reconciler.model.resource import ResourceKey
from reconciler.store import InstanceHeld, Store
from reconciler.store.lease.store_lease import StoreLease
from reconciler.store.sql.store_errors import Fenced, StoreUnavailable, StoreWentBack

SECONDS = 1.5
HOLD = f"""
import sys
from drivers.base import LeaseEnded
from reconciler.model.resource import ResourceKey
from reconciler.store import Store, StoreError
store = Store.open(sys.argv[1])
with store.instance("run", lease={SECONDS}):
    print("held", flush=True)
    for _ in sys.stdin:
        try:
            store.require_lease()
            print("may", flush=True)
        except LeaseEnded as ended:
            print(ended, flush=True)
        try:
            store.put_facts({{ResourceKey("Machine", "m1"): None}})
            print("wrote", flush=True)
        except StoreError as error:
            print(error, flush=True)
"""


class Holder:
    """Another process that has the lease."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def asked(self) -> tuple[str, str]:
        """What it says: whether it may send, and whether it could write."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip(), self.process.stdout.readline().strip()


@contextmanager
def another_process(url: str) -> Iterator[Holder]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield Holder(process)
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


@pytest.fixture
def postgresql_store(empty_postgresql_url: str) -> Iterator[Store]:
    store = Store.open(empty_postgresql_url)
    yield store
    store.close()


def test_it_is_renewed_for_as_long_as_its_process_works(postgresql_store: Store, postgresql_database: str) -> None:
    with another_process(postgresql_database) as holder:
        time.sleep(3 * SECONDS)
        with pytest.raises(InstanceHeld, match=rf"in use by groundstate run, process {holder.process.pid}"):
            postgresql_store.instance("run").__enter__()
        assert holder.asked() == ("may", "wrote")


def test_of_a_killed_process_its_end_is_waited_for(postgresql_store: Store, postgresql_database: str) -> None:
    said: list[str] = []
    with another_process(postgresql_database) as holder:
        holder.process.kill()
        holder.process.wait()
        with _taken(postgresql_store, said.append) as epoch:
            assert epoch == 2
    assert all("which has lost its connection to the database; waiting up to" in one for one in said)


def test_a_process_that_hangs_is_taken_over_from_and_neither_sends_nor_writes(
    postgresql_store: Store, postgresql_database: str
) -> None:
    with another_process(postgresql_database) as holder:
        holder.process.send_signal(signal.SIGSTOP)
        with _taken(postgresql_store) as epoch:
            assert epoch == 2
            holder.process.send_signal(signal.SIGCONT)
            may, wrote = holder.asked()
        assert may.startswith("nothing was sent: ")
        assert "another groundstate process has taken over this store" in wrote


@pytest.mark.parametrize(("lease", "limit"), [(0.5, "2s"), (5, "5s"), (300, "15s")])
def test_one_that_hangs_in_a_transaction_keeps_the_store_for_about_its_lease(
    postgresql_store: Store, lease: float, limit: str
) -> None:
    with postgresql_store.instance("run", lease=lease), postgresql_store.engine.connect() as connection:
        assert connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one() == limit


def test_after_a_proper_end_nothing_is_waited_for(postgresql_store: Store) -> None:
    with postgresql_store.instance("run", lease=300):
        pass
    with postgresql_store.instance("run") as epoch:
        assert epoch == 2


def test_nothing_is_sent_in_the_last_third_of_one_that_was_not_renewed() -> None:
    lease, now = StoreLease(30), runtime.monotonic()
    lease.renewed(now - 19)
    lease.require()
    lease.renewed(now - 20)
    with pytest.raises(LeaseEnded, match="the store has not answered for so long"):
        lease.require()


def test_one_that_was_lost_to_another_process_stays_so() -> None:
    lease = StoreLease(30)
    lease.renewed(runtime.monotonic())
    lease.lose(Fenced("another groundstate process has taken over"))
    with pytest.raises(LeaseEnded, match="another groundstate process has taken over"):
        lease.require()
    with pytest.raises(Fenced, match="another groundstate process has taken over"):
        lease.require_not_lost()


def test_one_that_was_left_lets_no_thread_send_that_was_left_behind() -> None:
    lease = StoreLease(30)
    lease.renewed(runtime.monotonic())
    lease.leave()
    with pytest.raises(LeaseEnded, match="this process does not work on the store any more"):
        lease.require()


def test_a_defect_of_the_thread_that_renews_it_is_reported_as_one(
    postgresql_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("ends_at")

    failures: queue.Queue[BaseException] = queue.Queue()
    monkeypatch.setattr("reconciler.store.lease.instance.keep_lease", broken)
    with postgresql_store.instance("run"):
        postgresql_store.when_failed(failures.put)
        assert isinstance(failures.get(timeout=10), KeyError)
        with pytest.raises(LeaseEnded, match=r"the lease ended because of a bug in groundstate \(KeyError: 'ends_at'"):
            postgresql_store.require_lease()


def test_who_worked_last_takes_the_store_again_at_once(postgresql_store: Store, postgresql_database: str) -> None:
    with _cut_off(postgresql_store, lease=300) as epoch:
        pass
    with postgresql_store.instance("run", before=epoch) as again:
        assert again == epoch + 1


def test_who_was_taken_over_from_does_not_take_it_again(postgresql_store: Store, postgresql_database: str) -> None:
    with _cut_off(postgresql_store, lease=0.1) as epoch:
        pass
    with another_process(postgresql_database), pytest.raises(Fenced, match="has taken over this store"):
        postgresql_store.instance("run", before=epoch).__enter__()


def test_a_store_that_went_back_is_not_taken_again(postgresql_store: Store) -> None:
    with postgresql_store.instance("run") as epoch:
        pass
    with pytest.raises(StoreWentBack, match=f"number {epoch + 5}; the store is at number {epoch}"):
        postgresql_store.instance("run", before=epoch + 5).__enter__()


def test_a_store_that_went_back_meanwhile_was_not_taken_over(postgresql_store: Store) -> None:
    with postgresql_store.instance("run", lease=0.3) as epoch:
        with postgresql_store.engine.begin() as connection:
            connection.execute(text("UPDATE instance SET epoch = epoch - 1"))
            connection.execute(text("UPDATE lease SET epoch = epoch - 1"))
        words = f"number {epoch}; the store is at number {epoch - 1}"
        with pytest.raises(StoreWentBack, match=words):
            postgresql_store.check()
        with suppress(StoreWentBack):
            while True:
                postgresql_store.require_not_lost()
                time.sleep(0.01)
        with pytest.raises(LeaseEnded, match=words):
            postgresql_store.require_lease()


def test_a_store_that_lost_the_last_action_of_who_worked_on_it_is_not_taken_again(postgresql_store: Store) -> None:
    with _cut_off(postgresql_store, lease=300) as epoch:
        postgresql_store.write([_begun("m1", epoch)])
    last = postgresql_store.last_action
    with postgresql_store.instance("run", before=epoch, last=last) as epoch:
        assert postgresql_store.last_action == last
    _lose_events_of(postgresql_store, "m1")
    with pytest.raises(StoreWentBack, match=r"what this process wrote last \(ActionSent of Machine/m1 at "):
        postgresql_store.instance("run", before=epoch, last=last).__enter__()


def test_a_store_that_lost_the_last_action_meanwhile_is_noticed(postgresql_store: Store) -> None:
    with postgresql_store.instance("run", lease=0.3) as epoch:
        postgresql_store.write([_begun("m1", epoch)])
        _lose_events_of(postgresql_store, "m1")
        _until_lost(postgresql_store, "what this process wrote last")


def test_an_event_that_is_counted_beside_an_earlier_one_is_not_missed(postgresql_store: Store) -> None:
    """Also where the clock was put back."""
    with postgresql_store.instance("run", lease=0.3) as epoch:
        for minutes in (*range(70), 3):
            later = timedelta(minutes=minutes)
            postgresql_store.write([_begun("m1", epoch, later), _ended("m1", later)])
        for _ in range(30):  # A few renewals.
            postgresql_store.require_not_lost()
            time.sleep(0.02)


def test_two_processes_under_one_epoch_are_noticed(postgresql_store: Store) -> None:
    """A replica was promoted that lacked the last taking, and another process has counted up the same number."""
    with postgresql_store.instance("run", lease=0.3):
        with postgresql_store.engine.begin() as connection:
            other = text("UPDATE instance SET holder = replace(holder, :pid, :other)")
            connection.execute(other, {"pid": '"pid":', "other": '"pid":1'})
        _until_lost(postgresql_store, "does not know that this process has taken it over")


def _begun(name: str, epoch: int, later: timedelta = timedelta()) -> BeginAction:
    key, at = ResourceKey("Machine", name), runtime.now() + later
    action = PowerOn(key=key, reason="declared", reset_type=ResetType.ON)
    flight = InFlight(f"a-{name}", key, action, at, at + timedelta(minutes=5), by="ada", cause="a commit")
    event = Event(at, EventType.NORMAL, EventReason.ACTION_SENT, "power-on", key)
    return BeginAction(flight, MachineFacts(), event, epoch)


def _ended(name: str, later: timedelta = timedelta()) -> EndAction:
    begun = _begun(name, 0, later)
    event = msgspec.structs.replace(begun.event, reason=EventReason.ACTION_CONFIRMED)
    return EndAction(begun.flight, begun.facts, event)


def _lose_events_of(store: Store, name: str) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("DELETE FROM event WHERE name = :name"), {"name": name})


def _until_lost(store: Store, words: str) -> None:
    deadline = time.monotonic() + 10
    with suppress(StoreWentBack):
        while time.monotonic() < deadline:
            store.require_not_lost()
            time.sleep(0.01)
    with pytest.raises(StoreWentBack, match=words):
        store.require_not_lost()


@contextmanager
def _cut_off(store: Store, lease: float) -> Iterator[int]:
    """Work that ends as the database cannot be reached any more: the lease stays."""
    with suppress(StoreUnavailable), store.instance("run", lease=lease) as epoch:
        yield epoch
        raise StoreUnavailable("it is away")


def test_a_store_in_a_file_needs_none(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    with store.instance("run", lease=0.01):
        time.sleep(0.05)
        store.require_lease()
    store.close()


@contextmanager
def _taken(store: Store, waiting: Callable[[str], None] | None = None) -> Iterator[int]:
    """The store, once its lease has ended. PostgreSQL may notice a moment later that a session has ended."""
    with ExitStack() as held:
        while True:
            try:
                epoch = held.enter_context(store.instance("run", waiting=waiting))
                break
            except InstanceHeld:
                time.sleep(0.1)
        yield epoch

"""Calls of the daemon that decides: to whom they go, and what becomes of them when that daemon is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from drivers.base import ACCEPTED, NoWorker, Rejected, ResetType, Unreachable
from reconciler import runtime
from reconciler.daemon.shards import control_relay
from reconciler.daemon.shards.control_relay import ControlRelay
from reconciler.kinds.catalogue.partition import PartitionSpec
from reconciler.kinds.common.field_types.bmc_access import BmcSpec
from reconciler.kinds.kind_shards import shard_of
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.actions.bmc_actions import PowerOn
from reconciler.model.facts import NO_FACTS
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.model.values.program_version import program_version
from reconciler.observed.relay.relay_messages import (
    CALLS,
    CallAnswer,
    ChangeHint,
    EndpointCall,
    RelayedCall,
    SendCall,
    TaskCall,
    error_message,
    observe_call,
)
from reconciler.store import Store
from reconciler.store.lease.instance import StoreHolder
from reconciler.store.rows.relay_rows import RelayAnswer
from tests.unit.planning_worlds import desired, resource

M1 = ResourceKey("Machine", "m1")
SEND = SendCall(PowerOn(key=M1, reset_type=ResetType.ON, reason="declared On"))
READ = observe_call(NO_FACTS)
SITE = StoreHolder("run", 1, "site", datetime(2026, 1, 1, tzinfo=UTC), program_version())
LONG, ENDED = 300.0, -1.0


def fleet(*, own: bool = True) -> DesiredState:
    """One machine, in a partition that has daemons of its own or has none."""
    partition = resource("Partition", "fra2", PartitionSpec(own_workers=own))
    return desired(partition, resource("Machine", "m1", MachineSpec(partition="fra2", bmc=BmcSpec(address="m1.bmc"))))


SHARD = shard_of(fleet().resources[M1])
assert SHARD is not None


class Control:
    """The daemon that decides, and by hand what the one of the site does."""

    def __init__(self, store: Store, relay: ControlRelay, pool: ThreadPoolExecutor) -> None:
        self.store, self.relay, self.pool = store, relay, pool
        self.lost: list[str] = []
        self.back: list[str] = []
        self.hinted: list[ResourceKey] = []
        relay.report, relay.changed = self._report, self.hinted.extend

    def _report(self, lost: Sequence[str], back: Sequence[str]) -> None:
        self.lost += lost
        self.back += back

    def begins(self) -> None:
        """The daemon of the site begins to work, and gets its shard."""
        self.beats()
        self.relay.review()
        assert list(self.beats()) == [SHARD]
        self.relay.review()

    def beats(self, seconds: float = LONG) -> dict[Any, int]:
        """It renews its lease."""
        return self.store.shards.beat(SITE, ("fra2",), seconds)

    def call(self, call: EndpointCall) -> Future[Any]:
        """A thread of the daemon that decides makes a call, and waits."""

        def made() -> Any:
            with self.relay.reaching(M1, fleet()) as carry:
                assert carry is not None
                return carry(call)

        return self.pool.submit(made)

    def taken(self) -> RelayedCall:
        """The call, as the daemon of the site takes it."""
        epochs = self.beats()
        while not (found := self.store.relay.take(epochs)):
            runtime.sleep(0.01)
        return CALLS.decode(found[0].value)

    def answers(self, message: CallAnswer | ChangeHint) -> None:
        """The daemon of the site says this."""
        self.store.relay.answer([RelayAnswer(msgspec.json.encode(message).decode())])


@pytest.fixture
def control(empty_postgresql_url: str) -> Iterator[Control]:
    store = Store.open(empty_postgresql_url)
    with store.instance("run") as epoch, ThreadPoolExecutor(4) as pool:
        relay = ControlRelay(store, epoch, 1000)
        relay.adopt(fleet())
        yield Control(store, relay, pool)
    store.close()


@contextmanager
def running(control: Control) -> Iterator[None]:
    """The daemon's own thread carries calls and answers."""
    stop = runtime.flag()
    ended = control.pool.submit(control.relay.run, stop)
    try:
        yield
    finally:
        stop.set()
        control.relay.wake()
        ended.result()


def test_a_call_goes_to_the_daemon_that_has_the_shard_and_its_answer_comes_back(control: Control) -> None:
    control.begins()
    with running(control):
        made = control.call(SEND)
        taken = control.taken()
        assert (taken.key, taken.call, taken.revision) == (M1, SEND, fleet().revision.id)
        control.answers(CallAnswer(taken.id, msgspec.Raw(msgspec.json.encode(ACCEPTED))))
        assert made.result() == ACCEPTED


def test_an_error_comes_back_as_an_error(control: Control) -> None:
    control.begins()
    with running(control):
        made = control.call(SEND)
        control.answers(CallAnswer(control.taken().id, error=error_message(Rejected("the BMC says no"))))
        with pytest.raises(Rejected, match="the BMC says no"):
            made.result()


def lease_ends(control: Control) -> None:
    control.beats(ENDED)


def leaves(control: Control) -> None:
    control.store.shards.leave(SITE)


def comes_back_late(control: Control) -> None:
    """It was paused, and its lease ended meanwhile; it has its shards anew."""
    control.beats(ENDED)
    control.beats()


@pytest.mark.parametrize("goes", [lease_ends, leaves, comes_back_late])
@pytest.mark.parametrize("is_taken", [True, False])
def test_an_action_is_perhaps_sent_when_the_daemon_is_lost_before_it_answers(
    control: Control, goes: Callable[[Control], None], is_taken: bool
) -> None:
    control.begins()
    with running(control):
        made = control.call(SEND)
        if is_taken:
            control.taken()
        goes(control)
        with pytest.raises(Unreachable, match="has stopped working on shard fra2/") as lost:
            made.result()
        assert lost.value.maybe_sent


@pytest.mark.parametrize("call", [READ, TaskCall("/7")])
def test_a_read_is_not_made_when_the_daemon_is_lost(control: Control, call: EndpointCall) -> None:
    control.begins()
    with running(control):
        made = control.call(call)
        control.taken()
        lease_ends(control)
        with pytest.raises(NoWorker, match="has stopped working"):
            made.result()


def test_what_a_daemon_answers_before_it_leaves_counts(control: Control) -> None:
    control.begins()
    with running(control):
        made = control.call(SEND)
        control.answers(CallAnswer(control.taken().id, msgspec.Raw(msgspec.json.encode(ACCEPTED))))
        leaves(control)
        assert made.result() == ACCEPTED


def test_the_end_of_the_daemon_that_decides_ends_its_calls(control: Control) -> None:
    control.begins()
    with running(control):
        made = control.call(SEND)
        control.taken()
    with pytest.raises(Unreachable, match="this process ended before the answer came"):
        made.result()


def test_nobody_is_asked_while_no_daemon_of_the_partition_is_at_work(control: Control) -> None:
    control.relay.review()
    with pytest.raises(NoWorker, match="none of them is at work"):
        control.call(SEND).result()


def test_a_partition_that_loses_its_daemon_is_reported_once_and_so_is_its_return(control: Control) -> None:
    control.relay.review()
    control.relay.review()
    assert (control.lost, control.back) == (["fra2"], [])
    control.begins()
    assert (control.lost, control.back) == (["fra2"], ["fra2"])
    leaves(control)
    control.relay.review()
    assert (control.lost, control.back) == (["fra2", "fra2"], ["fra2"])


def test_a_shard_is_handed_out_when_no_thread_works_on_it_any_more(control: Control) -> None:
    shared = fleet(own=False)
    control.relay.adopt(shared)
    with control.relay.reaching(M1, shared) as carry:
        assert carry is None
        control.relay.adopt(fleet())
        control.beats()
        control.relay.review()
        assert control.beats() == {}
    control.relay.review()
    assert list(control.beats()) == [SHARD]


def test_a_shard_that_a_thread_does_not_leave_is_in_use_again(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_relay, "_MOVING_SECONDS", 0.0)
    shared = fleet(own=False)
    control.relay.adopt(shared)
    with control.relay.reaching(M1, shared):
        control.relay.adopt(fleet())
        control.beats()
        control.relay.review()
        with control.relay.reaching(M1, shared) as carry:
            assert carry is None


def test_a_shard_is_not_taken_back_before_the_database_says_that_its_owner_is_gone(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own clock this process cannot know whether the owner has renewed its lease since."""
    monkeypatch.setattr(control_relay, "_MOVING_SECONDS", 0.0)
    control.begins()
    shared = fleet(own=False)
    control.relay.adopt(shared)
    control.relay.review()
    monkeypatch.setattr(runtime, "monotonic", lambda: LONG * 10)
    with pytest.raises(NoWorker, match="on its way"), control.relay.reaching(M1, shared):
        pass


def test_a_hint_is_passed_on(control: Control) -> None:
    control.begins()
    control.answers(ChangeHint((M1,)))
    control.relay.review()
    assert control.hinted == [M1]

"""Writes that begin together share a transaction: nothing is sent before its record, one odd record costs itself alone,
and what is believed is what is on disk."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from drivers.base import PowerState, ResetType
from reconciler.applying.state import EngineState
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.model.actions.bmc_actions import PowerOn
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.ledger_write import AppendEvents, BeginAction, LedgerWrite, PutFacts
from reconciler.model.resource import ResourceKey
from reconciler.store import Store, StoreError
from reconciler.store.sql.group_commit import GroupCommit, PendingWrite
from tests.loop.world import ALL, START, World, declare, keys, machine

ONE, TWO, THREE = keys(["m1", "m2", "m3"])


class Killed(BaseException):
    """The process is gone; nothing catches it."""


def remembered(value: str) -> ResourceFacts:
    return MachineFacts(place=value)


def put(key: ResourceKey, value: str) -> list[LedgerWrite]:
    return [PutFacts({key: remembered(value)})]


def told(reason: str) -> LedgerWrite:
    return AppendEvents(
        (Event(at=START, type=EventType.NORMAL, reason=EventReason.HELD, message=reason, about=(reason,), by="test"),)
    )


def values(store: Store) -> dict[ResourceKey, str | None]:
    return {key: facts.place for key, facts in store.facts().items()}


def broken() -> StoreError:
    error = StoreError("the database cannot be reached")
    error.__cause__ = OperationalError("", None, Exception("connection lost"))
    return error


class Disk:
    """Carries out writes of facts, all of a call or none; `odd` values are refused, and so is all while `is_broken`."""

    def __init__(self, odd: Sequence[str] = ()) -> None:
        self.odd, self.is_broken = set(odd), False
        self.facts: dict[ResourceKey, ResourceFacts] = {}
        self.calls: list[int] = []

    def write(self, writes: Sequence[LedgerWrite]) -> None:
        if self.is_broken:
            raise broken()
        after = dict(self.facts)
        for write in writes:
            assert isinstance(write, PutFacts)
            for key, facts in write.facts.items():
                if facts is None:
                    after.pop(key, None)
                elif facts.place in self.odd:
                    raise StoreError(f"{facts.place} is odd")
                else:
                    after[key] = facts
        self.facts = after
        self.calls.append(len(writes))


def nothing() -> None:
    """Of the refusal of a write nobody needs to know."""


class TestGroups:
    def test_what_waits_is_written_at_once(self) -> None:
        disk = Disk()
        group = GroupCommit(disk.write)
        first, *others = [group.enqueue(put(key, "a"), nothing) for key in (ONE, TWO, THREE)]
        first.wait()
        for other in others:
            other.wait()
        assert disk.calls == [3]

    def test_what_comes_while_one_writes_is_the_next_group(self) -> None:
        begun, go_on = threading.Event(), threading.Event()
        disk = Disk()

        def slow(writes: Sequence[LedgerWrite]) -> None:
            begun.set()
            assert go_on.wait(60)
            disk.write(writes)

        group = GroupCommit(slow)
        with ThreadPoolExecutor(4) as pool:
            done = [pool.submit(group.enqueue(put(ONE, "a"), nothing).wait)]
            assert begun.wait(60)
            done += [pool.submit(group.enqueue(put(key, "b"), nothing).wait) for key in (ONE, TWO, THREE)]
            go_on.set()
            for one in done:
                one.result(60)
        assert disk.calls == [1, 3]
        assert disk.facts[ONE] == remembered("b")

    def test_an_entry_that_nobody_waits_for_holds_up_no_other(self) -> None:
        group = GroupCommit(Disk().write)
        first, _, third = (group.enqueue(put(key, "a"), nothing) for key in (ONE, TWO, THREE))
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(third.wait)
            first.wait()
            done.result(60)

    def test_an_odd_record_costs_itself_alone(self) -> None:
        disk, refused = Disk(odd=["x"]), list[ResourceKey]()
        group = GroupCommit(disk.write)
        entries = [
            group.enqueue(put(key, value), lambda key=key: refused.append(key))  # type: ignore[misc]
            for key, value in ((ONE, "a"), (TWO, "x"), (THREE, "c"))
        ]
        entries[0].wait()
        with pytest.raises(StoreError, match="x is odd"):
            entries[1].wait()
        entries[2].wait()
        assert refused == [TWO]
        assert disk.facts == {ONE: remembered("a"), THREE: remembered("c")}

    def test_a_database_that_is_gone_is_not_asked_for_each(self) -> None:
        disk, calls = Disk(), list[int]()
        disk.is_broken = True

        def counted(writes: Sequence[LedgerWrite]) -> None:
            calls.append(len(writes))
            disk.write(writes)

        group = GroupCommit(counted)
        for entry in [group.enqueue(put(key, "a"), nothing) for key in (ONE, TWO, THREE)]:
            with pytest.raises(StoreError, match="cannot be reached"):
                entry.wait()
        assert calls == [3]

    def test_a_leader_that_is_killed_leaves_nobody_waiting(self) -> None:
        def kill(_: object) -> None:
            raise Killed

        group = GroupCommit(kill)
        first, second = (group.enqueue(put(key, "a"), nothing) for key in (ONE, TWO))
        with pytest.raises(Killed):
            first.wait()
        with pytest.raises(StoreError, match="nothing was sent: the thread"):
            second.wait()

    def test_each_raises_an_error_of_its_own(self) -> None:
        disk = Disk()
        disk.is_broken = True
        group = GroupCommit(disk.write)
        entries = [group.enqueue(put(key, "a"), nothing) for key in (ONE, TWO)]
        for entry in entries:
            with suppress(StoreError):
                entry.wait()
        assert entries[0].error is not entries[1].error

    def test_many_threads_lose_nothing(self, store: Store) -> None:
        def write(number: int) -> None:
            key = ResourceKey("Machine", f"m{number % 5}")
            store.enqueue([PutFacts({key: remembered(f"{number}")}), told(f"E{number}")], nothing).wait()

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(write, range(200)))
        assert {entry.event.message for entry in store.events()} == {f"E{number}" for number in range(200)}
        assert len(values(store)) == 5

    def test_a_refused_entry_leaves_nothing_and_its_neighbours_are_whole(self, store: Store) -> None:
        """On the real databases, where a failed statement ends the transaction."""
        flight = _flight(ONE)
        with store.instance("run") as epoch:
            store.write([BeginAction(flight, remembered("a"), _sent(ONE), epoch)])
            again = BeginAction(msgspec.structs.replace(flight, id="1-2"), remembered("b"), _sent(ONE), epoch)
            entries = [
                store.enqueue(put(TWO, "t"), nothing),
                store.enqueue([told("Before"), again], nothing),
                store.enqueue([told("After"), *put(THREE, "t")], nothing),
            ]
            entries[0].wait()
            with pytest.raises(StoreError, match="another action is in flight"):
                entries[1].wait()
            entries[2].wait()
        assert values(store) == {ONE: "a", TWO: "t", THREE: "t"}
        assert [entry.event.message for entry in store.events()] == ["m", "After"]
        assert store.in_flight()[ONE].id == "1-1"


class Deferred:
    """A ledger that is waited for later, as if each change were made by another thread."""

    def __init__(self, write: Callable[[Sequence[LedgerWrite]], None]) -> None:
        self._group = GroupCommit(write)
        self.pending: list[PendingWrite] = []

    def enqueue(self, writes: Sequence[LedgerWrite], refused: Callable[[], None]) -> Any:
        entry = self._group.enqueue(writes, refused)
        self.pending.append(entry)

        class Later:
            is_decided = property(lambda _: entry.is_decided)

            def wait(self) -> None:
                """Not now."""

            def refuse(self, error: Exception) -> None:
                entry.refuse(error)

        return Later()

    def put_observations(self, observations: object) -> None:
        raise AssertionError("nothing is observed here")

    def settle(self) -> None:
        """Let every thread have its turn, in any order that comes."""
        for entry in self.pending:
            with suppress(StoreError):
                entry.wait()
        self.pending.clear()


def test_a_change_that_begins_while_another_is_refused_is_decided_too() -> None:
    """Whoever refused the first one raised ValueError, and every thread behind it waited for ever."""
    disk, begun = Disk(odd=["x"]), threading.Event()
    group, threads = GroupCommit(disk.write), list[threading.Thread]()

    class Ledger(Deferred):
        def enqueue(self, writes: Sequence[LedgerWrite], refused: Callable[[], None]) -> Any:
            def refused_late() -> None:
                threads.append(threading.Thread(target=change, args=(TWO, "b"), daemon=True))
                threads[0].start()
                assert begun.wait(60)
                refused()

            is_first = ONE in writes[0].keys
            entry = group.enqueue(writes, refused_late if is_first else refused)
            if not is_first:
                begun.set()
            return entry

    state = EngineState(Ledger(disk.write), Facts({}, {}))

    def change(key: ResourceKey, value: str) -> None:
        with state.changing():
            state.save({key: remembered(value)})

    with pytest.raises(StoreError, match="x is odd"):
        change(ONE, "x")
    threads[0].join(60)
    assert not threads[0].is_alive()
    assert dict(state.facts) == disk.facts == {TWO: remembered("b")}


def test_what_was_believed_before_is_in_memory_no_more_once_a_change_is_decided() -> None:
    """Without waiting for garbage to be collected, or for the next change: of a fleet at rest it may be hours away."""

    class Ledger(Deferred):
        def enqueue(self, writes: Sequence[LedgerWrite], refused: Callable[[], None]) -> Any:
            return self._group.enqueue(writes, refused)

    state = EngineState(Ledger(Disk().write), Facts({}, {}))
    before = remembered("a")
    gc.disable()
    try:
        for value in (before, remembered("b")):
            with state.changing():
                state.save({ONE: value})
        holders = sys.getrefcount(before) - sys.getrefcount(object())
    finally:
        gc.enable()
    assert holders == 1  # The variable itself.


STEP = st.one_of(
    st.lists(st.tuples(st.sampled_from([ONE, TWO, THREE]), st.booleans()), min_size=1, max_size=3),
    st.sampled_from(["settle", "break", "mend"]),
)


@given(steps=st.lists(STEP, max_size=25))
def test_what_is_believed_is_on_disk_whatever_fails(steps: list[Any]) -> None:
    """Any changes of any resources, some of which are odd, with the database lost and back in between."""
    disk, number = Disk(), 0
    ledger = Deferred(disk.write)
    state = EngineState(ledger, Facts({}, {}))
    for step in [*steps, "mend", "settle"]:
        match step:
            case "settle":
                ledger.settle()
                assert dict(state.facts) == disk.facts
            case "break" | "mend":
                ledger.settle()
                disk.is_broken = step == "break"
            case changes:
                number += 1
                with state.changing():
                    for key, is_odd in changes:
                        # What it becomes follows from what is believed of it.
                        value = f"{(state.of(key).place or '')}/{number}"
                        disk.odd |= {value} if is_odd else set()
                        state.save({key: remembered(value)})
    for key, facts in disk.facts.items():
        history = (facts.place or "").split("/")[1:]
        prefixes = {"/" + "/".join(history[:end]) for end in range(1, len(history) + 1)}
        assert not prefixes & disk.odd, f"{key} follows from what was refused"


def test_the_gate_is_free_while_it_is_written(tmp_path: Path) -> None:
    """A store that hangs for ten seconds stopped every worker and the boot service."""
    world = World(tmp_path)
    world.bmc("m1").state = msgspec.structs.replace(world.bmc("m1").state, power=PowerState.OFF)
    world.commit(declare(machine("m1", power="On"), machine("m2")))
    write, during = world.store.write, list[ResourceFacts]()

    def watched(writes: Sequence[LedgerWrite]) -> None:
        with ThreadPoolExecutor(1) as other:
            during.append(other.submit(world.engine.facts_of, TWO).result(30))
        write(writes)

    world.store.write = watched  # type: ignore[method-assign]  # the real one, watched
    world.run(60)
    assert during
    assert world.crashes == []
    assert len(world.fleet.writes) == 1


def test_nothing_is_sent_that_could_not_be_written(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.bmc("m1").state = msgspec.structs.replace(world.bmc("m1").state, power=PowerState.OFF)
    world.commit(declare(machine("m1", power="On")))
    write = world.store.write

    def full(writes: Sequence[LedgerWrite]) -> None:
        if any(isinstance(one, BeginAction) for one in writes):
            raise StoreError("the disk is full")
        write(writes)

    world.store.write = full  # type: ignore[method-assign]  # the real one, on a full disk
    world.run(60)
    assert world.fleet.writes == []
    assert world.engine.in_flight == 0
    assert {str(error) for error in world.crashes} == {"the disk is full"}
    assert world.reasons("m1") == []
    world.store.write = write  # type: ignore[method-assign]
    world.run(120)
    assert len(world.fleet.writes) == 1
    assert world.reasons("m1") == ["ActionSent", "ActionConfirmed"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_in_a_group_leaves_actions_that_are_looked_at_first(tmp_path: Path, moment: str) -> None:
    """Eight workers begin an action each; the process ends before, or just after, their records are on disk."""
    names = [f"m{number}" for number in range(8)]
    world = World(tmp_path)
    for name in names:
        world.bmc(name).state = msgspec.structs.replace(world.bmc(name).state, power=PowerState.OFF)
    desired = declare(*(machine(name, power="On") for name in names))
    world.commit(desired)
    write, groups, gathered = world.store.write, list[int](), threading.Barrier(len(names))

    def killed(writes: Sequence[LedgerWrite]) -> None:
        begun = sum(isinstance(one, BeginAction) for one in writes)
        if begun:
            groups.append(begun)
        if begun and moment == "before":
            raise Killed
        write(writes)
        if begun:
            raise Killed

    world.store.write = killed  # type: ignore[method-assign]  # the real one, killed

    def work(name: str) -> None:
        gathered.wait(60)
        with suppress(Killed, StoreError):
            world.engine.reconcile(ResourceKey("Machine", name))

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(work, names))
    assert world.fleet.writes == []
    assert sum(groups) == len(names)
    world.store.write = write  # type: ignore[method-assign]
    assert len(world.store.in_flight()) == (len(names) if moment == "after" else 0)
    world.restart()
    world.run(900)
    assert sorted(one.address for one in world.fleet.writes) == [f"fake-{name}" for name in names]
    assert world.store.in_flight() == {}
    assert not world.engine.plan().changes


def test_budgets_are_exact_however_many_begin_at_once(tmp_path: Path) -> None:
    """Sixteen workers on forty machines of which four may be taken down; each record takes its time."""
    names = [f"m{number}" for number in range(40)]
    limits = msgspec.structs.replace(ALL, max_disrupted=FleetShare(percent=10))
    world = World(tmp_path, limits)
    for name in names:
        world.bmc(name).state = msgspec.structs.replace(world.bmc(name).state, power=PowerState.ON)
    world.meet(*names)
    world.commit(declare(*(machine(name, power="Off") for name in names)))
    write, pause = world.store.write, threading.Event()

    def slow(writes: Sequence[LedgerWrite]) -> None:
        pause.wait(0.002)
        write(writes)

    world.store.write = slow  # type: ignore[method-assign]  # the real one, further away
    with ThreadPoolExecutor(16) as pool:
        for _ in range(3):
            list(pool.map(world.engine.reconcile, keys(names)))
    assert len(world.fleet.writes) == 4


def _flight(key: ResourceKey) -> InFlight:
    action = PowerOn(key=key, reset_type=ResetType.ON, reason="declared On")
    return InFlight("1-1", key, action, START, START + timedelta(minutes=5), by="test", cause="a commit")


def _sent(key: ResourceKey) -> Event:
    return Event(at=START, type=EventType.NORMAL, reason=EventReason.ACTION_SENT, message="m", key=key, by="test")

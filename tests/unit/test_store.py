"""What the store promises, over both databases."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from drivers.base import ErrorReason, PowerState, ResetType, SystemState, Task, TaskState
from reconciler.daemon.undeclared_machines import UndeclaredMachines
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.model.actions.bmc_actions import PowerOn
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.facts import Applied, Failure
from reconciler.model.ledger_write import BeginAction, EndAction, NoteAction
from reconciler.model.observation import Observation, ReadError
from reconciler.model.outcome import ActionFailure
from reconciler.model.resource import ResourceKey
from reconciler.onboarding.undeclared import UndeclaredMachine
from reconciler.store import Fenced, Store, StoreError

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
ONE, TWO = ResourceKey("Machine", "r01-01"), ResourceKey("Machine", "r01-02")
FACTS = MachineFacts(
    applied=Applied({"spec.power": "On"}, "4f3c", NOW),
    failures={
        "spec.boot": Failure(ActionFailure.REJECTED, "no such target", NOW, terminal=True, attempts=3, fingerprint="ab")
    },
    drift={"spec.power": NOW},
    deletion_policy="Orphan",
)


def flight(key: ResourceKey = ONE, id_: str = "1-1") -> InFlight:
    action = PowerOn(key=key, reset_type=ResetType.ON, reason="declared On")
    return InFlight(id_, key, action, NOW, NOW + timedelta(minutes=5), by="ann", cause="commit 4f3c")


def event(reason: str = "ActionSent", key: ResourceKey | None = ONE) -> Event:
    return Event(
        NOW,
        EventType.NORMAL,
        EventReason(reason),
        f"{reason} happened",
        key,
        revision="4f3c",
        by="ann",
        about=(reason,),
    )


class TestFacts:
    def test_come_back_as_they_were_put(self, store: Store) -> None:
        store.put_facts({ONE: FACTS, TWO: MachineFacts()})
        assert store.facts() == {ONE: FACTS, TWO: MachineFacts()}

    def test_are_overwritten(self, store: Store) -> None:
        store.put_facts({ONE: FACTS})
        store.put_facts({ONE: MachineFacts(once_done="d1")})
        assert store.facts() == {ONE: MachineFacts(once_done="d1")}

    def test_none_forgets_them_and_the_last_observation(self, store: Store) -> None:
        store.put_facts({ONE: FACTS, TWO: FACTS})
        store.put_observations([Observation(key, NOW, SystemState()) for key in (ONE, TWO)])
        store.put_facts({ONE: None})
        assert store.facts() == {TWO: FACTS}
        assert [seen.key for seen in store.observations({"Machine": SystemState})] == [TWO]

    def test_outlive_the_process(self, store: Store, store_url: str) -> None:
        store.put_facts({ONE: FACTS})
        store.close()
        reopened = Store.open(store_url)
        assert reopened.facts() == {ONE: FACTS}
        reopened.close()

    def test_a_row_that_cannot_be_read_is_named(self, store: Store) -> None:
        store.put_facts({ONE: FACTS})
        with store.engine.begin() as connection:
            connection.execute(text("""UPDATE facts SET value = '{"drift": 7}'"""))
        with pytest.raises(StoreError, match=r"facts row Machine/r01-01 cannot be read.*drift"):
            store.facts()


def test_a_look_that_cannot_be_read_is_unknown_and_the_others_are_there(store: Store) -> None:
    """What a driver said is one resource's; no command may end by it."""
    store.put_facts({ONE: FACTS, TWO: FACTS})
    store.put_observations([Observation(key, NOW, SystemState()) for key in (ONE, TWO)])
    with store.engine.begin() as connection:
        connection.execute(text("""UPDATE observation SET value = '{"model": 7}' WHERE name = 'r01-01'"""))
    found = {seen.key: seen for seen in store.observations({"Machine": SystemState})}
    assert found[TWO] == Observation(TWO, NOW, SystemState())
    assert found[ONE].value is None
    assert "the stored observation is damaged" in str(found[ONE].error)


class TestActions:
    def test_begin_writes_record_facts_and_event(self, store: Store) -> None:
        with store.instance("run") as epoch:
            store.write([BeginAction(flight(), FACTS, event(), epoch)])
        assert store.in_flight() == {ONE: flight()}
        assert store.facts() == {ONE: FACTS}
        assert [entry.event for entry in store.events()] == [event()]

    def test_end_removes_the_record_and_writes_facts_and_event(self, store: Store) -> None:
        with store.instance("run") as epoch:
            store.write([BeginAction(flight(), FACTS, event(), epoch)])
            store.write([EndAction(flight(), MachineFacts(once_done="d1"), event("ActionConfirmed"))])
        assert store.in_flight() == {}
        assert store.facts() == {ONE: MachineFacts(once_done="d1")}
        assert [entry.event.reason for entry in store.events()] == ["ActionSent", "ActionConfirmed"]

    def test_what_is_noted_of_an_action_stays_until_it_ends(self, store: Store) -> None:
        noted = msgspec.structs.replace(
            flight(), accepted=True, handle="/tasks/1", task=Task(TaskState.RUNNING, None, 4)
        )
        with store.instance("run") as epoch:
            store.write([BeginAction(flight(), FACTS, event(), epoch)])
            store.write([NoteAction(noted, event("ActionProgressed"))])
            assert store.in_flight() == {ONE: noted}
            store.write([EndAction(noted, FACTS, event("ActionConfirmed"))])
            store.write([NoteAction(noted, event("ActionProgressed"))])
        assert store.in_flight() == {}
        assert [entry.event.reason for entry in store.events()] == [
            "ActionSent",
            "ActionProgressed",
            "ActionConfirmed",
        ]

    def test_a_key_has_one_at_a_time_and_a_refused_one_leaves_nothing(self, store: Store) -> None:
        with store.instance("run") as epoch:
            store.write([BeginAction(flight(), FACTS, event(), epoch)])
            with pytest.raises(StoreError, match=r"Machine/r01-01: another action is in flight, so action 1-2"):
                store.write([BeginAction(flight(id_="1-2"), MachineFacts(), event("Second"), epoch)])
        assert store.in_flight() == {ONE: flight()}
        assert store.facts() == {ONE: FACTS}
        assert len(store.events()) == 1

    def test_an_instance_that_was_overtaken_begins_nothing(self, store: Store) -> None:
        with store.instance("run") as stale:
            pass
        with store.instance("run") as epoch:
            assert epoch == stale + 1
            with pytest.raises(Fenced, match="taken over"):
                store.write([BeginAction(flight(), FACTS, event(), stale)])
        assert store.in_flight() == {}
        assert store.events() == []

    def test_an_instance_that_was_overtaken_writes_nothing_over_what_the_other_has_learned(self, store: Store) -> None:
        with store.instance("run") as epoch:
            store.put_facts({ONE: FACTS})
            store.write([BeginAction(flight(), FACTS, event(), epoch)])
            # As another does that finds the lock free, which this one has lost with its session.
            with store.engine.begin() as connection:
                connection.execute(text("UPDATE instance SET epoch = epoch + 1"))
            with pytest.raises(Fenced, match="taken over"):
                store.put_facts({ONE: MachineFacts()})
            with pytest.raises(Fenced, match="taken over"):
                store.write([NoteAction(flight(), event("ActionProgressed"))])
            with pytest.raises(Fenced, match="taken over"):
                store.write([EndAction(flight(), MachineFacts(), event("ActionConfirmed"))])
        assert store.facts() == {ONE: FACTS}
        assert list(store.in_flight()) == [ONE]

    def test_who_is_left_behind_when_the_instance_ends_writes_nothing_over_the_next_one(self, store: Store) -> None:
        with store.instance("run"):
            store.put_facts({ONE: FACTS})
        store.put_facts({ONE: FACTS})
        with store.engine.begin() as connection:
            connection.execute(text("UPDATE instance SET epoch = epoch + 1"))
        with pytest.raises(Fenced, match="taken over"):
            store.put_facts({ONE: MachineFacts()})
        assert store.facts() == {ONE: FACTS}

    def test_what_another_instance_settled_is_not_settled_again(self, store: Store) -> None:
        with store.instance("run") as epoch:
            store.write([BeginAction(flight(), FACTS, event(), epoch)])
            store.write([EndAction(flight(), FACTS, event("ActionConfirmed"))])
            with pytest.raises(Fenced, match=r"1-1 is not in flight"):
                store.write([EndAction(flight(), MachineFacts(), event("ActionConfirmed"))])
        assert store.facts() == {ONE: FACTS}
        assert len(store.events()) == 2


class TestEvents:
    def test_those_of_the_fleet_are_told_apart_and_end_at_a_time(self, store: Store) -> None:
        hours = [NOW + timedelta(hours=number) for number in range(3)]
        one, other, two = (
            msgspec.structs.replace(event(key=key), at=at) for at, key in zip(hours, (None, ONE, None), strict=True)
        )
        store.append([one, other, two])
        assert [entry.event for entry in store.events(of_fleet=True)] == [one, two]
        assert [entry.event for entry in store.events(until=hours[1])] == [one, other]

    @pytest.fixture
    def told(self, store: Store) -> Store:
        keys = [ONE, TWO, None, ONE]
        store.append(event(f"E{number}", key) for number, key in enumerate(keys, 1))
        return store

    def reasons(self, store: Store, **asked: object) -> list[str]:
        return [entry.event.about[0] for entry in store.events(**asked)]  # type: ignore[arg-type]  # asked for in each test

    def test_come_in_the_order_of_telling(self, told: Store) -> None:
        assert self.reasons(told) == ["E1", "E2", "E3", "E4"]

    def test_newest_first(self, told: Store) -> None:
        assert self.reasons(told, newest_first=True, limit=2) == ["E4", "E3"]

    def test_of_one_resource(self, told: Store) -> None:
        assert self.reasons(told, key=ONE) == ["E1", "E4"]

    def test_since_one_that_was_seen(self, told: Store) -> None:
        seen = told.follow(0, limit=2)[-1].seq
        assert [entry.event.about[0] for entry in told.follow(seen)] == ["E3", "E4"]
        assert told.follow(told.last_event()) == []

    def test_are_whole(self, store: Store) -> None:
        store.append([event(key=None), event()])
        assert [entry.event for entry in store.events()] == [event(key=None), event()]

    @pytest.mark.parametrize("statement", ["UPDATE event SET value = ''", "DELETE FROM event"])
    def test_can_be_neither_changed_nor_removed(self, told: Store, statement: str) -> None:
        with pytest.raises(Exception, match="append-only"), told.engine.begin() as connection:
            connection.execute(text(statement))
        assert len(told.events()) == 4

    def test_many_at_once_keep_their_order_and_their_texts(self, store: Store) -> None:
        texts = ["it's", 'a "quote"', "a \\ and a \\u0041", "$1 %s :at {}", "Zoë 電源", "null", ""]
        every = [
            msgspec.structs.replace(
                event("Bound", key),
                message=f"{number} {texts[number % len(texts)]}",
                at=NOW + timedelta(seconds=number),
            )
            for number, key in enumerate([ONE, TWO, None] * 70)
        ]
        store.append(every)
        assert [entry.event for entry in store.events()] == every

    def test_nothing_to_append_is_no_error(self, store: Store) -> None:
        store.append([])
        assert store.events() == []


class TestObservations:
    SEEN = Observation(ONE, NOW, SystemState(power=PowerState.ON, uuid="u1"))
    ABSENT = Observation(TWO, NOW)
    UNKNOWN = Observation(
        ResourceKey("Machine", "r01-03"), NOW, error=ReadError(ErrorReason.UNREACHABLE, "no route to host")
    )

    def test_value_absence_and_error_come_back(self, store: Store) -> None:
        looks = [self.SEEN, self.ABSENT, self.UNKNOWN]
        store.put_observations(looks)
        assert sorted(store.observations({"Machine": SystemState}), key=lambda one: one.key) == looks

    def test_what_could_not_be_read_is_known_without_reading_the_rest(self, store: Store) -> None:
        store.put_observations([self.SEEN, self.ABSENT, self.UNKNOWN])
        assert store.unreadable() == [self.UNKNOWN.key]

    def test_the_latest_stands(self, store: Store) -> None:
        later = msgspec.structs.replace(self.UNKNOWN, key=ONE, taken_at=NOW + timedelta(seconds=30))
        store.put_observations([self.SEEN])
        store.put_observations([later])
        assert store.observations({"Machine": SystemState}) == [later]

    def test_kinds_that_were_not_asked_for_are_left_out(self, store: Store) -> None:
        store.put_observations([self.SEEN, Observation(ResourceKey("Switch", "s1"), NOW, {"ports": 48})])
        assert store.observations({"Machine": SystemState}) == [self.SEEN]

    def test_times_come_back_in_utc(self, store: Store) -> None:
        there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
        store.put_observations([Observation(ONE, there, SystemState())])
        assert store.observations({"Machine": SystemState})[0].taken_at.isoformat() == NOW.isoformat()


class TestMeta:
    def test_a_name_has_its_last_value(self, store: Store) -> None:
        assert store.get_meta("revision") is None
        store.put_meta("revision", "4f3c")
        store.put_meta("revision", "9a1b")
        assert store.get_meta("revision") == "9a1b"


def test_a_store_in_memory_is_one_database_for_all_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    store = Store.open("sqlite://")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: store.put_facts({ResourceKey("Machine", f"m{n}"): FACTS}), range(20)))
    assert len(store.facts()) == 20
    store.close()


def test_threads_that_read_first_at_once_do_not_crash_the_process() -> None:
    """Six times over, as not every time would: a Decoder of a type that no thread has looked at is no safe thing."""
    script = """
import os, sys, threading
import reconciler.store
import msgspec
from reconciler.kinds.common.machine_inventory import Kept
from reconciler.model.actions.in_flight import InFlight
from reconciler.daemon.undeclared_machines import UndeclaredMachines
from reconciler.model.event import Event

def read():
    barrier.wait()
    for shape in (InFlight, ResourceFacts, Kept, Event):
        try:
            msgspec.json.Decoder(shape).decode(b'{"id": "1", "action": {"type": "put-network"}}')
        except msgspec.ValidationError:
            pass

sys.setswitchinterval(1e-6)
barrier = threading.Barrier(6)
ends = []
for _ in range(6):
    child = os.fork()
    if not child:
        threads = [threading.Thread(target=read) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os._exit(0)
    ends.append(os.waitpid(child, 0)[1])
print(ends)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == str([0] * 6)


def test_threads_that_write_at_once_lose_nothing(store: Store) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.append([event(f"E{n}")]), range(100)))
    assert {entry.event.about[0] for entry in store.events()} == {f"E{n}" for n in range(100)}


def test_of_those_that_swap_a_value_at_once_one_succeeds(store: Store) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for before in (None, "first"):
        value = "first" if before is None else "second"
        with ThreadPoolExecutor(8) as pool:
            swapped = list(pool.map(lambda _, b=before, v=value: store.swap_meta("name", b, v), range(8)))
        assert swapped.count(True) == 1
        assert store.get_meta("name") == value
    assert not store.swap_meta("name", "first", "third")
    assert store.get_meta("name") == "second"


def test_undeclared_machines_that_come_at_once_are_all_kept(store: Store) -> None:
    from concurrent.futures import ThreadPoolExecutor

    kept = UndeclaredMachines(store)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: kept.add(UndeclaredMachine(NOW, f"{n:032x}")), range(40)))
    assert {one.uuid for one in kept.all()} == {f"{n:032x}" for n in range(40)}

"""A group of writes goes to PostgreSQL twice: all that it depends on is asked together, and all of it is sent together.
What fails on the way leaves nothing behind, and the store works on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import SQLAlchemyError

from drivers.base import ResetType
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.model.actions.bmc_actions import PowerOn
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.ledger_write import AppendEvents, BeginAction, EndAction, LedgerWrite, NoteAction, PutFacts
from reconciler.model.resource import ResourceKey
from reconciler.store import Store
from reconciler.store.lease.instance import EPOCH
from reconciler.store.rows.ledger import LOOKED_BACK, PAGE
from reconciler.store.sql.round_trips import ask
from reconciler.store.sql.store_errors import Fenced, StoreError

START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = [ResourceKey("Machine", f"r01-{number:02}") for number in range(20)]
postgresql = pytest.mark.parametrize("empty_store_url", ["postgresql"], indirect=True)


def told(key: ResourceKey, reason: EventReason = EventReason.ACTION_SENT, minutes: float = 0.0) -> Event:
    return Event(START + timedelta(minutes=minutes), EventType.NORMAL, reason, "power-on (On)", key=key, by="test")


def flight(key: ResourceKey) -> InFlight:
    action = PowerOn(key=key, reset_type=ResetType.ON, reason="declared On")
    return InFlight(f"1-{key.name}", key, action, START, START + timedelta(minutes=5), by="test", cause="commit 4f3c")


def begun(keys: list[ResourceKey], epoch: int) -> list[LedgerWrite]:
    return [BeginAction(flight(key), MachineFacts(place="sent"), told(key), epoch) for key in keys]


def ended(keys: list[ResourceKey]) -> list[LedgerWrite]:
    sort = EventReason.ACTION_CONFIRMED
    return [EndAction(flight(key), MachineFacts(place="done"), told(key, sort)) for key in keys]


class Relay:
    """Passes bytes on to a server, and counts how often the client asks for an answer: each ends with a Sync or a Query
    (PostgreSQL's protocol, 55.7)."""

    def __init__(self, target: Path) -> None:
        self.trips, self._target = 0, target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._target))
            for source, to, is_client in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(source, to, is_client), daemon=True).start()

    def _pump(self, source: socket.socket, to: socket.socket, is_client: bool) -> None:
        waiting = b""
        with source, to, suppress(OSError):
            while data := source.recv(2**20):
                if is_client:
                    waiting = self._count(waiting + data)
                to.sendall(data)

    def _count(self, said: bytes) -> bytes:
        """Count what is whole of what the client said, and return the rest."""
        at = 0
        while at + 5 <= len(said):
            # What the client says first, before it has a session, has no letter before its length.
            is_first = said[at] == 0
            size = int.from_bytes(said[at + (not is_first) : at + (not is_first) + 4]) + (not is_first)
            if at + size > len(said):
                break
            self.trips += said[at : at + 1] in (b"S", b"Q")
            at += size
        return said[at:]


@contextmanager
def relayed(store_url: str) -> Iterator[tuple[Store, Relay]]:
    """The store by way of a relay."""
    url = make_url(store_url)
    relay = Relay(next(Path(str(url.query["host"])).glob(".s.PGSQL.*[0-9]")))
    store = Store.open(f"postgresql://{url.username}@127.0.0.1:{relay.port}/{url.database}")
    try:
        yield store, relay
    finally:
        store.close()
        relay.close()


def trips(relay: Relay, store: Store, writes: list[LedgerWrite]) -> int:
    before = relay.trips
    store.write(writes)
    return relay.trips - before


@postgresql
def test_what_begins_ends_and_is_learned_together_takes_two_round_trips(store_url: str) -> None:
    with relayed(store_url) as (store, relay), store.instance("run") as epoch:
        store.write(begun(KEYS[:10], epoch))
        mixed = [*ended(KEYS[:10]), *begun(KEYS[10:], epoch), PutFacts({KEYS[0]: MachineFacts(place="learned")})]
        assert trips(relay, store, mixed) == 2
        assert sorted(store.in_flight()) == KEYS[10:]
        assert store.facts()[KEYS[0]] == MachineFacts(place="learned")


@postgresql
def test_a_long_history_of_each_resource_takes_one_round_trip_more(store_url: str) -> None:
    with relayed(store_url) as (store, relay), store.instance("run"):
        for minute in range(PAGE + 1):
            reason = EventReason.READABLE_AGAIN if minute % 2 else EventReason.UNREACHABLE
            store.append([told(key, reason, minute) for key in KEYS])
        assert trips(relay, store, [AppendEvents(tuple(told(key, minutes=99) for key in KEYS))]) == 3


def test_what_each_of_several_repeats_is_sought_far_back(store: Store) -> None:
    for minute in range(LOOKED_BACK // 2):
        for key in KEYS[:2]:
            store.append(
                [told(key, EventReason.DRIFT_DETECTED, minute), told(key, EventReason.ACTION_CONFIRMED, minute)]
            )
    before = len(store.events())
    store.append([told(key, EventReason.DRIFT_DETECTED, 99) for key in KEYS[:2]])
    assert len(store.events()) == before


def test_one_that_was_begun_before_leaves_nothing_of_the_others(store: Store) -> None:
    with store.instance("run") as epoch:
        store.write(begun(KEYS[:1], epoch))
        with pytest.raises(StoreError, match="in flight"):
            store.write([PutFacts({KEYS[2]: MachineFacts(place="lost")}), *begun([KEYS[1], KEYS[0]], epoch)])
        assert list(store.in_flight()) == KEYS[:1]
        assert list(store.facts()) == KEYS[:1]
        assert len(store.events()) == 1
        store.write(begun(KEYS[1:2], epoch))
        assert sorted(store.in_flight()) == KEYS[:2]


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(PutFacts(dict.fromkeys(KEYS[:2], MachineFacts(place="stale"))), id="facts of several"),
        pytest.param(PutFacts({KEYS[0]: None}), id="to forget"),
        pytest.param(NoteAction(flight(KEYS[0]), told(KEYS[0])), id="a note"),
        pytest.param(EndAction(flight(KEYS[0]), MachineFacts(), told(KEYS[0])), id="an end"),
    ],
)
def test_whoever_was_overtaken_writes_nothing_whatever_comes_first(store: Store, first: LedgerWrite) -> None:
    with store.instance("run") as epoch:
        store.write(begun(KEYS[:1], epoch))
        with store.engine.begin() as connection:
            connection.execute(text("UPDATE instance SET epoch = epoch + 1"))
        with pytest.raises(Fenced, match="taken over"):
            store.write([first, AppendEvents((told(KEYS[3]),))])
    assert store.facts() == {KEYS[0]: MachineFacts(place="sent")}
    assert store.in_flight() == {KEYS[0]: flight(KEYS[0])}
    assert len(store.events()) == 1


@postgresql
def test_a_server_that_goes_away_fails_the_write_whole_and_the_next_one_goes(store: Store, store_url: str) -> None:
    with store.instance("run") as epoch:
        store.write(begun(KEYS[:1], epoch))
        with psycopg.connect(store_url) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND state = 'idle' AND query NOT LIKE '%advisory%'"
            )
        with pytest.raises(StoreError):
            store.write(begun(KEYS[1:2], epoch))
        store.write(begun(KEYS[2:3], epoch))
    assert sorted(store.in_flight()) == [KEYS[0], KEYS[2]]


@postgresql
def test_a_connection_that_is_lost_in_a_group_is_given_up_without_a_traceback_in_the_log(
    store: Store, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with store.engine.connect() as connection:
        assert ask(connection, {"epoch": EPOCH})["epoch"]
        with psycopg.connect(store_url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        with pytest.raises(SQLAlchemyError):
            ask(connection, {"epoch": EPOCH})
    assert caplog.text == ""
    assert store.events() == []

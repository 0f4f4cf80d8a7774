"""What must not be lost: facts, actions in flight, the ledger of events; and, for a quick start, the last observations.

Every call is one transaction. Calls may come from several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Engine, Table, and_, func, or_, select, update

from reconciler.model.actions.in_flight import InFlight
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.facts import ResourceFacts
from reconciler.model.ledger_write import AppendEvents, BeginAction, EndAction, LedgerWrite, NoteAction, PutFacts
from reconciler.model.observation import Observation
from reconciler.model.resource import ResourceKey
from reconciler.store.drained_hosts import DrainTable
from reconciler.store.lease import instance
from reconciler.store.lease.daemon_status import DaemonTable
from reconciler.store.lease.lost_work import last_action_event
from reconciler.store.lease.shard_rows import ShardTable
from reconciler.store.lease.standby_rows import StandbyTable
from reconciler.store.lease.store_lease import STORE_LEASE_SECONDS, StoreLease
from reconciler.store.login_memory import RefusedLoginTable
from reconciler.store.rows import ledger_order
from reconciler.store.rows.inventories import InventoryTable
from reconciler.store.rows.ledger_batch import write_all
from reconciler.store.rows.override_rows import OverrideTable
from reconciler.store.rows.pause_rows import PauseTable
from reconciler.store.rows.relay_rows import RelayTable
from reconciler.store.rows.restart_rows import RestartTable
from reconciler.store.rows.retention import Retention
from reconciler.store.rows.row_values import (
    LedgerEntry,
    entries_of,
    entry_columns,
    observation_of_row,
    observation_values,
    value_of_row,
)
from reconciler.store.rows.sink_rows import SinkTable
from reconciler.store.rows.tokens import TokenTable
from reconciler.store.sql import decoders as shapes
from reconciler.store.sql import tables
from reconciler.store.sql.change_watch import change_watch
from reconciler.store.sql.database import Database
from reconciler.store.sql.group_commit import GroupCommit, PendingWrite
from reconciler.store.sql.row_batches import insert_for, put_rows
from reconciler.store.sql.store_errors import StoreUnavailable

T = TypeVar("T")


class Store:
    """The store of one fleet, on SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._epoch: int | None = None
        self._lease = StoreLease()
        self.last_action: Event | None = None
        """The event of an action that is known to be on disk, the last one; by it a store that went back is noticed."""
        self._failure: BaseException | None = None
        self._failed: Callable[[BaseException], None] = _not_informed
        self._group = GroupCommit(lambda writes: self.write(writes))  # noqa: PLW0108  `write` as it is at each call
        self.inventories = InventoryTable(database)
        """What is in the machines."""
        self.retention = Retention(database)
        """Takes old events out of the ledger."""
        self.tokens = TokenTable(database)
        """What machines show to the services."""
        self.overrides = OverrideTable(database)
        """Overrides of guards."""
        self.pauses = PauseTable(database)
        """What nothing is to be written to for a while."""
        self.restarts = RestartTable(database)
        """Restarts that people asked for."""
        self.refused_logins = RefusedLoginTable(database)
        """Logins that BMCs refused."""
        self.sinks = SinkTable(database)
        """How far each event sink has taken the ledger."""
        self.standbys = StandbyTable(database)
        """Who works on the store, and who stands by."""
        self.shards = ShardTable(database)
        """Which worker daemons there are, and which shards they own."""
        self.relay = RelayTable(database)
        """Requests to worker daemons, and their answers."""
        self.drains = DrainTable(database)
        """Hosts of which the daemons leave the work to others."""
        self.daemon = DaemonTable(database)
        """What the daemon says of itself."""

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> Store:
        """Open `sqlite:///FILE`, `sqlite://` (in memory) or `postgresql://...`, and bring its schema up to date.

        Raises StoreError when it cannot be reached, written or understood, or with `create` False does not exist.
        InstanceHeld when it is older and another process is at work on it."""
        return cls(Database.open(url, create=create, alone=instance.hold_for_upgrade))

    @classmethod
    def read_only(cls, url: str) -> Store:
        """Open it to be read; nothing of it is changed. Raises NoStore when there is none yet, StoreError."""
        return cls(Database.read_only(url))

    @property
    def engine(self) -> Engine:
        """The database, for drivers that keep their tables in it."""
        return self._database.engine

    @property
    def where(self) -> str:
        """The database in words, without a password."""
        return self._database.where

    @property
    def copied(self) -> str | None:
        """The schema of the older store that this is a copy of; None: it is the store itself."""
        return self._database.copied

    def mark(self) -> str:
        """A text that is another one after each change that a process made to the store. Raises StoreError."""
        return self._database.mark()

    def read_together(self) -> AbstractContextManager[None]:
        """All that this thread reads in the block is one transaction on PostgreSQL, which is asked every few seconds.
        Raises StoreError."""
        return self._database.read_together()

    def change_watch(self) -> AbstractContextManager[Callable[[], bool]]:
        """A function that returns whether any process may have changed the store since its last call."""
        return change_watch(self._database)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def epoch(self) -> int:
        """The epoch of the last process that was at work on the store; 0 before the first. Raises StoreError."""
        with self._database.read() as connection:
            return instance.last_epoch(connection)

    @contextmanager
    def instance(
        self,
        name: str,
        *,
        lease: float = STORE_LEASE_SECONDS,
        waiting: Callable[[str], None] | None = None,
        before: int | None = None,
        last: Event | None = None,
    ) -> Iterator[int]:
        """Be the one instance at work on the store, under `name` (such as `run`); gives the epoch. `waiting` and
        `before` are as in `Taking`. `last`: the `last_action` of the store with which this process has worked before.

        Raises InstanceHeld, naming the holder. On SQLite the lock ends with the process, however that ends. On
        PostgreSQL the process has a lease of so many seconds, which it renews.

        From here on facts are written as that instance, and no more when another has taken over. Also by a thread that
        was left behind on a silent BMC, and outlives the lock."""
        self._lease, self.last_action = StoreLease(lease), last
        taking = instance.Taking(name, waiting, before, lambda: self.last_action)
        with instance.hold(self._database, taking, self._lease, self._fail) as epoch:
            self._epoch = epoch
            yield epoch

    def when_failed(self, failed: Callable[[BaseException], None]) -> None:
        """Call this, from any thread, with what makes it impossible to go on with what was read from the store. Such as
        StoreUnavailable of a write, which may be on disk or not, or a defect of the thread that renews the lease."""
        self._failed = failed
        if self._failure is not None:
            failed(self._failure)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._failed(error)

    @property
    def has_lease(self) -> bool:
        """Whether the process at work on it has a lease, so that another one can stand by. A SQLite file has a lock."""
        return not self._database.sqlite

    def require_not_lost(self) -> None:
        """Raise Fenced when this process has noticed that another one has taken over, StoreWentBack when it has noticed
        that the store lost its work. Asks no database."""
        self._lease.require_not_lost()

    def require_lease(self) -> None:
        """Raise LeaseEnded unless this process may send a write now: another process may be about to take over. Asks
        no database."""
        self._lease.require()

    def now(self) -> datetime:
        """The time by the clock of PostgreSQL, as far as this process has a lease there; else the time of this host. So
        no window opens early where the clock of a host is wrong. Asks no database."""
        return self._lease.now()

    # -- facts and actions -------------------------------------------------------------------------------------------

    def facts(self) -> dict[ResourceKey, ResourceFacts]:
        """All facts by key, each as its kind's own type. Raises StoreError naming a row that cannot be read."""
        return self._load(tables.facts, shapes.facts_decoder)

    def put_facts(self, facts: Mapping[ResourceKey, ResourceFacts | None]) -> None:
        """Write, or with None remove together with the last observation, what is remembered of each.

        Raises Fenced when another instance has taken over: what this one remembers is out of date.
        """
        if facts:
            self.write([PutFacts(dict(facts))])

    def enqueue(self, writes: Sequence[LedgerWrite], refused: Callable[[], None]) -> PendingWrite:
        """Write these soon, all or none, together with what others enqueue meanwhile: see `GroupCommit.enqueue`."""
        return self._group.enqueue(writes, refused)

    def write(self, writes: Sequence[LedgerWrite]) -> None:
        """Carry out all of these in their order, in one transaction that is on disk when it returns.

        Raises Fenced when another instance has taken over, or has settled an action that is to end. StoreError when a
        key has an action in flight and is to get another. After StoreUnavailable they may be on disk, or not."""
        try:
            with self._database.write_together() as connection:
                write_all(connection, writes, self._epochs_of(writes))
            self.last_action = last_action_event(writes) or self.last_action
        except StoreUnavailable as error:
            self._fail(error)
            raise

    def in_flight(self) -> dict[ResourceKey, InFlight]:
        """The actions that were, or may have been, sent and are not settled."""
        return self._load(tables.in_flight, lambda _: shapes.FLIGHT)

    # -- events ------------------------------------------------------------------------------------------------------

    def append(self, events: Iterable[Event]) -> None:
        """Add to the ledger, in this order. On disk when it returns."""
        batch = tuple(events)
        if batch:
            self.write([AppendEvents(batch)])

    def events(
        self,
        key: ResourceKey | None = None,
        *,
        of_fleet: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
        only: EventType | None = None,
        reason: EventReason | None = None,
        limit: int = 1000,
        newest_first: bool = False,
    ) -> list[LedgerEntry]:
        """At most `limit` events, of all or of one resource, not before `since` and not after `until`. `only`: of this
        type. `reason`: for this reason alone. Who reads on calls `follow`.

        `of_fleet`: only those that are about no one resource. `newest_first`: by when they happened last; else in the
        order in which they were first recorded.
        """
        table, repeat = tables.event, tables.repeat
        conditions = [_is(table, key)] if key is not None else []
        if of_fleet:
            conditions.append(table.c.kind.is_(None))
        if since is not None:
            conditions.append(or_(table.c.at >= since, repeat.c.last >= since))
        if until is not None:
            conditions.append(table.c.at <= until)
        if only is not None:
            # A quotation mark in a text is escaped, so this is found at the field of that name alone.
            conditions.append(table.c.value.contains(f'"type":"{only}"', autoescape=True))
        if reason is not None:
            conditions.append(table.c.value.contains(f'"reason":"{reason}"', autoescape=True))
        wanted = entry_columns().where(*conditions).limit(limit)
        with self._database.read() as connection:
            if not newest_first:
                return entries_of(connection.execute(wanted.order_by(table.c.seq)))
            found = entries_of(connection.execute(wanted.order_by(table.c.seq.desc())))
            again = wanted.where(repeat.c.seq.is_not(None)).order_by(repeat.c.last.desc())
            stories = entries_of(connection.execute(again))
        # What was reported long ago, and was repeated since, is as new as its last time.
        every = {entry.seq: entry for entry in (*found, *stories)}.values()
        return sorted(every, key=lambda one: (one.event.latest, one.seq), reverse=True)[:limit]

    def follow(self, cursor: int, limit: int = 1000) -> list[LedgerEntry]:
        """The events after `cursor` in the order of the ledger, at most `limit`. The last one's `seq` is the next
        cursor. This is the one way to read on: no event is missed, and none comes out of order.

        On PostgreSQL the list is empty while a smaller number may still appear. A cursor is a number, and stays good
        after a dump is restored in another cluster, whose transactions have other numbers.
        """
        table = tables.event
        wanted = entry_columns().where(table.c.seq > cursor).order_by(table.c.seq).limit(limit)
        with self._database.read() as connection:
            if not self._database.sqlite:
                ledger_order.begin(connection)
            found = entries_of(connection.execute(wanted))
            if self._database.sqlite or not found or not ledger_order.has_gap(connection, cursor, found[-1].seq):
                return found
        with self._database.read() as connection:
            ledger_order.begin_again(connection)
            if not ledger_order.wait_for_writers(connection):
                return []
            # Behind the last number that was seen there may be new gaps.
            return entries_of(connection.execute(wanted.where(table.c.seq <= found[-1].seq)))

    def last_event(self, before: datetime | None = None) -> int:
        """The number of the event that was added last; 0 for none. `before`: of the last one ahead of all that happened
        at this time or later."""
        seq, at = tables.event.c.seq, tables.event.c.at
        newest = select(seq).order_by(seq.desc()).limit(1)
        if before is not None:
            newest = newest.where(
                seq < func.coalesce(select(func.min(seq)).where(at >= before).scalar_subquery(), 2**62)
            )
        with self._database.read() as connection:
            return connection.scalar(newest) or 0

    def repeats(self, after: datetime, up_to_seq: int) -> list[LedgerEntry]:
        """The events up to this one that were repeated after a time, in the order in which they were."""
        repeat = tables.repeat
        wanted = entry_columns().where(repeat.c.last > after, repeat.c.seq <= up_to_seq).order_by(repeat.c.last)
        with self._database.read() as connection:
            return entries_of(connection.execute(wanted))

    # -- observations ------------------------------------------------------------------------------------------------

    def put_observations(self, observations: Iterable[Observation]) -> None:
        """Keep the latest look at each. Not forced to disk: another look brings it back."""
        rows = {one.key: {**_columns(one.key), **observation_values(one)} for one in observations}
        if rows:
            with self._database.write(durable=False) as connection:
                put_rows(connection, tables.observation, list(rows.values()))

    def observations(self, types: Mapping[str, Any]) -> list[Observation]:
        """The latest look at each resource of the kinds in `types`, values read as the type given for their kind.

        One that cannot be read is an unknown: the next look brings it back, and the others are there.
        """
        decoders = {kind: msgspec.json.Decoder(type_) for kind, type_ in types.items()}
        table = tables.observation
        with self._database.read() as connection:
            rows = connection.execute(select(table).where(table.c.kind.in_(list(types)))).all()
        return [observation_of_row(decoders, *row) for row in rows]

    def unreadable(self) -> list[ResourceKey]:
        """The resources that the latest look at them could not read."""
        table = tables.observation
        with self._database.read() as connection:
            rows = connection.execute(select(table.c.kind, table.c.name).where(table.c.error.is_not(None))).all()
        return [ResourceKey(kind, name) for kind, name in rows]

    # -- small things ------------------------------------------------------------------------------------------------

    def get_meta(self, name: str) -> str | None:
        """A value that was put under this name."""
        with self._database.read() as connection:
            value = connection.execute(select(tables.meta.c.value).where(tables.meta.c.name == name)).scalar()
        return None if value is None else str(value)

    def put_meta(self, name: str, value: str) -> None:
        """Put a value under a name, such as the revision applied last."""
        with self._database.write() as connection:
            put_rows(connection, tables.meta, [{"name": name, "value": value}])

    def swap_meta(self, name: str, before: str | None, value: str) -> bool:
        """Set the value if it is `before`; None: if there is none. False, and nothing is changed: it is another one."""
        meta = tables.meta
        with self._database.write() as connection:
            if before is None:
                added = insert_for(connection)(meta).values(name=name, value=value)
                written = added.on_conflict_do_nothing().returning(meta.c.name)
                return connection.execute(written).first() is not None
            changed = update(meta).where(meta.c.name == name, meta.c.value == before).values(value=value)
            return connection.execute(changed.returning(meta.c.name)).first() is not None

    def check(self) -> None:
        """Raise StoreGone when this is not the store that was opened, Fenced when another has taken it over."""
        self._database.check_file()
        with self._database.read() as connection:
            self._check_epoch(connection)

    def _epochs_of(self, writes: Sequence[LedgerWrite]) -> set[int]:
        epochs = {write.epoch for write in writes if isinstance(write, BeginAction)}
        if self._epoch is not None and any(isinstance(write, PutFacts | NoteAction | EndAction) for write in writes):
            epochs.add(self._epoch)
        return epochs

    def _check_epoch(self, connection: Connection) -> None:
        if self._epoch is not None:
            instance.check_epoch(connection, self._epoch)

    def _load(self, table: Table, decoder: Callable[[str], msgspec.json.Decoder[T]]) -> dict[ResourceKey, T]:
        with self._database.read() as connection:
            rows = connection.execute(select(table.c.kind, table.c.name, table.c.value)).all()
        return {
            (key := ResourceKey(kind, name)): value_of_row(decoder(kind), value, table.name, key)
            for kind, name, value in rows
        }


def _not_informed(_error: BaseException) -> None:
    pass


def _columns(key: ResourceKey) -> dict[str, Any]:
    return {"kind": key.kind, "name": key.name}


def _is(table: Table, key: ResourceKey) -> Any:
    return and_(table.c.kind == key.kind, table.c.name == key.name)

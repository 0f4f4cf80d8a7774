"""One instance at a time works on a store. On SQLite it has the kernel's lock, which a killed holder frees. On
PostgreSQL it has a lease, which it renews, and which ends when it is killed, hangs, or cannot reach the server.

The epoch, counted up at every taking, fences a holder that lost the store without noticing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from functools import partial

import msgspec
from sqlalchemy import Connection, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from reconciler import runtime
from reconciler.model.event import Event
from reconciler.model.values.program_version import program_version
from reconciler.store.lease.lost_work import refuse_lost_work
from reconciler.store.lease.store_lease import LeaseLeft, StoreLease, end_lease, keep_lease, lease_left, take_lease
from reconciler.store.sql.database import Database
from reconciler.store.sql.file_modes import file_access
from reconciler.store.sql.migrate import refuse_newer, schema_version
from reconciler.store.sql.round_trips import Question, ask
from reconciler.store.sql.row_json import row_json
from reconciler.store.sql.store_errors import (
    Fenced,
    InstanceHeld,
    StoreError,
    StoreGone,
    StoreUnavailable,
    StoreWentBack,
    UpgradeHeld,
)
from reconciler.store.sql.tables import instance_table

_INSTANCE_LOCK = 0x67726F756E64_02
"""Session advisory lock on PostgreSQL: `ground`, 2. Who has it is alive. It does not say who may write: a connection
can end without its process, and behind a pool of connections it can outlive the process."""
_UPGRADE_LOCK = 0x67726F756E64_03
"""Advisory lock of a transaction on PostgreSQL: `ground`, 3. Of who migrates the store, and shared by who takes it."""
_LOOK_AGAIN_SECONDS = 0.5
"""While a lease runs whose holder seems to be gone."""
_UPGRADE = "upgrade"


class StoreHolder(msgspec.Struct, frozen=True):
    """Who works on the store: for people, and never for a decision. Not its arguments, where a password may stand."""

    name: str
    """Its command, such as `run`."""
    pid: int
    """The number of its process."""
    host: str
    """Where it runs."""
    since: datetime
    """When it took the store, or began to stand by."""
    version: str = ""
    """Of its program."""

    @property
    def name_of_process(self) -> str:
        """By which it is known among the daemons of a store, such as `host/4711`."""
        return f"{self.host}/{self.pid}"

    def __str__(self) -> str:
        return f"groundstate {self.name}, process {self.pid} on {self.host}, since {self.since:%Y-%m-%d %H:%M:%S}Z"


class Taking(msgspec.Struct, frozen=True):
    """How the store is taken.

    `name`: of the command, such as `run`. `waiting`: is informed once that the lease of a process which ended without
    leaving is waited for; None: it is not waited for. `before`: the epoch under which this process has worked already.
    If it still is the last one, the store is taken at once. `last`: gives the event of an action that this process has
    written last."""

    name: str
    waiting: Callable[[str], None] | None = None
    before: int | None = None
    last: Callable[[], Event | None] = lambda: None


@contextmanager
def hold(
    database: Database, taking: Taking, lease: StoreLease, failed: Callable[[BaseException], None]
) -> Iterator[int]:
    """Hold the store and give the epoch. Raises InstanceHeld, naming the holder. Fenced when another process has worked
    on the store since `before`, StoreWentBack when the store does not know that epoch, or the last event.

    On PostgreSQL the lease is renewed meanwhile; `failed` is informed of a defect that ends the thread which does it.
    A process that cannot reach the database any more keeps its lease, and may take the store again."""
    database.limit_idle(lease.seconds)
    with _file_lock(database, taking.name) if database.sqlite else _session_lock(database) as is_free:
        epoch = _take(database, taking, lease, is_free=is_free)
        leaves = True
        try:
            with nullcontext() if database.sqlite else _kept(database, taking, lease, epoch, failed):
                yield epoch
        except StoreUnavailable:
            leaves = False
            raise
        finally:
            lease.leave()
            # The name is for people: that it stays must not hide what ended the work.
            with suppress(StoreError):
                if leaves:
                    _leave(database, epoch)


@contextmanager
def hold_for_upgrade(database: Database) -> Iterator[None]:
    """Hold the lock of the store while its schema is migrated. Raises InstanceHeld; on PostgreSQL UpgradeHeld."""
    if database.sqlite:
        with _file_lock(database, _UPGRADE):
            yield
        return
    with database.write() as connection:
        # Of the transaction, as a pool might give the end of a session's lock to another session.
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        # Who takes the store waits for this one, and then finds another schema.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        taken = connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _INSTANCE_LOCK}).scalar_one()
        if not taken or _is_leased(database):
            held = _held(database, _UPGRADE)
            raise UpgradeHeld(held.holder, held.advice)
        yield


def _is_leased(database: Database) -> bool:
    """Also of a schema from before the first lease. The migration may lock the table, so nothing is held here."""
    with database.read() as connection:
        if connection.execute(text("SELECT to_regclass('lease')")).scalar_one() is None:
            return False
        return bool(connection.execute(text("SELECT ends_at > clock_timestamp() FROM lease")).scalar_one())


EPOCH = Question(
    {"sqlite": text("SELECT epoch FROM instance"), "postgresql": text("SELECT epoch FROM instance FOR SHARE")}, {}
)
"""Which epoch it is, which then stays so until the transaction ends."""


def last_epoch(connection: Connection) -> int:
    """The epoch that was taken last; 0 before the first one."""
    return int(connection.execute(select(instance_table.c.epoch)).scalar_one())


def check_epoch(connection: Connection, epoch: int) -> None:
    """Raise Fenced unless `epoch` is the current one, which it then stays until this transaction ends. It is
    StoreWentBack when the store does not know that epoch."""
    refuse_other_epoch(ask(connection, {"epoch": EPOCH})["epoch"], epoch)


def refuse_other_epoch(answer: Sequence[tuple[int]], epoch: int) -> None:
    """Raise Fenced unless `epoch` is the one that `EPOCH` was answered with. That is StoreWentBack for
    an earlier one: no process has taken over, but the database was restored."""
    if not answer:
        raise StoreGone("nothing was sent: the store was emptied while groundstate was running; restore a backup")
    current = answer[0][0]
    refuse_earlier_store(current, epoch)
    if current != epoch:
        raise Fenced(
            "nothing was sent: another groundstate process has taken over this store (take-over number "
            f"{current}; this process has number {epoch}). Only one process may write to a store at a time"
        )


@contextmanager
def _file_lock(database: Database, name: str) -> Iterator[bool]:
    from filelock import FileLock, Timeout

    if database.file is None:
        yield True
        return
    with database.in_words():
        # One store has one lock, by whichever links it is reached.
        file = database.file.resolve()
        lock = FileLock(f"{file}.lock", timeout=0, mode=file_access(file.parent).mode)
        try:
            lock.acquire()
        except Timeout:
            raise _held(database, name) from None
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def _session_lock(database: Database) -> Iterator[bool]:
    """Whether no other session has the lock, which this one then has. Where a pool is between, it is not asked for."""
    if database.is_pooled():
        yield False
        return
    autocommit = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with database.in_words():
        connection = autocommit.connect()
    try:
        with database.in_words():
            taken = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _INSTANCE_LOCK}).scalar_one()
        try:
            yield bool(taken)
        finally:
            with suppress(SQLAlchemyError):  # A session that is gone holds no lock.
                if taken:
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _INSTANCE_LOCK})
    finally:
        connection.close()


def _take(database: Database, taking: Taking, lease: StoreLease, *, is_free: bool) -> int:
    """The new epoch. `is_free`: the process that has the lease seems to be gone."""
    ends_at = None
    while True:
        with database.write() as connection:
            _refuse_other_schema(connection)
            left = _left(connection, taking)
            if left is None or left.seconds <= 0:
                return _count_up(connection, taking.name, lease)
        if not is_free or ends_at not in (None, left.ends_at):
            raise _held(database, taking.name)
        if taking.waiting is None:
            raise InstanceHeld(_gone(database), f"its lease ends in {left.seconds:.0f} s; try again then")
        if ends_at is None:
            taking.waiting(f"{_gone(database)}; waiting up to {left.seconds:.0f} s until its lease ends")
            ends_at = left.ends_at
        runtime.sleep(min(_LOOK_AGAIN_SECONDS, left.seconds))


def _refuse_other_schema(connection: Connection) -> None:
    """Raise StoreError when a newer program has changed the schema since this one opened the store, as while this one
    stood by. The schema stays the same until the transaction ends."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": _UPGRADE_LOCK})
    refuse_newer(schema_version(connection))


def _left(connection: Connection, taking: Taking) -> LeaseLeft | None:
    """What is left of the lease of another process; None: nothing keeps this one out. It can be taken until the
    transaction ends, by this one alone. Raises Fenced and StoreWentBack."""
    before = taking.before
    if connection.dialect.name == "sqlite":
        return None
    epoch = connection.execute(select(instance_table.c.epoch).with_for_update()).scalar_one_or_none()
    if before is None:
        return lease_left(connection)
    refuse_earlier_store(epoch, before)
    refuse_lost_work(connection, taking.last())
    refuse_other_epoch([(epoch or 0,)], before)
    return None


def refuse_earlier_store(epoch: int | None, before: int) -> None:
    """Raise StoreWentBack when the epoch of the store, None where there is none, is not even the one that this process
    had before."""
    if epoch is None or epoch < before:
        raise StoreWentBack(
            f"the store does not know that this process has worked on it (take-over number {before}; the store is at "
            f"number {epoch or 0}). The database was restored from a backup, or a replica without the latest "
            "transactions was promoted. This process ends. Check the database; groundstate observes everything again "
            "after its next start"
        )


def _refuse_same_epoch_of_other(connection: Connection, epoch: int, me: str) -> None:
    """Raise StoreWentBack where another process has this epoch: the store lost the take-over of this one, and was taken
    over from the process before."""
    value = connection.execute(select(instance_table.c.holder)).scalar_one()
    if value is not None and (holder := msgspec.json.decode(value, type=StoreHolder)).name_of_process != me:
        raise StoreWentBack(
            f"the store does not know that this process has taken it over (take-over number {epoch}); {holder} has. "
            "The database was restored from a backup, or a replica without the latest transactions was promoted. "
            "This process ends. Check the database"
        )


def this_process(name: str) -> StoreHolder:
    """This process, under that name, from now on."""
    return StoreHolder(name, runtime.process_id(), runtime.local_host_name(), runtime.now(), program_version())


def _count_up(connection: Connection, name: str, lease: StoreLease) -> int:
    holder = this_process(name)
    changed = update(instance_table).values(epoch=instance_table.c.epoch + 1, holder=row_json(holder))
    epoch = int(connection.execute(changed.returning(instance_table.c.epoch)).scalar_one())
    if connection.dialect.name != "sqlite":
        take_lease(connection, lease, epoch)
        # No worker carries out what the process before has asked for.
        connection.execute(text("DELETE FROM relay_request"))
    return epoch


@contextmanager
def _kept(
    database: Database, taking: Taking, lease: StoreLease, epoch: int, failed: Callable[[BaseException], None]
) -> Iterator[None]:
    me = this_process(taking.name).name_of_process

    def check(connection: Connection) -> None:
        # First: after such a loss another process may be the one that counts up next.
        refuse_lost_work(connection, taking.last())
        check_epoch(connection, epoch)
        _refuse_same_epoch_of_other(connection, epoch, me)

    def ended(error: BaseException) -> None:
        lease.fail(error)
        failed(error)

    stop = runtime.flag()
    renew = partial(keep_lease, database, lease, epoch, check, stop)
    renewing = runtime.thread(partial(runtime.reporting, renew, ended), "lease")
    renewing.start()
    try:
        yield
    finally:
        stop.set()
        renewing.join(lease.seconds)


def _leave(database: Database, epoch: int) -> None:
    with database.write() as connection:
        connection.execute(update(instance_table).where(instance_table.c.epoch == epoch).values(holder=None))
        if not database.sqlite:
            end_lease(connection, epoch)


def _holder(database: Database) -> StoreHolder | None:
    with database.read() as connection:
        value = connection.execute(select(instance_table.c.holder)).scalar_one()
    return msgspec.json.decode(value, type=StoreHolder) if value else None


def _gone(database: Database) -> str:
    who = _holder(database) or "another groundstate"
    return f"store {database.where} was in use by {who}, which has lost its connection to the database"


def _held(database: Database, wanted: str) -> InstanceHeld:
    holder = _holder(database)
    reported = holder or "another groundstate"
    return InstanceHeld(f"store {database.where} is in use by {reported}", _advice(holder, wanted))


def _advice(holder: StoreHolder | None, wanted: str) -> str:
    """How to proceed. Never with another store. A new one knows of no order that was carried out, and counts the
    disruption budget from zero. Two stores would have two processes at work on one fleet."""
    if wanted == _UPGRADE:
        return (
            "first stop that process: it is an older groundstate, and this version would change the schema of the "
            "store. Nothing was changed"
        )
    if holder is not None and holder.name == "run" and wanted != "run":
        return (
            "commit the change, and the running daemon applies the change; or stop the daemon first. If a guard "
            "holds the change, use `groundstate override GUARD`"
        )
    return "only one process may work on a fleet at a time: wait until the other process has ended, or stop it"

"""One instance at a time works on a store. The lock is the kernel's or the server's, so a killed holder frees it. The
epoch, counted up at every taking, fences a holder that lost the lock without noticing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from reconciler import runtime
from reconciler.store.sql.database import Database
from reconciler.store.sql.file_modes import file_access
from reconciler.store.sql.round_trips import Question, ask
from reconciler.store.sql.row_json import row_json
from reconciler.store.sql.store_errors import Fenced, InstanceHeld, StoreError, StoreGone
from reconciler.store.sql.tables import instance_table

_INSTANCE_LOCK = 0x67726F756E64_02
"""Session advisory lock on PostgreSQL: `ground`, 2."""


_UPGRADE = "upgrade"


class StoreHolder(msgspec.Struct, frozen=True):
    """Who works on the store: for people, and never for a decision. Not its arguments, where a password may stand."""

    name: str
    pid: int
    host: str
    since: datetime

    def __str__(self) -> str:
        return f"groundstate {self.name}, process {self.pid} on {self.host}, since {self.since:%Y-%m-%d %H:%M:%S}Z"


@contextmanager
def hold(database: Database, name: str) -> Iterator[int]:
    """Hold the store as `name` (such as `run`) and give the epoch. Raises InstanceHeld, naming the holder."""
    with _lock(database, name):
        epoch = _take(database, name)
        try:
            yield epoch
        finally:
            # The name is for people: that it stays must not hide what ended the work.
            with suppress(StoreError):
                _leave(database, epoch)


@contextmanager
def hold_for_upgrade(database: Database) -> Iterator[None]:
    """Hold the lock of the store while its schema is migrated. Raises InstanceHeld."""
    with _lock(database, _UPGRADE):
        yield


EPOCH = Question(
    {"sqlite": text("SELECT epoch FROM instance"), "postgresql": text("SELECT epoch FROM instance FOR SHARE")}, {}
)
"""Which epoch it is, which then stays so until the transaction ends."""


def last_epoch(connection: Connection) -> int:
    """The epoch that was taken last; 0 before the first one."""
    return int(connection.execute(select(instance_table.c.epoch)).scalar_one())


def check_epoch(connection: Connection, epoch: int) -> None:
    """Raise Fenced unless `epoch` is the current one, which it then stays until this transaction ends."""
    refuse_other_epoch(ask(connection, {"epoch": EPOCH})["epoch"], epoch)


def refuse_other_epoch(answer: Sequence[tuple[int]], epoch: int) -> None:
    """Raise Fenced unless `epoch` is the one that `EPOCH` was answered with."""
    if not answer:
        raise StoreGone("nothing was sent: the store was emptied while groundstate was running; restore a backup")
    current = answer[0][0]
    if current != epoch:
        raise Fenced(
            "nothing was sent: another groundstate process has taken over this store (take-over number "
            f"{current}; this process has number {epoch}). Only one process may write to a store at a time"
        )


def _lock(database: Database, name: str) -> AbstractContextManager[object]:
    if not database.sqlite:
        return _advisory_lock(database, name)
    return _file_lock(database, name) if database.file else nullcontext()


@contextmanager
def _file_lock(database: Database, name: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    with database.in_words():
        # One store has one lock, by whichever links it is reached.
        file = database.file.resolve() if database.file is not None else None
        mode = file_access(file.parent).mode if file is not None else 0o600
        lock = FileLock(f"{file}.lock", timeout=0, mode=mode)
        try:
            lock.acquire()
        except Timeout:
            raise _held(database, name) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _advisory_lock(database: Database, name: str) -> Iterator[None]:
    autocommit = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with database.in_words():
        connection = autocommit.connect()
    try:
        with database.in_words():
            taken = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _INSTANCE_LOCK}).scalar_one()
        if not taken:
            raise _held(database, name)
        try:
            yield
        finally:
            with suppress(SQLAlchemyError):  # A session that is gone holds no lock.
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _INSTANCE_LOCK})
    finally:
        connection.close()


def _take(database: Database, name: str) -> int:
    holder = StoreHolder(name, runtime.process_id(), runtime.local_host_name(), runtime.now())
    with database.write() as connection:
        changed = update(instance_table).values(epoch=instance_table.c.epoch + 1, holder=row_json(holder))
        return int(connection.execute(changed.returning(instance_table.c.epoch)).scalar_one())


def _leave(database: Database, epoch: int) -> None:
    with database.write() as connection:
        connection.execute(update(instance_table).where(instance_table.c.epoch == epoch).values(holder=None))


def _held(database: Database, wanted: str) -> InstanceHeld:
    with database.read() as connection:
        value = connection.execute(select(instance_table.c.holder)).scalar_one()
    holder = msgspec.json.decode(value, type=StoreHolder) if value else None
    reported = holder or "another groundstate"
    return InstanceHeld(f"store {database.where} is in use by {reported}; {_advice(holder, wanted)}")


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

"""Which worker daemons there are, and which shards they own, by leases on PostgreSQL.

The database's clock alone says when a lease ends. Locks are taken in one order, so that no two transactions wait for
each other: the row of `instance`, workers by name, shards by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from reconciler.model.shard import Shard, ShardId, WorkerDaemon
from reconciler.store.lease.instance import StoreHolder, check_epoch
from reconciler.store.sql.database import Database
from reconciler.store.sql.migrate import refuse_newer
from reconciler.store.sql.row_json import row_json
from reconciler.store.sql.store_errors import StoreError

_ALL = text("""
    SELECT shard.name, shard.epoch, shard.wanted, shard.owner,
        coalesce(extract(epoch FROM worker.ends_at - clock_timestamp()), 0) AS seconds_left
    FROM shard LEFT JOIN worker ON worker.name = shard.owner
""")
_OF_ONE = text(f"{_ALL.text} WHERE shard.owner = :me OR shard.wanted = :me")
_NEWS = text("""
    SELECT EXISTS (SELECT 1 FROM relay_request JOIN shard ON shard.name = relay_request.shard WHERE shard.owner = :me),
        (SELECT value FROM meta WHERE name = :meta), (SELECT version_num FROM alembic_version)
""")
_ANY_ANSWER = text("SELECT EXISTS (SELECT 1 FROM relay_answer)")
_WORKERS = text("SELECT value FROM worker WHERE ends_at > clock_timestamp() ORDER BY name")

_ADD = text("""
    INSERT INTO shard (name, epoch) SELECT name, 0 FROM unnest(CAST(:names AS text[])) AS added(name)
    ON CONFLICT DO NOTHING
""")
_LOCK_CHANGED = text("""
    SELECT 1 FROM shard JOIN unnest(CAST(:names AS text[]), CAST(:wanted AS text[])) AS new(name, wanted) USING (name)
    WHERE shard.wanted IS DISTINCT FROM new.wanted ORDER BY shard.name FOR UPDATE OF shard
""")
_WANT = text("""
    UPDATE shard SET wanted = new.wanted
    FROM unnest(CAST(:names AS text[]), CAST(:wanted AS text[])) AS new(name, wanted)
    WHERE shard.name = new.name AND shard.wanted IS DISTINCT FROM new.wanted
""")

_REGISTER = text("""
    INSERT INTO worker (name, value, ends_at) VALUES (:me, :value, clock_timestamp()) ON CONFLICT DO NOTHING
""")
_LOCK_WORKERS = text("""
    SELECT 1 FROM worker
    WHERE name = :me OR name IN (SELECT owner FROM shard WHERE wanted = :me)
    ORDER BY name FOR UPDATE
""")
_MINE = text("SELECT value, ends_at > clock_timestamp() AS runs FROM worker WHERE name = :me")
_RENEW = text("""
    UPDATE worker SET value = :value, ends_at = clock_timestamp() + make_interval(secs => :seconds) WHERE name = :me
""")
_LOCK_SHARDS = text("SELECT name FROM shard WHERE wanted = :me OR owner = :me ORDER BY name FOR UPDATE")
# Each of these counts up, so that no request is taken by who had the shard before.
_RELEASE = text("""
    UPDATE shard SET owner = NULL, epoch = epoch + 1
    WHERE owner = :me AND wanted IS DISTINCT FROM :me AND name = ANY(CAST(:names AS text[]))
""")
_RELEASE_ALL = text("UPDATE shard SET owner = NULL, epoch = epoch + 1 WHERE owner = :me")
_RELEASE_BUT = text("""
    UPDATE shard SET owner = NULL, epoch = epoch + 1
    WHERE owner = :me AND NOT name = ANY(CAST(:late AS text[]))
""")
_TAKE = text("""
    UPDATE shard SET owner = :me, epoch = epoch + 1
    WHERE name = ANY(CAST(:names AS text[])) AND wanted = :me AND owner IS DISTINCT FROM :me AND NOT EXISTS (
        SELECT 1 FROM worker WHERE worker.name = shard.owner AND worker.ends_at > clock_timestamp()
    )
""")
_OWNED = text("SELECT name, epoch FROM shard WHERE owner = :me")
_REMOVE_OLD = text("""
    DELETE FROM worker WHERE name IN (
        SELECT name FROM worker WHERE ends_at < clock_timestamp() - interval '1 minute' FOR UPDATE SKIP LOCKED
    )
""")
_REMOVE = text("DELETE FROM worker WHERE name = :me")
_MARK = text("UPDATE worker SET value = :value WHERE name = :me")


class WorkerNews(msgspec.Struct, frozen=True):
    """What a worker is to know. `shards`: those that it owns, or is to have. `revision`: the one in force."""

    shards: tuple[Shard, ...]
    has_requests: bool
    revision: str | None


class ShardOverview(msgspec.Struct, frozen=True):
    """All shards, and the worker daemons whose leases run, by their names. `has_answers`: some wait for the daemon in
    control, or calls do. What a worker answered before it released a shard of `shards` is among them."""

    shards: tuple[Shard, ...]
    workers: tuple[tuple[StoreHolder, WorkerDaemon], ...]
    has_answers: bool


class _Registered(msgspec.Struct, frozen=True, omit_defaults=True):
    process: StoreHolder
    partitions: tuple[str, ...]
    is_leaving: bool = False
    boot_address: str | None = None
    revision: str | None = None

    @property
    def worker(self) -> WorkerDaemon:
        name = self.process.name_of_process
        return WorkerDaemon(name, self.partitions, self.is_leaving, self.boot_address, self.revision)


_REGISTERED = msgspec.json.Decoder(_Registered)


class ShardTable:
    """The shards of one store on PostgreSQL; on SQLite there are none. Each call is one transaction, and may raise
    StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def limit_idle(self, seconds: float) -> None:
        """Have PostgreSQL end a session of this process that stands still in a transaction for so long. Else a worker
        that was stopped there would keep its shards locked beyond its lease."""
        self._database.limit_idle(seconds)

    def all(self) -> tuple[Shard, ...]:
        """All shards, by partition and slot."""
        return self.overview().shards

    def workers(self) -> tuple[tuple[StoreHolder, WorkerDaemon], ...]:
        """The worker daemons whose leases run, by their names."""
        return self.overview().workers

    def overview(self) -> ShardOverview:
        """What the daemon in control is to know of all."""
        if self._database.sqlite:
            return ShardOverview((), (), has_answers=False)
        with self._database.read() as connection:
            rows = connection.execute(_ALL).all()
            found = [one for value in connection.execute(_WORKERS).scalars() if (one := _known(value)) is not None]
            # Last: each statement sees what was committed until then.
            has_answers = bool(connection.execute(_ANY_ANSWER).scalar_one())
        return ShardOverview(_shards(rows), tuple((one.process, one.worker) for one in found), has_answers)

    def news(self, process: StoreHolder, revision_meta: str) -> WorkerNews:
        """What there is for a worker to do. `revision_meta`: the name under which the revision in force is kept. Raises
        StoreError also when a newer program has changed the schema."""
        asked = {"me": process.name_of_process, "meta": revision_meta}
        with self._database.read() as connection:
            shards = _shards(connection.execute(_OF_ONE, asked).all())
            has_requests, revision, schema = connection.execute(_NEWS, asked).one()
        refuse_newer(schema)
        return WorkerNews(shards, has_requests, revision)

    def want(self, control_epoch: int, wanted: Mapping[ShardId, str | None]) -> None:
        """These workers are to have these shards, which are added where they are missing. None: no worker is. Raises
        Fenced when another process has taken over the store."""
        new = {"names": _names(wanted), "wanted": list(wanted.values())}
        with self._database.write() as connection:
            check_epoch(connection, control_epoch)
            connection.execute(_ADD, {"names": new["names"]})
            connection.execute(_LOCK_CHANGED, new)
            connection.execute(_WANT, new)

    def beat(
        self,
        process: StoreHolder,
        partitions: Collection[str],
        seconds: float,
        release: Collection[ShardId] = (),
        boot_address: str | None = None,
        revision: str | None = None,
    ) -> dict[ShardId, int]:
        """Renew the worker's lease for so many seconds, and return the epochs of all shards that it now owns.

        It takes each shard that it is wanted for and that has no owner, or one whose lease has ended. It gives up those
        of `release` that it is not wanted for any more. What it owned when its lease ended has a new epoch, so that no
        earlier request is carried out any more. `process` is the same value at each call. Another process of
        the same name, as of a container that was started again, gets nothing until the lease of the earlier one has
        ended."""
        me = process.name_of_process
        said = _Registered(process, tuple(sorted(partitions)), boot_address=boot_address, revision=revision)
        value = row_json(said)
        with self._database.write() as connection:
            connection.execute(_REGISTER, {"me": me, "value": value})
            connection.execute(_LOCK_WORKERS, {"me": me})
            # Statements of their own, which see what was committed while a lock was waited for.
            mine = connection.execute(_MINE, {"me": me}).one()
            is_other = _registered(mine.value).process.since != process.since
            if is_other and mine.runs:
                return {}
            connection.execute(_RENEW, {"me": me, "value": value, "seconds": seconds})
            locked = connection.execute(_LOCK_SHARDS, {"me": me}).scalars().all()
            if is_other or not mine.runs:
                # Once a lease has ended, the daemon in control counts what it had asked for as lost, and goes on.
                connection.execute(_RELEASE_ALL, {"me": me})
            if release:
                connection.execute(_RELEASE, {"me": me, "names": _names(release)})
            connection.execute(_TAKE, {"me": me, "names": locked})
            owned = connection.execute(_OWNED, {"me": me}).all()
            # Last, as these locks are not taken in the order of names; no lock is waited for here or afterwards.
            connection.execute(_REMOVE_OLD)
        return {_shard_id(name): epoch for name, epoch in owned}

    def leave(self, process: StoreHolder, late: Collection[ShardId] = ()) -> None:
        """The process is no worker any more: release all its shards at once. Those of `late`, where something is in
        hand still, are free when this is called again without them, or when its lease ends. It gets no others."""
        me = {"me": process.name_of_process}
        with self._database.write() as connection:
            found = _registered_as(connection, process)
            if found is None:
                return
            connection.execute(_LOCK_SHARDS, me)
            connection.execute(_RELEASE_BUT, {**me, "late": _names(late)})
            if late:
                connection.execute(_MARK, {**me, "value": row_json(msgspec.structs.replace(found, is_leaving=True))})
            else:
                connection.execute(_REMOVE, me)


def _registered_as(connection: Connection, process: StoreHolder) -> _Registered | None:
    """What the row of its name says, which then stays so; None: there is none, or it is another process's."""
    mine = text("SELECT value FROM worker WHERE name = :me FOR UPDATE")
    value: Any = connection.execute(mine, {"me": process.name_of_process}).scalar()
    found = None if value is None else _registered(value)
    return found if found is not None and found.process.since == process.since else None


def _shards(rows: Iterable[Any]) -> tuple[Shard, ...]:
    found = (Shard(_shard_id(row.name), row.epoch, row.wanted, row.owner, float(row.seconds_left)) for row in rows)
    return tuple(sorted(found, key=lambda shard: shard.id))


def _names(ids: Iterable[ShardId]) -> list[str]:
    return [str(one) for one in ids]


def _shard_id(name: str) -> ShardId:
    try:
        return ShardId.parse(name)
    except ValueError as error:
        raise StoreError(f"a row of the table shard in the store cannot be read: {error}; restore a backup") from error


def _known(value: str) -> _Registered | None:
    """None: a daemon of another version has registered, which gets no shards."""
    try:
        return _REGISTERED.decode(value)
    except msgspec.MsgspecError:
        return None


def _registered(value: str) -> _Registered:
    try:
        return _REGISTERED.decode(value)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the record of a worker in the store cannot be read: {error}; restart the worker") from error

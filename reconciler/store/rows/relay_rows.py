"""What the daemon in control and the other daemons say to each other. What is in it is opaque here.

Requests go from the daemon in control to the owner of a shard. Messages go to the daemon in control: answers, hints,
and calls of other daemons. Replies to these calls go back to the process that asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import TextClause, text

from reconciler.model.shard import ShardId
from reconciler.store.lease.instance import EPOCH, check_epoch
from reconciler.store.sql.database import Database
from reconciler.store.sql.round_trips import Question, ask
from reconciler.store.sql.row_json import row_json

_ASK = text("""
    INSERT INTO relay_request (id, shard, shard_epoch, control_epoch, value, at)
    SELECT id, shard, shard_epoch, control_epoch, value, clock_timestamp()
    FROM json_to_recordset(CAST(:rows AS json))
        AS rows(id text, shard text, shard_epoch bigint, control_epoch bigint, value text)
""")
_ANY_REQUEST = text("SELECT 1 FROM relay_request WHERE shard = ANY(CAST(:names AS text[])) LIMIT 1")
_LOCK = text("SELECT name, epoch FROM shard WHERE name = ANY(CAST(:names AS text[])) ORDER BY name FOR SHARE")
_TAKE = text("""
    WITH taken AS (
        DELETE FROM relay_request WHERE id IN (
            SELECT id FROM relay_request WHERE shard = ANY(CAST(:names AS text[])) FOR UPDATE SKIP LOCKED
        ) RETURNING *
    )
    SELECT id, shard, shard_epoch, control_epoch, value FROM taken ORDER BY seq
""")
_ANSWER = text("""
    INSERT INTO relay_answer (value) SELECT value FROM json_to_recordset(CAST(:rows AS json)) AS rows(value text)
""")
_ANY_ANSWER = text("SELECT 1 FROM relay_answer LIMIT 1")
_ANSWERS = text("""
    WITH taken AS (DELETE FROM relay_answer RETURNING *)
    SELECT value FROM taken ORDER BY seq
""")
_REPLY = text("""
    INSERT INTO relay_reply (asker, value, at) SELECT asker, value, clock_timestamp()
    FROM json_to_recordset(CAST(:rows AS json)) AS rows(asker text, value text)
""")
# Of processes that were killed while they waited.
_CLEAR_REPLIES = text("DELETE FROM relay_reply WHERE at < clock_timestamp() - interval '1 minute'")
_ANY_REPLY = text("SELECT 1 FROM relay_reply WHERE asker = :me LIMIT 1")
_REPLIES = text("""
    WITH taken AS (DELETE FROM relay_reply WHERE asker = :me RETURNING *)
    SELECT value FROM taken ORDER BY seq
""")
_CLEAR_REQUESTS = text("DELETE FROM relay_request WHERE control_epoch < :epoch")
_CLEAR_ANSWERS = text("DELETE FROM relay_answer")


class RelayRequest(msgspec.Struct, frozen=True):
    """To the worker that owns this shard under `shard_epoch`, from the process that has the store under
    `control_epoch`. `value`: JSON."""

    id: str
    shard: ShardId
    shard_epoch: int
    control_epoch: int
    value: str


class RelayAnswer(msgspec.Struct, frozen=True):
    """To the daemon in control. `value`: JSON."""

    value: str


class RelayReply(msgspec.Struct, frozen=True):
    """To the process of this name, which has called the daemon in control. `value`: JSON."""

    asker: str
    value: str


class RelayTable:
    """Requests and answers under way in one store on PostgreSQL. Each call is one transaction, and may raise
    StoreError. None of them outlives a crash of the database, so a request is taken at most once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, requests: Sequence[RelayRequest]) -> None:
        """Have these carried out. Raises Fenced when another process has taken over the store."""
        if not requests:
            return
        rows = [{**msgspec.structs.asdict(one), "shard": str(one.shard)} for one in requests]
        with self._database.write(durable=False) as connection:
            for epoch in {one.control_epoch for one in requests}:
                check_epoch(connection, epoch)
            connection.execute(_ASK, {"rows": row_json(rows)})

    def take(self, held: Mapping[ShardId, int]) -> list[RelayRequest]:
        """The requests to these shards, in the order in which they were made; no call returns one of them again. Those
        of earlier epochs are dropped. A shard that has another epoch than the one in `held` is left out."""
        shards = {str(one): one for one in held}
        if not shards or not self._any(_ANY_REQUEST, names=list(shards)):
            return []
        with self._database.write_together() as connection:
            locks = {"epoch": EPOCH, "shards": _question(_LOCK, list(shards))}
            answers = ask(connection, locks, begins=True)
            # Until this ends, no process takes over the store, and no worker one of these shards.
            names = [name for name, epoch in answers["shards"] if held[shards[name]] == epoch]
            rows = ask(connection, {"taken": _question(_TAKE, names)})["taken"]
        taken = (RelayRequest(one, shards[name], mine, control, value) for one, name, mine, control, value in rows)
        current = [epoch for (epoch,) in answers["epoch"]]
        return [one for one in taken if one.shard_epoch == held[one.shard] and [one.control_epoch] == current]

    def answer(self, answers: Sequence[RelayAnswer]) -> None:
        """Say these to the daemon in control."""
        if answers:
            with self._database.write(durable=False) as connection:
                connection.execute(_ANSWER, {"rows": row_json(answers)})

    def answers(self, control_epoch: int) -> list[RelayAnswer]:
        """All answers, in the order in which they came; no call returns one of them again. For the daemon in control
        alone: raises Fenced as `ask` does, if there are any."""
        if not self._any(_ANY_ANSWER):
            return []
        with self._database.write(durable=False) as connection:
            check_epoch(connection, control_epoch)
            return [RelayAnswer(value) for value in connection.execute(_ANSWERS).scalars()]

    def reply(self, control_epoch: int, replies: Sequence[RelayReply]) -> None:
        """Answer calls of other daemons. Raises Fenced as `ask` does: what a replaced process knows is out of date."""
        with self._database.write(durable=False) as connection:
            check_epoch(connection, control_epoch)
            connection.execute(_REPLY, {"rows": row_json(replies)})

    def replies(self, asker: str) -> list[str]:
        """The replies to the calls of this process, as JSON; no call returns one of them again."""
        if not self._any(_ANY_REPLY, me=asker):
            return []
        with self._database.write(durable=False) as connection:
            return list(connection.execute(_REPLIES, {"me": asker}).scalars())

    def sweep(self, control_epoch: int) -> None:
        """Drop replies that were not read within a minute. Raises Fenced as `ask` does."""
        with self._database.write(durable=False) as connection:
            check_epoch(connection, control_epoch)
            connection.execute(_CLEAR_REPLIES)

    def clear(self, control_epoch: int) -> None:
        """Drop what is left of earlier processes that had the store: their requests, and all answers. Raises Fenced as
        `ask` does."""
        with self._database.write(durable=False) as connection:
            check_epoch(connection, control_epoch)
            connection.execute(_CLEAR_REQUESTS, {"epoch": control_epoch})
            connection.execute(_CLEAR_ANSWERS)

    def _any(self, statement: TextClause, **parameters: list[str] | str) -> bool:
        """Whether it finds a row. Without a lock, because this is asked several times a second."""
        with self._database.read() as connection:
            return connection.execute(statement, parameters).first() is not None


def _question(statement: TextClause, names: list[str]) -> Question:
    return Question({"postgresql": statement}, {"names": names})

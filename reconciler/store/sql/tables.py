"""The store's tables, as queries see them. The migrations make them; a test holds the two against each other.

Structured values are JSON text, so that `sqlite3` and `psql` show them to people; the columns beside are sought by.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    Column,
    Dialect,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

from drivers.base import encodable


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime: timestamptz on PostgreSQL, ISO 8601 text of one length on SQLite, so that it sorts."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        """The column's type on this database."""
        native = TIMESTAMP(timezone=True) if dialect.name == "postgresql" else Text()
        return dialect.type_descriptor(native)  # type: ignore[arg-type]  # the text of a time

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | datetime | None:
        """To the database. Raises ValueError for a time without zone."""
        if value is None or dialect.name == "postgresql":
            return value
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: str | datetime | None, dialect: Dialect) -> datetime | None:
        """From the database, in UTC."""
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        return value.astimezone(UTC) if value is not None else None


class HumanText(TypeDecorator[str]):
    """Text that a person wrote, or the name of a user or a host: unpaired surrogates are written out as escapes. They
    come from bytes of a command line that are no UTF-8, and no database takes them."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else encodable(value)


metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", HumanText, nullable=False),
)

instance_table = Table(
    "instance",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", Text),
)

lease_table = Table(
    "lease",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("ends_at", UtcTime),
)

standby = Table(
    "standby",
    metadata,
    Column("name", Text, primary_key=True),
    Column("heard", UtcTime, nullable=False),
    Column("value", Text, nullable=False),
)

drained_host_table = Table(
    "drained_host",
    metadata,
    Column("host", HumanText, primary_key=True),
    Column("reason", HumanText, nullable=False),
    Column("by", HumanText, nullable=False),
    Column("at", UtcTime, nullable=False),
)

worker_table = Table(
    "worker",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
)

shard_table = Table(
    "shard",
    metadata,
    Column("name", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("wanted", Text),
    Column("owner", Text),
)

relay_request_table = Table(
    "relay_request",
    metadata,
    Column("id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("shard", Text, nullable=False),
    Column("shard_epoch", BigInteger, nullable=False),
    Column("control_epoch", BigInteger, nullable=False),
    Column("value", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)

relay_answer_table = Table(
    "relay_answer",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("value", Text, nullable=False),
)

relay_reply_table = Table(
    "relay_reply",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("asker", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)

refused_login_table = Table(
    "refused_login",
    metadata,
    Column("address", Text, primary_key=True),
    Column("login", Text, primary_key=True),
    Column("times", Integer, nullable=False),
    Column("until", UtcTime, nullable=False),
)

facts = Table(
    "facts",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

binding = Table(
    "binding",
    metadata,
    Column("machine", Text, primary_key=True),
    Column("claim", Text, nullable=False),
    Column("slot", Integer, nullable=False),
    UniqueConstraint("claim", "slot"),
)

in_flight = Table(
    "in_flight",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("action_id", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("value", Text, nullable=False),
)

observation = Table(
    "observation",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("taken_at", UtcTime, nullable=False),
    Column("value", Text),
    Column("error", Text),
)

event = Table(
    "event",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("kind", Text),
    Column("name", Text),
    Column("value", Text, nullable=False),
)

repeat = Table(
    "repeat",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
    Column("last", UtcTime, nullable=False),
    Column("message", HumanText),
)

override_table = Table(
    "override",
    metadata,
    Column("id", Text, primary_key=True),
    Column("guard", Text, nullable=False),
    Column("targets", Text, nullable=False),
    Column("selector", HumanText, nullable=False),
    Column("reason", HumanText, nullable=False),
    Column("by", HumanText, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("until", UtcTime, nullable=False),
    Column("revoked_at", UtcTime),
    Column("revoked_by", HumanText),
    Column("expired_at", UtcTime),
)

pause_table = Table(
    "pause",
    metadata,
    Column("id", Text, primary_key=True),
    Column("targets", Text, nullable=False),
    Column("selector", HumanText, nullable=False),
    Column("known", Text, nullable=False),
    Column("reason", HumanText, nullable=False),
    Column("by", HumanText, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("until", UtcTime),
    Column("ended_at", UtcTime),
    Column("ended_by", HumanText),
)

restart_table = Table(
    "restart_request",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("reason", HumanText, nullable=False),
    Column("by", HumanText, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("until", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
)

daemon = Table(
    "daemon",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("heard", UtcTime, nullable=False),
    Column("value", Text, nullable=False),
)

inventory = Table(
    "inventory",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("origin", Text, primary_key=True),
    Column("taken_at", UtcTime),
    Column("value", Text, nullable=False),
)

token = Table(
    "token",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("machine", Text),
    Column("order_id", Text, nullable=False),
    Column("uuid", Text),
    Column("macs", Text, nullable=False),
    Column("issued_at", UtcTime, nullable=False),
    Column("expires", UtcTime, nullable=False),
    Column("used_at", UtcTime),
    Column("revoked_at", UtcTime),
)

sink = Table(
    "sink",
    metadata,
    Column("name", Text, primary_key=True),
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
    Column("trouble", Text, nullable=False),
)

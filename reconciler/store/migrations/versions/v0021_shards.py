"""Worker daemons, the shards that they own, and the requests and answers between them and the daemon in control."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables. On SQLite they stay empty, as there one process does all.

    PostgreSQL empties an unlogged table when it starts after a crash, and a replica has no rows of it (manual, CREATE
    TABLE). So no request comes back that a worker has taken, and a request costs no log."""
    sqlite = op.get_context().dialect.name == "sqlite"
    time, number = ("TEXT", "INTEGER") if sqlite else ("timestamptz", "BIGINT")
    table = "TABLE" if sqlite else "UNLOGGED TABLE"
    counted = "" if sqlite else " GENERATED ALWAYS AS IDENTITY"
    op.execute(f"CREATE TABLE worker (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, ends_at {time} NOT NULL)")
    op.execute("CREATE TABLE shard (name TEXT NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL, wanted TEXT, owner TEXT)")
    op.execute(
        f"CREATE {table} relay_request (id TEXT NOT NULL PRIMARY KEY, seq BIGINT NOT NULL{counted}, "
        f"shard TEXT NOT NULL, shard_epoch BIGINT NOT NULL, control_epoch BIGINT NOT NULL, value TEXT NOT NULL, "
        f"at {time} NOT NULL)"
    )
    op.execute("CREATE INDEX relay_request_shard ON relay_request (shard)")
    op.execute(f"CREATE {table} relay_answer (seq {number} NOT NULL{counted} PRIMARY KEY, value TEXT NOT NULL)")

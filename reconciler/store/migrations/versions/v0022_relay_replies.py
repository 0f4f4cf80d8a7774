"""Replies of the daemon in control to calls of other daemons, such as those of their boot services."""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; see revision 0021 for why it is unlogged. On SQLite it stays empty."""
    sqlite = op.get_context().dialect.name == "sqlite"
    time, number = ("TEXT", "INTEGER") if sqlite else ("timestamptz", "BIGINT")
    table = "TABLE" if sqlite else "UNLOGGED TABLE"
    counted = "" if sqlite else " GENERATED ALWAYS AS IDENTITY"
    op.execute(
        f"CREATE {table} relay_reply (seq {number} NOT NULL{counted} PRIMARY KEY, asker TEXT NOT NULL, "
        f"value TEXT NOT NULL, at {time} NOT NULL)"
    )
    op.execute("CREATE INDEX relay_reply_asker ON relay_reply (asker)")

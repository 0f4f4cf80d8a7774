"""Overrides of guards, and what the daemon that is at work says of itself.

The statements are written out, as in the first migration.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATEMENTS = (
    # `targets` is a JSON list; `expired_at` is set when the ledger was reported that it ended by itself.
    """CREATE TABLE override (
        id TEXT NOT NULL PRIMARY KEY, guard TEXT NOT NULL, targets TEXT NOT NULL, selector TEXT NOT NULL,
        reason TEXT NOT NULL, by TEXT NOT NULL, at {time} NOT NULL, until {time} NOT NULL,
        revoked_at {time}, revoked_by TEXT, expired_at {time})""",
    """CREATE TABLE daemon (
        id INTEGER NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL, heard {time} NOT NULL, value TEXT NOT NULL)""",
)


def upgrade() -> None:
    """Make both."""
    time = "TEXT" if op.get_context().dialect.name == "sqlite" else "timestamptz"
    for statement in STATEMENTS:
        op.execute(statement.format(time=time))

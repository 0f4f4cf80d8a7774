"""Tokens that machines show to the services: hashed, each for one purpose, one order and a time.

The statements are written out, as in the first migration.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATEMENTS = (
    # `machine` is Kind/name, NULL for one that nobody declared; `macs` is a JSON list.
    """CREATE TABLE token (
        hash TEXT NOT NULL PRIMARY KEY, purpose TEXT NOT NULL, machine TEXT, order_id TEXT NOT NULL, uuid TEXT,
        macs TEXT NOT NULL, issued_at {time} NOT NULL, expires {time} NOT NULL, used_at {time}, revoked_at {time})""",
    # Of those that could still be shown, one a purpose and order; two that are issued at once cannot both stay.
    """CREATE UNIQUE INDEX token_in_force ON token (order_id, purpose) WHERE used_at IS NULL AND revoked_at IS NULL""",
    "CREATE INDEX token_by_end ON token (expires)",
)


def upgrade() -> None:
    """Make everything."""
    time = "TEXT" if op.get_context().dialect.name == "sqlite" else "timestamptz"
    for statement in STATEMENTS:
        op.execute(statement.format(time=time))

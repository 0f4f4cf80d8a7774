"""Pauses of resources, and restarts of machines that people asked for.

The statements are written out, as in the first migration.
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

STATEMENTS = (
    # `targets` and `known` are JSON lists.
    """CREATE TABLE pause (
        id TEXT NOT NULL PRIMARY KEY, targets TEXT NOT NULL, selector TEXT NOT NULL, known TEXT NOT NULL,
        reason TEXT NOT NULL, by TEXT NOT NULL, at {time} NOT NULL, until {time},
        ended_at {time}, ended_by TEXT)""",
    # `kind` and `name` are of the resource.
    """CREATE TABLE restart_request (
        id TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL,
        at {time} NOT NULL, until {time} NOT NULL, ended_at {time})""",
)


def upgrade() -> None:
    """Make both."""
    time = "TEXT" if op.get_context().dialect.name == "sqlite" else "timestamptz"
    for statement in STATEMENTS:
        op.execute(statement.format(time=time))

"""Whose machine it is, and in which slot, once more beside the facts: so that the database refuses a second one."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENT = """CREATE TABLE binding (
    machine TEXT NOT NULL PRIMARY KEY, claim TEXT NOT NULL, slot INTEGER NOT NULL, UNIQUE (claim, slot))"""


def upgrade() -> None:
    """Make the table. No claim can have got a machine before it."""
    op.execute(STATEMENT)

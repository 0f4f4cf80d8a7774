"""How often an event of the ledger was repeated; the ledger itself is only added to.

The statement is written out, as in the first migration.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STATEMENT = "CREATE TABLE repeat (seq BIGINT NOT NULL PRIMARY KEY, count BIGINT NOT NULL, last {time} NOT NULL)"


def upgrade() -> None:
    """Make it."""
    op.execute(STATEMENT.format(time="TEXT" if op.get_context().dialect.name == "sqlite" else "timestamptz"))

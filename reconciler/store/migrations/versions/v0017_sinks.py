"""How far each event sink has taken the ledger, and what keeps it from taking more."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table. `seq` is the cursor, by which the ledger is kept. `trouble` is JSON."""
    number = "INTEGER" if op.get_context().dialect.name == "sqlite" else "BIGINT"
    op.execute(f"CREATE TABLE sink (name TEXT NOT NULL PRIMARY KEY, seq {number} NOT NULL, trouble TEXT NOT NULL)")

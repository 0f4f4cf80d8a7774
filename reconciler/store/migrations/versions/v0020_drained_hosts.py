"""Which hosts are drained: their daemons leave the work on the fleet to those of other hosts."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    time = "TEXT" if op.get_context().dialect.name == "sqlite" else "timestamptz"
    op.execute(
        'CREATE TABLE drained_host (host TEXT NOT NULL PRIMARY KEY, reason TEXT NOT NULL, "by" TEXT NOT NULL, '
        f"at {time} NOT NULL)"
    )

"""What is kept of machines' inventories: a row for each machine and origin."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    time = "TEXT" if op.get_context().dialect.name == "sqlite" else "timestamptz"
    op.execute(
        f"""CREATE TABLE inventory (
        machine TEXT NOT NULL, origin TEXT NOT NULL, taken_at {time}, value TEXT NOT NULL,
        PRIMARY KEY (machine, origin))"""
    )

"""Inventories are kept by kind and name. All that there were are of machines."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table again, because SQLite cannot change a primary key."""
    time = "TEXT" if op.get_context().dialect.name == "sqlite" else "timestamptz"
    op.execute(
        f"""CREATE TABLE inventory_by_kind (
        kind TEXT NOT NULL, name TEXT NOT NULL, origin TEXT NOT NULL, taken_at {time}, value TEXT NOT NULL,
        PRIMARY KEY (kind, name, origin))"""
    )
    op.execute(
        """INSERT INTO inventory_by_kind (kind, name, origin, taken_at, value)
        SELECT 'Machine', machine, origin, taken_at, value FROM inventory"""
    )
    op.execute("DROP TABLE inventory")
    op.execute("ALTER TABLE inventory_by_kind RENAME TO inventory")

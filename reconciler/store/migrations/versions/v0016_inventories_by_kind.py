"""Inventories are kept by kind and name. All that there were are of machines."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the table on PostgreSQL, where a new one would lack the privileges that were granted on this one."""
    if op.get_context().dialect.name == "sqlite":
        _upgrade_sqlite()
        return
    op.execute("ALTER TABLE inventory RENAME COLUMN machine TO name")
    op.execute("ALTER TABLE inventory ADD COLUMN kind TEXT NOT NULL DEFAULT 'Machine'")
    op.execute("ALTER TABLE inventory ALTER COLUMN kind DROP DEFAULT")
    op.execute("ALTER TABLE inventory DROP CONSTRAINT inventory_pkey, ADD PRIMARY KEY (kind, name, origin)")


def _upgrade_sqlite() -> None:
    """Create the table again, because SQLite cannot change a primary key."""
    op.execute(
        """CREATE TABLE inventory_by_kind (
        kind TEXT NOT NULL, name TEXT NOT NULL, origin TEXT NOT NULL, taken_at TEXT, value TEXT NOT NULL,
        PRIMARY KEY (kind, name, origin))"""
    )
    op.execute(
        """INSERT INTO inventory_by_kind (kind, name, origin, taken_at, value)
        SELECT 'Machine', machine, origin, taken_at, value FROM inventory"""
    )
    op.execute("DROP TABLE inventory")
    op.execute("ALTER TABLE inventory_by_kind RENAME TO inventory")

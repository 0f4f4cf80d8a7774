"""Until when the process that works on a PostgreSQL store may do so, and which daemons stand by.

The lease is in a table of its own. Each write of that process shares a lock on the row of `instance`, and a renewal
would wait for that.
"""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and the row of the lease. No process works on the store while it is migrated."""
    time = "TEXT" if op.get_context().dialect.name == "sqlite" else "timestamptz"
    op.execute(f"CREATE TABLE lease (id INTEGER NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL, ends_at {time})")
    op.execute("INSERT INTO lease (id, epoch) VALUES (1, 0)")
    op.execute(f"CREATE TABLE standby (name TEXT NOT NULL PRIMARY KEY, heard {time} NOT NULL, value TEXT NOT NULL)")

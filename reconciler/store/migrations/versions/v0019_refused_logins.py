"""Which logins BMCs refused, and until when they are left alone: by another process too."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    time = "TEXT" if op.get_context().dialect.name == "sqlite" else "timestamptz"
    op.execute(
        "CREATE TABLE refused_login (address TEXT NOT NULL, login TEXT NOT NULL, times INTEGER NOT NULL, "
        f"until {time} NOT NULL, PRIMARY KEY (address, login))"
    )

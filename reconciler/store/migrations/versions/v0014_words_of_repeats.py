"""What the last repeat of an event said is kept beside the count."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. What was counted before keeps the words of its event."""
    op.execute("ALTER TABLE repeat ADD COLUMN message TEXT")

"""The daemon's queue is in memory: the due keys are found again at each start.

Its rows held times and priorities alone; what must not be lost was never in them.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop the table, its indexes with it."""
    op.execute("DROP TABLE queue")

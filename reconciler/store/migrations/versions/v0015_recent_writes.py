"""What was written to a BMC lately is called by the field's words."""

from __future__ import annotations

import json

from alembic import op
from sqlalchemy import text

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rewrite the facts that have any."""
    connection = op.get_bind()
    rows = connection.execute(text("SELECT kind, name, value FROM facts")).all()
    write = text("UPDATE facts SET value = :value WHERE kind = :kind AND name = :name")
    for kind, name, value in rows:
        facts = json.loads(value)
        if "wishes" in facts:
            facts["recent_writes"] = facts.pop("wishes")
            after = json.dumps(facts, separators=(",", ":"))
            connection.execute(write, {"kind": kind, "name": name, "value": after})

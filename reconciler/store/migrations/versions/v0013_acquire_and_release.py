"""Actions on numbers and VRFs are called acquire and release, as those on addresses are."""

from __future__ import annotations

import json

from alembic import op
from sqlalchemy import text

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

RENAMED = {
    "take-number": "acquire-number",
    "give-number-back": "release-number",
    "take-vrf": "acquire-vrf",
    "give-vrf-back": "release-vrf",
}


def upgrade() -> None:
    """Rewrite the actions in flight."""
    connection = op.get_bind()
    rows = connection.execute(text("SELECT kind, name, value FROM in_flight")).all()
    write = text("UPDATE in_flight SET value = :value WHERE kind = :kind AND name = :name")
    for kind, name, value in rows:
        if (after := rewritten(value)) != value:
            connection.execute(write, {"kind": kind, "name": name, "value": after})


def rewritten(value: str) -> str:
    """An action in flight in the form of this version."""
    flight = json.loads(value)
    tag = flight["action"]["action"]
    if tag not in RENAMED:
        return value
    flight["action"]["action"] = RENAMED[tag]
    return json.dumps(flight, separators=(",", ":"))

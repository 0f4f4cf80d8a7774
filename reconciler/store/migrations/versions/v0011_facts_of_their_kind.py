"""A machine's boot request is one value with its progress, and facts are called by the field's words."""

from __future__ import annotations

import json
from typing import Any

from alembic import op
from sqlalchemy import text

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

PROGRESS = {
    "served_at": "served_at",
    "registered_at": "registered_at",
    "heard_at": "last_heard_at",
    "progress": "progress",
    "ended_at": "ended_at",
}
"""What stood beside the boot request, and its name within it."""
LIFECYCLE = {
    "order": "boot_request",
    "because": "release_cause",
    "tried": "tried_request",
    "asked": "heeded_request",
    "trouble": "failure",
}
OF_REQUEST = {"at": "requested_at", "word": "document_request"}
OF_MEDIA = {"order": "boot_request"}
OF_WRITTEN = {"word": "document_request", "order": "boot_request"}
OF_MACHINES = ("once_done", "shutdown_ignored", "found_order", "found_new", "project", "image", "life", "access")
"""What machines alone remember."""
RENAMED = ("MachineClaim", "IPAddress")
"""What can have had another name."""


def upgrade() -> None:
    """Rewrite the facts, row by row."""
    connection = op.get_bind()
    rows = connection.execute(text("SELECT kind, name, value FROM facts")).all()
    write = text("UPDATE facts SET value = :value WHERE kind = :kind AND name = :name")
    for kind, name, value in rows:
        after = rewritten(kind, json.loads(value))
        connection.execute(write, {"kind": kind, "name": name, "value": json.dumps(after, separators=(",", ":"))})


def rewritten(kind: str, facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of one resource in the form of this version."""
    strange = (*(() if kind == "Machine" else OF_MACHINES), *(() if kind in RENAMED else ("was",)))
    after = {name: value for name, value in facts.items() if name not in strange}
    if "life" in after:
        after["lifecycle"] = _lifecycle(after.pop("life"))
    return after


def _lifecycle(lifecycle: dict[str, Any]) -> dict[str, Any]:
    after = {name: value for name, value in _renamed(lifecycle, LIFECYCLE).items() if name not in PROGRESS}
    request = after.get("boot_request")
    if request is not None:
        progress = {new: lifecycle[old] for old, new in PROGRESS.items() if lifecycle.get(old) is not None}
        after["boot_request"] = {**_renamed(request, OF_REQUEST), **progress}
    for name, names in (("media", OF_MEDIA), ("written", OF_WRITTEN)):
        if after.get(name) is not None:
            after[name] = _renamed(after[name], names)
    return after


def _renamed(value: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): one for name, one in value.items()}

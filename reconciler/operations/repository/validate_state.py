"""Whether a revision is sound: every problem at once, which is data and no failure of the operation."""

from __future__ import annotations

import msgspec

from reconciler.model.diagnostic import Diagnostic
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace, read_state


class Validation(msgspec.Struct, frozen=True):
    """What was found in how many files; `resources` counts what is declared, and is 0 where it is not sound."""

    sound: bool
    diagnostics: tuple[Diagnostic, ...]
    files: int
    resources: int
    notes: tuple[str, ...] = ()


def validate_state(where: Where) -> Validation:
    """Read every document. Raises OperationError where git cannot be read."""
    with Workspace(where) as at:
        source = at.source()
        with at.noting_uncommitted(source):
            snapshot, loaded = read_state(source, where)
        state = loaded.state
        resources = len(state.resources) if state else 0
        return Validation(state is not None, loaded.diagnostics, len(snapshot.files), resources, at.notes)

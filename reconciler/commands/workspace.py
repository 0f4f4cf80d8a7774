"""The workspace of an operation, for commands that are not yet operations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from reconciler.commands.terminal import (
    EXIT_ERROR as EXIT_ERROR,
)
from reconciler.commands.terminal import (
    exit_in_words as exit_in_words,
)
from reconciler.commands.terminal import (
    fail as fail,
)
from reconciler.commands.terminal import (
    live_long as live_long,
)
from reconciler.commands.terminal import (
    on_terminal as on_terminal,
)
from reconciler.commands.terminal import say_notes
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.resource import DesiredState
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.operator_name import operator as operator
from reconciler.operations.stored_facts import derived_labels as derived_labels
from reconciler.operations.stored_facts import facts_in_force as facts_in_force
from reconciler.operations.stored_facts import facts_of as facts_of
from reconciler.operations.stored_facts import facts_under as facts_under
from reconciler.operations.stored_facts import observed_types as observed_types
from reconciler.operations.stored_facts import standing_of as standing_of
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.operations.workspace import change_store as change_store
from reconciler.operations.workspace import open_desired_source as open_desired_source
from reconciler.operations.workspace import read_state as read_state
from reconciler.operations.workspace import state_folder as state_folder

if TYPE_CHECKING:
    from reconciler.desired.git.source import DesiredSource
    from reconciler.observed.connections import Connections
    from reconciler.store import Store


def open_store(where: Where) -> Store:
    """As Workspace.store."""
    at = Workspace(where)
    store = at._read_only_store()
    say_notes(at.notes)
    return store


def read_or_exit(source: DesiredSource, store: Store | None = None) -> DesiredState:
    """As Workspace.read."""
    return read_all_or_exit(source, store)[0]


def read_all_or_exit(source: DesiredSource, store: Store | None = None) -> tuple[DesiredState, tuple[Diagnostic, ...]]:
    """As Workspace.read_all."""
    at = Workspace(_NOWHERE)
    found = at.read_all(source, store)
    say_notes(at.notes)
    return found


_NOWHERE: Any = None


def exit_with_diagnostics(diagnostics: tuple[Diagnostic, ...]) -> None:
    """Raises OperationError, if there are any."""
    if diagnostics:
        raise OperationError("", FailureReason.NOT_ADMITTED, diagnostics=diagnostics)


@contextmanager
def noting_uncommitted(source: DesiredSource, where: Where) -> Iterator[None]:
    """As Workspace.noting_uncommitted."""
    at = Workspace(where)
    with at.noting_uncommitted(source):
        yield
    say_notes(at.notes)


@contextmanager
def connections(store: Store, where: Where) -> Iterator[Connections]:
    """As Workspace.connections."""
    with Workspace(where) as at:
        yield at.connections(store)

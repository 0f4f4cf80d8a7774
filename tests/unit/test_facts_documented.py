"""What is stored, and what is shown as data, is documented field by field, each under itself."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from drivers.base import Inventory
from reconciler.daemon.ancestry import Allowed
from reconciler.kinds import KINDS
from reconciler.kinds.common.column import ResourceView
from reconciler.kinds.common.machine_inventory import StoredInventory
from reconciler.model.actions.in_flight import InFlight
from reconciler.model.event import Event
from reconciler.model.observation import Observation
from reconciler.model.plans.plan import Plan
from reconciler.model.plans.restart import RestartRequest, RestartResult
from reconciler.model.token import Grant
from reconciler.onboarding.undeclared import UndeclaredMachine
from reconciler.planning.guards.standing import DaemonReport
from reconciler.views.resource_document import ResourceStatus

STORED = (
    *(kind.facts for kind in KINDS.values() if kind.facts is not None),
    *(kind.observed_type for kind in KINDS.values() if kind.observed_type is not None),
    *(Event, InFlight, Observation, Inventory, StoredInventory, DaemonReport, UndeclaredMachine, Grant, Allowed),
    *(RestartRequest, RestartResult),
)
SHOWN = (Plan, ResourceStatus, ResourceView)
ROOT = Path(__file__).parents[2]


def structs_in(hint: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint
    for one in get_args(hint):
        yield from structs_in(one)


@cache
def stored_and_shown() -> list[type[msgspec.Struct]]:
    """All structs that these are made of. Documents are left out: a schema's test asks for their descriptions."""
    specs = {kind.spec_type for kind in KINDS.values()}
    found: dict[type[msgspec.Struct], None] = {}
    todo = [one for hint in (*STORED, *SHOWN) for one in structs_in(hint)]
    while todo:
        one = todo.pop()
        if one in found or one in specs or not one.__module__.startswith(("reconciler", "drivers")):
            continue
        found[one] = None
        todo += [base for base in one.__mro__[1:] if issubclass(base, msgspec.Struct) and base is not msgspec.Struct]
        todo += [inner for hint in get_type_hints(one).values() for inner in structs_in(hint)]
    return sorted(found, key=lambda one: (one.__module__, one.__qualname__))


def undocumented(struct: type) -> list[str]:
    """The fields that no text follows, and that have no description."""
    module = ast.parse(Path(inspect.getsourcefile(struct) or "").read_text("utf-8"))
    body = next(one.body for one in module.body if isinstance(one, ast.ClassDef) and one.name == struct.__name__)
    return [
        ast.unparse(node.target)
        for node, after in zip(body, [*body[1:], None], strict=True)
        if isinstance(node, ast.AnnAssign)
        and not ast.unparse(node.annotation).startswith("ClassVar")
        and "description=" not in ast.unparse(node.annotation)
        and not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant))
    ]


@pytest.mark.parametrize("struct", stored_and_shown(), ids=lambda one: one.__qualname__)
def test_every_field_of_what_is_stored_or_shown_is_documented_under_itself(struct: type) -> None:
    assert undocumented(struct) == []


def test_a_kind_that_is_not_reconciled_has_no_facts() -> None:
    assert [name for name, kind in KINDS.items() if (kind.facts is None) != (kind.rules is None)] == []

"""What holds a change has a name of a closed list, wherever generic code decides by it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

from reconciler.kinds.guard.built_in import BUILT_IN_GUARDS
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import Hold, HoldKind

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "reconciler").rglob("*.py"))
NAMES = {one.value for one in HoldName}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def spelled_holders(path: Path) -> Iterator[str]:
    """The names of the list that are spelled out where a hold is made."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and any(ast.unparse(one).startswith("HoldKind.") for one in node.args):
            yield from (one.value for one in node.args if isinstance(one, ast.Constant) and one.value in NAMES)


def compared_by_text(path: Path) -> Iterator[str]:
    """Comparisons of the holder of a hold with a text."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Compare) and ast.unparse(node.left).endswith("hold.by"):
            yield from (
                f"{path.name}:{node.lineno}"
                for right in node.comparators
                for one in ast.walk(right)
                if isinstance(one, ast.Constant) and isinstance(one.value, str)
            )


def test_no_hold_spells_a_name_of_the_list_out() -> None:
    assert [(path.name, name) for path in SOURCES for name in spelled_holders(path)] == []


def test_nothing_compares_a_holder_with_a_text() -> None:
    assert [one for path in SOURCES for one in compared_by_text(path)] == []


def test_each_name_is_used() -> None:
    used = {
        node.attr
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "HoldName"
    }
    assert used == set(HoldName.__members__)


def test_built_in_guards_are_of_the_list() -> None:
    assert {name for name in BUILT_IN_GUARDS if not isinstance(name, HoldName)} == set()


def test_a_saved_hold_is_equal_when_it_is_read_again() -> None:
    hold = Hold(HoldKind.GUARD, HoldName.UNJUDGED, "reason", "hint")
    assert msgspec.json.decode(msgspec.json.encode(hold), type=Hold) == hold

"""What is stored for years is documented field by field, each under itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from reconciler.kinds import KINDS

ROOT = Path(__file__).parents[2] / "reconciler"
MODULES = (
    "model/facts.py",
    "model/values/boot_purpose.py",
    "kinds/common/machine_facts.py",
    "kinds/common/renamed_facts.py",
    "kinds/guard/guard_fact_rules.py",
)


def undocumented(path: Path) -> list[str]:
    """The fields of structs that no text follows."""
    found = []
    for one in (node for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.ClassDef)):
        if not any(isinstance(base, ast.Attribute) or "Facts" in ast.unparse(base) for base in one.bases):
            continue
        for node, after in zip(one.body, [*one.body[1:], None], strict=True):
            told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(node, ast.AnnAssign) and not told:
                found.append(f"{one.name}.{ast.unparse(node.target)}")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_field_of_stored_facts_is_documented_under_itself(module: str) -> None:
    assert undocumented(ROOT / module) == ["Facts.resources", "Facts.in_flight"] * (module == "model/facts.py")


def test_the_facts_of_every_kind_are_in_these_modules() -> None:
    types = {kind.facts for kind in KINDS.values() if kind.facts is not None}
    places = {one.__module__.replace(".", "/").removeprefix("reconciler/") + ".py" for one in types}
    assert places <= set(MODULES)


def test_a_kind_that_is_not_reconciled_has_no_facts() -> None:
    assert [name for name, kind in KINDS.items() if (kind.facts is None) != (kind.rules is None)] == []

"""Every back-off of the program is in one module; what a driver keeps to beside it is in the drivers' base."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOMES = {"reconciler/model/retry.py", "drivers/base/support/backoff.py"}
SOURCES = [
    path
    for top in ("reconciler", "drivers")
    for path in sorted((ROOT / top).rglob("*.py"))
    if str(path.relative_to(ROOT)) not in HOMES and "testing" not in path.parts
]
MAKERS = {"Backoff", "Polling", "RetryPolicy", "Wait"}
TOLD = {"retry", "retry_after", "base", "floor"}
PAUSES = {"sleep", "pause"}
DEMO = "demo_fleet.py"
"""Shows a fleet to a person, and looks every moment whether there is something new to show."""


def literals(path: Path) -> Iterator[str]:
    """Seconds that are written where somebody waits, or is asked to, in place of a name of the one module."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = [
            *(node.args if name in MAKERS | PAUSES else ()),
            *(one.value for one in node.keywords if one.arg in TOLD),
        ]
        if any(isinstance(one, ast.Constant) and isinstance(one.value, int | float) and one.value for one in given):
            yield f"line {node.lineno}: {ast.unparse(node)[:80]}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_back_off_is_written_where_it_is_used(path: Path) -> None:
    assert list(literals(path)) == [] or path.name == DEMO

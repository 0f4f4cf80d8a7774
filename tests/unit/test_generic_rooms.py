"""Generic rooms name no kind: what differs from kind to kind is what the Kind says of itself.

A kind that is added must not be taken for a machine, or for something of the IPAM, by code that has not heard of it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.kinds import KINDS

ROOT = Path(__file__).parents[2] / "reconciler"

GENERIC = (
    "model",
    "planning",
    "applying",
    "observed",
    "workqueue",
    "daemon",
    "store",
    "views",
    "operations",
    "desired",
    "commands",
)

SUBJECTS = {
    "desired/rules/": "rules between documents of these kinds",
    "planning/guards/": "guards, of which documents of one kind declare some",
    "observed/ipam_backend.py": "the backend of networks, addresses, pools and numbers",
    "daemon/provisioning.py": "what the boot service asks of machines",
    "commands/serving/boot.py": "names of partitions, completed by the shell, for their DHCP server",
    "commands/reports/ipam.py": "names of networks, completed by the shell, for the tree of the IPAM",
}
"""Modules, and folders, of generic rooms that are about one subject, with the subject."""

TYPES = {kind.spec_type.__name__ for kind in KINDS.values()} | {
    kind.observed_type.__name__ for kind in KINDS.values() if kind.observed_type is not None
}


def named(path: Path) -> Iterator[str]:
    """The kinds that a module names: as a text, or by the type of a spec or of an observed value."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in KINDS:
            yield f"{node.lineno}: {node.value!r}"
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.lineno}: {alias.name}" for alias in node.names if alias.name in TYPES)


def modules() -> dict[str, list[str]]:
    """What each module of a generic room names."""
    paths = [path for room in GENERIC for path in sorted((ROOT / room).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): list(named(path)) for path in paths if "migrations" not in path.parts}


def test_generic_rooms_name_no_kind() -> None:
    found = {path: names for path, names in modules().items() if names and not path.startswith(tuple(SUBJECTS))}
    assert found == {}


@pytest.mark.parametrize("room", ["model", "applying", "workqueue", "store"])
def test_what_carries_actions_out_imports_no_wing_of_a_kind(room: str) -> None:
    """The engine asks the Kind: it calls no function of claims, of machines or of the IPAM."""
    found = [
        f"{path.relative_to(ROOT)}: {node.module}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("reconciler.kinds.")
        and not (node.module or "").startswith(("reconciler.kinds.common", "reconciler.kinds.selectors"))
    ]
    assert found == []


def test_every_exception_is_needed() -> None:
    naming = [path for path, names in modules().items() if names]
    assert [subject for subject in SUBJECTS if not any(path.startswith(subject) for path in naming)] == []

"""Whoever adds an action is told by the type checker what it still lacks, all of it."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

NEW = {
    "BmcAction": ("bmc_actions", "SetFan"),
    "AddressAction": ("ipam_actions", "Reserve"),
    "NetworkAction": ("ipam_actions", "Resize"),
    "PoolAction": ("ipam_actions", "Drain"),
    "NumberAction": ("ipam_actions", "Swap"),
    "MachineRecord": ("record_actions", "Retire"),
    "ClaimRecord": ("record_actions", "Merge"),
    "GuardRecord": ("record_actions", "Arm"),
}
"""The group of actions -> its module, and the one that is added to it."""

MISSING = {
    "SetFan": {
        ("reconciler/observed/bmc_backend.py", "send"),
        ("reconciler/kinds/machine/rules/machine_rules.py", "confirmed"),
        ("reconciler/kinds/machine/rules/machine_rules.py", "patience"),
        ("reconciler/kinds/machine/rules/resend.py", "is_repeatable"),
        ("reconciler/views/render/words.py", "action"),
    },
    "Reserve": {
        ("reconciler/observed/ipam_backend.py", "send"),
        ("reconciler/kinds/ipam/rules/ipaddress_rules.py", "confirmed"),
        ("reconciler/kinds/ipam/ipam_fact_rules.py", "repeatable"),
        ("reconciler/views/render/words.py", "action"),
    },
    "Resize": {
        ("reconciler/observed/ipam_backend.py", "send"),
        ("reconciler/kinds/ipam/rules/network_rules.py", "confirmed"),
        ("reconciler/kinds/ipam/ipam_fact_rules.py", "repeatable"),
        ("reconciler/views/render/words.py", "action"),
    },
    "Drain": {
        ("reconciler/observed/ipam_backend.py", "send"),
        ("reconciler/kinds/ipam/rules/pool_rules.py", "confirmed"),
        ("reconciler/kinds/ipam/ipam_fact_rules.py", "repeatable"),
        ("reconciler/views/render/words.py", "action"),
    },
    "Swap": {
        ("reconciler/observed/ipam_backend.py", "send"),
        ("reconciler/kinds/ipam/rules/pool_rules.py", "confirmed"),
        ("reconciler/kinds/ipam/ipam_fact_rules.py", "repeatable"),
        ("reconciler/views/render/words.py", "action"),
    },
    "Arm": {
        ("reconciler/kinds/guard/guard_fact_rules.py", "record"),
        ("reconciler/views/render/words.py", "action"),
    },
    "Retire": {
        ("reconciler/kinds/machine/rules/machine_records.py", "record_machine_action"),
        ("reconciler/kinds/machine/rules/machine_rules.py", "confirmed"),
        ("reconciler/views/render/words.py", "action"),
    },
    "Merge": {
        ("reconciler/kinds/claim/claim_records.py", "record_claim_action"),
        ("reconciler/views/render/words.py", "action"),
    },
}
"""How it is sent, seen to have taken effect, waited for, repeated after a crash, written down, and shown."""


@pytest.mark.timeout(600)
def test_what_a_new_action_lacks_is_named_by_the_type_checker(tmp_path: Path) -> None:
    for room in ("reconciler", "drivers"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    if (ROOT / ".mypy_cache").is_dir():  # What the new actions do not concern is not checked once more.
        shutil.copytree(ROOT / ".mypy_cache", tmp_path / ".mypy_cache")
    for group, (module, name) in NEW.items():
        path = tmp_path / "reconciler" / "model" / "actions" / f"{module}.py"
        text = path.read_text("utf-8")
        added = f'class {name}(ActionBase, frozen=True, tag="{name.lower()}"):\n    """New."""\n\n\n'
        text, found = re.subn(rf"^{group} = ", f"{added}{group} = {name} | ", text, flags=re.MULTILINE)
        assert found == 1, group
        path.write_text(text, "utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "reconciler"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    named: dict[str, set[tuple[str, str]]] = {}
    for path, line, said in re.findall(
        r'^(\S+?):(\d+): error: Argument 1 to "assert_never".*?"(.+?)";', checked.stdout, re.MULTILINE
    ):
        for name in re.findall(r"\w+", said):
            if name in {new for _, new in NEW.values()}:
                named.setdefault(name, set()).add((path, function_at(tmp_path / path, int(line))))
    assert named == MISSING, checked.stdout
    unsaid = re.findall(r'error: Item "(\w+)" of .*? has no attribute "disruption"', checked.stdout)
    assert set(unsaid) == set(MISSING), "an action that does not say what it takes down passes every budget"


def function_at(path: Path, line: int) -> str:
    """The innermost function around a line."""
    around = [
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return max(around, key=lambda node: node.lineno).name

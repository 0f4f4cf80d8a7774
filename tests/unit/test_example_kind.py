"""A kind is added by its own module and one line in KINDS: generic code needs no other change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "example_kind"


def test_a_kind_of_its_own_module_is_reconciled_drifts_is_held_and_fails_by_port_is_shown_and_forgotten(
    tmp_path: Path,
) -> None:
    for room in ("reconciler", "drivers", "docs", "schemas"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "cli.py", tmp_path / "cli.py")
    shutil.copy(EXAMPLE / "switch.py", tmp_path / "reconciler" / "kinds" / "switch.py")
    table = tmp_path / "reconciler" / "kinds" / "__init__.py"
    text = table.read_text("utf-8").replace("    for kind in (\n", "    for kind in (\n        SWITCH,\n", 1)
    table.write_text(
        text.replace("KINDS: dict", "from reconciler.kinds.switch import SWITCH\n\nKINDS: dict", 1), "utf-8"
    )
    for module in ("reconciler.desired.manifest.schemas", "docs.generate"):  # As `./dev generate` does.
        made = run(tmp_path, "-m", module)
        assert made.returncode == 0, made.stderr
    done = run(tmp_path, str(EXAMPLE / "scenario.py"))
    assert done.stdout == "as any kind", done.stderr


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the tree, and import from it alone."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(tree)}, cwd=tree, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip

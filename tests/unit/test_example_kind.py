"""A kind is added by its own module and one line in KINDS: generic code needs no other change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "example_kind"


def test_a_kind_of_its_own_module_is_observed_planned_drifts_is_held_by_port_shown_and_forgotten(
    tmp_path: Path,
) -> None:
    for room in ("reconciler", "drivers"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(EXAMPLE / "switch.py", tmp_path / "reconciler" / "kinds" / "switch.py")
    table = tmp_path / "reconciler" / "kinds" / "__init__.py"
    text = table.read_text("utf-8").replace("    for kind in (\n", "    for kind in (\n        SWITCH,\n", 1)
    table.write_text(
        text.replace("KINDS: dict", "from reconciler.kinds.switch import SWITCH\n\nKINDS: dict", 1), "utf-8"
    )
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "scenario.py")],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    assert done.stdout == "as any kind", done.stderr

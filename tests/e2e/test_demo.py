"""The main job of a newcomer: the demo, as it is typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
def test_the_demo_shows_what_it_promises_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "cli.py"), "demo"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for shown in (
        "Plan: 13 create",
        "Simulated CPU",
        "Applied: 19 of 20 as declared",
        "ipam tree",
        "DriftDetected",
        "RevisionRefused",
        "Done in",
    ):
        assert shown in done.stdout
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []

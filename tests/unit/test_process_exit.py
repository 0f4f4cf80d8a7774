"""How a process ends."""

from __future__ import annotations

import subprocess
import sys


def test_garbage_is_not_looked_for_at_the_end() -> None:
    """msgspec frees the types of structs in any order then, and the process ended with a segmentation fault."""
    shown = "atexit.register(lambda: print(gc.get_freeze_count() > 0))"
    script = f"import atexit, gc; {shown}; import reconciler.model.actions.action"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")

"""Tries every recorded machine, and writes the page of the reference: `./dev trees`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.trees.abilities import PAGE, abilities, page
from tests.trees.replay import MISSING, TREES


def main() -> int:
    """Write the page. Where there are no recordings, say so and leave it."""
    if not TREES.is_dir():
        print(f"skipped: {MISSING}", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = abilities(Path(folder))
    PAGE.write_text(page(found), "utf-8")
    print(f"{PAGE}: {len(found)} machines")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Each YAML file here breaks the rules that its first line names; beside it stands what is said of it.

`pytest tests/refusals --update-golden` writes the texts anew; read the difference before you commit it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.desired.load import load_state
from reconciler.desired.report import render_diagnostics
from tests.unit.desired_worlds import MemorySnapshot

HERE = Path(__file__).parent
CASES = sorted(path.stem for path in HERE.glob("*.yaml"))


@pytest.mark.parametrize("name", CASES)
def test_what_is_refused_is_said(name: str, update_golden: bool) -> None:
    snapshot = MemorySnapshot({f"{name}.yaml": (HERE / f"{name}.yaml").read_text("utf-8")})
    found = render_diagnostics("text", load_state(snapshot).diagnostics, files=1)
    golden = HERE / f"{name}.txt"
    if update_golden:
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text("utf-8")


def test_the_cases_are_found() -> None:
    assert len(CASES) >= 5

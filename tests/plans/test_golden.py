"""Each folder here is a situation (case.json), and the plan of it as JSON, text, full text and Markdown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.model.plans.plan import Plan
from reconciler.views.render.plans import plan_from_json, render_json, render_markdown, render_text
from tests.plans.case import planned, read

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/case.json"))
FORMS: dict[str, Callable[[Plan], str]] = {
    "plan.json": render_json,
    "plan.txt": render_text,
    "plan.full.txt": lambda plan: render_text(plan, full=True),
    "plan.md": render_markdown,
}


@pytest.mark.parametrize("name", CASES)
def test_a_case_gives_its_plan(name: str, update_golden: bool) -> None:
    folder = HERE / name
    plan = planned(read(folder))
    for file, render in FORMS.items():
        found, golden = render(plan) + "\n", folder / file
        # The terminal's view stands for all; the others are kept where they show something of their own.
        if file != "plan.txt" and not golden.exists():
            continue
        if update_golden:
            golden.write_text(found, encoding="utf-8")
        assert found == golden.read_text(encoding="utf-8"), f"{name}/{file}: see pytest tests/plans --update-golden"


@pytest.mark.parametrize("name", CASES)
def test_a_saved_plan_alone_gives_every_view(name: str) -> None:
    plan = planned(read(HERE / name))
    saved = plan_from_json(render_json(plan).encode())
    assert saved == plan
    assert [render(saved) for render in FORMS.values()] == [render(plan) for render in FORMS.values()]


def test_the_cases_are_found() -> None:
    assert len(CASES) >= 25

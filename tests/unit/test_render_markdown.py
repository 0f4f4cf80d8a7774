"""The comment for a review: bounded, and not to be broken out of."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import ErrorReason, PowerState, SystemState
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.model.facts import Facts
from reconciler.model.observation import Observation, ReadError
from reconciler.model.plans.plan import Plan
from reconciler.model.resource import Commit
from reconciler.planning.guards.guard_limits import GuardLimits
from reconciler.planning.planner import with_commits
from reconciler.views.render.plans import render_markdown
from reconciler.views.render.plans.markdown import code
from reconciler.views.render.ranges import fold
from tests.unit.planning_worlds import NOTHING, NOW, World, desired, machine, planned, plans, seen

NO_BUDGET = GuardLimits(max_disrupted=FleetShare(percent=100))


def fleet(count: int, wanted: str, was: PowerState) -> Plan:
    machines = [machine(f"n{i:05d}", power=wanted) for i in range(count)]
    looks = {one.key: seen(one.key, SystemState(power=was)) for one in machines}
    # A commit of its own for each, so that nothing folds.
    commits = {one.key: Commit(f"{i:040x}", "Ada", NOW, "x") for i, one in enumerate(machines)}
    return with_commits(planned(World(desired(*machines), looks, Facts({}, {})), NO_BUDGET), commits)


@given(plans())
def test_a_plan_that_fits_is_not_cut(plan: Plan) -> None:
    assert "cut here" not in render_markdown(plan)


def test_a_plan_that_does_not_fit_loses_its_middle_and_says_how_much() -> None:
    text = render_markdown(fleet(3000, "On", PowerState.OFF), limit=20_000)
    assert len(text) <= 20_000
    assert "n00000" in text
    assert "n02999" in text
    shown = len(re.findall(r"(?m)^! Machine", text))
    cut = re.search(r"# \.\.\. ([\d,]+) lines cut here", text)
    assert cut is not None
    assert shown < 3000
    assert abs(int(cut[1].replace(",", "")) - 3 * (3000 - shown)) < 3
    assert "**Plan: 0 create, 3,000 update, 0 delete - of 3,000 machines (100.0 %)**" in text


def test_what_disrupts_is_never_cut() -> None:
    machines = [machine(f"n{i:04d}", power="Off" if i % 2 else "On") for i in range(2000)]
    looks = {
        one.key: seen(one.key, SystemState(power=PowerState.ON if i % 2 else PowerState.OFF))
        for i, one in enumerate(machines)
    }
    text = render_markdown(planned(World(desired(*machines), looks, Facts({}, {})), NO_BUDGET), limit=20_000)
    assert len(text) <= 20_000
    assert all(f"n{i:04d}" in text for i in range(1, 2000, 2))


def test_what_disrupts_and_cannot_be_listed_is_folded_without_loss_and_said_so() -> None:
    machines = [machine(f"n{i:05d}", power="Off") for i in range(9000)]
    looks = {one.key: seen(one.key, SystemState(power=PowerState.ON)) for one in machines}
    text = render_markdown(planned(World(desired(*machines), looks, Facts({}, {})), NO_BUDGET))
    assert len(text) <= 65_000
    assert fold(one.key.name for one in machines)[0] in text
    assert "names are folded to fit a comment" in text


EVIL = [
    "```",
    "````` ~~~",
    "</details>",
    "<script>",
    "`",
    "``",
    "@everyone #1",
    "\n```\n# free",
    "| a | b |",
    "a\x1b[2J",
]


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_that_was_said_elsewhere_breaks_out(evil: str) -> None:
    one, other = machine("r1", power="On"), machine("r2", power="On")
    looks = {
        one.key: seen(one.key, SystemState(power=PowerState.OFF)),
        other.key: Observation(other.key, NOW, error=ReadError(ErrorReason.UNREACHABLE, evil)),
    }
    plan = with_commits(
        planned(World(desired(one, other), looks, Facts({}, {}))), {one.key: Commit("abc", evil, NOW, evil)}
    )
    lines = render_markdown(plan).splitlines()
    opened = next(index for index, line in enumerate(lines) if line.endswith("diff"))
    fence = lines[opened].removesuffix("diff")
    closed = [index for index, line in enumerate(lines) if line.strip().startswith(fence) and index > opened]
    assert "</details>" in lines[closed[0] + 2]
    assert not [line for line in lines[opened + 1 : closed[0]] if fence in line]
    assert lines.count("</details>") == 1


@given(st.text())
def test_a_code_span_holds_any_text(text: str) -> None:
    span = code(text)
    ticks = re.match("`+", span)
    assert ticks is not None
    inner = span[len(ticks[0]) : -len(ticks[0])]
    assert "\n" not in span
    assert inner
    assert ticks[0] not in re.findall("`+", inner)


def test_no_changes_need_no_fold() -> None:
    text = render_markdown(NOTHING)
    assert "<details>" not in text
    assert "No changes." in text
    assert text.startswith("<!-- groundstate plan -->\n")

"""The terminal view: what the golden plans do not show."""

from __future__ import annotations

import re

import pytest
from hypothesis import given

from drivers.base import ErrorReason, PowerState, SystemState
from reconciler.model.actions.action_base import Disruption
from reconciler.model.facts import Facts
from reconciler.model.observation import Observation, ReadError
from reconciler.model.plans.plan import Plan
from reconciler.model.resource import Commit
from reconciler.planning.planner import with_commits
from reconciler.views.render.plans import render_text
from reconciler.views.render.words import age_words, clean, share
from tests.unit.planning_worlds import COMMIT, NOTHING, NOW, World, desired, machine, planned, plans, seen

ESCAPE = re.compile(r"\x1b\[[0-9]+m")


def off(*names: str) -> World:
    """Machines that are On and declared Off, beside enough others for the budget."""
    fleet = [*(machine(name, power="Off") for name in names), *(machine(f"z{i}", power="On") for i in range(90))]
    return World(
        desired(*fleet), {one.key: seen(one.key, SystemState(power=PowerState.ON)) for one in fleet}, Facts({}, {})
    )


@given(plans())
def test_every_disruptive_change_stands_with_its_name_and_a_word(plan: Plan) -> None:
    text = render_text(plan)
    for change in plan.changes:
        if change.disruption is not Disruption.NONE:
            assert re.search(rf"\b{re.escape(change.key.name)}\b", text)
            assert change.disruption in text


@given(plans())
def test_colour_changes_nothing_but_colour(plan: Plan) -> None:
    assert ESCAPE.sub("", render_text(plan, color=True)) == render_text(plan)


@given(plans())
def test_no_change_is_left_out_of_the_full_view(plan: Plan) -> None:
    text = render_text(plan, full=True)
    for change in plan.changes:
        assert f"{change.key.kind} {change.key.name}" in text
    for unknown in plan.unknown:
        assert f"? {unknown.key}" in text


def test_disruptive_machines_are_listed_one_by_one_just_before_the_counts() -> None:
    lines = render_text(planned(off("r12-01", "r12-02", "r12-03"))).splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("Plan:"))
    assert [line.split()[2] for line in lines[at - 4 : at - 1]] == ["r12-01", "r12-02", "r12-03"]
    assert all("disruptive" in line for line in lines[at - 4 : at - 1])


@pytest.mark.parametrize("full", [False, True])
def test_a_commit_or_a_bmc_cannot_steer_the_terminal(full: bool) -> None:
    evil = "\x1b[2J\x07\r\nPlan: 0 create\u202e\x9b31m"
    one, other = machine("r1", power="On"), machine("r2", power="On")
    world = World(
        desired(one, other),
        {
            one.key: seen(one.key, SystemState(power=PowerState.OFF)),
            other.key: Observation(other.key, NOW, error=ReadError(ErrorReason.UNREACHABLE, evil)),
        },
        Facts({}, {}),
    )
    plan = with_commits(planned(world), {one.key: Commit("abc", evil, NOW, evil)})
    text = render_text(plan, full=full)
    assert all(line.isprintable() for line in text.splitlines())
    assert len(re.findall("(?m)^Plan: ", text)) == 1


def test_the_next_command_can_be_named() -> None:
    plan = planned(off("r12-01"))
    assert render_text(plan).endswith("Next: groundstate apply")
    assert render_text(plan, next_command="groundstate apply p.json").endswith("Next: groundstate apply p.json")


def test_no_changes_is_said_and_nothing_is_proposed() -> None:
    assert render_text(NOTHING).endswith("No changes. No resource is declared, and none was declared before.")


@given(plans())
def test_the_view_is_made_of_few_lines_however_narrow(plan: Plan) -> None:
    assert render_text(plan, width=1) == render_text(plan, width=40)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("a\n\tb", "a b"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202eabc", "\\u202eabc"),
        ("caf\xe9 \u00a0x", "caf\xe9 x"),
        ("\ud800", "\\ud800"),
    ],
)
def test_text_from_elsewhere_is_made_harmless(raw: str, shown: str) -> None:
    assert clean(raw) == shown


@pytest.mark.parametrize(
    ("seconds", "words"), [(-5, "0 seconds"), (1, "1 second"), (119, "1 minute"), (7200, "2 hours"), (200000, "2 days")]
)
def test_ages_in_words(seconds: int, words: str) -> None:
    assert age_words((NOW - COMMIT.at) / 3600 * seconds) == words


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [(0, 0, "0 %"), (0, 9, "0 %"), (1, 5000, "<0.1 %"), (41, 1204, "3.4 %"), (9, 9, "100.0 %")],
)
def test_shares(part: int, whole: int, words: str) -> None:
    assert share(part, whole) == words

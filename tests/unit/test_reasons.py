"""Reasons are closed lists: each is documented, each is used, and nothing is decided by the spelling of one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

import drivers.base
from docs import generate
from drivers.base import DriverError, ErrorReason
from reconciler.kinds.common.fact_rules import FactRules, Ignored, Recorded, ReportOutcome
from reconciler.model.event import Event, EventReason
from reconciler.model.facts import Failure
from reconciler.model.observation import ReadError
from reconciler.model.outcome import (
    ActionFailure,
    Condition,
    ConditionReason,
    ConditionType,
    Failed,
    OutcomeReason,
    Waiting,
)
from reconciler.model.plans.plan import Unknown, UnknownReason
from reconciler.model.retry import POLICIES, REQUEUE
from reconciler.model.values.boot_purpose import LifecycleFailure, LifecycleFailureReason

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for top in ("reconciler", "drivers") for path in (ROOT / top).rglob("*.py"))
REASONS: tuple[type[StrEnum], ...] = (
    ErrorReason,
    OutcomeReason,
    EventReason,
    ConditionType,
    ConditionReason,
    ActionFailure,
    UnknownReason,
    LifecycleFailureReason,
)
CARRIERS: dict[type, str] = {
    Event: "reason",
    Failure: "reason",
    Waiting: "reason",
    Failed: "reason",
    Unknown: "reason",
    ReadError: "reason",
    LifecycleFailure: "reason",
    ReportOutcome: "reason",
    Ignored: "reason",
}
REPEATED: dict[type[StrEnum], tuple[type[StrEnum], ...]] = {
    EventReason: (ErrorReason, LifecycleFailureReason),
    ActionFailure: (ErrorReason,),
    UnknownReason: (ErrorReason,),
    ConditionType: (LifecycleFailureReason,),
    ConditionReason: (ErrorReason, ActionFailure, UnknownReason),
}
"""The lists of which a list has all members: a value of the one is always one of the other."""
FALLBACKS: dict[type[StrEnum], StrEnum] = {
    ErrorReason: ErrorReason.FAILED,
    EventReason: EventReason.UNKNOWN,
    ActionFailure: ActionFailure.NOT_CONFIRMED,
    UnknownReason: UnknownReason.FAILED,
    LifecycleFailureReason: LifecycleFailureReason.BOOT_REQUEST_FAILED,
}
"""What a value becomes that another version wrote."""


def of_a_list(hint: Any) -> bool:
    return all(one is type(None) or (isinstance(one, type) and one in REASONS) for one in get_args(hint) or (hint,))


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda one: one.__name__)
def test_what_carries_a_reason_takes_one_of_a_list_alone(carrier: type) -> None:
    assert of_a_list(get_type_hints(carrier)[CARRIERS[carrier]])


def test_a_condition_s_type_and_reason_and_the_events_of_an_action_are_of_lists() -> None:
    hints = get_type_hints(Condition)
    assert (hints["type"], hints["reason"]) == (ConditionType, ConditionReason)
    assert EventReason in get_args(get_args(get_type_hints(Recorded)["events"])[1])
    assert EventReason in get_args(get_args(get_type_hints(FactRules.ended)["return"])[0])


@pytest.mark.parametrize("whole", REPEATED, ids=lambda one: one.__name__)
def test_a_list_that_repeats_another_has_all_of_it_under_the_same_names(whole: type[StrEnum]) -> None:
    members = {(one.name, one.value) for one in whole}
    assert {(one.name, one.value) for part in REPEATED[whole] for one in part} <= members


@pytest.mark.parametrize("reasons", FALLBACKS, ids=lambda one: one.__name__)
def test_a_reason_that_a_newer_version_wrote_can_be_read(reasons: type[StrEnum]) -> None:
    assert msgspec.json.decode(b'"OfTheFuture"', type=reasons) is FALLBACKS[reasons]


def test_an_event_of_a_newer_version_can_be_read_and_keeps_its_message() -> None:
    line = b'{"at":"2026-01-01T00:00:00Z","type":"Normal","reason":"OfTheFuture","message":"what happened"}'
    event = msgspec.json.decode(line, type=Event)
    assert (event.reason, event.message) == (EventReason.UNKNOWN, "what happened")


@pytest.mark.parametrize("reasons", REASONS, ids=lambda one: one.__name__)
def test_every_reason_is_documented_below_itself(reasons: type[StrEnum]) -> None:
    repeated = {one.name for part in REPEATED.get(reasons, ()) for one in part}
    assert sorted({one.name for one in reasons} - repeated - generate._meanings(reasons).keys()) == []


@pytest.mark.parametrize(
    ("page", "reasons"),
    [
        ("events.md", EventReason),
        ("conditions.md", ConditionReason),
        ("conditions.md", ConditionType),
        ("outcomes.md", OutcomeReason),
    ],
)
def test_every_reason_is_on_its_page(page: str, reasons: type[StrEnum]) -> None:
    text = generate.pages()[page]
    assert [one for one in reasons if f"`{one}`" not in text] == []


def test_every_event_s_meaning_begins_with_its_types() -> None:
    assert {kind for kind, _ in generate._event_rows().values()} <= {"Normal", "Warning", "Normal, Warning"}


@cache
def used() -> frozenset[tuple[str, str]]:
    """Each `List.MEMBER` in the code, outside of the list itself."""
    found = set()
    for path in SOURCES:
        tree = ast.parse(path.read_text("utf-8"))
        inside = {
            id(node)
            for one in tree.body
            if isinstance(one, ast.ClassDef) and one.name in {reasons.__name__ for reasons in REASONS}
            for node in ast.walk(one)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and id(node) not in inside:
                found.add((node.value.id, node.attr))
    return frozenset(found)


@pytest.mark.parametrize("reasons", REASONS, ids=lambda one: one.__name__)
def test_every_reason_is_used_by_the_code(reasons: type[StrEnum]) -> None:
    """A member that repeats another list's comes with that list's value."""
    repeated = {one.name for part in REPEATED.get(reasons, ()) for one in part}
    fallback = FALLBACKS.get(reasons)
    own = {one.name for one in reasons if one is not fallback} - repeated
    assert sorted(name for name in own if (reasons.__name__, name) not in used()) == []


def test_every_reason_of_an_error_belongs_to_an_error_that_is_raised() -> None:
    classes = [one for one in vars(drivers.base).values() if isinstance(one, type) and issubclass(one, DriverError)]
    raised = {node.func.id for path in SOURCES for node in calls(path) if isinstance(node.func, ast.Name)}
    by_reason = {one.reason for one in classes if one.__name__ in raised}
    assert set(ErrorReason) - by_reason <= {ErrorReason.FAILED, ErrorReason.INTERNAL}


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))


def test_every_reason_of_an_error_and_of_an_outcome_says_when_to_come_back() -> None:
    assert set(POLICIES) == set(ErrorReason)
    assert set(REQUEUE) == set(OutcomeReason)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_goes_by_the_spelling_of_a_reason(path: Path) -> None:
    spelled = [
        f"line {side.lineno}: {side.value}"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Compare) and getattr(node.left, "attr", "") in ("reason", "type", "message")
        for given in node.comparators
        for side in ast.walk(given)
        if isinstance(side, ast.Constant) and isinstance(side.value, str) and side.value
    ]
    assert spelled == []

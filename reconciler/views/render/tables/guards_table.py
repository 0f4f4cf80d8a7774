"""What guards say of a resource, as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from reconciler.model.counting import count
from reconciler.model.plans.plan import Change
from reconciler.model.resource import ResourceKey
from reconciler.planning.guards.declared_guards import local_words
from reconciler.planning.guards.reports.guard_report import BudgetReport, GuardVerdict
from reconciler.planning.guards.reports.guard_state import GuardState
from reconciler.views.render.words import action, clean, moment


def guard_lines(key: ResourceKey, at: datetime, change: Change | None, verdicts: tuple[GuardVerdict, ...]) -> list[str]:
    """Every guard, with what it says."""
    what = ", ".join(action(one) for one in change.actions) if change is not None else ""
    lines = [f"{clean(str(key))} at {moment(at)}"]
    lines.append(
        f"Change: {what or 'none'}" if change is not None else "Change: none; the resource is as declared, or unknown"
    )
    if not verdicts:
        lines.append("No declared guard applies to the resource.")
    for one in verdicts:
        lines.append("")
        lines.extend(
            clean(line) if not line.startswith(" ") else f"  {clean(line)}" for line in _lines(one, at, change)
        )
    return lines


def guard_state_lines(at: datetime, states: Iterable[GuardState]) -> list[str]:
    """What a guard is, and whom it holds."""
    lines: list[str] = []
    for one in states:
        if lines:
            lines.append("")
        lines.extend(clean(line) if not line.startswith(" ") else f"  {clean(line)}" for line in _state_lines(one, at))
    return lines or ["The guard is not in force."]


def _state_lines(one: GuardState, at: datetime) -> Iterator[str]:
    yield f"{one.guard} ({one.level}{', built-in' if one.built_in else ''}) at {moment(at)}"
    yield from _common_lines(one, at)
    if one.limit is not None:
        yield f" {one.limit}"
    if one.instead is not None:
        yield f" no override lifts it: {one.instead}"
    if one.matched is not None:
        yield f" guards {count(one.matched, 'declared resource')}"
    for budget in one.budgets:
        yield f" budget: {_budget(budget)}"
    yield f" holds {count(len(one.holds), 'change')}"
    for key, reasons in one.holds.items():
        yield f" {key}: {'; '.join(reasons)}"


def _lines(one: GuardVerdict, at: datetime, change: Change | None) -> Iterator[str]:
    passes = "no change to judge" if change is None else "lets the change pass"
    state = "HOLDS the change" if one.holds else "warns about the change" if one.reasons else passes
    yield f"{one.guard} ({one.level}): {state}"
    yield from _common_lines(one, at)
    for budget in one.budgets:
        yield f" budget: {_budget(budget)}"
    for reason in one.reasons:
        yield f" {reason}"


def _common_lines(one: GuardVerdict | GuardState, at: datetime) -> Iterator[str]:
    if one.description:
        yield f" {one.description}"
    if one.in_force_until is not None:
        yield f" former spec of a guard that was loosened or removed; in force until {moment(one.in_force_until)}"
    if one.window is not None:
        word = "open" if one.window.open else "closed"
        until = one.window.until
        when = "for more than a year" if until is None else f"until {local_words(until, one.time_zone or 'UTC')}"
        left = "" if until is None else f", for {_span(until - at)}"
        why = f" ({one.window.reason})" if one.window.reason else ""
        yield f" window: {word} {when}{left}{why}"
    if one.protection is not None:
        yield f" protection: {one.protection}"


def _budget(one: BudgetReport) -> str:
    also = f" and {one.unavailable} unavailable" if one.unavailable else ""
    wait = f"; the next {one.noun} may be taken down at {moment(one.next_at)}" if one.next_at is not None else ""
    return f"{one.down} down{also} of {one.size} {one.group}; the limit is {one.allowed}{wait}"


def _span(span: timedelta) -> str:
    """`3 h 12 min`, `2 d 4 h`."""
    minutes = max(0, int(span.total_seconds() // 60))
    days, hours = minutes // 1440, minutes % 1440 // 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"

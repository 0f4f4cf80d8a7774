"""A plan for a review: one comment, bounded in size, with the counts outside the fold and the changes inside.

GitHub refuses comments over 65,536 characters (runatlantis/atlantis#55, #280, #3322: people want the middle cut rather
than several comments). Whatever a machine or a commit says stands in code spans or inside a fence longer than any run
of backticks in it. So the text can neither close the fence, nor mention people, nor be taken for HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from reconciler.model import counting
from reconciler.model.actions.action_base import Disruption
from reconciler.model.plans.plan import Plan
from reconciler.views.render import words
from reconciler.views.render.plans.groups import alike, by_part, holds
from reconciler.views.render.plans.text import (
    APPLY,
    Style,
    access_lines,
    changed_access,
    partial_line,
    sections,
    summary_line,
    wrapped,
)
from reconciler.views.render.ranges import fold

MARKER = "<!-- groundstate plan -->"
"""The first line, by which a later run finds its comment and updates it in place."""

_ENTRY = re.compile(r"^ {2,4}([+~x?-]) ")
_DIFF = {"+": "+", "~": "!", "-": "-", "x": "-", "?": "#"}
_SPARE = 200
_STYLE = Style(full=False, paint=words.unpainted, width=120)


def render_markdown(plan: Plan, limit: int = 65_000, *, next_command: str = APPLY) -> str:
    """The plan as a comment of at most `limit` characters.

    Where it does not fit, the middle of the entries is cut and the cut is counted. What disrupts is never cut: it is
    said more shortly, first without its details, then with names folded to ranges.
    """
    before = "\n".join(_before(plan))
    after = "\n".join(_after(plan, next_command))
    room = limit - len(before) - len(after) - _SPARE
    calm, hurting = _parted(plan)
    essential = _shortest(hurting, room)
    body = [*_cut(_lines(calm), room - _size(essential)), *essential]
    details = ["<details><summary>Show the plan</summary>", "", *_fence(body, "diff"), "", "</details>"] if body else []
    return "\n".join([before, *([""] if details else []), *details, *([""] if after else []), after]).rstrip()


def code(text: str) -> str:
    """The text as a code span, whatever it holds."""
    text = words.clean(text)
    ticks = "`" * (_longest_run(text) + 1)
    pad = " " if text[:1] in ("`", " ", "") or text[-1:] in ("`", " ") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def _before(plan: Plan) -> Iterator[str]:
    yield MARKER
    yield f"## Plan: {_headline(plan)}"
    yield ""
    commit = plan.revision.commit
    reported = f": {code(commit.subject)} ({code(words.author(commit))})" if commit else ""
    yield f"{code(str(plan.revision))}{reported}"
    yield ""
    yield f"**{summary_line(plan)}**"
    if plan.scope.observed < plan.scope.total:
        yield ""
        yield f"> {code(partial_line(plan))}"
    for note in (one for one in plan.diagnostics if one.source is None):
        yield ""
        yield f"> {note.severity}: {code(note.summary)}"
    for override in plan.overrides:
        yield ""
        yield f"> **In force:** {code(words.override_words(override))}"


def _headline(plan: Plan) -> str:
    if plan.nothing_read:
        return "unknown, nothing could be read"
    if not plan.changes:
        said = "no changes among what could be read" if plan.unknown else "no changes"
        more = ", but logins would be sent to other addresses (see: Changed access)"
        return said + more if changed_access(plan) else said
    hurting = sum(1 for change in plan.changes if change.disruption is not Disruption.NONE)
    reported = f", {hurting:,} of them disruptive or destructive" if hurting else ""
    return counting.count(len(plan.changes), "change") + reported


def _after(plan: Plan, command: str) -> Iterator[str]:
    if any(change.goes for change in plan.changes):
        yield "To apply the plan:"
        yield ""
        yield from _fence([words.clean(command)], "sh")


def _lines(plan: Plan) -> list[str]:
    """The text view's entries, with the symbols that a diff fence colours."""
    return [line for block in sections(plan, _STYLE) for line in (f"@@ {block[0]} @@", *map(_coloured, block[1:]))]


def _coloured(line: str) -> str:
    return _ENTRY.sub(lambda found: f"{_DIFF[found[1]]} ", line)


def _shortest(plan: Plan, room: int) -> list[str]:
    """What disrupts, held or not, in the longest form that fits, else in the shortest."""
    shown = list(access_lines(plan.access, _STYLE)) and _lines(msgspec.structs.replace(plan, changes=()))
    # New machines come last, so that it is theirs that is cut of a fleet that is seen for the first time.
    access = _cut(shown, max(0, room * 3 // 4))
    packed, ranges = ([*access, *_packed(plan, folded=folded)] for folded in (False, True))
    return next((form for form in (_lines(plan), packed) if _size(form) <= room), ranges)


def _packed(plan: Plan, *, folded: bool) -> Iterator[str]:
    """Names side by side under what they have in common."""
    for part, changes in by_part(plan.changes).items():
        for group in alike(changes):
            first, names = group[0], [change.key.name for change in group]
            what = f"{words.clean(first.key.kind)} ({len(group):,})  {first.disruption}, {part}"
            yield f"- {what}  {words.cause(first.cause)}" + ("; names are folded to fit a comment" if folded else "")
            yield from (f"      -> {words.action(action)}" for action in first.actions)
            yield from ([f"      passes guard {words.clean(first.lifted)}"] if first.passes else [])
            yield from (f"      warning of {words.clean(f'{hold.by}: {hold.reason}')}" for hold in first.advice)
            yield from (f"      {hold.kind} {words.clean(f'{hold.by}: {hold.reason}')}" for hold in holds(first))
            yield from wrapped([words.clean(name) for name in (fold(names) if folded else names)], _STYLE.width)


def _parted(plan: Plan) -> tuple[Plan, Plan]:
    """The plan without, and with only, disruptive changes and new destinations of logins."""
    hurting = tuple(change for change in plan.changes if change.disruption is not Disruption.NONE)
    calm = tuple(change for change in plan.changes if change.disruption is Disruption.NONE)
    replace = msgspec.structs.replace
    return replace(plan, changes=calm, access=()), replace(plan, changes=hurting, unknown=())


def _size(lines: list[str]) -> int:
    return sum(len(line) + 1 for line in lines)


def _cut(lines: list[str], room: int) -> list[str]:
    """The first and last lines that fit, with the number of those between."""
    if _size(lines) <= room:
        return lines
    head, tail, used = 0, 0, 0
    while head + tail < len(lines):
        # Twice as much of the head, where the changes from git are.
        from_head = head <= 2 * tail
        size = len(lines[head] if from_head else lines[-1 - tail]) + 1
        if used + size > room:
            break
        used += size
        head, tail = (head + 1, tail) if from_head else (head, tail + 1)
    cut = counting.count(len(lines) - head - tail, "line")
    return [*lines[:head], f"# ... {cut} cut here to fit a comment ...", *lines[len(lines) - tail :]]


def _fence(lines: list[str], language: str) -> list[str]:
    ticks = "`" * max(3, max(map(_longest_run, lines), default=0) + 1)
    return [f"{ticks}{language}", *lines, ticks]


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)

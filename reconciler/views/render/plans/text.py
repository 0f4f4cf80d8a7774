"""A plan for a terminal: identical changes in one entry, names folded to ranges, nothing that hurts folded."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator

from reconciler.kinds.kind_words import counted
from reconciler.model import counting
from reconciler.model.actions.action_base import Disruption
from reconciler.model.plans.access import AccessChange
from reconciler.model.plans.plan import CauseKind, Change, HoldKind, Plan, Unknown, Verb
from reconciler.views.render import words
from reconciler.views.render.plans.groups import ChangeGroup, alike, by_part, holds, summarize, to_proceed
from reconciler.views.render.ranges import fold, natural
from reconciler.views.render.tables.access_table import (
    alike_access,
    in_common,
    is_first_sight,
    lines_of,
    on_a_line,
    places,
)

APPLY = "groundstate apply"
ACCESS = "Changed access: after apply, logins are sent to these addresses"
_ALL_NEW = "This store records no earlier logins. Use the daemon's store (--store) to see which logins changed"
SYMBOLS = {Verb.CREATE: "+", Verb.UPDATE: "~", Verb.DELETE: "-", Verb.FORGET: "x"}
_COLOURS = {Verb.CREATE: "green", Verb.UPDATE: "yellow", Verb.DELETE: "red", Verb.FORGET: "cyan"}
_TITLES = {
    ChangeGroup.CHANGES: "Changes from git",
    ChangeGroup.DRIFT: "Drift: changed outside of git",
    ChangeGroup.WAITING: "Later: waiting for other resources or for the next attempt",
    ChangeGroup.HELD: "Held",
    ChangeGroup.IN_FLIGHT: "In flight",
    ChangeGroup.FAILED: "Failed; not retried until the document or the report of the BMC changes",
    ChangeGroup.DISRUPTIVE: "Disruptive or destructive, one by one",
}
_HELD_WORDS = {
    HoldKind.GUARD: "held by guard",
    HoldKind.DECLARED: "held by",
    HoldKind.IN_FLIGHT: "under way",
    HoldKind.FAILED: "failed",
    HoldKind.BLOCKED: "waits for",
}
_CAUSE_COLUMN = 48
_FORGET = "x forget: groundstate removes the resource from its store, and sends nothing"


class Style:
    """How wide, how colourful, how much."""

    def __init__(self, *, full: bool, paint: words.Paint, width: int) -> None:
        self.full, self.paint, self.width = full, paint, max(40, width)


def render_text(
    plan: Plan, *, full: bool = False, color: bool = False, width: int = 100, next_command: str | None = APPLY
) -> str:
    """The plan as people read it.

    `full` gives each resource its own entry, with source, age and reasons. `color` uses ANSI codes. `width` is where
    lists of names wrap. `next_command` is what would carry this very plan out (None: is being done)."""
    style = Style(full=full, paint=words.ansi if color else words.unpainted, width=width)
    blocks = [header(plan, style), *sections(plan, style), footer(plan, style, next_command)]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def header(plan: Plan, style: Style) -> list[str]:
    """Which desired state, from when, seen when, and how much of the fleet."""
    revision, scope = plan.revision, plan.scope
    lines = [style.paint("bold", f"Plan of {words.clean(str(revision))}") + f"  {words.clean(revision.repository)}"]
    if revision.commit is not None:
        lines.append(f"  {words.commit_words(revision.commit)}")
    else:
        lines.append("  a work tree with uncommitted edits")
    if plan.observed_at is None:
        lines.append(f"  planned at {words.moment(plan.planned_at)}, nothing was observed")
    else:
        seen = words.age_words(plan.planned_at - plan.observed_at)
        lines.append(f"  planned at {words.moment(plan.planned_at)} from observations at most {seen} old")
    if scope.filter:
        lines.append(f"  filter: {words.clean(scope.filter)}")
    for reported in plan.diagnostics:
        place = f"{reported.source}: " if reported.source else ""
        lines.append(style.paint("yellow", f"  {reported.severity}: {words.clean(place + reported.summary)}"))
    lines += [style.paint("yellow", f"  {words.clean(words.override_words(one))}") for one in plan.overrides]
    return lines


def sections(plan: Plan, style: Style) -> Iterator[list[str]]:
    """The body: a block of lines, the first its title, for each part that is not empty. What disrupts stands last."""
    if plan.access:
        note = [f"  {_ALL_NEW}"] if is_first_sight(plan.access, sum(plan.scope.total_fleet.values())) else []
        yield [_heading(ACCESS, len(plan.access), style), *note, *access_lines(plan.access, style)]
    parts = by_part(plan.changes)
    for part in (
        ChangeGroup.CHANGES,
        ChangeGroup.DRIFT,
        ChangeGroup.WAITING,
        ChangeGroup.HELD,
        ChangeGroup.IN_FLIGHT,
        ChangeGroup.FAILED,
    ):
        if parts[part]:
            yield [_title(part, parts[part], style), *_entries(parts[part], style)]
    if plan.unknown:
        title = "Unknown: could not be read, so nothing is planned for these resources"
        yield [_heading(title, len(plan.unknown), style), *unknown_lines(plan.unknown, style)]
    if parts[ChangeGroup.DISRUPTIVE]:
        yield disruptive_block(parts[ChangeGroup.DISRUPTIVE], style)


def access_lines(access: Iterable[AccessChange], style: Style) -> Iterator[str]:
    """Each change with those that are changed in the same way; what is new on a line each, or with those alike."""
    for group in alike_access(access, apart=style.full):
        yield from _new_ways(group, style) if group[0].is_new else _moved_ways(group, style)
        if style.full and group[0].source is not None:
            yield f"      source: {words.clean(f'{group[0].source.file}:{group[0].source.line}')}"


def _moved_ways(group: list[AccessChange], style: Style) -> Iterator[str]:
    names = [words.clean(name) for name in fold(one.key.name for one in group)]
    tail = f"  ({len(group):,})" if len(group) > 1 else ""
    line, more = _listed(f"  {SYMBOLS[Verb.UPDATE]} {words.clean(group[0].key.kind)}", names, tail, style)
    yield style.paint(_COLOURS[Verb.UPDATE], line)
    yield from more
    yield from (f"      {line}" for line in lines_of(group))


def _new_ways(group: list[AccessChange], style: Style) -> Iterator[str]:
    start, names = f"  {SYMBOLS[Verb.CREATE]} {words.clean(group[0].key.kind)}", fold(one.key.name for one in group)
    if len(group) == 1:
        name = style.paint(_COLOURS[Verb.CREATE], f"{start} {words.clean(group[0].key.name)}")
        yield f"{name}  {words.clean(on_a_line(group[0], full=style.full))}"
        return
    line, more = _listed(
        start, list(map(words.clean, names)), f"  ({len(group):,})  {words.clean(in_common(group))}", style
    )
    yield style.paint(_COLOURS[Verb.CREATE], line)
    yield from more
    yield from wrapped(places(group), style.width)


def footer(plan: Plan, style: Style, command: str | None) -> list[str]:
    """The counts, and what to do next."""
    scope = plan.scope
    lines = [style.paint("bold", summary_line(plan))]
    if scope.observed < scope.total:
        lines.append(partial_line(plan))
    if any(change.verb is Verb.FORGET for change in plan.changes):
        lines.append(_FORGET)
    return lines if command is None else [*lines, *next_lines(plan, style, command)]


def summary_line(plan: Plan) -> str:
    """The counts and what they are out of; `No changes.` where there are none."""
    found, scope, access = summarize(plan), plan.scope, changed_access(plan)
    if not plan.changes:
        return _unchanged(plan) + (f" Changed access: {access}." if access else "")
    # A share of the fleet says nothing where nothing of it is to change. Of each kind, its own number.
    kinds = {kind: number for kind, number in found.total_fleet.items() if found.fleet.get(kind)}
    whole = counted(kinds) or counting.count(scope.total, "resource")
    counts = [
        f"{found.create:,} create",
        f"{found.update:,} update{_hurting(plan, Verb.UPDATE)}",
        f"{found.delete:,} delete{_hurting(plan, Verb.DELETE)}",
    ]
    for word in ("forget", "drift", "leaked", "waiting", "held", "in_flight", "failed", "unknown"):
        number = getattr(found, word)
        if number:
            counts.append(f"{number:,} {word.replace('_', ' ')}")
    part = (sum(found.fleet.values()), sum(kinds.values())) if kinds else (len(plan.changes), scope.total)
    return f"Plan: {', '.join(counts)} - of {whole} ({words.share(*part)})" + (
        f"; changed access: {access}" if access else ""
    )


def changed_access(plan: Plan) -> str:
    """How many known resources would be reached by another way; empty where there is none."""
    return counted(Counter(one.key.kind for one in plan.access if not one.is_new))


def _unchanged(plan: Plan) -> str:
    scope, unread = plan.scope, len(plan.unknown)
    if not scope.total:
        return "No changes. No resource is declared, and none was declared before."
    if not scope.observed:
        return f"No changes. None of {counting.count(scope.total, 'resource')} was observed."
    observed = counting.count(scope.observed, "resource")
    if plan.nothing_read:
        return f"Unknown: nothing could be read, so nothing is planned; {observed} observed."
    if unread:
        verb = "matches" if scope.observed - unread == 1 else "match"
        return (
            f"No changes among what could be read: {scope.observed - unread:,} of {observed} {verb} git, "
            f"{unread:,} could not be read."
        )
    subject = f"All {observed} match" if scope.observed != 1 else "The resource matches"
    return f"No changes. {subject} git."


def _hurting(plan: Plan, verb: Verb) -> str:
    levels = [change.disruption for change in plan.changes if change.verb is verb]
    reported = [f"{levels.count(x):,} {x}" for x in (Disruption.DISRUPTIVE, Disruption.DESTRUCTIVE) if x in levels]
    return f" ({', '.join(reported)})" if reported else ""


def partial_line(plan: Plan) -> str:
    """How much a filtered plan left out."""
    scope = plan.scope
    missed = f"{scope.total - scope.observed:,} of {counting.count(scope.total, 'resource')}"
    return f"Partial plan: {missed} were not observed (filter: {words.clean(scope.filter) or 'by name'})"


def next_lines(plan: Plan, style: Style, command: str) -> Iterator[str]:
    """The command to run next, if any would help."""
    if any(change.goes for change in plan.changes):
        yield f"Next: {command}"
    elif plan.changes and not style.full:
        yield "Nothing would be sent now: see `To proceed` above; --full shows details"


def disruptive_block(changes: list[Change], style: Style) -> list[str]:
    """Each machine on its own line, under what it has in common with others."""
    lines = [_title(ChangeGroup.DISRUPTIVE, changes, style)]
    for group in alike(changes):
        lines.append(f"  {words.cause(group[0].cause)}")
        for change in sorted(group, key=_place):
            lines.append(disruptive_line(change, style))
            lines.extend(_passing(change, style, "        "))
            lines.extend(_hold_lines([change], style, "        "))
            if style.full:
                lines.extend(_particulars(change))
    return lines


def disruptive_line(change: Change, style: Style) -> str:
    """`~ Machine r12-01  disruptive  power-off GracefulShutdown  (spec.power: On -> Off)`."""
    actions = ", ".join(map(words.action, change.actions))
    moved = "; ".join(line for one in change.differences for line in words.difference(one))
    what = style.paint("red", f"{SYMBOLS[change.verb]} {words.name(change)}  {change.disruption}")
    return f"    {what}  {actions}" + (f"  ({moved})" if moved else "")


def unknown_lines(unknown: Iterable[Unknown], style: Style) -> Iterator[str]:
    """By reason; each machine by name with --full."""
    reasons: dict[str, list[Unknown]] = {}
    for one in unknown:
        reasons.setdefault(f"{one.key.kind} {one.reason}", []).append(one)
    for group in reasons.values():
        first, messages = group[0], {words.clean(one.message) for one in group}
        if style.full:
            for one in group:
                seen = f"  (observed {words.moment(one.at)})" if one.at else ""
                yield f"  ? {words.clean(str(one.key))}  {words.clean(one.reason)}: {words.clean(one.message)}{seen}"
            continue
        reported = f", {counting.count(len(messages) - 1, 'other message')}" if len(messages) > 1 else ""
        names = [words.clean(name) for name in fold(one.key.name for one in group)]
        number = f"  ({len(group):,})" if len(group) > 1 else ""
        line, more = _listed(f"  ? {words.clean(first.key.kind)}", names, number, style)
        yield from (line, *more)
        yield f"      {words.clean(first.reason)}: {words.clean(first.message)}{reported}"


def _entries(changes: list[Change], style: Style) -> Iterator[str]:
    groups = [[change] for change in changes] if style.full else alike(changes)
    for group in groups:
        yield from _entry(group, style)


def _entry(group: list[Change], style: Style) -> Iterator[str]:
    first = group[0]
    what, names = _named(group, style)
    reported = words.cause(first.cause, since=False) + _since(group)
    yield from _beside(style.paint(_COLOURS[first.verb], what), len(what), reported, style)
    yield from names
    if claims := words.of_claims(group):
        yield f"      for {claims}"
    yield from (f"      {line}" for one in first.differences for line in words.difference(one))
    yield from (f"      -> {words.action(action)}" for action in first.actions)
    yield from _passing(first, style, "      ")
    yield from _hold_lines(group, style, "      ")
    if style.full:
        yield from _particulars(first)


def _named(group: list[Change], style: Style) -> tuple[str, list[str]]:
    """Symbol, kind, names and number; the names on lines of their own where they are many.

    What disrupts keeps its names even where a guard holds it: the list is what gets approved.
    """
    first, names = group[0], [change.key.name for change in group]
    hurts = first.disruption is not Disruption.NONE
    shown = [words.clean(name) for name in (sorted(names, key=natural) if hurts else fold(names))]
    tail = (f"  ({len(group):,})" if len(group) > 1 else "") + (f"  {first.disruption}" if hurts else "")
    return _listed(f"  {SYMBOLS[first.verb]} {words.clean(first.key.kind)}", shown, tail, style, apart=hurts)


def _listed(start: str, names: list[str], tail: str, style: Style, *, apart: bool = False) -> tuple[str, list[str]]:
    line = f"{start} {', '.join(names)}{tail}"
    if len(names) == 1 or (len(line) <= style.width and not apart):
        return line, []
    return f"{start}{tail}", list(wrapped(names, style.width))


def _beside(painted: str, length: int, reported: str, style: Style) -> Iterator[str]:
    """The cause in a column beside what it caused, as far right as need be, or below."""
    for column in (_CAUSE_COLUMN, length + 2):
        if length + 2 <= column and column + len(reported) <= style.width:
            yield f"{painted}{' ' * (column - length)}{reported}"
            return
    yield painted
    yield f"      {reported}"


def _since(group: list[Change]) -> str:
    times = sorted(change.cause.since for change in group if change.cause.since is not None)
    if not times or group[0].cause.kind is CauseKind.COMMIT:
        return ""
    return f" since {words.moment(times[0])}"


def _hold_lines(group: list[Change], style: Style, indent: str) -> Iterator[str]:
    for hold in holds(group[0]):
        # What failed names its field; the other fields go on.
        by = hold.path or hold.by if hold.kind is HoldKind.FAILED else hold.by
        held = "held by" if by.startswith("guard/") else _HELD_WORDS[hold.kind]
        reported = f"{held} {words.clean(by)}".rstrip() + f": {words.clean(hold.reason)}"
        yield style.paint("cyan", f"{indent}{reported}")
        yield f"{indent}  To proceed: {words.clean(to_proceed(hold, group))}"


def _passing(change: Change, style: Style, indent: str) -> Iterator[str]:
    if change.passes:
        yield style.paint("yellow", f"{indent}passes guard {words.clean(change.lifted)}")
    for hold in change.advice:
        yield style.paint("yellow", f"{indent}warning: {words.clean(f'{hold.by}: {hold.reason}')}")


def _particulars(change: Change) -> Iterator[str]:
    if change.source is not None:
        yield f"      source: {words.clean(f'{change.source.file}:{change.source.line}')}"
    if change.observed_at is not None:
        yield f"      observed at: {words.moment(change.observed_at)}"
    for action in change.actions:
        if action.reason:
            yield f"      reason for {action.name}: {words.clean(action.reason)}"


def wrapped(names: Iterable[str], width: int) -> Iterator[str]:
    """Names side by side, none broken."""
    yield from textwrap.wrap(
        ", ".join(names),
        width=width,
        initial_indent="      ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _title(part: ChangeGroup, changes: list[Change], style: Style) -> str:
    return _heading(_TITLES[part], len(changes), style)


def _heading(title: str, number: int, style: Style) -> str:
    return style.paint("bold", f"{title} ({number:,})")


def _place(change: Change) -> tuple[tuple[int, str], ...]:
    return natural(change.key.name)

"""What one Guard must keep to beyond its schema. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from reconciler.kinds.common.field_types.duration import parse_duration_text
from reconciler.kinds.common.field_types.fleet_share import FleetShare
from reconciler.kinds.common.field_types.label_selector import Unmatched, parse_selector
from reconciler.kinds.common.kind import RuleFinding
from reconciler.kinds.guard.built_in import BUILT_IN_GUARDS
from reconciler.kinds.guard.spec import DisruptionBudget, GuardSpec, Windows, WindowTime
from reconciler.kinds.guard.windows import A_DAY, EARLIEST, LATEST, is_absolute, opens_each_week
from reconciler.model.resource import Resource


def check_guard(resource: Resource[GuardSpec]) -> list[RuleFinding]:
    """Everything that is wrong with the guard alone."""
    spec = resource.spec
    found = [*_reserved(resource.key.name), *_selector(spec.match.selector)]
    if spec.windows is None and spec.budget is None and spec.protection is None:
        what = "the guard has neither spec.windows, nor spec.budget, nor spec.protection, so the guard holds nothing"
        found.append(
            RuleFinding(
                "empty-guard", "spec", what, "add spec.windows, spec.budget or spec.protection; or remove the guard"
            )
        )
    if spec.windows is not None:
        found.extend(_windows(spec.windows) or _never_open(spec.windows))
    if spec.budget is not None:
        found.extend(_budget(spec.budget))
    return found


def _reserved(name: str) -> Iterator[RuleFinding]:
    if name in BUILT_IN_GUARDS:
        yield RuleFinding("reserved-name", "metadata.name", f"a built-in guard is called {name}", "choose another name")


def _selector(text: str) -> Iterator[RuleFinding]:
    try:
        parse_selector(text)
    except Unmatched as error:
        hint = "write key=value, key in (a,b), key or !key, joined by commas"
        yield RuleFinding("malformed-selector", "spec.match.selector", str(error), hint)


def _windows(windows: Windows) -> list[RuleFinding]:
    return list(_each_window(windows))


def _each_window(windows: Windows) -> Iterator[RuleFinding]:
    try:
        ZoneInfo(windows.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        what = f"{windows.time_zone!r} is not a known time zone"
        hint = "use an IANA name, such as Europe/Berlin, America/New_York or UTC"
        yield RuleFinding("unknown-time-zone", "spec.windows.timeZone", what, hint)
    if not windows.allow and not windows.deny:
        yield RuleFinding(
            "empty-windows",
            "spec.windows",
            "spec.windows has no window",
            "add a window to spec.windows.allow or spec.windows.deny",
        )
    for name in ("allow", "deny"):
        for index, entry in enumerate(getattr(windows, name)):
            yield from _window(entry, f"spec.windows.{name}.{index}")
    if windows.last_start is not None:
        yield from _span(windows.last_start, "spec.windows.lastStart", A_DAY)


def _never_open(windows: Windows) -> Iterator[RuleFinding]:
    """Of windows that are sound by themselves."""
    if windows.allow and not opens_each_week(windows):
        what = "no work can ever begin: spec.windows.deny or spec.windows.lastStart covers all of spec.windows.allow"
        hint = (
            "correct the times. To hold all work, leave out spec.windows.allow, and write "
            'spec.windows.deny: [{from: "00:00"}]'
        )
        yield RuleFinding("malformed-window", "spec.windows", what, hint)


def _window(entry: WindowTime, path: str) -> Iterator[RuleFinding]:
    absolute = [is_absolute(text) for text in (entry.from_, entry.to) if text is not None]
    if not absolute and not entry.days:
        yield RuleFinding(
            "malformed-window", path, "the window has no day and no time", "add `days`, `from` or `to` to the window"
        )
    elif any(absolute) and (entry.days or not all(absolute)):
        what = "`from` or `to` has a date, so the window cannot have `days`, and the other of the two needs a date too"
        hint = "remove `days`, and write both as 2026-12-20T00:00; or write both as 22:00"
        yield RuleFinding("malformed-window", path, what, hint)
    elif entry.from_ == "24:00":
        yield RuleFinding("malformed-window", f"{path}.from", "no window begins at 24:00", "write 00:00")
    elif any(absolute):
        yield from _absolute(entry, path)


def _absolute(entry: WindowTime, path: str) -> Iterator[RuleFinding]:
    moments = []
    for name, text in (("from", entry.from_), ("to", entry.to)):
        if text is None:
            continue
        try:
            moments.append(datetime.fromisoformat(text))
        except ValueError:
            yield RuleFinding(
                "malformed-window", f"{path}.{name}", (f"{text} is not a day of the calendar"), "write 2026-12-20T00:00"
            )
            continue
        if not EARLIEST.year < moments[-1].year < LATEST.year:
            what = f"{text} is out of range: a year is from {EARLIEST.year + 1} to {LATEST.year - 1}"
            hint = f"correct the year. Without `{name}`, the window has no {'beginning' if name == 'from' else 'end'}"
            yield RuleFinding("out-of-range", f"{path}.{name}", what, hint)
    if len(moments) == 2 and moments[0] >= moments[1]:
        what = f"the window ends at {entry.to}, which is not after its beginning"
        yield RuleFinding("malformed-window", f"{path}.to", what, f"correct `from` or `to` of {path}")


def _budget(budget: DisruptionBudget) -> Iterator[RuleFinding]:
    given = [name for name in ("max_disrupted", "min_available") if getattr(budget, name) is not None]
    if len(given) != 1:
        what = "spec.budget must have exactly one of maxDisrupted and minAvailable"
        yield RuleFinding("malformed-budget", "spec.budget", what, "write only maxDisrupted or only minAvailable")
    for name, path in (("max_disrupted", "maxDisrupted"), ("min_available", "minAvailable")):
        value = getattr(budget, name)
        try:
            share = FleetShare.parse(str(value)) if value is not None else None
        except ValueError as error:
            yield RuleFinding("malformed-budget", f"spec.budget.{path}", str(error), "write 5 or 10%")
            continue
        if name == "min_available" and share is not None and not share.of(1):
            what = "minAvailable 0 limits nothing"
            yield RuleFinding("malformed-budget", f"spec.budget.{path}", what, "write 1 or more")
    yield from _span(budget.within, "spec.budget.within", timedelta(days=7))
    if budget.pacing is not None:
        yield from _span(budget.pacing, "spec.budget.pacing", A_DAY)


def _span(text: str, path: str, longest: timedelta) -> Iterator[RuleFinding]:
    if not timedelta() < parse_duration_text(text) <= longest:
        what = f"{text} is out of range: more than 0 s, and at most {longest.days}d"
        yield RuleFinding("out-of-range", path, what, "write a span such as 30m")

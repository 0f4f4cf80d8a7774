"""When work may begin: windows in local time, worked out to moments. Pure.

Where clocks change, an hour of a day is missing or doubled. A beginning in a missing hour is the first moment after the
hour. A window that begins within a doubled hour begins the first time; one that ends within it ends the second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from reconciler.kinds.common.field_types.duration import parse_duration_text
from reconciler.kinds.guard.spec import Day, Windows, WindowTime

A_DAY = timedelta(days=1)
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_REACHES = tuple(timedelta(days=days) for days in (9, 40, 400))
"""How far the next change is searched: most windows change within a week."""
_DAYS = tuple(Day)


class WindowState(msgspec.Struct, frozen=True):
    """Whether work may begin, and until when that stays so; None: for more than a year. `reason`: of what denies it."""

    open: bool
    until: datetime | None = None
    reason: str | None = None


class OpenSpan(msgspec.Struct, frozen=True, order=True):
    """From a moment on, and up to another one, which is not part of it."""

    start: datetime
    end: datetime


def window_state(windows: Windows, now: datetime) -> WindowState:
    """Whether work may begin at `now`."""
    zone = ZoneInfo(windows.time_zone)
    is_open = any(span.start <= now < span.end for span in open_spans(windows, now - A_DAY, now + A_DAY))
    reason = None if is_open else _denied_for(windows, zone, now)
    for reach in _REACHES:
        for moment in _changes(windows, now, now + reach):
            return WindowState(is_open, moment, reason)
    return WindowState(is_open, _after_all(windows, zone, now, is_open), reason)


def open_spans(windows: Windows, first: datetime, last: datetime) -> list[OpenSpan]:
    """The spans between two moments in which work may begin, in order and apart from each other. What is at the very
    edges may be cut off there."""
    zone = ZoneInfo(windows.time_zone)
    # A window that closes soon after `last` closes for the start of work before that.
    beyond = last + (parse_duration_text(windows.last_start) if windows.last_start else timedelta())
    allowed = _joined(_spans(windows.allow, zone, first, beyond)) if windows.allow else [OpenSpan(EARLIEST, LATEST)]
    opened = _without(allowed, _joined(_spans(windows.deny, zone, first, beyond)))
    if windows.last_start:
        before = parse_duration_text(windows.last_start)
        opened = [OpenSpan(span.start, span.end - before) if span.end < LATEST else span for span in opened]
    return [span for span in opened if span.start < span.end]


def opens_each_week(windows: Windows) -> bool:
    """Whether work may begin at some time of a common week, as far as windows without a date decide that."""
    if any(_has_date(one) for one in windows.allow):
        return True
    weekly = msgspec.structs.replace(
        windows, time_zone="UTC", deny=tuple(one for one in windows.deny if not _has_date(one))
    )
    first, last = EARLIEST + 7 * A_DAY, EARLIEST + 21 * A_DAY  # What is at the edges may be cut off.
    return any(span.start < last and first < span.end for span in open_spans(weekly, first, last))


def _has_date(entry: WindowTime) -> bool:
    return is_absolute(entry.from_) or is_absolute(entry.to)


def local_moment(local: datetime, zone: ZoneInfo, *, second: bool = False) -> datetime:
    """The moment of a local time without a zone. The first moment after a missing hour, and the first or the `second`
    one of a doubled hour."""
    moment = local.replace(tzinfo=zone, fold=int(second)).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local:
        return moment
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    after = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    offset = after.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)


def is_absolute(text: str | None) -> bool:
    """Whether a time is a day and a time, rather than a time of each day."""
    return text is not None and "T" in text


def _spans(entries: Iterable[WindowTime], zone: ZoneInfo, first: datetime, last: datetime) -> Iterator[OpenSpan]:
    for entry in entries:
        if _has_date(entry):
            yield _absolute(entry, zone)
        else:
            yield from _recurring(entry, zone, first, last)


def _absolute(entry: WindowTime, zone: ZoneInfo) -> OpenSpan:
    start = local_moment(datetime.fromisoformat(entry.from_), zone) if entry.from_ else EARLIEST
    end = _end(datetime.fromisoformat(entry.to), zone) if entry.to else LATEST
    return OpenSpan(start, end)


def _recurring(entry: WindowTime, zone: ZoneInfo, first: datetime, last: datetime) -> Iterator[OpenSpan]:
    begins, ends = _time_of(entry.from_ or "00:00"), _time_of(entry.to or "24:00")
    over = A_DAY if ends <= begins else timedelta()
    day, stop = first.astimezone(zone).date() - 2 * A_DAY, last.astimezone(zone).date() + A_DAY
    while day <= stop:
        if not entry.days or _DAYS[day.weekday()] in entry.days:
            start = local_moment(_at(day, begins), zone)
            yield OpenSpan(start, _end(_at(day, ends + over), zone))
        day += A_DAY


def _end(local: datetime, zone: ZoneInfo) -> datetime:
    """The second time of a doubled hour; its first minute is the end of the hour before."""
    minute_before = local - timedelta(minutes=1)
    within = local_moment(minute_before, zone) != local_moment(minute_before, zone, second=True)
    return local_moment(local, zone, second=within)


def _time_of(text: str) -> timedelta:
    hours, minutes = text.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes))


def _at(day: date, since_midnight: timedelta) -> datetime:
    return datetime.combine(day, time()) + since_midnight


def _joined(spans: Iterable[OpenSpan]) -> list[OpenSpan]:
    found: list[OpenSpan] = []
    for span in sorted(one for one in spans if one.start < one.end):
        if found and span.start <= found[-1].end:
            found[-1] = OpenSpan(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def _without(spans: list[OpenSpan], taken: list[OpenSpan]) -> list[OpenSpan]:
    found = []
    for span in spans:
        start = span.start
        for one in taken:
            if one.end <= start or one.start >= span.end:
                continue
            if one.start > start:
                found.append(OpenSpan(start, one.start))
            start = max(start, one.end)
        if start < span.end:
            found.append(OpenSpan(start, span.end))
    return found


def _changes(windows: Windows, now: datetime, last: datetime) -> list[datetime]:
    """The moments after `now`, up to `last`, at which work begins to be allowed, or ends to be."""
    edges = (edge for span in open_spans(windows, now - A_DAY, last) for edge in (span.start, span.end))
    return sorted(edge for edge in edges if now < edge <= last)


def _after_all(windows: Windows, zone: ZoneInfo, now: datetime, is_open: bool) -> datetime | None:
    """The next change that a span with a day far ahead brings."""
    for entry in sorted((*windows.allow, *windows.deny), key=lambda one: one.from_ or ""):
        for text in (entry.from_, entry.to):
            if text is None or not is_absolute(text):
                continue
            near = local_moment(datetime.fromisoformat(text), zone)
            for edge in _changes(windows, max(now, near - A_DAY), max(now, near) + _REACHES[0]):
                inside = any(span.start <= edge < span.end for span in open_spans(windows, edge - A_DAY, edge + A_DAY))
                if inside is not is_open:
                    return edge
    return None


def _denied_for(windows: Windows, zone: ZoneInfo, now: datetime) -> str | None:
    for entry in windows.deny:
        if any(span.start <= now < span.end for span in _spans((entry,), zone, now - A_DAY, now + A_DAY)):
            return entry.reason
    return None

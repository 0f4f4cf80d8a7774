"""The time that a person means: a time span before now, a day, a time, or a commit."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from drivers.base import excerpt
from reconciler.operations.operation_error import OperationError
from reconciler.operations.workspace import Workspace
from reconciler.runtime import now

_SPAN = re.compile(r"(\d{1,6}[dhms])+")
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def moment_of(at: Workspace, since: str) -> datetime:
    """What `90m` or `2d` before now is; or what git makes of the text: a day, a time, `2 days ago`, a commit.
    Raises OperationError and SourceError."""
    before = _span_before_now(since)
    if before is not None:
        return before
    source = at.source()
    return source.moment(source.snapshot().revision, since).at


def without_span(time: str) -> str:
    """The same for what takes no time spans: `2h` as the time in UTC that it means, any other text unchanged.
    Raises OperationError."""
    before = _span_before_now(time)
    return time if before is None else f"{before:%Y-%m-%dT%H:%M:%S}"


def _span_before_now(text: str) -> datetime | None:
    if not _SPAN.fullmatch(text.strip().lower()):
        return None
    spans = re.findall(r"(\d+)([dhms])", text.lower())
    try:
        return now() - sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in spans), timedelta())
    except OverflowError:
        raise OperationError(
            f"{excerpt(text, 60)} ago is before the year 1; write a shorter time, such as 90d"
        ) from None

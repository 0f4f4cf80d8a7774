"""The time that a person means: a time span before now, a day, a time, or a commit."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from reconciler.operations.workspace import Workspace
from reconciler.runtime import now

_SPAN = re.compile(r"(\d{1,6}[dhms])+")
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def moment_of(at: Workspace, since: str) -> datetime:
    """What `90m` or `2d` before now is; or what git makes of the text: a day, a time, `2 days ago`, a commit."""
    if _SPAN.fullmatch(since.strip().lower()):
        spans = re.findall(r"(\d+)([dhms])", since.lower())
        return now() - sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in spans), timedelta())
    source = at.source()
    return source.moment(source.snapshot().revision, since).at

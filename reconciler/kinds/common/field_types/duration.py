"""Time spans as documents and commands write them: `30m`, `2h`, `1h30m`, `1d`. Pure."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from msgspec import Meta

SPAN_PATTERN = r"^(?=.)(?:[0-9]{1,6}d)?(?:[0-9]{1,6}h)?(?:[0-9]{1,6}m)?(?:[0-9]{1,6}s)?$"
_SPAN = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?")

Duration = Annotated[str, Meta(pattern=SPAN_PATTERN, examples=["30m", "1h30m"])]
"""A field that holds a time span."""


def parse_duration_text(text: str) -> timedelta:
    """The span. Raises ValueError saying what is accepted."""
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is not a time span; write 30m, 2h, 1h30m or 1d")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)

"""Structured logs on stderr: text on a terminal, a JSON object a line otherwise."""

from __future__ import annotations

import sys
from typing import Any, TextIO

import structlog

from reconciler.model.event import Event, EventType


def logger(stream: TextIO, *, json: bool, color: bool = False) -> Any:
    """A logger to that stream; `color` is for text. Tracebacks go into the JSON object, never beside it."""
    render: list[Any] = (
        [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
        if json
        else [structlog.dev.ConsoleRenderer(colors=color)]
    )
    return structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *render,
        ],
    )


def log_event(log: Any, event: Event) -> None:
    """An event as a log line: its reason is the line's event."""
    fields = {
        "key": str(event.key) if event.key else None,
        "message": event.message,
        "action": event.action_id,
        "by": event.by,
    }
    say = log.warning if event.type is EventType.WARNING else log.info
    say(event.reason, **{name: value for name, value in fields.items() if value is not None})


def default_json() -> bool:
    """JSON wherever no person is looking."""
    return not sys.stderr.isatty()

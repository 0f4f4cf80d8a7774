"""Structured logs on stderr: text on a terminal, a JSON object a line otherwise."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from drivers.base import hidden
from reconciler.model.event import Event, EventType
from reconciler.model.values.redact import redacted, redacted_all

# Local variables are passwords and tokens, wherever one of these is handled: no traceback shows any.
_TRACEBACKS = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def logger(stream: TextIO, *, json: bool, color: bool = False) -> Any:
    """A logger to that stream; `color` is for text. Tracebacks go into the JSON object, never beside it.

    What has the form of a credential, and every secret that was read, is hidden in each line, whoever wrote it.
    """
    render: list[Any] = (
        [_TRACEBACKS, _hide, structlog.processors.JSONRenderer()]
        if json
        else [
            structlog.dev.ConsoleRenderer(colors=color, exception_formatter=structlog.dev.plain_traceback),
            _hide_line,
        ]
    )
    return structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *render,
        ],
    )


def _hide(_log: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: redacted_all(value, hidden) for name, value in line.items()}


def _hide_line(_log: Any, _method: str, line: str) -> str:
    return redacted(hidden(line))


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

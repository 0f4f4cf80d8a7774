"""Structured logs on stderr: text on a terminal, a JSON object a line otherwise."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

from drivers.base import clean, hidden
from reconciler.model.event import Event, EventType
from reconciler.model.values.redact import redacted, redacted_all
from reconciler.views.render.folding import folded
from reconciler.views.render.words import Paint, ansi, unpainted


@contextmanager
def _as_if_missing(package: str) -> Iterator[None]:
    """Have what is imported meanwhile do without an optional package, unless that is loaded already."""
    is_loaded = package in sys.modules
    if not is_loaded:
        sys.modules[package] = None  # type: ignore[assignment]  # as the import system has it (docs: sys.modules)
    try:
        yield
    finally:
        if not is_loaded:
            del sys.modules[package]


# It would load rich and Pygments, 4 MiB in every daemon, to print the local variables of tracebacks.
with _as_if_missing("rich"):
    import structlog
    from structlog.tracebacks import ExceptionDictTransformer

# Local variables are passwords and tokens, wherever one of these is handled: no traceback shows any.
_TRACEBACKS = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def logger(stream: TextIO, *, json: bool, color: bool = False) -> Any:
    """A logger to that stream; `color` is for text. Tracebacks go into the JSON object, never beside it.

    What has the form of a credential, and every secret that was read, is hidden in each line of every module.
    """
    stamp = structlog.processors.TimeStamper(fmt="iso" if json else "%Y-%m-%d %H:%M:%SZ", utc=True)
    render: list[Any] = (
        [_TRACEBACKS, _hide, structlog.processors.JSONRenderer()]
        if json
        else [structlog.processors.format_exc_info, _Lines(stream, ansi if color else unpainted), _hide_line]
    )
    return structlog.wrap_logger(
        structlog.WriteLogger(stream), processors=[structlog.processors.add_log_level, stamp, *render]
    )


class _Lines:
    """A line as `groundstate events` prints one. On a terminal it is broken between words, and goes on indented."""

    def __init__(self, stream: TextIO, paint: Paint) -> None:
        self._terminal, self._paint = stream.isatty(), paint

    def __call__(self, _log: Any, _method: str, fields: MutableMapping[str, Any]) -> str:
        at, level, event = fields.pop("timestamp"), str(fields.pop("level")), str(fields.pop("event"))
        key, message, by = (fields.pop(name, None) for name in ("key", "message", "by"))
        trace = fields.pop("exception", None)
        head = f"{at}  {_LEVELS.get(level, level.capitalize()):<7}"
        said = event if message is None else f"{event}: {clean(str(message))}"
        others = (f"{name}={clean(str(value))}" for name, value in fields.items())
        parts = [head, *([str(key)] if key is not None else []), said, *others, *([f"[{clean(by)}]"] if by else [])]
        text = "  ".join(parts)
        if self._terminal:
            text = folded(text, shutil.get_terminal_size().columns, indent=4)
        text = text.replace(event, self._paint(_COLOURS.get(level, "bold"), event), 1)
        return text if trace is None else f"{text}\n{trace}"


_LEVELS = {"info": "Normal"}
_COLOURS = {"warning": "yellow", "error": "red"}


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

"""What leaves the process in words: without credentials, whichever command, library or error wrote it."""

from __future__ import annotations

import sys
import threading
import traceback
import warnings
from collections.abc import Iterable
from types import TracebackType
from typing import Any, TextIO

from drivers.base import hidden
from reconciler.model.values.redact import redacted


def hide_credentials() -> None:
    """Keep secrets out of all that this process prints. Those that it has read, and in tracebacks and warnings all that
    has the form of a credential.

    Frames are shown without their local variables, as Python itself does.
    """
    sys.stdout, sys.stderr = _without_secrets(sys.stdout), _without_secrets(sys.stderr)
    sys.excepthook = _report
    # `sys.exit` too: no thread of groundstate ends like that on purpose.
    threading.excepthook = lambda seen: _report(seen.exc_type, seen.exc_value, seen.exc_traceback)
    sys.unraisablehook = lambda seen: _report(seen.exc_type, seen.exc_value, seen.exc_traceback)
    plain = warnings.formatwarning
    warnings.formatwarning = lambda *args, **named: redacted(plain(*args, **named))


class _Hiding:
    """A text stream that shows no secret that was read. A write is whole: no part of the program prints half a
    password."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: Any) -> int:
        """What is no text is for the stream itself to refuse."""
        return self._stream.write(hidden(text) if isinstance(text, str) else text)

    def writelines(self, texts: Iterable[str]) -> None:
        """Each value separately."""
        for text in texts:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _without_secrets(stream: Any) -> Any:
    """The stream, seen through once; there is none where a process has none."""
    return stream if stream is None or isinstance(stream, _Hiding) else _Hiding(stream)


def _report(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if sys.stderr is not None:
        sys.stderr.write(redacted(hidden("".join(traceback.format_exception(kind, error, trace)))))

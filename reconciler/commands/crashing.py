"""What is printed of an error that no one foresaw: where it came from, and no credentials."""

from __future__ import annotations

import sys
import threading
import traceback
import warnings
from types import TracebackType

from reconciler.model.redact import redacted


def hide_credentials() -> None:
    """Let no traceback of this process, in whatever thread, and no warning show what has the form of a credential.

    Frames are shown without their local variables, as Python itself does.
    """
    sys.excepthook = _told
    threading.excepthook = lambda seen: (
        None if seen.exc_type is SystemExit else _told(seen.exc_type, seen.exc_value, seen.exc_traceback)
    )
    sys.unraisablehook = lambda seen: _told(seen.exc_type, seen.exc_value, seen.exc_traceback)
    plain = warnings.formatwarning
    warnings.formatwarning = lambda *args, **named: redacted(plain(*args, **named))


def _told(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if sys.stderr is not None:
        sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))

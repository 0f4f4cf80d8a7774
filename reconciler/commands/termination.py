"""What ends a command from outside ends the command in order: sessions of BMCs are deleted, and locks released."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""What CI systems, `timeout` and a lost terminal send. Ctrl-C is Python's own."""


@contextmanager
def ended_in_order() -> Iterator[None]:
    """While the block lasts, SIGTERM and SIGHUP end the command as Ctrl-C does, with exit code 128 + number as in a
    shell. A signal that is ignored, as under nohup, stays ignored. A command that serves has handlers of its own."""
    heeded = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    with suppress(ValueError):  # Signals are of the main thread alone.
        for number in heeded:
            signal.signal(number, _end)
    try:
        yield
    finally:
        with suppress(ValueError):
            for number in heeded:
                signal.signal(number, signal.SIG_DFL)


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)

"""Stopping a process that was asked to: no lock in a signal handler, and a deadline after which it leaves."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from reconciler import runtime
from reconciler.desired.git.plumbing import end_all

LEAVE_SECONDS = 25.0
"""From being asked to stop to the end of the process. Kubernetes kills after 30 s, systemd after 90 s."""
LINGER_SECONDS = 2.0
"""For the interpreter to end once all is closed; it waits without limit for threads of pools, such as a slow search."""
REPORT_SECONDS = 2.0
"""For the report. The reader of stderr may have stopped reading; the process ends nevertheless."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Stacks = dict[str, list[str]]
"""Where each thread stands, by its name: `FILE:LINE FUNCTION`, the innermost last. No local variables, no source."""


@contextmanager
def stopped_by_signals(
    stop: runtime.Flag,
    on_stop: Callable[[], None] = lambda: None,
    handler: Callable[[int, FrameType | None], None] = lambda _number, _frame: None,
) -> Iterator[None]:
    """While the block lasts SIGINT, SIGTERM and SIGHUP set `stop`, and then call `on_stop` in a thread of its own.
    SIGHUP comes with the end of a terminal, and stays ignored under nohup.

    A handler in Python runs on the main thread between any two of its steps. It may run while that thread holds the
    lock inside `stop` because it begins to wait for it. `stop.set()` in the handler would then wait for its own thread,
    for ever. So the number of the signal is written to a pipe (signal.set_wakeup_fd), which another thread reads.
    `handler` runs on the main thread besides; it must take no lock."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    listener = runtime.thread(partial(_listen, reading, stop, on_stop), "signals")
    listener.start()
    former = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    heeded = [one for one in SIGNALS if one != signal.SIGHUP or signal.getsignal(one) is not signal.SIG_IGN]
    handlers = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, before in handlers.items():
            signal.signal(number, before)
        signal.set_wakeup_fd(former)
        os.close(writing)
        listener.join(REPORT_SECONDS)


def _listen(reading: int, stop: runtime.Flag, on_stop: Callable[[], None]) -> None:
    try:
        while number := os.read(reading, 1):
            if number[0] in SIGNALS:
                stop.set()
                on_stop()
    finally:
        os.close(reading)


class Deadline:
    """Ends the process with exit code 1 when it is still there `seconds` after `stop` was set, whatever its threads
    wait for. `report` is given where they stand. Nothing is lost by that: what was sent is on record as in flight, and
    observed before anything is sent again."""

    def __init__(
        self,
        stop: runtime.Flag,
        report: Callable[[Stacks], None],
        seconds: float = LEAVE_SECONDS,
        leave: Callable[[int], None] = os._exit,
    ) -> None:
        self._stop, self._report, self._seconds, self._leave = stop, report, seconds, leave
        self._closed, self._over = runtime.flag(), False
        self._thread = runtime.thread(self._watch, "deadline")

    def start(self) -> None:
        """Watch from now on."""
        self._thread.start()

    def closed(self) -> None:
        """All is finished and closed: only the interpreter is left to end, and the exit code is 0."""
        self._closed.set()

    def cancel(self) -> None:
        """The process continues, or ends without being killed."""
        self._over = True

    def _watch(self) -> None:
        self._stop.wait()
        closed = self._closed.wait(self._seconds)
        if closed:
            runtime.sleep(LINGER_SECONDS)
        if self._over:
            return
        if not closed:
            # In a thread of its own: a log that nobody reads any more blocks whoever writes to it.
            reporter = runtime.thread(partial(self._report, stacks()), "report")
            reporter.start()
            reporter.join(REPORT_SECONDS)
        end_all()
        self._leave(0 if closed else 1)


def stacks() -> Stacks:
    """Where every thread but the calling one stands."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    mine = threading.get_ident()
    found = ((ident, frame) for ident, frame in sys._current_frames().items() if ident != mine)
    return {names.get(ident) or f"thread {ident}": _stack(frame) for ident, frame in found}


def _stack(frame: FrameType | None) -> list[str]:
    lines = []
    while frame is not None:
        code = frame.f_code
        lines.append(f"{Path(*Path(code.co_filename).parts[-3:])}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return lines[::-1]

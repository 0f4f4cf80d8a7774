"""What people type on an open line: filtered, and what the filter holds back is sent after a short time."""

from __future__ import annotations

from drivers.base import Line
from reconciler.async_runtime import TimerHandle, running_loop
from reconciler.services.console.leave_filter import LeaveFilter

HELD_SECONDS = 0.05
"""So long a byte waits that may be the begin of a sequence into the BMC's shell. A terminal sends the bytes of a key at
once, and a person does not notice the wait."""


class FilteredLine:
    """The way to one line, for all who type there. Each opening of a line gets its own."""

    def __init__(self, line: Line) -> None:
        self._line, self._filter = line, LeaveFilter(line.leaves)
        self._release: TimerHandle | None = None

    def write(self, data: bytes) -> int:
        """Send what may be sent; how many sequences were dropped."""
        typed = self._filter.take(data)
        if typed.passed:
            self._line.write(typed.passed)
        if self._filter.holds and self._release is None:
            # It is not set anew with each byte, so that a flood of them cannot delay the ones before.
            self._release = running_loop().call_later(HELD_SECONDS, self._send_held)
        return typed.dropped

    def drop_unsent(self) -> None:
        """Forget what has not left yet."""
        self._filter.forget()
        self._line.drop_unsent()

    def send_break(self) -> None:
        """See Line."""
        self._line.send_break()

    def _send_held(self) -> None:
        self._release = None
        if held := self._filter.release():
            self._line.write(held)

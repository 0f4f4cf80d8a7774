"""The driver `fake`: lines that exist in this process alone, for tests, demos and the conformance suite.

A line greets, and echoes what is typed. A test speaks as the machine with `say`, and takes the line away
with `cut` and `take_away`."""

from __future__ import annotations

from collections.abc import Callable

from drivers.base import ConsoleBusy, ConsoleEndpoint, DriverError, Line, Unreachable
from drivers.base.support.event_loop import AsyncFuture, running_loop, wait_for_tasks

GREETING = b"\r\nfake console\r\n"


class FakeLine:
    """See drivers.base.Line. `typed` has all that was written."""

    def __init__(self, number: int, heard: Callable[[bytes], None], leaves: tuple[bytes, ...] = ()) -> None:
        self.leaves = leaves
        self.heard, self.typed, self.breaks = heard, bytearray(), 0
        self.is_closed = False
        self._number = number
        self._lost: AsyncFuture[DriverError] = running_loop().create_future()

    @property
    def handle(self) -> str:
        """See Line."""
        return f"fake-{self._number}"

    @property
    def is_open(self) -> bool:
        """Whether it is neither lost nor closed."""
        return not self._lost.done() and not self.is_closed

    def write(self, data: bytes) -> None:
        """See Line."""
        if self.is_open:
            self.typed += data
            self.heard(data)

    def drop_unsent(self) -> None:
        """See Line: all has left."""

    def send_break(self) -> None:
        """See Line."""
        self.breaks += self.is_open

    async def lost(self) -> DriverError:
        """See Line."""
        await wait_for_tasks([self._lost])  # a wait that is cancelled does not cancel what is waited for
        return self._lost.result()

    async def close(self) -> None:
        """See Line."""
        self.is_closed = True

    def lose(self, why: DriverError) -> None:
        """Be lost."""
        if not self._lost.done():
            self._lost.set_result(why)


class FakeConsole:
    """See ConsoleDriver. One line at an address at a time, as at a BMC."""

    def __init__(self) -> None:
        self.lines: dict[str, FakeLine] = {}
        self.refusals: dict[str, DriverError] = {}
        """What opening a line raises, by address."""
        self.others: dict[str, str] = {}
        """The handles of sessions that are not this process's, by address."""
        self.leaves: tuple[bytes, ...] = ()
        """See Line, of all lines."""
        self._count = 0

    async def open(self, endpoint: ConsoleEndpoint, heard: Callable[[bytes], None], *, steal: bool = False) -> Line:
        """See ConsoleDriver."""
        at = endpoint.address
        if (refusal := self.refusals.get(at)) is not None:
            raise refusal
        before = self.lines.get(at)
        owner = self.others.get(at) or (before.handle if before is not None and before.is_open else "")
        if owner and not steal and owner != endpoint.former:
            raise ConsoleBusy(f"{at}: the serial line is active in another session (id {owner})", owner)
        self.others.pop(at, None)
        if before is not None:
            before.lose(ConsoleBusy(f"{at}: another session took the serial line"))
        self._count += 1
        line = self.lines[at] = FakeLine(self._count, heard, self.leaves)
        heard(GREETING)
        return line

    def say(self, address: str, data: bytes) -> None:
        """Speak as the machine."""
        self.lines[address].heard(data)

    def cut(self, address: str) -> None:
        """Lose the line, as when a BMC restarts."""
        self.lines[address].lose(Unreachable(f"{address}: the BMC does not answer"))

"""One line, many watchers, one writer: the line never waits for a watcher, and none waits for another.

It knows neither SSH nor a driver, and its time is that of its event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from drivers.base import OUTSIDE_ERRORS, ConsoleBusy, DriverError, Line, clean
from reconciler.async_runtime import (
    FIRST_COMPLETED,
    AsyncFlag,
    AsyncTask,
    CancelledError,
    create_task,
    running_loop,
    time_limit,
    wait_for_tasks,
)
from reconciler.kinds.common.access.access_rules import ConsoleAccess
from reconciler.kinds.common.defect import defect
from reconciler.kinds.console.grants import MachineConsoleState
from reconciler.services.console.filtered_line import FilteredLine
from reconciler.services.console.recent_output import RecentOutput

REPLAYED = 64 * 1024
"""Bytes that a new session is shown."""
UNREAD = 256 * 1024
"""Bytes that wait for a slow watcher; of more, the oldest half is dropped."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
ORDER_WAIT = 5.0
"""The longest wait during a boot request, as what the agent prints meanwhile is missing from the recording."""
CLOSING_SECONDS = 5.0


class Watcher:
    """One session. `who`: for people. `may_write`: its key allows that. `is_admin`: it gets errors in full."""

    def __init__(self, who: str, *, may_write: bool, is_admin: bool) -> None:
        self.who, self.may_write, self.is_admin = who, may_write, is_admin
        self.dropped = 0
        """Bytes that were too fast for it, since the beginning."""
        self._unread, self._untold = bytearray(), 0
        self._ended: str | None = None
        self._news = AsyncFlag()

    @property
    def ended(self) -> str | None:
        """Why it gets nothing more; None: it does."""
        return self._ended

    @property
    def has_ended(self) -> bool:
        """Whether it gets nothing more."""
        return self._ended is not None

    def put(self, data: bytes) -> None:
        """Have it shown, sometime."""
        if self._ended is not None:
            return
        self._unread += data
        if len(self._unread) > UNREAD:
            cut = len(self._unread) - UNREAD // 2
            del self._unread[:cut]
            self._untold += cut
            self.dropped += cut
        self._news.set()

    def tell(self, words: str) -> None:
        """Have a line of ours shown."""
        self.put(f"\r\n[groundstate: {clean(words)}]\r\n".encode())

    def end(self, why: str) -> None:
        """It is over; the words are the last that it gets. What it has not read is dropped, as it may be cut because
        it is not to read on."""
        if self._ended is None:
            self._unread.clear()
            self._untold = 0
            self.tell(why)
            self._ended = why
            self._news.set()

    async def next(self) -> bytes | None:
        """What is to be shown next; None: nothing will be."""
        while not self._unread and self._ended is None:
            self._news.clear()
            await self._news.wait()
        if not self._unread:
            return None
        data = bytes(self._unread)
        self._unread.clear()
        if self._untold:
            lost = f"{self._untold} bytes are not shown, because your connection is too slow"
            data = f"\r\n[groundstate: {lost}]\r\n".encode() + data
            self._untold = 0
        return data


class HubRecorder(Protocol):
    """Where a hub records. None of it waits for a disk, or raises. See recording.Recorder, and RecordingQueue."""

    @property
    def size(self) -> int: ...
    def begin(self, name: str, keep: int) -> None: ...
    def write(self, data: bytes) -> None: ...
    def mark(self, words: str) -> None: ...
    def close(self) -> None: ...
    def former(self) -> str: ...
    def opened(self, handle: str) -> None: ...
    def closed(self) -> None: ...


class HubReports(Protocol):
    """Who gets reports of what happens to a line."""

    def line_opened(self, machine: str) -> None:
        """The line is open."""

    def line_lost(self, machine: str, why: str) -> None:
        """The line was lost, or could not be opened; once until it is open again."""

    def writer_changed(self, machine: str, writer: str, before: str) -> None:
        """Another session types now; `before` and `writer` say who."""

    def break_sent(self, machine: str, who: str) -> None:
        """A break was sent."""

    def recording_lost(self, machine: str, why: str) -> None:
        """What the console says is not recorded; once until it is recorded again."""


class Hub:
    """The console of one machine. `open_line` is the driver's, with the handle of a line that was left open."""

    def __init__(
        self,
        state: MachineConsoleState,
        open_line: Callable[[ConsoleAccess, str, Callable[[bytes], None], bool], Awaitable[Line]],
        recorder: HubRecorder,
        reports: HubReports,
    ) -> None:
        self.state = state
        self._open_line, self._recorder, self._reports = open_line, recorder, reports
        self._recent = RecentOutput(REPLAYED)
        self.watchers: list[Watcher] = []
        self.writer: Watcher | None = None
        self.is_held = False
        """Whether the line is kept open without a session."""
        self._line: FilteredLine | None = None
        self._steals = self._reopens = False
        self._changed = AsyncFlag()
        self._trouble = ""
        self._task: AsyncTask[None] | None = None
        recorder.begin(state.tenancy.name, state.settings.keep)
        self._mark_order()

    # -- sessions ------------------------------------------------------------------------------------------------------

    @property
    def machine(self) -> str:
        """Its name."""
        return self.state.machine

    @property
    def is_open(self) -> bool:
        """Whether the line is open."""
        return self._line is not None

    @property
    def trouble(self) -> str:
        """Why the line is not open; empty if it is, or was never tried."""
        return self._trouble

    @property
    def recorded(self) -> int:
        """Bytes of the present recording."""
        return self._recorder.size

    @property
    def is_wanted(self) -> bool:
        """Whether the line is to be open."""
        return self.is_held or bool(self.watchers)

    def attach(self, watcher: Watcher, *, types: bool) -> None:
        """Have the session watch from now on, after what was said last. It types if it `types`, and no other does."""
        watcher.put(bytes(self._recent))
        self.watchers.append(watcher)
        if self.writer is None and types and watcher.may_write:
            self.writer = watcher
        self._changed.set()

    def detach(self, watcher: Watcher) -> None:
        """The session is over."""
        if watcher in self.watchers:
            self.watchers.remove(watcher)
        if self.writer is watcher:
            self.writer = None
        self._changed.set()

    def type(self, watcher: Watcher, data: bytes) -> bool:
        """Send what the session typed, if it is the one that types, and the line is open."""
        if self.writer is not watcher or not watcher.may_write or watcher.has_ended or self._line is None:
            return False
        if self._line.write(data):
            watcher.tell("a key was not sent, because it leads from the console into the BMC's own shell")
        return True

    def take_writing(self, watcher: Watcher) -> bool:
        """Let this session type in place of the one that does; all sessions are informed."""
        if not watcher.may_write or watcher.has_ended:
            return False
        before = self.writer
        if before is not watcher:
            self.writer = watcher
            self.tell(f"{watcher.who} types from now on")
            self._reports.writer_changed(self.machine, watcher.who, before.who if before is not None else "")
        return True

    def send_break(self, watcher: Watcher) -> bool:
        """Send a break, for the session that types."""
        if self.writer is not watcher or watcher.has_ended or self._line is None:
            return False
        try:
            self._line.send_break()
        except DriverError as error:
            watcher.tell(str(error) if watcher.is_admin else "the driver did not send the break")
            return True
        self.tell(f"{watcher.who} sent a break")
        self._reports.break_sent(self.machine, watcher.who)
        return True

    def steal(self, watcher: Watcher) -> bool:
        """Take the line from another session at the BMC, if there is one."""
        if not watcher.may_write or watcher.has_ended or self._line is not None:
            return False
        self._steals = True
        self._changed.set()
        return True

    def replay(self, watcher: Watcher) -> None:
        """Show again what was said last."""
        watcher.put(bytes(self._recent))

    def tell(self, words: str, in_full: str = "") -> None:
        """Inform all sessions; `in_full`: what admins get instead, as it may name what only they know."""
        for watcher in self.watchers:
            watcher.tell(in_full if in_full and watcher.is_admin else words)

    # -- whose it is ---------------------------------------------------------------------------------------------------

    def refresh(self, state: MachineConsoleState) -> None:
        """The documents or the facts have changed. Sessions that may not read on were ended before."""
        before, self.state = self.state, state
        if state.tenancy != before.tenancy:
            self._recent.clear()
            if self._line is not None:
                self._line.drop_unsent()
            self._recorder.begin(state.tenancy.name, state.settings.keep)
            self.tell(f"the machine is {state.tenancy.words} from now on")
        if state.order != before.order or state.tenancy != before.tenancy:
            self._mark_order()
        if state.access != before.access:
            self._reopens = True
            self._changed.set()

    def hold(self, *, is_held: bool) -> None:
        """Keep the line open without a session, or do not."""
        if is_held != self.is_held:
            self.is_held = is_held
            self._changed.set()

    def _mark_order(self) -> None:
        if self.state.order:
            self._recorder.mark(f"order {self.state.order}")

    def _heard(self, data: bytes) -> None:
        self._recent.add(data)
        self._recorder.write(data)
        for watcher in self.watchers:
            watcher.put(data)

    def recording_changed(self, why: OSError | None) -> None:
        """The console is not recorded any more, because of `why`; None: it is recorded again."""
        if why is None:
            self.tell("this console is recorded again")
            return
        self.tell("this console is not recorded any more", f"this console is not recorded any more: {why}")
        self._reports.recording_lost(self.machine, f"the console is not recorded: {why}; trying again every minute")

    # -- the line ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the line whenever it is wanted."""
        self._task = create_task(self._run())

    async def stop(self, why: str) -> None:
        """End all sessions with these words, and leave the line free."""
        for watcher in self.watchers:
            watcher.end(why)
        if self._task is not None:
            self._task.cancel()
            with suppress(CancelledError):
                await self._task
        self._recorder.close()

    async def _run(self) -> None:
        wait = FIRST_WAIT
        while True:
            while not self.is_wanted:
                self._trouble, wait = "", FIRST_WAIT
                await self._until_changed(None)
            opened = running_loop().time()
            why = await self._hold_line()
            if not why:
                wait = FIRST_WAIT
                continue
            if running_loop().time() - opened > LONGEST_WAIT:
                wait = FIRST_WAIT  # it was open for long
            wait = min(wait, ORDER_WAIT if self.state.order else LONGEST_WAIT)
            again = f"; trying again in {wait:.0f} s"
            if self._trouble:
                self.tell(f"the line is not open{_hint(why)}{again}", f"{self._trouble}{again}")
            await self._until_changed(wait)
            wait *= 2

    async def _hold_line(self) -> DriverError | None:
        """Open the line and wait until it is lost; None when it was closed because it is not wanted any more."""
        steals, self._steals, self._reopens = self._steals, False, False
        try:
            line = await self._open_line(self.state.access, self._recorder.former(), self._heard, steals)
        except DriverError as error:
            return self._failed(error)
        except OUTSIDE_ERRORS as error:  # a defect of a driver costs its line, and no other
            return self._failed(DriverError(f"the driver failed because of {defect(error)}; report this bug"))
        self._line, self._trouble = FilteredLine(line), ""
        try:
            self._recorder.opened(line.handle)
            self.tell("the line is open")
            self._reports.line_opened(self.machine)
            why = await self._until_lost(line)
        except CancelledError:
            await self._close(line)
            raise
        await self._close(line, why)
        return None if why is None else self._failed(why)

    async def _until_lost(self, line: Line) -> DriverError | None:
        losing = create_task(line.lost())
        try:
            while self.is_wanted and not self._reopens:
                self._changed.clear()
                changing = create_task(self._changed.wait())
                await wait_for_tasks({losing, changing}, return_when=FIRST_COMPLETED)
                changing.cancel()
                if losing.done():
                    return losing.result()
            return None
        finally:
            losing.cancel()

    async def _close(self, line: Line, lost: DriverError | None = None) -> None:
        """After a loss, the BMC may hold the session on; its handle is kept for the next opening."""
        self._line = None
        with suppress(TimeoutError):
            async with time_limit(CLOSING_SECONDS):
                await line.close()
                if lost is None:
                    self._recorder.closed()

    def _failed(self, why: DriverError) -> DriverError:
        if not self._trouble:
            self._reports.line_lost(self.machine, str(why))
        self._trouble = str(why)
        return why

    async def _until_changed(self, seconds: float | None) -> None:
        """Wait for a session that comes, a steal, or another way to the line; `seconds` at most."""
        before = len(self.watchers)
        with suppress(TimeoutError):
            async with time_limit(seconds):
                while seconds is None or not (self._steals or self._reopens):
                    self._changed.clear()
                    await self._changed.wait()
                    if seconds is None or not self.is_wanted or len(self.watchers) > before:
                        return


def _hint(why: DriverError) -> str:
    """What all people may know of an error."""
    if isinstance(why, ConsoleBusy):
        return ", because another session at the BMC has the line; Enter ~s takes the line"
    return f" ({why.reason})"
